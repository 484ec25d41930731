# SPDX-License-Identifier: Apache-2.0
"""`tern demo` as its user sees it: the proof, the exit status, the JSON.

usage: demo_test.py BUILD_DIR
"""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap

TERN = None


def demo(*arguments):
    return subprocess.run([TERN, "demo", *arguments], capture_output=True, text=True, timeout=300)


class Demo(unittest.TestCase):
    def prove(self, machine):
        run = demo("--machine", machine, "--ram", "64M", "--json")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        result = json.loads(run.stdout)
        self.assertTrue(result["consistent"])
        self.assertEqual(result["migration"]["status"], "completed")
        self.assertGreaterEqual(result["rounds-after"], 3)
        self.assertEqual(result["serial-error"], "")
        phases = result["migration"]["x-tern"]["downtime-ns"]
        parts = [v for k, v in phases.items() if k != "total"]
        self.assertEqual(sum(parts), phases["total"])

    def test_a_threads_guest_is_proved_whole(self):
        self.prove("threads")

    def test_a_kvm_guest_is_proved_whole(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("/dev/kvm cannot be opened")
        self.prove("kvm")

    def test_the_text_for_people_ends_with_the_verdict(self):
        run = demo("--machine", "threads", "--ram", "32M")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("PROVED", run.stdout.splitlines()[-1])
        self.assertIn("downtime", run.stdout)

    def test_a_wrong_option_is_a_usage_error(self):
        run = demo("--machine", "vax")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--machine", run.stdout + run.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    TERN = os.path.join(sys.argv[1], "tools", "tern")
    sys.exit(tap.main(Demo))
