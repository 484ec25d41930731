# SPDX-License-Identifier: Apache-2.0
"""What the tests between tern and a real QEMU have in common: two machines of RAM alone, called a and
b, and what becomes of the RAM."""
import os
import tempfile
import unittest

from peers import content, find_qemu, qemu_none, read_file, tern_none, write_file

SIZE = 16 << 20


class RamPair(unittest.TestCase):
    build = None  # the build directory, set by the program
    binary = find_qemu()

    @classmethod
    def setUpClass(cls):
        if cls.binary is None:
            raise unittest.SkipTest("no qemu-system-x86_64 on this machine")
        cls.directory = tempfile.TemporaryDirectory(prefix="tern-interop-")
        cls.dir = cls.directory.name
        cls.vmm = os.path.join(cls.build, "tools", "tern-vmm")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def path(self, name):
        return os.path.join(self.dir, name)

    def prepare(self, kind):
        write_file(self.path("a.ram"), content(kind, SIZE))
        write_file(self.path("b.ram"), b"\xaa" * SIZE)  # not zero: a page that is not sent shows

    def tern(self, name, *extra, size=SIZE):
        return tern_none(self.vmm, self.dir, name, self.path(name + ".ram"), size, *extra)

    def qemu(self, name, *extra, size=SIZE):
        return qemu_none(self.binary, self.dir, name, self.path(name + ".ram"), size, *extra)

    def uri_of(self, destination):
        """What the source is told, after the destination listens on TCP."""
        address = destination.qmp("query-migrate")["socket-address"][0]
        return f"tcp:{address['host']}:{address['port']}"

    def same_ram(self):
        self.assertTrue(read_file(self.path("a.ram")) == read_file(self.path("b.ram")), "RAM differs")

    def arrived(self, a, b, info):
        """The last query-migrate of the source was `info`, and the RAM of both is equal."""
        self.assertEqual(info["status"], "completed", f"{info} {a.output()} {b.output()}")
        self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
        self.same_ram()
