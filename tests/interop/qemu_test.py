# SPDX-License-Identifier: Apache-2.0
"""tern and a real QEMU exchange RAM, both ways, over every transport they share.

usage: qemu_test.py BUILD_DIR
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import Process, content, write_file
from ram_pair import SIZE, RamPair


class Interop(RamPair):
    def listen(self, transport, destination):
        """Lets the destination listen; returns what the source is told."""
        uri = "unix:" + self.path("mig.sock") if transport == "unix" else "tcp:127.0.0.1:0"
        destination.qmp("migrate-incoming", uri=uri)
        return uri if transport == "unix" else self.uri_of(destination)

    def tern_to_qemu(self, transport, kind, return_path, settings=None):
        self.prepare(kind)
        with self.tern("a", "--paused") as a, \
             self.qemu("b", "-incoming", "defer") as b:
            uri = self.listen(transport, b)
            a.qmp.capabilities(return_path=return_path, events=True)
            if settings:
                a.qmp("migrate-set-parameters", **settings)
            a.qmp("migrate", uri=uri)
            self.arrived(a, b, a.qmp.migration_end())
            self.assertEqual(b.qmp("query-status")["status"], "prelaunch")
            self.assertEqual(a.qmp("query-status")["status"], "postmigrate")

    def qemu_to_tern(self, transport, kind, return_path):
        self.prepare(kind)
        with self.qemu("a") as a, \
             self.tern("b", "--incoming", "defer") as b:
            uri = self.listen(transport, b)
            a.qmp.capabilities(return_path=return_path)
            a.qmp("migrate", uri=uri)
            self.arrived(a, b, a.qmp.migration_end())
            self.assertEqual(b.qmp("query-status")["status"], "running")

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
        self.prepare("mixed")
        stream = self.path("stream")
        with self.tern("a", "--paused") as a:
            a.qmp("migrate", uri=f"exec:cat > {stream}")
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "completed", f"{info} {a.output()}")
        with self.qemu("b", "-incoming", f"exec:cat {stream}") as b:
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.same_ram()

    def test_exec_qemu_to_file_to_tern(self):
        self.prepare("mixed")
        stream = self.path("stream")
        with self.qemu("a") as a:
            a.qmp("migrate", uri=f"exec:cat > {stream}")
            self.assertEqual(a.qmp.migration_end()["status"], "completed", a.output())
        with self.tern("b", "--incoming", f"exec:cat {stream}") as b:
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
            self.same_ram()

    def test_exec_both_ways_with_return_path(self):
        """exec: is two pipes: a relay program carries the return path as well."""
        for tern_is_source in (True, False):
            with self.subTest(tern_is_source=tern_is_source):
                self.prepare("random")
                sock = self.path("relay.sock")
                if os.path.exists(sock):
                    os.unlink(sock)
                source, destination = (self.tern, self.qemu) if tern_is_source else (self.qemu, self.tern)
                incoming = "-incoming" if tern_is_source else "--incoming"
                relay = f"{sys.executable} {HERE}/relay.py {sock}"
                with destination("b", incoming, f"unix:{sock}") as b, source("a") as a:
                    a.qmp.capabilities(return_path=True)
                    a.qmp("migrate", uri=f"exec:{relay}")
                    self.arrived(a, b, a.qmp.migration_end())

    def test_channels_form_of_the_address(self):
        self.prepare("mixed")
        with self.tern("a") as a, \
             self.qemu("b", "-incoming", "tcp:127.0.0.1:0") as b:
            address = b.qmp("query-migrate")["socket-address"][0]
            a.qmp("migrate", channels=[{"channel-type": "main", "addr": {
                "transport": "socket", "type": "inet", "host": address["host"], "port": address["port"]}}])
            self.arrived(a, b, a.qmp.migration_end())

    def test_inspect_prints_a_pc_guest_of_qemu_to_the_last_byte(self):
        stream = self.path("stream")
        with Process([self.binary, "-nodefaults", "-display", "none", "-machine", "pc", "-S", "-m", "32",
                      "-qmp", f"unix:{self.dir}/pc.qmp,server=on,wait=off"], self.dir, "pc") as pc:
            pc.qmp("migrate", uri=f"exec:cat > {stream}")
            self.assertEqual(pc.qmp.migration_end()["status"], "completed", pc.output())
        tern = os.path.join(self.build, "tools", "tern")
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
                self.prepare("mixed")
                ours = "5a7f9c3e-8b1d-4e2a-9f60-1c2d3e4f5a6b"
                theirs = ours if same else "00112233-4455-6677-8899-aabbccddeeff"
                with self.tern("a", "--uuid", ours) as a, \
                     self.qemu("b", "-uuid", theirs,
                               "-incoming", "tcp:127.0.0.1:0") as b:
                    a.qmp.capabilities(validate_uuid=True, return_path=True)
                    a.qmp("migrate", uri=self.uri_of(b))
                    info = a.qmp.migration_end()
                    self.assertEqual(info["status"], "completed" if same else "failed", f"{info} {b.output()}")
                    if not same:
                        self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_a_qemu_that_dies_leaves_the_guest_with_tern(self):
        self.prepare("random")
        with self.tern("a") as a, \
             self.qemu("b", "-incoming", "tcp:127.0.0.1:0") as b:
            a.qmp.capabilities(return_path=True)
            a.qmp("migrate-set-parameters", max_bandwidth=1 << 20)
            a.qmp("migrate", uri=self.uri_of(b))
            a.qmp.wait_status("active")
            b.child.kill()
            info = a.qmp.migration_end()
            self.assertEqual(info["status"], "failed")
            self.assertIn("error-desc", info)
            self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_a_tern_destination_refuses_what_does_not_fit_and_qemu_goes_on(self):
        write_file(self.path("a.ram"), content("random", SIZE))
        write_file(self.path("b.ram"), bytes(SIZE // 2))
        with self.qemu("a") as a, \
             self.tern("b", "--incoming", "tcp:127.0.0.1:0", size=SIZE // 2) as b:
            a.qmp.capabilities(return_path=True)
            a.qmp("migrate", uri=self.uri_of(b))
            self.assertEqual(a.qmp.migration_end()["status"], "failed")
            self.assertEqual(a.qmp("query-status")["status"], "running")
            b.child.wait(10)
            self.assertEqual(b.child.returncode, 1, "exit-on-error, as QEMU")
            self.assertIn("the source has", b.output())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    RamPair.build = sys.argv[1]
    sys.exit(tap.main(Interop))
