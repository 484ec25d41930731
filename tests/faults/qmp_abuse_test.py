# SPDX-License-Identifier: Apache-2.0
"""A tern-vmm process under clients that do everything wrong: after each of them the next one is served.

usage: qmp_abuse_test.py BUILD_DIR"""
import json
import os
import random
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap

BUILD = None
MIB = 1 << 20


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class Client:
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
        self.sock.settimeout(60)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        assert "QMP" in self.read()
        self.send(b'{"execute":"qmp_capabilities"}')
        assert self.read() == {"return": {}}
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self):
        while True:
            message = json.loads(self.file.readline())
            if "event" not in message:
                return message

    def alive(self):
        """Whether the connection still answers, whatever was sent before."""
        self.send(b'\xff{"execute":"query-name","id":"alive"}')
        while True:
            message = self.read()
            if message.get("id") == "alive":
                return message == {"return": {}, "id": "alive"}


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="tern-abuse-")
        cls.paths = [os.path.join(cls.directory.name, name) for name in ("a", "b")]
        cls.vmm = subprocess.Popen(
            [os.path.join(BUILD, "tools", "tern-vmm"), "--machine", "none", "--ram", "1M",
             *[word for path in cls.paths for word in ("--qmp", f"unix:{path}")]],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with Client(cls.paths[0]):
            pass

    @classmethod
    def tearDownClass(cls):
        cls.vmm.terminate()
        cls.status = cls.vmm.wait(30)
        cls.directory.cleanup()

    def client(self, index=0):
        return Client(self.paths[index])

    def tearDown(self):
        self.assertIsNone(self.vmm.poll(), "tern-vmm has ended")
        with self.client() as client:
            self.assertTrue(client.alive())

    def test_a_thousand_clients_one_after_another(self):
        for _ in range(1000):
            with self.client() as client:
                client.send(b'{"execute":"query-status"}')
                self.assertIn("return", client.read())

    def test_two_clients_at_once_see_the_same_events(self):
        with self.client(0) as a, self.client(1) as b:
            for sock in (a, b):
                sock.send(b'{"execute":"query-name"}')
                self.assertIn("return", sock.read())
            a.send(b'{"execute":"stop"}{"execute":"cont"}')
            a.read()
            a.read()
            seen = [json.loads(b.file.readline())["event"] for _ in range(2)]
            self.assertEqual(seen, ["STOP", "RESUME"])

    def test_half_a_line_and_gone(self):
        request = b'{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":1}}'
        for length in range(len(request)):
            with self.client() as client:
                client.send(request[:length])

    def test_one_byte_at_a_time(self):
        with self.client() as client:
            for byte in b' {"execute" : "query-status" , "id" : 1}\r\n':
                client.send(bytes([byte]))
            self.assertEqual(client.read()["id"], 1)

    def test_a_line_without_end_is_cut_off_and_memory_stays_bounded(self):
        with self.client() as client:
            client.send(b'{"execute":"')
            try:
                for _ in range(80):
                    client.send(b"x" * MIB)
                self.assertIn("error", client.read())
                self.assertTrue(client.alive())
            except (BrokenPipeError, ConnectionError):
                pass
        self.assertLess(resident_kib(self.vmm.pid), 400 * 1024)

    def test_nesting_without_end(self):
        with self.client() as client:
            client.send(b"[" * (2 * MIB))
            self.assertIn("nesting", client.read()["error"]["desc"])
            self.assertTrue(client.alive())

    def test_broken_texts_get_one_error_each(self):
        for text in (b'{"execute":"query-name","id":"\xff"}', b'{"execute":"query-name","id":"\xc3\x28"}',
                     b'{"execute":"query-name","execute":"stop"}', b'{"execute":"query-name","id":1e999}',
                     b'{"execute":"query-name",}', b'{"execute":"\\ud800"}', b"}", b"nul ",
                     b'{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":'
                     b'18446744073709551616}}',
                     b'{"execute":"migrate-set-parameters","arguments":{"downtime-limit":-1}}',
                     b'{"execute":"migrate","arguments":{"uri":"tcp:h:\\u0000"}}'):
            with self.client() as client:
                client.send(text)
                reply = client.read()
                self.assertEqual(reply["error"]["class"], "GenericError", text)
                self.assertTrue(client.alive(), text)

    def test_noise(self):
        noise = random.Random(3)
        for _ in range(200):
            with self.client() as client:
                try:
                    client.send(noise.randbytes(noise.randrange(1, 5000)))
                except (BrokenPipeError, ConnectionError):
                    pass

    def test_a_client_that_sends_and_never_reads_holds_nobody_up(self):
        with self.client(0) as greedy:
            greedy.sock.settimeout(0.5)
            try:
                for _ in range(2000):
                    greedy.send(b'{"execute":"query-qmp-schema"}' * 16)
            except TimeoutError:
                pass  # it is not read from any more: good
            with self.client(1) as other:
                self.assertTrue(other.alive())
            self.assertLess(resident_kib(self.vmm.pid), 400 * 1024)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.vmm.pid}/fd"))

    def end_of_migration(self, client):
        while True:
            client.send(b'{"execute":"query-migrate"}')
            status = client.read()["return"].get("status", "none")
            if status in ("none", "completed", "failed", "cancelled"):
                return status
            time.sleep(0.005)

    def test_descriptors_of_migrations_that_fail_or_are_cancelled_are_closed(self):
        with self.client() as client:
            before = self.descriptors()
            for cycle in range(60):
                read_end, write_end = os.pipe()
                usable = cycle % 2 == 0
                socket.send_fds(client.sock, [b'{"execute":"getfd","arguments":{"fdname":"m"}}'],
                                [write_end if usable else read_end])
                self.assertEqual(client.read(), {"return": {}})
                os.close(write_end)
                client.send(b'{"execute":"migrate","arguments":{"uri":"fd:m"}}'
                            b'{"execute":"migrate_cancel"}{"execute":"cont"}')
                for _ in range(3):
                    client.read()
                self.end_of_migration(client)
                if usable:  # its reader sees the end
                    while os.read(read_end, 1 << 16):
                        pass
                os.close(read_end)
            # The threads of the last one may still be closing.
            until = time.monotonic() + 20
            while self.descriptors() > before + 2 and time.monotonic() < until:
                time.sleep(0.01)
            self.assertLessEqual(self.descriptors(), before + 2)
            client.send(b'{"execute":"cont"}')
            client.read()

    def test_a_source_takes_no_descriptor_by_its_number(self):
        with self.client() as client:
            for number in range(12):
                client.send(b'{"execute":"migrate","arguments":{"uri":"fd:%d"}}' % number)
                self.assertIn("not found", client.read()["error"]["desc"])
            self.assertTrue(client.alive())

    def test_without_threads_a_migration_fails_and_the_guest_runs_on(self):
        if os.getuid() != 0:
            self.skipTest("needs root to become a user whose threads are limited")
        import resource  # pylint: disable=import-outside-toplevel

        directory = tempfile.mkdtemp(prefix="tern-few-")
        os.chmod(directory, 0o777)
        path = os.path.join(directory, "q")
        nobody = 60000 + os.getpid() % 5000

        def few():
            resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
            os.setgid(nobody)
            os.setuid(nobody)

        with subprocess.Popen([os.path.join(BUILD, "tools", "tern-vmm"), "--machine", "none", "--ram",
                               "1M", "--qmp", f"unix:{path}"], stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, preexec_fn=few) as vmm:
            try:
                with Client(path) as client:
                    client.send(b'{"execute":"migrate","arguments":{"uri":"unix:/no/such"}}')
                    self.assertIn("thread", client.read()["error"]["desc"])
                    self.assertEqual(self.end_of_migration(client), "failed")
                    client.send(b'{"execute":"query-status"}')
                    self.assertTrue(client.read()["return"]["running"])
            finally:
                vmm.kill()
        os.unlink(path)
        os.rmdir(directory)

    def test_the_socket_is_private_and_nothing_listens_on_tcp(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.paths[0]).st_mode), 0o600)
        mine = {os.readlink(f"/proc/{self.vmm.pid}/fd/{fd}")
                for fd in os.listdir(f"/proc/{self.vmm.pid}/fd")}
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}", encoding="utf-8") as file:
                for line in file.readlines()[1:]:
                    self.assertNotIn(f"socket:[{line.split()[9]}]", mine)

    def test_a_stale_socket_is_replaced_and_a_live_one_is_not(self):
        path = os.path.join(self.directory.name, "stale")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        program = [os.path.join(BUILD, "tools", "tern-vmm"), "--machine", "none", "--ram", "1M", "--qmp"]
        with subprocess.Popen([*program, f"unix:{path}"], stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as other:
            with Client(path) as client:
                self.assertTrue(client.alive())
                second = subprocess.run([*program, f"unix:{path}"], stdin=subprocess.DEVNULL,
                                        capture_output=True, text=True, timeout=30, check=False)
                self.assertEqual(second.returncode, 1)
                self.assertIn("in use", second.stderr)
                self.assertTrue(client.alive())
            other.terminate()
            self.assertEqual(other.wait(30), 0)
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Abuse))
