# SPDX-License-Identifier: Apache-2.0
"""The contract about failure with real processes: the destination is killed, the migration is cancelled, at random moments.

usage: process_test.py BUILD_DIR [--runs N] [--seed N]
"""
import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "interop")]
import tap
from peers import Process

BUILD = None
RUNS = 12
SEED = 1
RAM = 32 << 20


def machines():
    return ["threads", "kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else ["threads"]


class Processes(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-faults-")
        self.dir = self.directory.name
        self.random = random.Random(SEED)

    def tearDown(self):
        self.directory.cleanup()

    def vmm(self, machine, name, *extra):
        return Process([os.path.join(BUILD, "tools", "tern-vmm"), "-v", "--machine", machine, "--ram", str(RAM),
                        "--guest-range", "1M:4M", "--serial", f"{self.dir}/{name}.serial",
                        "--qmp", f"unix:{self.dir}/{name}.qmp", *extra], self.dir, name)

    def rounds(self, name):
        try:
            return os.path.getsize(f"{self.dir}/{name}.serial")
        except FileNotFoundError:
            return 0

    def wait_rounds(self, name, n):
        until = time.monotonic() + 60
        while self.rounds(name) < n:
            self.assertLess(time.monotonic(), until, "the guest makes no progress")
            time.sleep(0.005)

    def check_consistent(self, side):
        """Stops the guest and proves its memory; it must have been running."""
        side.qmp("stop")
        dump = f"{self.dir}/dump"
        side.qmp("pmemsave", val=0, size=RAM, filename=dump)
        checked = subprocess.run([os.path.join(BUILD, "tools", "tern-guest-check"), dump],
                                 capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def migrate(self, source, destination):
        address = destination.qmp("query-migrate")["socket-address"][0]
        source.qmp.capabilities(return_path=True, events=True)
        source.qmp("migrate-set-parameters", **{"x-final-timeout": 5000, "x-stall-timeout": 5000})
        source.qmp("migrate", uri=f"tcp:{address['host']}:{address['port']}")

    def source_verdict(self, source):
        """What became of the guest at the source, checked."""
        info = source.qmp.migration_end()
        ending = info["x-tern"]["ending"]
        running = source.qmp("query-status")["running"]
        if ending == "handed-over":
            self.assertFalse(running)
            return "handed over"
        if ending == "unknown":
            self.assertFalse(running)
            self.assertIn("outcome unknown", info["error-desc"])
            source.qmp("cont")
            before = self.rounds("a")
            self.wait_rounds("a", before + 2)
            self.check_consistent(source)
            return "unknown, stopped and complete, revived by cont"
        self.assertEqual(ending, "kept")
        self.assertTrue(running, info)
        before = self.rounds("a")
        self.wait_rounds("a", before + 2)
        self.check_consistent(source)
        return info["status"] + ", kept by the source"

    def tell(self, what, machine, endings):
        text = ", ".join(f"{name} {count}" for name, count in sorted(endings.items()))
        print(f"# {what}, {machine}: {sum(endings.values())} runs: {text}, both sides 0", flush=True)

    def test_destination_killed_at_random_moments(self):
        for machine in machines():
            endings = collections.Counter()
            for _ in range(RUNS):
                with self.vmm(machine, "a") as a, self.vmm(machine, "b", "--incoming", "tcp:127.0.0.1:0") as b:
                    self.wait_rounds("a", 2)
                    self.migrate(a, b)
                    time.sleep(self.random.uniform(0, 0.12))
                    b.child.kill()
                    b.child.wait()
                    endings[self.source_verdict(a)] += 1
                for name in ("a.serial", "b.serial"):
                    if os.path.exists(f"{self.dir}/{name}"):
                        os.unlink(f"{self.dir}/{name}")
            self.tell("destination killed", machine, endings)

    def test_cancelled_at_random_moments(self):
        for machine in machines():
            endings = collections.Counter()
            for _ in range(RUNS):
                with self.vmm(machine, "a") as a, \
                     self.vmm(machine, "b", "--incoming", "tcp:127.0.0.1:0", "--exit-on-error", "off") as b:
                    self.wait_rounds("a", 2)
                    self.migrate(a, b)
                    time.sleep(self.random.uniform(0, 0.12))
                    a.qmp("migrate_cancel")
                    verdict = self.source_verdict(a)
                    endings[verdict] += 1
                    there = b.qmp("query-status")["running"]
                    self.assertEqual(there, verdict == "handed over", "never on two sides, never on none")
                    if there:
                        self.wait_rounds("b", self.rounds("b") + 2)
                        self.check_consistent(b)
                for name in ("a.serial", "b.serial"):
                    if os.path.exists(f"{self.dir}/{name}"):
                        os.unlink(f"{self.dir}/{name}")
            self.tell("cancelled", machine, endings)

    def test_source_killed_leaves_no_guest_at_the_destination(self):
        """Killing the process that owns the guest kills it; the destination must not run half of one."""
        with self.vmm("threads", "a", "--guest-rate", "1000") as a, \
             self.vmm("threads", "b", "--incoming", "tcp:127.0.0.1:0") as b:
            a.qmp("migrate-set-parameters", max_bandwidth=1 << 20)
            self.migrate(a, b)
            a.qmp.wait_status("active")
            a.child.kill()
            a.child.wait()
            self.assertEqual(b.child.wait(20), 1, "exit-on-error")
            self.assertEqual(self.rounds("b"), 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    BUILD, RUNS, SEED = options.build, options.runs, options.seed
    print(f"# seed {SEED}, {RUNS} runs each", flush=True)
    sys.exit(tap.main(Processes))
