#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that dirties faster than the link carries, under each throttle, to the end.

With --compare BUILD_DIR instead of tests: the tables of docs/convergence.md, the same boot sector under tern and
under QEMU with KVM, pair by pair (several minutes)."""
import os
import shutil
import statistics
import struct
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import Process, QmpError

MIB = 1 << 20
QEMU = shutil.which("qemu-system-x86_64")
KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)
BUILD = ""


def tern(directory, name, machine, rate, *extra):
    """A guest that rewrites 32 MiB."""
    return Process([os.path.join(BUILD, "tools/tern-vmm"), "-v", "--machine", machine, "--ram", str(64 * MIB),
                    "--guest-range", "1M:32M", "--guest-rate", str(rate), "--guest-work",
                    "--qmp", f"unix:{directory}/{name}.qmp", *extra], directory, name)


def wait_filled(qmp, directory):
    """Until the guest is past filling its memory and rewrites it."""
    path = os.path.join(directory, "status")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        qmp("pmemsave", val=0x540, size=8, filename=path)
        with open(path, "rb") as file:
            if struct.unpack("<II", file.read())[1] > 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the guest does not get to rewriting its memory")


def watch(qmp, deadline):
    """Polls to the end; the reply, and what the throttle took: percent times seconds."""
    began = last = time.monotonic()
    taken = percent = 0
    while time.monotonic() - began < deadline:
        info = qmp("query-migrate")
        now = time.monotonic()
        taken += percent * (now - last)
        last, percent = now, info.get("cpu-throttle-percentage", 0)
        if info.get("status") in ("completed", "failed", "cancelled"):
            return info, taken
        time.sleep(0.02)
    raise TimeoutError(f"it does not converge: {info}")


def migrate(source, directory, capabilities, parameters, deadline=90):
    source.qmp.capabilities(return_path=True, **{c: True for c in capabilities})
    source.qmp("migrate-set-parameters", **parameters)
    source.qmp("migrate", uri=f"unix:{directory}/m")
    return watch(source.qmp, deadline)


class Converges(unittest.TestCase):
    def converge(self, machine, capability, extra=(), **parameters):
        with tempfile.TemporaryDirectory() as directory:
            with tern(directory, "dst", machine, 16000, "--incoming", f"unix:{directory}/m") as target, \
                    tern(directory, "src", machine, 16000, *extra) as source:
                wait_filled(source.qmp, directory)
                link = 16 * MIB  # even a guest that has to share its core is faster
                info, _ = migrate(source, directory, [capability], {
                    "max_bandwidth": link, "avail_switchover_bandwidth": link, "downtime_limit": 300, **parameters})
                self.assertEqual(info["status"], "completed", info.get("error-desc", "") + source.output())
                throttle = info["x-tern"]["throttle"]
                self.assertGreater(throttle["highest-percentage"], 0)
                self.assertGreater(throttle["percent-ms"], 0)
                self.assertEqual(throttle["course"][-1]["percentage"], 0)
                self.assertNotIn("cpu-throttle-percentage", info)
                self.assertNotIn("dirty-limit-ring-full-time", info)
                decision = info["x-tern"]["switchover"]
                self.assertLessEqual(decision["pending-bytes"], decision["threshold-bytes"])
                self.assertEqual(source.qmp("query-vcpu-dirty-limit"), [])
                self.assertEqual(target.qmp("query-status")["status"], "running")
                wait_filled(target.qmp, directory)
                return info

    def test_threads_with_auto_converge(self):
        info = self.converge("threads", "auto-converge", cpu_throttle_initial=60, cpu_throttle_increment=30)
        self.assertIn(60, [step["percentage"] for step in info["x-tern"]["throttle"]["course"]])

    def test_threads_with_dirty_limit(self):
        info = self.converge("threads", "dirty-limit", ("--write-protect", "sync"), vcpu_dirty_limit=8)
        self.assertEqual(info["x-tern"]["tracker"], "wp-sync")

    @unittest.skipUnless(KVM, "/dev/kvm cannot be opened")
    def test_kvm_with_auto_converge(self):
        self.converge("kvm", "auto-converge", cpu_throttle_initial=60, cpu_throttle_increment=30)


class DirtyLimits(unittest.TestCase):
    def test_a_vcpu_is_limited_on_its_own(self):
        with tempfile.TemporaryDirectory() as directory:
            with tern(directory, "vm", "threads", 32000, "--vcpus", "2", "--write-protect", "sync") as vm:
                wait_filled(vm.qmp, directory)
                vm.qmp("set-vcpu-dirty-limit", cpu_index=1, dirty_rate=4)
                until = time.monotonic() + 30
                while True:
                    limits = vm.qmp("query-vcpu-dirty-limit")
                    # A page counts once in the second between two harvests: 16 MiB a vCPU, or its limit.
                    if limits and 0 < limits[0]["current-rate"] <= 8:
                        break
                    self.assertLess(time.monotonic(), until, limits)
                    time.sleep(0.1)
                self.assertEqual([limit["cpu-index"] for limit in limits], [1])
                self.assertEqual(limits[0]["limit-rate"], 4)
                with self.assertRaisesRegex(QmpError, "vCPUs 0..1"):
                    vm.qmp("set-vcpu-dirty-limit", cpu_index=2, dirty_rate=4)
                vm.qmp("cancel-vcpu-dirty-limit")
                self.assertEqual(vm.qmp("query-vcpu-dirty-limit"), [])

    def test_what_cannot_tell_who_wrote_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            with tern(directory, "vm", "threads", 1, "--write-protect", "async") as vm:
                for refused in (lambda: vm.qmp("set-vcpu-dirty-limit", dirty_rate=4),
                                lambda: vm.qmp.capabilities(dirty_limit=True)):
                    with self.assertRaisesRegex(QmpError, "which vCPU wrote"):
                        refused()
                vm.qmp("cancel-vcpu-dirty-limit")


# ---- the comparison with QEMU, by hand

LINK = 16 * MIB


def ticks_per_page(rate):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        mhz = next(float(line.split(":")[1]) for line in file if line.startswith("cpu MHz"))
    return int(mhz * 1e6 / rate)


def qemu(directory, name, rate, *extra):
    """The boot sector, told by the block it looks for at 0x500 what tern-vmm tells it."""
    block = os.path.join(directory, "block")
    with open(block, "wb") as file:
        file.write(struct.pack("<IIQQQII", 0x4E524554, 1, MIB, 32 * MIB // 4096, ticks_per_page(rate), 1, 1))
        file.write(bytes(0x240 - file.tell()))
    boot = os.path.join(BUILD, "tools/vmm/guest/guest.bin")
    return Process([QEMU, "-enable-kvm", "-nodefaults", "-display", "none", "-machine", "pc", "-m", "64",
                    "-drive", f"file={boot},format=raw,if=floppy,readonly=on", "-boot", "a",
                    "-device", f"loader,file={block},addr=0x500,force-raw=on", "-serial", "null",
                    "-qmp", f"unix:{directory}/{name}.qmp,server=on,wait=off", *extra], directory, name)


def one(program, rate, capabilities=(), extra=(), **parameters):
    """One migration of the guest: the last query-migrate, and percent times seconds of the throttle."""
    with tempfile.TemporaryDirectory() as directory:
        make = qemu if program == "qemu" else lambda d, n, r, *x: tern(d, n, program, r, *x)
        with make(directory, "dst", rate, "-incoming" if program == "qemu" else "--incoming", f"unix:{directory}/m"), \
                make(directory, "src", rate, *extra) as source:
            wait_filled(source.qmp, directory)
            info, taken = migrate(source, directory, capabilities, {"max_bandwidth": LINK, **parameters}, 300)
            if program != "qemu":
                taken = info["x-tern"]["throttle"]["percent-ms"] / 1000
            return info, taken


def throttled(program, capability, extra=(), **parameters):
    belief = {} if program == "qemu" else {"avail_switchover_bandwidth": LINK}
    info, taken = one(program, 8000, [capability], extra, downtime_limit=300, **belief, **parameters)
    return taken, info["total-time"] / 1000, info["downtime"]


def not_throttled(program, rate, limit, **parameters):
    info, _ = one(program, rate, downtime_limit=limit, **parameters)
    ram = info["ram"]
    return ram["dirty-sync-count"], info["total-time"] / 1000, ram["transferred"] / MIB, info["downtime"]


def table(columns, rows, rounds=3):
    """Every row in turn, and the medians. A row: its name, and what gives a tuple of figures."""
    results = {name: [] for name, _ in rows}
    for _ in range(rounds):
        for name, what in rows:
            results[name].append(what())
            print(f"# {name}: {results[name][-1]}", file=sys.stderr, flush=True)
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, runs in results.items():
        cells = []
        for column in zip(*runs):
            cells.append(f"{statistics.median(column):.3g} ({min(column):.3g}..{max(column):.3g})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(flush=True)


def compare():
    sync = ("--write-protect", "sync")
    table(["percent times seconds of throttle", "total s", "downtime ms"], [
        ("QEMU 7.2, KVM, auto-converge", lambda: throttled("qemu", "auto-converge")),
        ("tern, KVM, auto-converge", lambda: throttled("kvm", "auto-converge")),
        ("tern, threads, auto-converge", lambda: throttled("threads", "auto-converge")),
        ("tern, threads, dirty-limit 5 MiB/s", lambda: throttled("threads", "dirty-limit", sync, vcpu_dirty_limit=5))])
    for rate, limit in ((1000, 30), (2000, 100), (3000, 300)):
        print(f"{rate} pages/s, downtime-limit {limit} ms:\n")
        table(["passes", "total s", "MiB sent", "downtime ms"], [
            ("QEMU 7.2, KVM", lambda r=rate, m=limit: not_throttled("qemu", r, m)),
            ("tern, KVM, as qemu-7.2",
             lambda r=rate, m=limit: not_throttled("kvm", r, m, x_switchover_policy="qemu-7.2")),
            ("tern, KVM", lambda r=rate, m=limit: not_throttled("kvm", r, m))])


if __name__ == "__main__":
    BUILD = sys.argv[-1]
    if len(sys.argv) == 3 and sys.argv[1] == "--compare":
        compare()
    elif len(sys.argv) == 2:
        sys.exit(tap.main(Converges, DirtyLimits))
    else:
        sys.exit(__doc__)
