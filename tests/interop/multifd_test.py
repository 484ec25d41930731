# SPDX-License-Identifier: Apache-2.0
"""RAM over many channels between tern and a real QEMU, both ways: every method that both have, with
1, 2 and 8 channels; and what the two say of each other's mistakes.

usage: multifd_test.py BUILD_DIR
"""
import itertools
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import QmpError
from pki import Pki
from ram_pair import RamPair

METHODS = ("none", "zlib", "zstd")
CHANNELS = (1, 2, 8)


class Multifd(RamPair):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki = Pki(os.path.join(cls.dir, "pki"))

    def tern(self, name, *extra):
        extra = [*extra, "--exit-on-error", "off"] if "--incoming" in extra else extra
        return super().tern(name, *extra)

    def configure(self, side, method="none", channels=2, **more):
        side.qmp.capabilities(multifd=True, return_path=more.pop("return_path", True))
        side.qmp("migrate-set-parameters", multifd_compression=method, multifd_channels=channels, **more)

    def migrate(self, a, b, a_settings, b_settings, tls=None):
        if tls:
            for side, endpoint in ((a, "client"), (b, "server")):
                side.qmp("object-add", **{"qom-type": f"tls-creds-{tls}", "id": "t", "dir": self.pki.dir,
                                          "endpoint": endpoint})
            a_settings, b_settings = {**a_settings, "tls_creds": "t"}, {**b_settings, "tls_creds": "t"}
        self.configure(b, **b_settings)
        b.qmp("migrate-incoming", uri="tcp:127.0.0.1:0")
        self.configure(a, **a_settings)
        a.qmp("migrate", uri=self.uri_of(b))
        return a.qmp.migration_end()

    def check(self, a, b, info):
        self.arrived(a, b, info)
        self.assertGreater(info["ram"]["multifd-bytes"], 0)

    def test_tern_to_qemu(self):
        for method, channels in itertools.product(METHODS, CHANNELS):
            with self.subTest(method=method, channels=channels):
                self.prepare("mixed")
                with self.tern("a", "--paused") as a, self.qemu("b", "-incoming", "defer") as b:
                    settings = {"method": method, "channels": channels}
                    info = self.migrate(a, b, {**settings, "x_peer_version": "qemu-7.2"}, settings)
                    self.check(a, b, info)

    def test_qemu_to_tern(self):
        for method, channels in itertools.product(METHODS, CHANNELS):
            with self.subTest(method=method, channels=channels):
                self.prepare("mixed")
                with self.qemu("a") as a, self.tern("b", "--incoming", "defer") as b:
                    settings = {"method": method, "channels": channels}
                    self.check(a, b, self.migrate(a, b, settings, settings))

    def test_tern_to_tern(self):
        """In tern's dialect, and as if each were a QEMU of some version."""
        for method, peer in itertools.product(METHODS, ("tern", "qemu-7.2", "qemu-8.2", "qemu-11.1")):
            with self.subTest(method=method, peer=peer):
                self.prepare("mixed")
                with self.tern("a", "--paused") as a, self.tern("b", "--incoming", "defer") as b:
                    settings = {"method": method, "channels": 4}
                    info = self.migrate(a, b, {**settings, "x_peer_version": peer}, settings)
                    self.check(a, b, info)

    def test_tls(self):
        """Every channel is a TLS connection of its own: all methods, 1, 2 and 8 of them, both kinds of
        credentials, tern and QEMU in both roles."""
        cases = [("tern", "qemu"), ("qemu", "tern")]
        everything = itertools.product(cases, ("x509", "psk"), METHODS, CHANNELS)
        between_terns = [(("tern", "tern"), "x509", "zstd", 2), (("tern", "tern"), "psk", "none", 8)]
        for (source, destination), tls, method, channels in itertools.chain(everything, between_terns):
            with self.subTest(source=source, destination=destination, tls=tls, method=method, channels=channels):
                self.prepare("mixed")
                make = {"tern": self.tern, "qemu": self.qemu}
                incoming = "--incoming" if destination == "tern" else "-incoming"
                with make[source]("a") as a, make[destination]("b", incoming, "defer") as b:
                    settings = {"method": method, "channels": channels}
                    of_source = {"x_peer_version": "qemu-7.2"} if destination == "qemu" else {}
                    self.check(a, b, self.migrate(a, b, {**settings, **of_source}, settings, tls))

    def test_plain_channels_to_a_tls_destination(self):
        self.prepare("random")
        with self.tern("a") as a, self.tern("b", "--incoming", "defer") as b:
            b.qmp("object-add", **{"qom-type": "tls-creds-psk", "id": "t", "dir": self.pki.dir, "endpoint": "server"})
            info = self.migrate(a, b, {}, {"tls_creds": "t"})
            self.assertEqual(info["status"], "failed")
            self.assertIn("tls-creds is set here and not there", b.qmp.migration_end()["error-desc"])
            self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_no_return_path_and_no_zero_pages(self):
        for kind, method in (("zero", "zstd"), ("random", "none")):
            with self.subTest(kind=kind):
                self.prepare(kind)
                with self.tern("a", "--paused") as a, self.qemu("b", "-incoming", "defer") as b:
                    info = self.migrate(a, b, {"method": method, "return_path": False, "x_peer_version": "qemu-7.2",
                                               "zero_page_detection": "none"}, {"method": method})
                    self.check(a, b, info)
                    self.assertEqual(info["ram"]["duplicate"], 0)

    def test_levels(self):
        """Level 0 of zlib stores; zstd's last has the widest window that a receiver must take."""
        for method, level in (("zlib", 0), ("zlib", 3), ("zlib", 9), ("zstd", 0), ("zstd", 20)):
            with self.subTest(method=method, level=level):
                self.prepare("mixed")
                with self.tern("a", "--paused") as a, self.qemu("b", "-incoming", "defer") as b:
                    info = self.migrate(a, b, {"method": method, "x_peer_version": "qemu-7.2",
                                               f"multifd_{method}_level": level}, {"method": method})
                    self.check(a, b, info)

    def test_a_qemu_whose_version_is_not_told_is_refused(self):
        self.prepare("mixed")
        with self.tern("a") as a, self.qemu("b", "-incoming", "defer") as b:
            info = self.migrate(a, b, {}, {})
            self.assertEqual(info["status"], "failed")
            self.assertIn("x-peer-version", info["error-desc"])
            self.assertEqual(a.qmp("query-status")["status"], "running")

    def test_methods_differ(self):
        self.prepare("random")
        with self.qemu("a") as a, self.tern("b", "--incoming", "defer") as b:
            info = self.migrate(a, b, {"method": "zlib"}, {"method": "zstd"})
            self.assertEqual(b.qmp.migration_end()["status"], "failed")
            self.assertIn("multifd-compression must be equal", b.qmp("query-migrate")["error-desc"])
            self.assertEqual(info["status"], "failed")

    def test_counts_differ(self):
        for ours, theirs in ((2, 4), (4, 2)):
            with self.subTest(ours=ours, theirs=theirs):
                self.prepare("random")
                with self.qemu("a") as a, self.tern("b", "--incoming", "defer", "--x-channel-timeout", "500") as b:
                    info = self.migrate(a, b, {"channels": theirs}, {"channels": ours})
                    self.assertEqual(b.qmp.migration_end()["status"], "failed")
                    self.assertIn("multifd-channels", b.qmp("query-migrate")["error-desc"])
                    self.assertEqual(info["status"], "failed")

    def test_multifd_only_at_the_source(self):
        """QEMU 7.2 leaves no trace of it in the main stream: a destination that believed the stream
        would run a guest without RAM."""
        self.prepare("random")
        with self.qemu("a") as a, self.tern("b", "--incoming", "defer") as b:
            b.qmp("migrate-incoming", uri="tcp:127.0.0.1:0")
            self.configure(a)
            a.qmp("migrate", uri=self.uri_of(b))
            self.assertEqual(b.qmp.migration_end()["status"], "failed")
            self.assertIn("multifd is on at the source", b.qmp("query-migrate")["error-desc"])
            self.assertEqual(a.qmp.migration_end()["status"], "failed")

    def test_addresses_of_one_channel_are_refused(self):
        self.prepare("zero")
        with self.tern("a") as a:
            self.configure(a)
            with self.assertRaises(QmpError) as refused:
                a.qmp("migrate", uri="exec:cat > /dev/null")
            self.assertIn("Migration requires multi-channel URIs (e.g. tcp)", str(refused.exception))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    RamPair.build = sys.argv[1]
    sys.exit(tap.main(Multifd))
