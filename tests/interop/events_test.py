# SPDX-License-Identifier: Apache-2.0
"""The events of each kind of migration, in their order: tern to tern and QEMU to QEMU go through the
same scenario and the sequences are compared.

usage: events_test.py BUILD_DIR"""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peers
import tap

BUILD = None
SIZE = 16 << 20
# A guest that does not run: nothing is dirtied, so that the number of passes is not chance.
# `device` is told by QEMU 10.0 and later, and by tern always; QEMU 7.2 has it only with
# pause-before-switchover. The number of passes is the implementation's own.


def words(events):
    """MIGRATION active -> "active", STOP -> "STOP"; passes apart."""
    out = []
    for event in events:
        if event["event"] == "MIGRATION":
            out.append(event["data"]["status"])
        elif event["event"] != "MIGRATION_PASS":
            out.append(event["event"])
    return out


def passes(events):
    return [e["data"]["pass"] for e in events if e["event"] == "MIGRATION_PASS"]


class Host:
    """Starts pairs of one kind."""

    def __init__(self, kind, directory):
        self.kind = kind
        self.directory = directory

    def start(self, name, *more):
        ram = os.path.join(self.directory, f"{self.kind}-{name}.ram")
        if not os.path.exists(ram):
            peers.write_file(ram, peers.content("mixed", SIZE))
        if self.kind == "qemu":
            return peers.qemu_none(peers.find_qemu(), self.directory, f"q-{name}", ram, SIZE, *more)
        options = {"-S": "--paused", "-incoming": "--incoming", "-uuid": "--uuid"}
        return peers.tern_none(os.path.join(BUILD, "tools", "tern-vmm"), self.directory, f"t-{name}",
                               ram, SIZE, *[options.get(word, word) for word in more])


