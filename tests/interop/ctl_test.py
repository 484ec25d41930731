# SPDX-License-Identifier: Apache-2.0
"""`tern ctl` as its user runs it, against real tern-vmm and real QEMU.

usage: ctl_test.py BUILD_DIR
"""
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap

HERE = os.path.dirname(os.path.abspath(__file__))
COMPLETION = os.path.join(HERE, "..", "..", "tools", "completion", "tern.bash")
TERN = None
TERN_VMM = None
QEMU = shutil.which(os.environ.get("TERN_QEMU", "qemu-system-x86_64"))
LONG = 120  # seconds that nothing here comes near to


def ctl(*words, fds=(), text=None):
    return subprocess.run([TERN, "ctl", *words], capture_output=True, text=True, timeout=LONG,
                          pass_fds=fds, input=text, check=False)


def start_ctl(*words):
    return subprocess.Popen([TERN, "ctl", *words], stdout=subprocess.PIPE, text=True)


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tern-ctl-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def spawn(self, argv):
        log = open(self.path(f"{len(os.listdir(self.directory))}.log"), "wb")
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(log.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def tern(self, name, *extra, machine="threads"):
        """A tern-vmm with two QMP sockets, name and name2; returns the first."""
        self.spawn([TERN_VMM, "--machine", machine, "--ram", "32M", "--name", name,
                    "--qmp", f"unix:{self.path(name)}", "--qmp", f"unix:{self.path(name)}2", *extra])
        return self.ready(name)

    def qemu(self, name, *extra):
        if QEMU is None:
            self.skipTest("no qemu-system-x86_64")
        argv = [QEMU, "-machine", "none", "-nodefaults", "-display", "none", "-m", "64M"]
        for socket_name in (name, name + "2"):
            argv += ["-qmp", f"unix:{self.path(socket_name)},server=on,wait=off"]
        self.spawn(argv + list(extra))
        return self.ready(name)

    def ready(self, name):
        self.ok(self.path(name), "--connect-timeout", "60", "query-status")
        return self.path(name)

    def ok(self, *words, **more):
        run = ctl(*words, **more)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def value(self, *words):
        return json.loads(self.ok(*words, "--json"))

    def refused(self, status, *words):
        """Both forms of the failure; returns the text on standard error."""
        run = ctl(*words)
        self.assertEqual((run.returncode, run.stdout), (status, ""), run.stderr)
        as_json = ctl("--json", *words)
        self.assertEqual((as_json.returncode, as_json.stderr), (status, ""), as_json.stdout)
        self.assertTrue(json.loads(as_json.stdout)["error"]["desc"])
        return run.stderr

    def port(self, destination):
        return self.value(destination, "query-migrate")["socket-address"][0]["port"]

    def listen(self, destination):
        self.ok(destination, "migrate-incoming", "uri=tcp:127.0.0.1:0")
        return "uri=tcp:127.0.0.1:" + self.port(destination)


class Whole(Case):
    """Migrations driven by nothing but tern ctl."""

    def migrate(self, source, destination):
        for side in (source, destination):
            self.ok(side, "migrate-set-capabilities", "events=on", "return-path=on")
        self.ok(source, "migrate-set-parameters", "downtime-limit=500", "max-bandwidth:=1073741824")
        uri = self.listen(destination)
        watching = start_ctl(source + "2", "watch", "--until-end", "--interval", "0.1")
        self.addCleanup(watching.stdout.close)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        out = self.ok(source, "migrate", uri, "--wait")
        seen, _ = watching.communicate(timeout=LONG)
        self.assertEqual(watching.returncode, 0)
        for text in (out, seen):
            lines = text.splitlines()
            self.assertRegex(lines[-1], r"^\d\d:\d\d:\d\d\.\d{3}  completed in \d+ ms, downtime "
                                        r"\d+ ms, [\d.]+ \w+ sent( \([\d.]+ \w+/s on average\))?$")
            self.assertNotIn("\033", text)
        self.assertIn("  MIGRATION status=completed\n", out)
        self.assertEqual(self.value(source, "query-migrate")["status"], "completed")
        self.assertEqual(self.value(destination, "query-migrate")["status"], "completed")
        self.assertFalse(self.value(source, "query-status")["running"])

    def test_between_two_tern_vmm(self):
        source, destination = self.tern("a"), self.tern("b", "--incoming", "defer")
        self.migrate(source, destination)
        self.assertTrue(self.value(destination, "query-status")["running"])
        table = self.ok(source, "query-migrate")
        self.assertRegex(table, r"(?m)^status +completed$")
        self.assertRegex(table, r"(?m)^guest RAM +32\.0 MiB \(33554432\)$")

    def test_between_two_qemus(self):
        source, destination = self.qemu("a"), self.qemu("b", "-incoming", "defer")
        self.migrate(source, destination)
        self.assertTrue(self.value(destination, "query-status")["running"])

    def test_a_migration_to_nowhere_is_exit_status_1(self):
        for make in (self.tern, self.qemu):
            with self.subTest(make.__name__):
                source = make("s-" + make.__name__)
                run = ctl(source, "migrate", "uri=unix:/nonexistent/socket", "--wait")
                self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
                self.assertIn("nonexistent", run.stdout + run.stderr)

    def test_over_descriptors_that_getfd_sent(self):
        source, destination = self.tern("a"), self.tern("b", "--incoming", "defer")
        here, there = socket.socketpair()
        with here, there:
            for side, end in ((source, here), (destination, there)):
                self.ok(side, "getfd", "fdname=link", "--fd", str(end.fileno()), fds=(end.fileno(),))
        self.ok(destination, "migrate-incoming", "uri=fd:link")
        self.ok(source, "migrate", "uri=fd:link", "--wait")
        self.assertTrue(self.value(destination, "query-status")["running"])


class Watch(Case):
    def slow_migration(self):
        """A guest that writes its memory faster than its link may move it."""
        source, destination = self.tern("a"), self.tern("b", "--incoming", "defer")
        self.ok(source, "migrate-set-parameters", "max-bandwidth:=1000000", "downtime-limit:=1")
        return source, self.listen(destination)

    def test_a_guest_that_is_too_busy_is_said_not_to_converge(self):
        source, uri = self.slow_migration()
        watching = start_ctl(source, "migrate", uri, "--wait", "--enable-events", "--json",
                             "--interval", "0.2")
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        outlooks, last = [], None
        with watching.stdout as out:
            for line in out:
                last = json.loads(line)
                sample = last.get("sample")
                if not sample:
                    continue
                outlooks.append((sample.get("estimate") or {}).get("kind"))
                if outlooks[-1] == "does-not-converge" and outlooks.count(outlooks[-1]) == 1:
                    self.assertGreater(sample["dirty-rate"], 0)
                    self.assertGreater(sample["rate"], 0)
                    self.ok(source + "2", "migrate_cancel")
        self.assertEqual(watching.wait(LONG), 1)
        self.assertEqual(last["end"], "cancelled")
        self.assertIn("at-least", outlooks)
        self.assertIn("does-not-converge", outlooks)
        self.assertLess(outlooks.index(None), outlooks.index("at-least"))

    def test_on_a_terminal_a_live_line_is_redrawn_under_the_events(self):
        source, uri = self.slow_migration()
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 60))
        child = subprocess.Popen([TERN, "ctl", source, "migrate", uri, "--wait", "--enable-events",
                                  "--interval", "0.1"], stdout=slave, close_fds=True)
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        text, cancelled = "", False
        while True:
            self.assertTrue(select.select([master], [], [], LONG)[0], text)
            try:
                text += os.read(master, 65536).decode()
            except OSError:  # the other end is closed
                break
            if not cancelled and text.count("\r\033[K") > 20:
                self.ok(source + "2", "migrate_cancel")
                cancelled = True
        self.assertEqual(child.wait(LONG), 1)
        drawn = re.findall(r"\r\x1b\[K([^\r\n]*)", text)
        moving = [line for line in drawn if line.startswith("active")]
        self.assertGreater(len(moving), 5, text)
        self.assertTrue(all(len(line) < 60 for line in moving), moving)
        # An event wipes the live line, stands on a line of its own, and the live line comes back.
        self.assertRegex(text, r"\r\x1b\[K[\d:.]+  MIGRATION status=cancelled\r\n\w+")
        self.assertRegex(text, r"\r\x1b\[Kcancelled[^\r\n]*\r\n$")

    def test_a_server_that_quits_as_announced_ends_the_watching_well(self):
        for make in (self.tern, self.qemu):
            with self.subTest(make.__name__):
                server = make("s-" + make.__name__)
                watching = start_ctl(server + "2", "watch", "--json")
                first = watching.stdout.readline()
                self.assertEqual(json.loads(first)["sample"]["status"], "none")
                self.assertEqual(self.value(server, "quit"), {})
                rest, _ = watching.communicate(timeout=LONG)
                events = [json.loads(line).get("event") for line in rest.splitlines()]
                self.assertIn("SHUTDOWN", events)
                self.assertEqual(watching.returncode, 0)

    def test_a_server_that_is_killed_is_exit_status_3(self):
        self.tern("a")
        child = self.spawn([TERN_VMM, "--machine", "none", "--ram", "1M", "--qmp",
                            f"unix:{self.path('victim')}"])
        self.ok(self.path("victim"), "--connect-timeout", "60", "query-status")
        watching = start_ctl(self.path("victim"), "watch", "--json")
        self.assertTrue(watching.stdout.readline())
        child.kill()
        watching.communicate(timeout=LONG)
        self.assertEqual(watching.returncode, 3)

    def test_watching_leaves_the_settings_alone(self):
        source = self.tern("a")
        run = ctl(source, "watch", "--timeout", "0.1")
        self.assertEqual(run.returncode, 3)
        state = {c["capability"]: c["state"]
                 for c in self.value(source, "query-migrate-capabilities")}
        self.assertFalse(state["events"])


