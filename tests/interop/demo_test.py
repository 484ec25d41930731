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
    def prove(self, machine, *more):
        run = demo("--machine", machine, "--ram", "64M", "--json", *more)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        result = json.loads(run.stdout)
        self.assertTrue(result["consistent"])
        self.assertEqual(result["migration"]["status"], "completed")
        self.assertGreaterEqual(result["rounds-after"], 3)
        self.assertEqual(result["serial-error"], "")
        phases = result["migration"]["x-tern"]["downtime-ns"]
        parts = [v for k, v in phases.items() if k != "total"]
        self.assertEqual(sum(parts), phases["total"])
        return result["migration"]

    def test_a_threads_guest_is_proved_whole(self):
        self.prove("threads")

    def test_a_kvm_guest_is_proved_whole(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("/dev/kvm cannot be opened")
        self.prove("kvm")

    def test_a_busy_guest_over_many_channels(self):
        """With every method, in the clear and under TLS."""
        machine = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "threads"
        for method in ("none", "zlib", "zstd"):
            for tls in (False, True):
                with self.subTest(machine=machine, method=method, tls=tls):
                    settings = ["multifd=on", "multifd-channels=4", f"multifd-compression={method}",
                                "x-multifd-adaptive=off"]
                    words = [word for setting in settings for word in ("--set", setting)]
                    info = self.prove(machine, *words, *(["--tls"] if tls else []))
                    self.assertGreater(info["ram"]["multifd-bytes"], 0)

    def test_a_busy_guest_by_xbzrle_and_compress(self):
        """Without XBZRLE this guest never converges: it writes each page again while a pass lasts."""
        settings = ["xbzrle=on", "max-bandwidth=16M", "avail-switchover-bandwidth=16M", "downtime-limit=20",
                    "guest-rate=20000", "guest-range=1M:4M"]
        words = [word for setting in settings for word in ("--set", setting)]
        for machine in ("threads", "kvm"):
            if machine == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
                continue
            with self.subTest(machine=machine):
                cache = self.prove(machine, *words)["xbzrle-cache"]
                self.assertGreater(cache["pages"], 256)
                self.assertLess(cache["bytes"], cache["pages"] * 64)
                info = self.prove(machine, "--set", "compress=on")
                self.assertGreater(info["compression"]["pages"], 0)

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
