# SPDX-License-Identifier: Apache-2.0
"""Programs that were written for QEMU drive whole migrations of tern-vmm, unchanged: the QMP client of
Ganeti (Debian package ganeti-3.0, of which only the Python library is unpacked), and socat.

usage: client_test.py BUILD_DIR"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import peers
import tap

BUILD = None
PYTHON = "/usr/bin/python3"  # Debian's, which has the modules that Ganeti imports
SIZE = 64 << 20

# Runs under PYTHON with Ganeti's library in its path, and uses nothing but that: each step is one of
# the methods by which Ganeti migrates an instance (hypervisor/hv_kvm/__init__.py, MigrateInstance and
# what surrounds it).
GANETI = '''
import sys, time
from ganeti.hypervisor.hv_kvm.monitor import QmpConnection, QmpCommandNotSupported
from ganeti import errors
source, destination, port = sys.argv[1:]
src, dst = QmpConnection(source), QmpConnection(destination)   # each call connects and closes

def ask(path, command, arguments=None):
    with QmpConnection(path) as connection:
        return connection.Execute(command, arguments)

with QmpConnection(source) as connection:
    print("version", connection.version, connection.package)
    assert {"migrate", "query-migrate"} <= connection.supported_commands
assert src.HasDynamicAutoReadOnly() is False        # reads query-qmp-schema
try:
    src.StartPostcopyMigration()
except QmpCommandNotSupported as why:
    print("no postcopy:", why)
for side in (src, dst):
    side.SetMigrationCapabilities(["events", "return-path"], True)
try:
    src.SetMigrationCapabilities(["x-nosuch"], True)
    raise SystemExit("an unknown capability was accepted")
except errors.HypervisorError as why:
    print("refused:", why)
src.SetMigrationParameters(32 * 1024 * 1024, 30)
assert ask(source, "query-migrate-parameters")["max-bandwidth"] == 32 << 20
assert src.GetMigrationStatus() == {}
ask(destination, "migrate-incoming", {"uri": "tcp:127.0.0.1:" + port})
src.StartMigration("127.0.0.1", port)
seen = []
while True:
    info = src.GetMigrationStatus()
    if not seen or seen[-1] != info["status"]:
        seen.append(info["status"])
    if info["status"] in ("completed", "failed", "cancelled"):
        break
    time.sleep(0.05)
print("statuses", seen, "downtime", info.get("downtime"), "ram", info["ram"]["transferred"])
assert seen[-1] == "completed", info
assert info["ram"]["remaining"] == 0
dst.StopGuestEmulation()
assert ask(destination, "query-status")["status"] == "paused"
dst.ContinueGuestEmulation()
assert ask(destination, "query-status")["running"]
print("DONE")
'''


def unpack_ganeti(directory):
    """The folder to put into PYTHONPATH, or why there is none."""
    installed = sorted(glob.glob("/usr/share/ganeti/*/ganeti/hypervisor/hv_kvm/monitor.py"))
    if installed:
        return os.path.dirname(installed[-1]).removesuffix("/ganeti/hypervisor/hv_kvm"), None
    for command in (["apt-get", "download", "ganeti-3.0"], None):
        if command is None:
            packages = glob.glob(os.path.join(directory, "ganeti-3.0_*.deb"))
            command = ["dpkg", "-x", *packages, os.path.join(directory, "x")]
        if shutil.which(command[0]) is None:
            return None, f"no {command[0]}"
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None, f"{' '.join(command[:3])}: {done.stderr.strip().splitlines()[-1:]}"
    found = glob.glob(os.path.join(directory, "x/usr/share/ganeti/*"))
    return (found[-1], None) if found else (None, "the package has another layout")


class Clients(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-clients-")
        self.vmm = os.path.join(BUILD, "tools", "tern-vmm")

    def tearDown(self):
        self.directory.cleanup()

    def pair(self):
        d = self.directory.name
        guest = ["--machine", "threads", "--ram", str(SIZE), "--guest-range", "1M:4M", "--guest-rate",
                 "2000"]
        source = peers.Process([self.vmm, *guest, "--qmp", f"unix:{d}/s.qmp", "--qmp",
                                f"unix:{d}/s2.qmp"], d, "s")
        destination = peers.Process([self.vmm, *guest, "--incoming", "defer", "--qmp",
                                     f"unix:{d}/d.qmp", "--qmp", f"unix:{d}/d2.qmp"], d, "d")
        return source, destination

    def test_ganeti_migrates_an_instance(self):
        library, why = unpack_ganeti(self.directory.name)
        if library is None:
            self.skipTest(f"no ganeti-3.0: {why}")
        imports = subprocess.run(
            [PYTHON, "-c", "import ganeti.hypervisor.hv_kvm.monitor"],
            env={**os.environ, "PYTHONPATH": library}, capture_output=True, text=True, check=False)
        if imports.returncode != 0:
            self.skipTest(f"Ganeti's library: {imports.stderr.strip().splitlines()[-1]}")
        source, destination = self.pair()
        with source, destination:
            d = self.directory.name
            done = subprocess.run(
                [PYTHON, "-c", GANETI, f"{d}/s2.qmp", f"{d}/d2.qmp", str(20000 + os.getpid() % 20000)],
                env={**os.environ, "PYTHONPATH": library}, capture_output=True, text=True,
                timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr + source.output())
            self.assertTrue(done.stdout.endswith("DONE\n"), done.stdout)
            print("# " + done.stdout.strip().replace("\n", "\n# "))
            self.assertEqual(source.qmp("query-status")["status"], "postmigrate")

    def test_socat_migrates_a_machine(self):
        if shutil.which("socat") is None:
            self.skipTest("socat is not installed")
        source, destination = self.pair()
        with source, destination:
            d = self.directory.name

            def socat(path, *lines):
                typed = "\n".join(('{"execute":"qmp_capabilities"}',) + lines) + "\n"
                done = subprocess.run(["socat", "-t5", "-", f"UNIX-CONNECT:{path}"], input=typed,
                                      capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                return done.stdout

            out = socat(f"{d}/d2.qmp",
                        '{"execute":"migrate-incoming","arguments":{"uri":"unix:%s/mig"}}' % d)
            self.assertEqual(out.count('{"return": {}}') + out.count('{"return":{}}'), 2, out)
            out = socat(f"{d}/s2.qmp",
                        '{ "execute": "migrate",',
                        '  "arguments": { "uri": "unix:%s/mig" } }' % d,
                        '{"execute":"query-migrate"}')
            self.assertIn('"status"', out)
            self.assertEqual(source.qmp.migration_end()["status"], "completed")
            self.assertIn('"running":true',
                          socat(f"{d}/d2.qmp", '{"execute":"query-status"}').replace(" ", ""))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    sys.exit(tap.main(Clients))