class Errors(Case):
    def test_what_is_no_server_is_exit_status_3(self):
        self.assertIn("No such file", self.refused(3, self.path("none"), "stop"))
        open(self.path("file"), "w").close()
        self.assertIn("not a socket", self.refused(3, self.path("file"), "stop"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path("dead"))
        self.assertIn("nobody listens", self.refused(3, self.path("dead"), "stop"))

    def test_a_server_that_is_busy_or_dumb_is_exit_status_3(self):
        with socket.socket(socket.AF_UNIX) as dumb:
            dumb.bind(self.path("dumb"))
            dumb.listen()
            text = self.refused(3, self.path("dumb"), "stop", "--timeout", "0.1")
            self.assertIn("another client", text)

    def test_wrong_usage_is_exit_status_2(self):
        for words in ([], ["x"], ["x", "y", "--nosuch"], ["x", "migrate", "--until-end"]):
            with self.subTest(words):
                self.assertTrue(self.refused(2, *words))

    def test_an_error_of_the_server_is_exit_status_1(self):
        for make in (self.tern, self.qemu):
            with self.subTest(make.__name__):
                server = make("s-" + make.__name__)
                text = self.refused(1, server, "closefd", "fdname=nosuch")
                self.assertTrue(text.startswith("tern ctl: closefd: "), text)

    def test_slips_are_told_before_anything_is_sent(self):
        qemu = self.qemu("q")
        for words, wanted in (
                (["mgirate", "uri=x"], "did you mean 'migrate'?"),
                (["migrate", "urii=x"], "did you mean 'uri'?"),
                (["migrate"], "missing argument 'uri'"),
                (["migrate", "uri"], "key=value"),
                (["migrate", "uri=x", "blk=maybe"], "on|off"),
                (["migrate-set-parameters", "multifd-compression=zst"], "did you mean 'zstd'?"),
                (["migrate-set-parameters", "max-bandwidth=fast"], "an integer is wanted"),
                (["migrate-set-capabilities", "event=on"], "did you mean 'events'?"),
                (["object-add", "qom-type=memory-backend-ram", "id=m"], "missing argument 'size'"),
        ):
            with self.subTest(words):
                self.assertIn(wanted, self.refused(2, qemu, *words))
        self.assertEqual(self.value(qemu, "query-migrate"), {})


class Forms(Case):
    def test_values_are_typed_by_qemus_schema(self):
        qemu = self.qemu("q")
        self.ok(qemu, "migrate-set-parameters", "max-bandwidth=1.5G", "downtime-limit=250",
                "multifd-compression=zlib", "cpu-throttle-tailslow=on", "tls-hostname=7")
        found = self.value(qemu, "query-migrate-parameters")
        self.assertEqual((found["max-bandwidth"], found["downtime-limit"]), (3 << 29, 250))
        self.assertEqual((found["multifd-compression"], found["tls-hostname"]), ("zlib", "7"))
        self.assertIs(found["cpu-throttle-tailslow"], True)
        self.ok(qemu, "object-add", "qom-type=memory-backend-ram", "id=m", "size=8M")
        self.assertEqual(self.value(qemu, "qom-get", "path=/objects/m", "property=size"), 8 << 20)
        self.ok(qemu, "blockdev-add", "driver=raw", "node-name=r", "file.driver=null-co",
                "file.size=2M")
        nodes = [n["node-name"] for n in self.value(qemu, "query-named-block-nodes")]
        self.assertIn("r", nodes)
        self.ok(qemu, "migrate-set-capabilities",
                'capabilities:=[{"capability":"xbzrle","state":true}]', "events=on")
        state = {c["capability"]: c["state"]
                 for c in self.value(qemu, "query-migrate-capabilities")}
        self.assertTrue(state["xbzrle"] and state["events"])

    def test_help_tells_what_the_server_can_do(self):
        qemu = self.qemu("q")
        self.assertRegex(self.ok(qemu, "help"), r"(?m)^migrate uri \[blk\] \[inc\]")
        self.assertRegex(self.ok(qemu, "help", "migrate"), r"(?m)^  uri= +string$")
        self.assertIn("size=", self.ok(qemu, "help", "object-add", "qom-type=memory-backend-ram"))
        self.assertIn("unstable", self.ok(qemu, "help", "migrate-set-parameters"))
        self.assertIn("(event)", self.ok(qemu, "help", "MIGRATION"))
        about = self.value(qemu, "help", "migrate-set-parameters")
        compression = [a for a in about["arguments"] if a["name"] == "multifd-compression"]
        self.assertEqual(compression[0]["words"][:2], ["none", "zlib"])
        names = {c["name"] for c in self.value(qemu, "help")}
        offered = {c["name"] for c in self.value(qemu, "query-commands")}
        self.assertLessEqual(offered, names | {"qmp_capabilities"})
        self.assertIn("migrate-incoming", {c["name"] for c in self.value(self.tern("t"), "help")})

    def test_every_query_without_arguments_has_both_forms(self):
        for make in (self.tern, self.qemu):
            server = make("s-" + make.__name__)
            for name in sorted(c["name"] for c in self.value(server, "query-commands")):
                if not name.startswith("query-"):
                    continue
                with self.subTest(server=make.__name__, command=name):
                    plain, as_json = ctl(server, name), ctl(server, name, "--json")
                    self.assertEqual(plain.returncode, as_json.returncode)
                    self.assertIn(plain.returncode, (0, 1, 2), plain.stderr)
                    self.assertEqual(as_json.stdout.count("\n"), 1)
                    json.loads(as_json.stdout)
                    if plain.returncode == 0:
                        self.assertTrue(plain.stdout.strip())

    def test_requests_from_standard_input(self):
        for make in (self.tern, self.qemu):
            with self.subTest(make.__name__):
                server = make("s-" + make.__name__)
                run = ctl(server, "-", text='# two\n{"execute": "query-status", "id": [1]}\n'
                                            '{"execute": "nosuch"}\n')
                replies = [json.loads(line) for line in run.stdout.splitlines()]
                self.assertEqual(run.returncode, 1)
                self.assertEqual(replies[0]["id"], [1])
                self.assertEqual(replies[1]["error"]["class"], "CommandNotFound")
                self.assertEqual(ctl(server, "-", text="{").returncode, 2)

    def test_out_of_band(self):
        qemu = self.qemu("q")
        self.assertTrue(self.value(qemu, "query-yank", "--oob"))
        self.assertIn("OOB", self.refused(1, qemu, "query-status", "--oob"))

    def test_bash_completes_from_the_server(self):
        if shutil.which("bash") is None:
            self.skipTest("no bash")
        qemu = self.qemu("q")
        script = f"""
          source {COMPLETION}
          try() {{
            COMP_LINE=$1; COMP_POINT=${{#1}}; read -r -a COMP_WORDS <<<"$1"
            [[ $1 == *" " ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); _tern; echo "${{COMPREPLY[*]}}"
          }}
          try "{TERN} c"
          try "{TERN} ctl {qemu} migrate-set-p"
          try "{TERN} ctl --json {qemu} migrate-set-parameters multifd-c"
          try "{TERN} ctl {qemu} migrate-set-parameters multifd-compression=z"
          try "{TERN} ctl {qemu} help MIGRATION_"
          try "{TERN} ctl {qemu} --int"
          try "{TERN} ctl {qemu[:-1]}"
        """
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=LONG,
                             check=False)
        lines = run.stdout.splitlines()
        self.assertEqual(lines[:6], ["ctl", "migrate-set-parameters",
                                     "multifd-channels= multifd-compression=", "zlib zstd",
                                     "MIGRATION_PASS", "--interval"], run.stderr)
        self.assertIn(qemu, lines[6].split())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    TERN = os.path.join(sys.argv[1], "tools", "tern")
    TERN_VMM = os.path.join(sys.argv[1], "tools", "tern-vmm")
    sys.exit(tap.main(Whole, Watch, Errors, Forms))
