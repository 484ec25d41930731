# SPDX-License-Identifier: Apache-2.0
"""XBZRLE and compress between tern and a real QEMU 7.2, both ways: memory is written through the
qtest sockets while it migrates, and the two sides are compared at the end.

usage: xbzrle_test.py BUILD_DIR
"""
import os
import random
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import PAGE, Process, QmpError, read_file, write_file
from ram_pair import SIZE, RamPair

HOT = 4 << 20  # where the memory begins that is written again and again
HOT_PAGES = 64


class Qtest:
    """Writes guest memory through a qtest socket."""

    def __init__(self, path):
        until = time.monotonic() + 20
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
        self.file = self.sock.makefile("rwb", buffering=0)

    def write(self, address, data):
        self.file.write(f"write {address:#x} {len(data)} 0x{data.hex()}\n".encode())
        while True:
            reply = self.file.readline().decode()
            if reply.startswith("OK"):
                return
            if not reply.startswith("IRQ"):
                raise RuntimeError(f"qtest: {reply}")

    def close(self):
        self.file.close()
        self.sock.close()


class Records:
    """The RAM of a main stream of QEMU 7.2, record by record."""

    def __init__(self, stream):
        self.data = stream
        self.at = 8 + 1 + 4 + struct.unpack_from(">I", stream, 9)[0]  # header, configuration

    def take(self, n):
        self.at += n
        assert self.at <= len(self.data), "the stream is cut off"
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def payload(self, kind):
        if kind == 0x02:
            return self.take(1)
        if kind == 0x08:
            return self.take(PAGE)
        head = self.take(3 if kind == 0x40 else 4)
        return head + self.take(int.from_bytes(head[1:] if kind == 0x40 else head, "big"))

    def bodies(self):
        """Each section's records as (block, offset, kind, payload), up to the devices."""
        block = None
        while (item := self.number(1)) in (1, 2, 3):
            section = self.number(4)
            if item == 1:
                name = self.take(self.number(1))
                assert name == b"ram", name
                self.take(8)
            records = []
            while (word := self.number(8)) != 0x10:
                if word & 4:
                    left = word & ~4095
                    while left:
                        self.take(self.number(1))
                        left -= self.number(8)
                    continue
                if not word & 0x20:
                    block = self.take(self.number(1))
                kind = word & 0xfdf & 4095
                records.append((block, word & ~4095, kind, self.payload(kind)))
            assert self.number(1) == 0x7e and self.number(4) == section
            yield records


def only_one_block(stream, block, size):
    """A stream for machine `none`, block m, with the records of one block of a machine with many, as they were,
    and how many there were of each kind."""
    section = struct.pack(">I", 2)
    footer = b"\x7e" + section
    eos = struct.pack(">Q", 0x10)
    name = b"\x01m"
    out = [b"QEVM", struct.pack(">I", 3), b"\x07", struct.pack(">I", 4), b"none",
           b"\x01", section, b"\x03ram", struct.pack(">II", 0, 4),
           struct.pack(">Q", size | 4), name, struct.pack(">Q", size), eos, footer]
    kinds = {}
    for records in Records(stream).bodies():
        out += [b"\x02", section]
        for of, offset, kind, payload in records:
            if of == block:
                kinds[kind] = kinds.get(kind, 0) + 1
                out += [struct.pack(">Q", offset | kind), name, payload]
        out += [eos, footer]
    description = b'{"page_size": 4096, "devices": []}'
    out += [b"\x00", b"\x06", struct.pack(">I", len(description)), description]
    return b"".join(out), kinds


