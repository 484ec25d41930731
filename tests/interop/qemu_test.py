# SPDX-License-Identifier: Apache-2.0
"""tern and a real QEMU exchange RAM, both ways, over every transport they share.

usage: qemu_test.py BUILD_DIR
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import (Process, QmpError, content, find_qemu, qemu_none, read_file, tern_none, write_file)

BUILD = None
QEMU = find_qemu()
SIZE = 16 << 20


class Interop(unittest.TestCase):
    def setUp(self):
        if QEMU is None:
            self.skipTest("no qemu-system-x86_64 on this machine")
        self.directory = tempfile.TemporaryDirectory(prefix="tern-interop-")
        self.dir = self.directory.name
        self.vmm = os.path.join(BUILD, "tools", "tern-vmm")

    def tearDown(self):
        if QEMU is not None:
            self.directory.cleanup()

    def path(self, name):
        return os.path.join(self.dir, name)

    def uri_of(self, transport, destination):
        """What the source is told, after the destination listens."""
        if transport == "unix":
            return "unix:" + self.path("mig.sock")
        address = destination.qmp("query-migrate")["socket-address"][0]
        return f"tcp:{address['host']}:{address['port']}"

    def listen_uri(self, transport):
        return "unix:" + self.path("mig.sock") if transport == "unix" else "tcp:127.0.0.1:0"

    def check_ram(self, kind):
        self.assertEqual(read_file(self.path("a.ram")), read_file(self.path("b.ram")), f"RAM of kind {kind} differs")

    def tern_to_qemu(self, transport, kind, return_path, settings=None):
        write_file(self.path("a.ram"), content(kind, SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)  # not zero: a page that is not sent shows
        with tern_none(self.vmm, self.dir, "a", self.path("a.ram"), SIZE, "--paused") as a, \
             qemu_none(QEMU, self.dir, "b", self.path("b.ram"), SIZE, "-incoming", "defer") as b:
            b.qmp("migrate-incoming", uri=self.listen_uri(transport))
            a.qmp.capabilities(return_path=return_path, events=True)
            if settings:
                a.qmp("migrate-set-parameters", **settings)
            a.qmp("migrate", uri=self.uri_of(transport, b))
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "completed", f"{info} {a.output()} {b.output()}")
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.assertEqual(b.qmp("query-status")["status"], "prelaunch")
            self.assertEqual(a.qmp("query-status")["status"], "postmigrate")
            self.check_ram(kind)

    def qemu_to_tern(self, transport, kind, return_path):
        write_file(self.path("a.ram"), content(kind, SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)
        with qemu_none(QEMU, self.dir, "a", self.path("a.ram"), SIZE) as a, \
             tern_none(self.vmm, self.dir, "b", self.path("b.ram"), SIZE, "--incoming", "defer") as b:
            b.qmp("migrate-incoming", uri=self.listen_uri(transport))
            a.qmp.capabilities(return_path=return_path)
            a.qmp("migrate", uri=self.uri_of(transport, b))
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "completed", f"{info} {a.output()} {b.output()}")
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.assertEqual(b.qmp("query-status")["status"], "running")
            self.check_ram(kind)

    def test_tern_to_qemu(self):
        for transport in ("tcp", "unix"):
            for kind in ("random", "zero", "mixed"):
                for return_path in (False, True):
                    with self.subTest(transport=transport, kind=kind, return_path=return_path):
                        self.tern_to_qemu(transport, kind, return_path)

    def test_tern_to_qemu_when_the_dialect_is_named(self):
        self.tern_to_qemu("unix", "mixed", True, {"x-peer-version": "qemu-7.2"})

    def test_qemu_to_tern(self):
        for transport in ("tcp", "unix"):
            for kind in ("random", "zero", "mixed"):
                for return_path in (False, True):
                    with self.subTest(transport=transport, kind=kind, return_path=return_path):
                        self.qemu_to_tern(transport, kind, return_path)

    def test_exec_tern_to_file_to_qemu(self):
        write_file(self.path("a.ram"), content("mixed", SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)
        stream = self.path("stream")
        with tern_none(self.vmm, self.dir, "a", self.path("a.ram"), SIZE, "--paused") as a:
            a.qmp("migrate", uri=f"exec:cat > {stream}")
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "completed", f"{info} {a.output()}")
        with qemu_none(QEMU, self.dir, "b", self.path("b.ram"), SIZE, "-incoming", f"exec:cat {stream}") as b:
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.check_ram("mixed")

    def test_exec_qemu_to_file_to_tern(self):
        write_file(self.path("a.ram"), content("mixed", SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)
        stream = self.path("stream")
        with qemu_none(QEMU, self.dir, "a", self.path("a.ram"), SIZE) as a:
            a.qmp("migrate", uri=f"exec:cat > {stream}")
            self.assertEqual(a.qmp.migration_end()["status"], "completed", a.output())
        with tern_none(self.vmm, self.dir, "b", self.path("b.ram"), SIZE, "--incoming", f"exec:cat {stream}") as b:
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.check_ram("mixed")

    def test_exec_both_ways_with_return_path(self):
        """exec: is two pipes: a relay program carries the return path as well."""
        for tern_is_source in (True, False):
            with self.subTest(tern_is_source=tern_is_source):
                write_file(self.path("a.ram"), content("random", SIZE))
                write_file(self.path("b.ram"), b"\xaa" * SIZE)
                sock = self.path("relay.sock")
                if os.path.exists(sock):
                    os.unlink(sock)
                make_a, make_b = (tern_none, qemu_none) if tern_is_source else (qemu_none, tern_none)
                binary = {tern_none: self.vmm, qemu_none: QEMU}
                incoming = "--incoming" if make_b is tern_none else "-incoming"
                relay = f"{sys.executable} {HERE}/relay.py {sock}"
                with make_b(binary[make_b], self.dir, "b", self.path("b.ram"), SIZE, incoming, f"unix:{sock}") as b, \
                     make_a(binary[make_a], self.dir, "a", self.path("a.ram"), SIZE) as a:
                    a.qmp.capabilities(return_path=True)
                    a.qmp("migrate", uri=f"exec:{relay}")
                    info = a.qmp.migration_end()
                    self.assertEqual(info["status"], "completed", f"{info} {a.output()} {b.output()}")
                    self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
                    self.check_ram("random")

    def test_channels_form_of_the_address(self):
        write_file(self.path("a.ram"), content("mixed", SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)
        with tern_none(self.vmm, self.dir, "a", self.path("a.ram"), SIZE) as a, \
             qemu_none(QEMU, self.dir, "b", self.path("b.ram"), SIZE, "-incoming", "tcp:127.0.0.1:0") as b:
            address = b.qmp("query-migrate")["socket-address"][0]
            a.qmp("migrate", channels=[{"channel-type": "main", "addr": {
                "transport": "socket", "type": "inet", "host": address["host"], "port": address["port"]}}])
            self.assertEqual(a.qmp.migration_end()["status"], "completed", a.output())
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.check_ram("mixed")

    def test_inspect_prints_a_pc_guest_of_qemu_to_the_last_byte(self):
        stream = self.path("stream")
        with Process([QEMU, "-nodefaults", "-display", "none", "-machine", "pc", "-S", "-m", "32",
                      "-qmp", f"unix:{self.dir}/pc.qmp,server=on,wait=off"], self.dir, "pc") as pc:
            pc.qmp("migrate", uri=f"exec:cat > {stream}")
            self.assertEqual(pc.qmp.migration_end()["status"], "completed", pc.output())
        tern = os.path.join(BUILD, "tools", "tern")
        shown = subprocess.run([tern, "inspect", stream], capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn('runstate = "prelaunch"', shown.stdout)
        self.assertIn(f"bytes {os.path.getsize(stream)}  complete true", shown.stdout)
        document = subprocess.run([tern, "inspect", "--json", stream], capture_output=True, text=True)
        self.assertEqual(document.returncode, 0, document.stderr)
        json.loads(document.stdout)

    def test_uuid_is_validated_by_qemu(self):
        for same in (True, False):
            with self.subTest(same=same):
                write_file(self.path("a.ram"), content("mixed", SIZE))
                write_file(self.path("b.ram"), b"\xaa" * SIZE)
                ours = "5a7f9c3e-8b1d-4e2a-9f60-1c2d3e4f5a6b"
                theirs = ours if same else "00112233-4455-6677-8899-aabbccddeeff"
                with tern_none(self.vmm, self.dir, "a", self.path("a.ram"), SIZE, "--uuid", ours) as a, \
                     qemu_none(QEMU, self.dir, "b", self.path("b.ram"), SIZE, "-uuid", theirs,
                               "-incoming", "tcp:127.0.0.1:0") as b:
                    a.qmp.capabilities(validate_uuid=True, return_path=True)
                    a.qmp("migrate", uri=self.uri_of("tcp", b))
                    info = a.qmp.migration_end()
                    self.assertEqual(info["status"], "completed" if same else "failed", f"{info} {b.output()}")
                    if not same:
                        self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_a_qemu_that_dies_leaves_the_guest_with_tern(self):
        write_file(self.path("a.ram"), content("random", SIZE))
        write_file(self.path("b.ram"), bytes(SIZE))
        with tern_none(self.vmm, self.dir, "a", self.path("a.ram"), SIZE) as a, \
             qemu_none(QEMU, self.dir, "b", self.path("b.ram"), SIZE, "-incoming", "tcp:127.0.0.1:0") as b:
            a.qmp.capabilities(return_path=True)
            a.qmp("migrate-set-parameters", max_bandwidth=1 << 20)
            a.qmp("migrate", uri=self.uri_of("tcp", b))
            a.qmp.wait_status("active")
            b.child.kill()
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "failed")
            self.assertIn("error-desc", info)
            self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_a_tern_destination_refuses_what_does_not_fit_and_qemu_goes_on(self):
        write_file(self.path("a.ram"), content("random", SIZE))
        write_file(self.path("b.ram"), bytes(SIZE // 2))
        with qemu_none(QEMU, self.dir, "a", self.path("a.ram"), SIZE) as a, \
             tern_none(self.vmm, self.dir, "b", self.path("b.ram"), SIZE // 2, "--incoming", "tcp:127.0.0.1:0") as b:
            a.qmp.capabilities(return_path=True)
            a.qmp("migrate", uri=self.uri_of("tcp", b))
            self.assertEqual(a.qmp.migration_end()["status"], "failed")
            self.assertEqual(a.qmp("query-status")["status"], "running")
            b.child.wait(10)
            self.assertEqual(b.child.returncode, 1, "exit-on-error, as QEMU")
            self.assertIn("the source has", b.output())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Interop))
