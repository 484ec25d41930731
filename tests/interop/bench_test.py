# SPDX-License-Identifier: Apache-2.0
"""tools/bench as its user runs it, with tiny guests. That it measures, not what.

usage: bench_test.py BUILD_DIR
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import find_qemu

BUILD = None
QEMU = find_qemu()


def bench(*arguments):
    words = [sys.executable, os.path.join(ROOT, "tools", "bench"), "--no-build", "--build-dir", BUILD, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


class Bench(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tern-bench-test-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def test_quick_measures_every_content_and_draws_it(self):
        if not os.path.isdir("/dev/shm"):
            self.skipTest("no /dev/shm on this machine")
        document, drawing = (os.path.join(self.dir, name) for name in ("b.json", "b.svg"))
        done = bench("--quick", "--ram", "16M", "--channels", "0", "--against", QEMU or "none",
                     "--json", document, "--svg", drawing)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(document, encoding="utf-8") as file:
            result = json.load(file)
        programs = list(result["programs"])
        self.assertEqual(len(programs), 2 if QEMU else 1)
        contents = ["zero", "sparse", "random", "text", "mixed"]
        self.assertEqual([(r["content"], r["program"]) for r in result["runs"]], [(c, p) for c in contents for p in programs])
        for run in result["runs"]:
            self.assertTrue(run["verified"], run)
            for figure in ("wall-s", "ram-gib-s", "cpu-source-s-per-gib", "cpu-destination-s-per-gib", "wire-bytes",
                           "reported-bytes"):
                self.assertGreater(run[figure], 0, (figure, run))
            self.assertEqual(run["destination-huge-bytes"], 0, run)
            if run["content"] in ("random", "text"):
                self.assertGreater(run["wire-bytes"], 16 << 20)
        for summary in result["summary"]:
            self.assertEqual(list(summary["programs"]), programs)
            self.assertGreater(summary["limit-gib-s"]["max"], 0)
            self.assertIn(f"\n{summary['content']}: ", done.stdout)
        self.assertEqual(result["settings"]["ram"], 16 << 20)
        self.assertIn("1 pair only", done.stdout)
        self.assertTrue(ElementTree.parse(drawing).getroot().tag.endswith("svg"))
        self.assertEqual([name for name in os.listdir("/dev/shm") if os.path.exists(f"/dev/shm/{name}/mixed")], [])

    def test_another_program_can_be_the_subject_with_multifd_and_tls(self):
        if QEMU is None:
            self.skipTest("no qemu-system-x86_64 on this machine")
        done = bench("--quick", "--ram", "8M", "--content", "mixed", "--subject", QEMU, "--against", QEMU + " -name b",
                     "--channels", "2", "--tls", "psk", "--page-size", "thp", "--prefault", "both", "--markdown")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = [line for line in done.stdout.splitlines() if line.startswith("| mixed |")]
        self.assertEqual(len(rows), 2, done.stdout)
        self.assertIn("TLS (psk)", done.stdout)

    def test_a_failed_migration_is_an_error_with_both_logs_and_no_figure(self):
        # Ends after it has shown its version, as a program that cannot start does.
        broken = os.path.join(self.dir, "broken")
        with open(broken, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho broken 1.0\n[ \"$1\" = --version ] || echo it has no memory >&2\n")
        os.chmod(broken, 0o755)
        done = bench("--quick", "--ram", "8M", "--content", "zero", "--channels", "0", "--subject", broken, "--against", "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it has no memory", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_a_wrong_option_ends_with_2_and_help_with_0(self):
        self.assertEqual(bench("--content", "gold").returncode, 2)
        self.assertEqual(bench("--help").returncode, 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Bench))