class Xbzrle(RamPair):
    def write_until(self, source, qtest, enough, deadline=60, slow=None):
        """Writes here and there in the hot pages until query-migrate shows what is wanted; then lets the
        migration end. After the first pass the source has the bandwidth `slow`: a pass over patches must
        not be over before something else was written."""
        rng = random.Random(5)
        until = time.monotonic() + deadline
        while not enough(info := source.qmp("query-migrate")):
            self.assertIn(info["status"], ("setup", "active"), f"{info} {source.output()}")
            self.assertLess(time.monotonic(), until, f"{info} {source.output()}")
            if slow and info.get("ram", {}).get("dirty-sync-count", 0) > 1:
                source.qmp("migrate-set-parameters", max_bandwidth=slow)
                slow = None
            for page in rng.sample(range(HOT_PAGES), 8):
                at = rng.randrange(PAGE - 300)
                data = [rng.randbytes(rng.randrange(1, 300)), bytes(PAGE), rng.randbytes(PAGE)]
                which = rng.choices((0, 1, 2), (20, 1, 1))[0]  # a little, a page of zeros, all of a page
                qtest.write(HOT + page * PAGE + (at if which == 0 else 0), data[which])
        source.qmp("migrate-set-parameters", max_bandwidth=1 << 30, downtime_limit=2000)
        info = source.qmp.migration_end()
        self.assertEqual(info["status"], "completed", f"{info} {source.output()}")
        return info

    @staticmethod
    def many_patches(info):
        cache = info.get("xbzrle-cache", {})
        return cache.get("pages", 0) - cache.get("overflow", 0) > 150 and cache["overflow"] > 3

    @staticmethod
    def many_compressed(info):
        return info.get("compression", {}).get("pages", 0) > 300 and info["ram"]["dirty-sync-count"] > 4

    def tern_to_qemu_while_written(self, capability, enough):
        self.prepare("mixed")
        with self.tern("a", "--paused", "--qtest", f"unix:{self.path('a.qtest')}") as a, \
             self.qemu("b", "-incoming", "defer") as b:
            if capability == "compress":
                b.qmp.capabilities(compress=True)
            b.qmp("migrate-incoming", uri="tcp:127.0.0.1:0")
            a.qmp.capabilities(**{capability: True}, return_path=True)
            a.qmp("migrate-set-parameters", max_bandwidth=32 << 20, downtime_limit=0)
            a.qmp("migrate", uri=self.uri_of(b))
            info = self.write_until(a, Qtest(self.path("a.qtest")), enough)
            self.arrived(a, b, info)
            return info

    def test_patches_of_tern_are_read_by_qemu(self):
        cache = self.tern_to_qemu_while_written("xbzrle", self.many_patches)["xbzrle-cache"]
        self.assertEqual(cache["cache-size"], 64 << 20)
        self.assertLess(cache["bytes"], (cache["pages"] - cache["overflow"]) * PAGE // 2 + cache["overflow"] * PAGE)

    def test_compressed_pages_of_many_passes_are_read_by_qemu(self):
        self.tern_to_qemu_while_written("compress", self.many_compressed)

    def qemu_to_tern_while_written(self, capability, enough, *options):
        """A pc of QEMU's, of whose stream the guest's RAM goes to a tern as it is. Returns how many
        records there were of each kind."""
        size = 32 << 20
        stream = self.path("stream")
        with Process([self.binary, "-nodefaults", "-display", "none", "-machine", "pc", "-S", "-m", "32",
                      "-qtest", f"unix:{self.path('pc.qtest')},server=on,wait=off", "-qtest-log", "/dev/null",
                      "-qmp", f"unix:{self.dir}/pc.qmp,server=on,wait=off"], self.dir, "pc") as pc:
            qtest = Qtest(self.path("pc.qtest"))
            qtest.write(HOT, random.Random(1).randbytes(HOT_PAGES * PAGE))
            pc.qmp.capabilities(**{capability: True})
            pc.qmp("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=1)
            pc.qmp("migrate", uri=f"exec:cat > {stream}")
            self.write_until(pc, qtest, enough, slow=1 << 18)
            pc.qmp("pmemsave", val=0, size=size, filename=self.path("pc.saved"))
        inspected = self.path(f"inspected-{capability}")
        shown = subprocess.run([os.path.join(self.build, "tools", "tern"), "inspect", "--ram-to", inspected, stream],
                               capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        with open(stream, "rb") as f:
            ours, kinds = only_one_block(f.read(), b"pc.ram", size)
        write_file(self.path("ours"), ours)
        write_file(self.path("pc.ram"), b"\xaa" * size)
        with self.tern("pc", *options, "--incoming", f"exec:cat {self.path('ours')}", size=size) as b:
            self.assertEqual(b.qmp.migration_end()["status"], "completed", b.output())
        saved = read_file(self.path("pc.saved"))
        for loaded in (read_file(self.path("pc.ram")), read_file(os.path.join(inspected, "pc.ram"))):
            # Between 640 KiB and 1 MiB the processor sees video memory and ROM.
            self.assertTrue(saved[:0xa0000] == loaded[:0xa0000], "RAM differs")
            self.assertTrue(saved[1 << 20:] == loaded[1 << 20:], "RAM differs")
        return kinds

    def test_patches_of_qemu_are_read_by_tern(self):
        kinds = self.qemu_to_tern_while_written("xbzrle", self.many_patches)
        self.assertGreater(kinds.get(0x40, 0), 100, kinds)

    def test_compressed_pages_of_many_passes_of_qemu_are_read_by_tern(self):
        kinds = self.qemu_to_tern_while_written("compress", self.many_compressed, "--compress", "on")
        self.assertGreater(kinds.get(0x100, 0), 300, kinds)

    def compress(self, source, destination, **settings):
        """Returns the source's last query-migrate."""
        self.prepare("mixed")
        make = {"tern": self.tern, "qemu": self.qemu}
        incoming = "--incoming" if destination == "tern" else "-incoming"
        with make[source]("a", *(["--paused"] if source == "tern" else [])) as a, \
             make[destination]("b", incoming, "defer") as b:
            b.qmp.capabilities(compress=True)
            b.qmp("migrate-set-parameters", decompress_threads=3)
            b.qmp("migrate-incoming", uri="tcp:127.0.0.1:0")
            a.qmp.capabilities(compress=True, return_path=True)
            a.qmp("migrate-set-parameters", max_bandwidth=1 << 30, compress_threads=2, **settings)
            a.qmp("migrate", uri=self.uri_of(b))
            info = a.qmp.migration_end()
            self.arrived(a, b, info)
            return info

    def test_compressed_pages_both_ways(self):
        for source, destination in (("tern", "qemu"), ("qemu", "tern"), ("tern", "tern")):
            for level in (1, 9):
                with self.subTest(source=source, destination=destination, level=level):
                    info = self.compress(source, destination, compress_level=level)
                    self.assertGreater(info["compression"]["pages"], 1000)
                    self.assertLess(info["ram"]["transferred"], SIZE * 3 // 4)
        self.compress("tern", "qemu", compress_level=1, compress_wait_thread=False)

    def test_compress_only_at_the_source(self):
        self.prepare("mixed")
        with self.qemu("a") as a, self.tern("b", "--incoming", "defer", "--exit-on-error", "off") as b:
            b.qmp("migrate-incoming", uri="tcp:127.0.0.1:0")
            a.qmp.capabilities(compress=True)
            a.qmp("migrate", uri=self.uri_of(b))
            b.qmp.migration_end()
            self.assertIn("compress is off here", b.qmp("query-migrate")["error-desc"])

    def test_a_qemu_that_cannot_read_compressed_pages_is_not_sent_any(self):
        self.prepare("zero")
        with self.tern("a") as a:
            a.qmp.capabilities(compress=True)
            a.qmp("migrate-set-parameters", x_peer_version="qemu-9.1")
            with self.assertRaises(QmpError) as refused:
                a.qmp("migrate", uri="exec:cat > /dev/null")
            self.assertIn("compress", str(refused.exception))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    RamPair.build = sys.argv[1]
    sys.exit(tap.main(Xbzrle))
