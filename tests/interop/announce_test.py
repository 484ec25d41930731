# SPDX-License-Identifier: Apache-2.0
"""The announcement after a migration, as it goes over a network: tern-vmm's is caught with a packet
socket on the loopback interface, QEMU's (from a real network card) with a UDP socket, and they are
compared byte by byte.

usage: announce_test.py BUILD_DIR"""
import os
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peers
import tap

BUILD = None
MAC = "52:54:00:12:34:%02x" % (os.getpid() % 256)
ETH_P_RARP = 0x8035
SMALLEST_FRAME = 60


def packet_socket():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_RARP))
    sock.bind(("lo", ETH_P_RARP))
    sock.settimeout(20)
    return sock


class Announce(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-announce-")
        try:
            self.network = packet_socket()
        except PermissionError:
            self.directory.cleanup()
            self.skipTest("packet sockets need CAP_NET_RAW")

    def tearDown(self):
        self.network.close()
        self.directory.cleanup()

    def vmm(self, name, *more):
        return peers.Process([os.path.join(BUILD, "tools", "tern-vmm"), "--machine", "none", "--ram",
                              "1M", "--qmp", f"unix:{self.directory.name}/{name}.qmp", *more],
                             self.directory.name, name)

    def frame(self):
        """The next frame from our MAC. Loopback shows each packet twice: out and in."""
        while True:
            data, address = self.network.recvfrom(2048)
            if address[2] != socket.PACKET_OUTGOING and data[6:12] == bytes.fromhex(MAC.replace(":", "")):
                return data

    def silence(self):
        self.network.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            self.frame()

    def test_the_packet_is_qemus(self):
        qemu = peers.find_qemu()
        if not qemu:
            self.skipTest("QEMU is not installed")
        with self.vmm("t", "--nic", f"lo,mac={MAC}") as tern:
            tern.qmp("announce-self", initial=50, max=550, rounds=1, step=50)
            ours = self.frame()
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.bind(("127.0.0.1", 0))
        wire.settimeout(60)
        port = wire.getsockname()[1]
        with peers.Process(
                [qemu, "-machine", "pc", "-nodefaults", "-display", "none", "-m", "32M",
                 "-netdev", f"dgram,id=n,remote.type=inet,remote.host=127.0.0.1,remote.port={port},"
                 "local.type=inet,local.host=127.0.0.1,local.port=0",
                 "-device", f"e1000,netdev=n,mac={MAC}",
                 "-qmp", f"unix:{self.directory.name}/q.qmp,server=on,wait=off"],
                self.directory.name, "q") as process:
            while True:
                process.qmp("announce-self", initial=50, max=550, rounds=1, step=50)
                theirs = wire.recv(2048)
                if theirs[12:14] == b"\x80\x35":
                    break
        wire.close()
        self.assertEqual(len(ours), SMALLEST_FRAME)
        self.assertEqual(ours, theirs.ljust(SMALLEST_FRAME, b"\0"))

    def test_a_guest_is_announced_where_it_arrives_as_often_as_was_asked(self):
        uri = f"unix:{self.directory.name}/mig"
        with self.vmm("d", "--incoming", uri, "--nic", f"lo,mac={MAC}", "--announce-rounds", "3",
                      "--announce-initial", "1", "--announce-step", "1") as d, self.vmm("s") as s:
            s.qmp("migrate", uri=uri)
            self.assertEqual(s.qmp.migration_end()["status"], "completed")
            frames = [self.frame() for _ in range(3)]
            self.assertEqual(len(set(frames)), 1)
            self.silence()
            self.assertTrue(d.qmp("query-status")["running"])

    def test_a_guest_that_arrives_stopped_is_announced_by_cont(self):
        uri = f"unix:{self.directory.name}/mig"
        with self.vmm("d", "--incoming", uri, "--paused", "--nic", f"lo,mac={MAC}",
                      "--announce-rounds", "1") as d, self.vmm("s") as s:
            s.qmp("migrate", uri=uri)
            s.qmp.migration_end()
            d.qmp.wait_status("completed")
            self.silence()
            self.network.settimeout(20)
            d.qmp("cont")
            self.frame()

    def test_announce_self_names_interfaces(self):
        with self.vmm("t", "--nic", f"lo,mac={MAC},id=a") as tern:
            tern.qmp("announce-self", initial=50, max=550, rounds=1, step=50, interfaces=["b"])
            self.silence()
            self.network.settimeout(20)
            tern.qmp("announce-self", initial=50, max=550, rounds=1, step=50, interfaces=["a"])
            self.frame()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Announce))
