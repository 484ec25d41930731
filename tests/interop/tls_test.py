# SPDX-License-Identifier: Apache-2.0
"""Migrations with TLS between tern and QEMU, both directions: certificates and shared keys, who is
let in, and what is said when something does not fit. RAM must be equal byte by byte.

usage: tls_test.py BUILD_DIR"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap
from peers import *
from pki import CLIENT_NAME, CLIENT_SUBJECT, KEY, Pki, openssl

BUILD = None
QEMU = find_qemu()
SIZE = 1 << 20


@unittest.skipIf(shutil.which("openssl") is None, "openssl is not installed")
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="tern-tls-")
        cls.dir = cls.directory.name
        cls.vmm = os.path.join(BUILD, "tools", "tern-vmm")
        cls.pki = Pki(os.path.join(cls.dir, "pki"))
        cls.other = Pki(os.path.join(cls.dir, "other"))

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def peer(self, kind, name, objects, *extra):
        path = os.path.join(self.dir, name + ".ram")
        if kind == "tern":
            more = [word for text in objects for word in ("--object", text)]
            more += ["--incoming", "defer", "--exit-on-error", "off"] if name == "b" else []
            return tern_none(self.vmm, self.dir, name, path, SIZE, *more, *extra)
        more = [word for text in objects for word in ("-object", text)]
        more += ["-incoming", "defer"] if name == "b" else []
        return qemu_none(QEMU, self.dir, name, path, SIZE, *more, *extra)

    def migrate(self, source, destination, here, there, *, of_source=None, of_destination=None,
                unix=False, return_path=True, heard=True):
        """Returns the last query-migrate of both sides and what they logged. `heard`: the destination
        hears enough of the source to fail if the source does."""
        write_file(os.path.join(self.dir, "a.ram"), content("mixed", SIZE))
        write_file(os.path.join(self.dir, "b.ram"), b"\xaa" * SIZE)
        listen = f"unix:{self.dir}/socket" if unix else "tcp:127.0.0.1:0"
        with self.peer(source, "a", here) as a, self.peer(destination, "b", there) as b:
            a.qmp.capabilities(return_path=return_path)
            if destination == "tern":
                b.qmp.capabilities(return_path=return_path)
            a.qmp("migrate-set-parameters", **({"tls_creds": "t"} if here else {}), **(of_source or {}))
            b.qmp("migrate-set-parameters", **({"tls_creds": "t"} if there else {}),
                  **(of_destination or {}))
            b.qmp("migrate-incoming", uri=listen)
            uri = listen
            if not unix:
                address = b.qmp("query-migrate")["socket-address"][0]
                uri = f"tcp:{address['host']}:{address['port']}"
            a.qmp("migrate", uri=uri)
            ended = a.qmp.migration_end()
            arrived = {}
            if ended["status"] == "completed" or (destination == "tern" and heard):
                arrived = b.qmp.migration_end()
            return ended, arrived, a.output() + b.output()

    def pairs(self):
        yield "tern", "tern"
        if QEMU:
            yield "tern", "qemu"
            yield "qemu", "tern"

    def arrives(self, *arguments, **more):
        ended, arrived, log = self.migrate(*arguments, **more)
        self.assertEqual(ended["status"], "completed", f"{ended} {arrived} {log}")
        self.assertEqual(arrived["status"], "completed", log)
        self.assertTrue(read_file(os.path.join(self.dir, "a.ram")) ==
                        read_file(os.path.join(self.dir, "b.ram")), "RAM differs")

    def test_certificates(self):
        client, server = self.pki.creds("x509", "client"), self.pki.creds("x509", "server")
        for source, destination in self.pairs():
            for return_path in (True, False):
                with self.subTest(source=source, destination=destination, return_path=return_path):
                    self.arrives(source, destination, [client], [server], return_path=return_path)

    def test_certificates_over_a_unix_socket_with_the_name_given(self):
        client, server = self.pki.creds("x509", "client"), self.pki.creds("x509", "server")
        for source, destination in self.pairs():
            with self.subTest(source=source, destination=destination):
                self.arrives(source, destination, [client], [server], unix=True,
                             of_source={"tls_hostname": "localhost"})

    def test_tls_1_2(self):
        """One side allows no more: certificates and shared keys."""
        less = "priority=NORMAL:-VERS-TLS1.3"
        for kind, psk in (("x509", ""), ("psk", ":+ECDHE-PSK:+DHE-PSK:+PSK")):
            server = self.pki.creds(kind, "server")
            for source, destination in self.pairs():
                with self.subTest(kind=kind, source=source, destination=destination):
                    limited = [self.pki.creds(kind, "client", less + psk)]
                    self.arrives(source, destination, limited, [server])

    def test_without_verification_strangers_are_as_good(self):
        client = self.other.creds("x509", "client", "verify-peer=off")
        server = self.pki.creds("x509", "server", "verify-peer=off")
        for source, destination in self.pairs():
            with self.subTest(source=source, destination=destination):
                self.arrives(source, destination, [client], [server])

    def test_shared_keys(self):
        client, server = self.pki.creds("psk", "client"), self.pki.creds("psk", "server")
        for source, destination in self.pairs():
            with self.subTest(source=source, destination=destination):
                self.arrives(source, destination, [client], [server])

    def test_the_clients_name_is_written_as_by_qemu(self):
        """The same authz object lets the same client in on both."""
        identity = CLIENT_NAME.replace(",", ",,")
        client, server = self.pki.creds("x509", "client"), self.pki.creds("x509", "server")
        for source, destination in self.pairs():
            with self.subTest(source=source, destination=destination):
                self.arrives(source, destination, [client],
                             [server, f"authz-simple,id=z,identity={identity}"],
                             of_destination={"tls_authz": "z"})

    def test_a_client_that_is_not_on_the_list_is_sent_away(self):
        client, server = self.pki.creds("x509", "client"), self.pki.creds("x509", "server")
        rules = "authz-list,id=z,policy=deny,rules.0.match=CN=*,rules.0.policy=allow,rules.0.format=glob"
        for source in ("tern", "qemu") if QEMU else ("tern",):
            with self.subTest(source=source):
                ended, arrived, _ = self.migrate(source, "tern", [client], [server, rules],
                                                 of_destination={"tls_authz": "z"})
                self.assertEqual(ended["status"], "failed")
                self.assertEqual(arrived["status"], "failed")
                self.assertEqual(arrived["error-desc"], f"TLS handshake failed: TLS x509 authz check for "
                                                        f"{CLIENT_NAME} is denied")

    def refused(self, source, destination, here, there, why, **more):
        """Nothing arrives, and tern says why on its side or sides."""
        ended, arrived, log = self.migrate(source, destination, here, there,
                                           heard="destination" in why, **more)
        self.assertEqual(ended["status"], "failed", f"{ended} {arrived} {log}")
        for side, info, kind in (("source", ended, source), ("destination", arrived, destination)):
            if kind == "tern" and side in why:
                self.assertIn(why[side], info.get("error-desc", ""), log)

    def test_what_does_not_fit_is_told(self):
        client, server = self.pki.creds("x509", "client"), self.pki.creds("x509", "server")
        strange_client = self.other.creds("x509", "client")
        cases = (
            ("the source does not know the CA", [strange_client], [server], {}, {
                "source": "was not issued by the CA in ca-cert.pem", "destination": "TLS handshake failed"}),
            ("another name", [client], [server], {"of_source": {"tls_hostname": "elsewhere"}}, {
                "source": "Certificate does not match the hostname elsewhere: it is for localhost"}),
            ("no name", [client], [server], {"unix": True}, {
                "source": "No hostname for certificate validation"}),
            ("a plain source", [], [server], {}, {
                "destination": "the peer does not speak TLS but sends a plain migration stream"}),
            ("a plain destination", [client], [], {}, {
                "destination": "the source speaks TLS: tls-creds is set there and not here",
                "source": "TLS handshake failed"}),
            ("keys here, certificates there", [self.pki.creds("psk", "client")], [server], {}, {
                "source": "TLS handshake failed", "destination": "TLS handshake failed"}),
            ("certificates here, keys there", [client], [self.pki.creds("psk", "server")], {}, {
                "source": "TLS handshake failed", "destination": "TLS handshake failed"}),
        )
        for source, destination in self.pairs():
            for name, here, there, more, why in cases:
                # A QEMU destination only stops listening; a plain QEMU source does not notice.
                if name == "a plain source" and "qemu" in (source, destination):
                    continue
                with self.subTest(name, source=source, destination=destination):
                    self.refused(source, destination, here, there, why, **more)

    def test_the_server_wants_a_certificate_of_a_client_that_it_knows(self):
        """TLS 1.3: the client hears of it after its handshake, with its first read."""
        bare = os.path.join(self.dir, "bare")
        os.makedirs(bare, exist_ok=True)
        shutil.copy(self.pki.path("ca-cert.pem"), bare)
        server = self.pki.creds("x509", "server")
        for source, destination in self.pairs():
            with self.subTest(source=source, destination=destination):
                self.refused(source, destination, [f"tls-creds-x509,id=t,endpoint=client,dir={bare}"],
                             [server], {"destination": "the client has no certificate"})

    def test_another_key_or_user(self):
        self.other.key("qemu", KEY[::-1])
        for name, client, words in (
                ("key", self.other.creds("psk", "client"), "shared key is not the one of its user"),
                ("user", None, "is user 'nobody', which has no key")):
            if client is None:
                self.other.key("nobody", KEY)
                client = self.other.creds("psk", "client", "username=nobody")
            server = self.pki.creds("psk", "server")
            for source, destination in self.pairs():
                with self.subTest(name, source=source, destination=destination):
                    self.refused(source, destination, [client], [server],
                                 {"source": "TLS handshake failed", "destination": words})

    def test_objects_of_the_wrong_kind_are_named_as_by_qemu(self):
        server, secret = self.pki.creds("x509", "server"), "secret,id=t,data=x"
        for objects, words in (([server], "Expected TLS credentials for a client endpoint"),
                               ([secret], "Object with id 't' is not TLS credentials")):
            for kind in ("tern", "qemu") if QEMU else ("tern",):
                with self.subTest(words, kind=kind):
                    ended, _, _ = self.migrate(kind, "tern", objects, [server], heard=False)
                    self.assertEqual(ended["error-desc"], words)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Tls))