class Events(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-events-")
        self.uri = f"unix:{self.directory.name}/mig"

    def tearDown(self):
        self.directory.cleanup()

    def scenario(self, act, *source_options, destination_options=()):
        """Runs act(source, destination) for both kinds; gives {kind: (source's, destination's)}."""
        if not peers.find_qemu():
            self.skipTest("QEMU is not installed")
        result = {}
        for kind in ("qemu", "tern"):
            host = Host(kind, self.directory.name)
            with host.start("d", "-incoming", "defer", *destination_options) as d, host.start("s", *source_options) as s:
                for side in (s, d):
                    side.qmp.capabilities(events=True)
                d.qmp("migrate-incoming", uri=self.uri)
                act(s, d)
                try:
                    d.qmp.drain()
                except (EOFError, ConnectionError, BrokenPipeError):
                    pass  # a destination that failed has ended
                s.qmp.drain()
                result[kind] = (s.qmp.events, d.qmp.events)
            if os.path.exists(os.path.join(self.directory.name, "mig")):
                os.unlink(os.path.join(self.directory.name, "mig"))
        return result

    def same(self, result, *, source_extra=(), destination=True):
        """tern's sequence without `source_extra` (what QEMU 7.2 does not tell) is QEMU's."""
        tern = [w for w in words(result["tern"][0]) if w not in source_extra]
        qemu = [w for w in words(result["qemu"][0]) if w not in source_extra]
        self.assertEqual(tern, qemu)
        if destination:
            self.assertEqual(words(result["tern"][1]), words(result["qemu"][1]))
        for kind in ("tern", "qemu"):
            numbers = passes(result[kind][0])
            self.assertEqual(numbers, list(range(1, len(numbers) + 1)), kind)

    @staticmethod
    def to_the_end(uri):
        def act(s, d):
            s.qmp("migrate", uri=uri)
            s.qmp.migration_end()
            d.qmp.wait_status("completed")
        return act

    def test_precopy_of_a_running_machine(self):
        result = self.scenario(self.to_the_end(self.uri))
        self.same(result, source_extra=("device",))
        self.assertEqual(words(result["tern"][0]), ["setup", "active", "STOP", "device", "completed"])
        self.assertEqual(words(result["tern"][1]), ["setup", "active", "RESUME", "completed"])

    def test_precopy_of_a_stopped_machine(self):
        result = self.scenario(self.to_the_end(self.uri), "-S")
        self.same(result, source_extra=("device",))
        self.assertNotIn("STOP", words(result["tern"][0]))

    def test_pause_before_switchover(self):
        def act(s, d):
            s.qmp.capabilities(pause_before_switchover=True)
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("pre-switchover")
            s.qmp("migrate-continue", state="pre-switchover")
            s.qmp.migration_end()
            d.qmp.wait_status("completed")
        self.same(self.scenario(act))

    def test_cancel_in_pre_switchover(self):
        def act(s, _d):
            s.qmp.capabilities(pause_before_switchover=True)
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("pre-switchover")
            s.qmp("migrate_cancel")
            s.qmp.migration_end()
        result = self.scenario(act)
        self.same(result, destination=False)
        self.assertEqual(words(result["tern"][0])[-3:], ["cancelling", "RESUME", "cancelled"])

    def test_cancel_while_active(self):
        def act(s, _d):
            s.qmp("migrate-set-parameters", max_bandwidth=65536)
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("active")
            s.qmp("migrate_cancel")
            s.qmp.migration_end()
        self.same(self.scenario(act), destination=False)

    def test_a_destination_that_is_killed(self):
        def act(s, d):
            s.qmp("migrate-set-parameters", max_bandwidth=65536)
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("active")
            d.child.kill()
            d.child.wait()
            s.qmp.migration_end()
        self.same(self.scenario(act), destination=False)

    def test_nobody_listens(self):
        def act(s, _d):
            s.qmp("migrate", uri="unix:/no/such/socket")
            s.qmp.migration_end()
        self.same(self.scenario(act), destination=False)

    def test_a_destination_that_refuses(self):
        """Another machine's stream: the destination fails, and ends with status 1."""
        def act(s, d):
            s.qmp.capabilities(return_path=True, validate_uuid=True)
            s.qmp("migrate", uri=self.uri)
            s.qmp.migration_end()
            self.assertEqual(d.child.wait(30), 1)
        uuid = "-uuid", "12345678-1234-1234-1234-12345678900"
        result = self.scenario(act, uuid[0], uuid[1] + "1",
                               destination_options=(uuid[0], uuid[1] + "2"))
        # How far the source got when the answer came is chance.
        for kind in ("tern", "qemu"):
            self.assertEqual(words(result[kind][0])[0], "setup", kind)
            self.assertEqual(words(result[kind][0])[-1], "failed", kind)

    def test_without_the_capability_nothing_is_told(self):
        def act(s, d):
            for side in (s, d):
                side.qmp.capabilities(events=False)
            s.qmp.events.clear()
            d.qmp.events.clear()
            s.qmp("migrate", uri=self.uri)
            s.qmp.migration_end()
            d.qmp.wait_status("completed")
        result = self.scenario(act)
        for kind in ("tern", "qemu"):
            self.assertEqual(words(result[kind][0]), ["STOP"], kind)
            self.assertEqual(words(result[kind][1]), ["RESUME"], kind)

    def test_a_device_that_must_be_unplugged_first(self):
        """Only tern: a failover pair needs a guest with a driver."""
        host = Host("tern", self.directory.name)
        with host.start("d", "-incoming", self.uri) as d, \
                host.start("s", "--held-device", "net0,after=200", "--events", "on") as s:
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("wait-unplug")
            self.assertEqual(s.qmp("query-status")["status"], "running")
            s.qmp.migration_end()
            s.qmp.drain()
            self.assertEqual(words(s.qmp.events), ["setup", "UNPLUG_PRIMARY", "wait-unplug",
                                                   "active", "STOP", "device", "completed"])
            unplug = [e for e in s.qmp.events if e["event"] == "UNPLUG_PRIMARY"]
            self.assertEqual(unplug[0]["data"], {"device-id": "net0"})
            d.qmp.wait_status("completed")

    def test_a_device_that_stays_is_given_up_by_cancel(self):
        host = Host("tern", self.directory.name)
        with host.start("d", "-incoming", self.uri), \
                host.start("s", "--held-device", "net0,after=never", "--events", "on") as s:
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("wait-unplug")
            s.qmp("migrate_cancel")
            s.qmp.migration_end()
            s.qmp.drain()
            self.assertEqual(words(s.qmp.events), ["setup", "UNPLUG_PRIMARY", "wait-unplug",
                                                   "cancelling", "cancelled"])
            self.assertEqual(s.qmp("query-status")["status"], "running")

    def test_blockers_threads_and_yank_in_a_real_process(self):
        host = Host("tern", self.directory.name)
        with host.start("s", "--block-migration", "the GPU cannot migrate") as s:
            self.assertEqual(s.qmp("query-migrate"), {"blocked-reasons": ["the GPU cannot migrate"]})
            with self.assertRaises(peers.QmpError) as refused:
                s.qmp("migrate", uri=self.uri)
            self.assertIn("the GPU cannot migrate", str(refused.exception))
        with host.start("d", "-incoming", self.uri, "--exit-on-error", "off") as d, \
                host.start("s", "--max-bandwidth", "64K", "--return-path", "on") as s:
            self.assertEqual(s.qmp("query-migrationthreads"), [])
            s.qmp("migrate", uri=self.uri)
            s.qmp.wait_status("active")
            threads = {t["name"]: t["thread-id"] for t in s.qmp("query-migrationthreads")}
            self.assertEqual(set(threads), {"mig/src/main", "mig/src/return"})
            for name, number in threads.items():
                with open(f"/proc/{s.child.pid}/task/{number}/comm", encoding="utf-8") as comm:
                    self.assertEqual(comm.read().strip(), name)
            self.assertEqual(s.qmp("query-yank"), [{"type": "migration"}])
            s.qmp("yank", instances=[{"type": "migration"}])
            info = s.qmp.migration_end()
            self.assertEqual(info["status"], "failed")
            self.assertIn("yank", info["error-desc"])
            self.assertEqual(s.qmp("query-status")["status"], "running")
            self.assertEqual(d.qmp.wait_status("failed")["status"], "failed")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Events))
