# SPDX-License-Identifier: Apache-2.0
"""Dirty rates of tern-vmm's guests, measured in every mode by every tracker, alone and while the guest
migrates; the guest that arrived is checked. Rates are compared with what the guest can have written at most:
a machine that is busy with other things keeps a guest below its rate.

usage: dirty_test.py BUILD_DIR"""
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peers
import tap

BUILD = None
RATE = 5120  # pages per second: 20 MiB/s
RANGE = 16 << 20
MIB = 1 << 20
STATUS = 0x540  # of each vCPU, how many pages it has filled and its rounds: 32 bits each


class DirtyRate(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-dirty-")

    def tearDown(self):
        self.directory.cleanup()

    def vmm(self, name, *more):
        return peers.Process(
            [os.path.join(BUILD, "tools", "tern-vmm"), "--ram", "64M", "--vcpus", "2",
             "--qmp", f"unix:{self.directory.name}/{name}.qmp", *more],
            self.directory.name, name)

    def guest(self, name, *more):
        return self.vmm(name, "--guest-rate", str(RATE), *more)

    def kvm(self, *more):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("no /dev/kvm")
        return ["--machine", "kvm", *more]

    def write_protect(self, mode):
        """The threads machine with that tracker, or a skip."""
        machine = ["--machine", "threads", "--write-protect", mode]
        with self.vmm("probe", *machine, "-v") as probe:
            if "nothing tracks writes" in probe.output():
                self.skipTest(f"no write protection of kind {mode}")
        return machine

    def measured(self, vm):
        while True:
            info = vm.qmp("query-dirty-rate", calc_time_unit="millisecond")
            if info["status"] == "measured":
                return info
            time.sleep(0.02)

    def measure(self, vm, mode, time_ms=300, **more):
        vm.qmp("calc-dirty-rate", calc_time=time_ms, calc_time_unit="millisecond", mode=mode, **more)
        return self.measured(vm)

    def plausible(self, info, time_ms=300):
        rate = info["x-tern"]["bytes-per-second"]
        self.assertEqual(info["dirty-rate"], int(rate / MIB))
        self.assertGreaterEqual(info["calc-time"], time_ms)
        self.assertGreater(rate, 0)
        # The guest makes up for at most a second in which it was kept from running.
        seconds = info["calc-time"] / 1000
        self.assertLess(rate * seconds, (RATE * (seconds + 1)) * 4096 + 64 * 4096)

    def fill(self, vm):
        """Until the guest's range is filled, which it does at full speed."""
        dump = os.path.join(self.directory.name, "status")
        filled = 0
        while filled < RANGE // 4096:
            vm.qmp("pmemsave", val=STATUS, size=16, filename=dump)
            with open(dump, "rb") as file:
                filled = sum(struct.unpack("<4I", file.read())[0::2])

    def modes(self, machine, wanted):
        with self.guest("g", *machine) as vm:
            self.fill(vm)
            for mode in ("page-sampling", "dirty-bitmap", "dirty-ring"):
                more = {"sample_pages": 16384} if mode == "page-sampling" else {}
                if mode not in wanted:
                    with self.assertRaisesRegex(peers.QmpError, f"mode {mode} is not enabled"):
                        self.measure(vm, mode, **more)
                    continue
                info = self.measure(vm, mode, **more)
                self.plausible(info)
                if mode == "dirty-ring":
                    self.assertEqual([v["id"] for v in info["vcpu-dirty-rate"]], [0, 1])
                if mode == "dirty-bitmap":
                    self.assertEqual([b["id"] for b in info["x-tern"]["blocks"]], ["pc.ram"])

    def test_the_dirty_log(self):
        self.modes(self.kvm(), {"page-sampling", "dirty-bitmap"})

    def test_dirty_rings(self):
        self.modes(self.kvm("--dirty-ring", "65536"), {"page-sampling", "dirty-ring"})

    def test_asynchronous_write_protection(self):
        self.modes(self.write_protect("async"), {"page-sampling", "dirty-bitmap"})

    def test_classic_write_protection(self):
        self.modes(self.write_protect("sync"), {"page-sampling", "dirty-bitmap", "dirty-ring"})

    def migrate_and_measure(self, machine, mode):
        """A measurement before, during and after the beginning of a migration; the guest arrives whole."""
        incoming = f"unix:{self.directory.name}/m"
        with self.guest("from", *machine) as source, \
                self.guest("to", *machine, "--incoming", incoming) as destination:
            self.fill(source)
            source.qmp("migrate-set-parameters", max_bandwidth=4 * MIB, downtime_limit=1)
            source.qmp("calc-dirty-rate", calc_time=300, calc_time_unit="millisecond", mode=mode)
            source.qmp("migrate", uri=incoming)
            self.plausible(self.measured(source))
            self.assertEqual(source.qmp("query-migrate")["status"], "active")
            self.plausible(self.measure(source, mode))
            self.assertEqual(source.qmp("query-migrate")["status"], "active")
            source.qmp("migrate-set-parameters", max_bandwidth=0, downtime_limit=2000)
            self.assertEqual(source.qmp.migration_end()["status"], "completed")
            until = time.monotonic() + 20
            while destination.qmp("query-status")["status"] != "running":
                self.assertLess(time.monotonic(), until)
                time.sleep(0.01)
            destination.qmp("stop")
            dump = os.path.join(self.directory.name, "ram")
            destination.qmp("pmemsave", val=0, size=64 * MIB, filename=dump)
        checked = subprocess.run([os.path.join(BUILD, "tools", "tern-guest-check"), dump],
                                 capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_migration_and_a_measurement_share_dirty_rings(self):
        self.migrate_and_measure(self.kvm("--dirty-ring", "65536"), "dirty-ring")

    def test_a_migration_and_a_measurement_share_the_dirty_log(self):
        self.migrate_and_measure(self.kvm(), "dirty-bitmap")

    def test_a_migration_and_a_measurement_share_write_protection(self):
        self.migrate_and_measure(self.write_protect("sync"), "dirty-ring")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(DirtyRate))
