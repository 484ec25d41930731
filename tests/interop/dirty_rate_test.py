# SPDX-License-Identifier: Apache-2.0
"""`tern dirty-rate` as its user runs it: on processes that write what they say, and on a real QEMU.

usage: dirty_rate_test.py BUILD_DIR
"""
import csv
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap

HERE = os.path.dirname(os.path.abspath(__file__))
COMPLETION = os.path.join(HERE, "..", "..", "tools", "completion", "tern.bash")
TERN = None
QEMU = shutil.which(os.environ.get("TERN_QEMU", "qemu-system-x86_64"))
LONG = 120  # seconds that nothing here comes near to
NOBODY = 65534

# A process that writes pages in order, round and round. Its memory is a private mapping of a memfd, so that it has a name.
# Arguments: pages in all, pages it writes, pages a second (0: as fast as it can). It counts in a file for the test.
WRITER = r"""
import mmap, os, struct, sys, time
pages, hot, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
fd = os.memfd_create("tern-test")
os.ftruncate(fd, pages * 4096)
memory = mmap.mmap(fd, pages * 4096, flags=mmap.MAP_PRIVATE)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(pages):
    memory[page * 4096] = 1
count = mmap.mmap(os.open(sys.argv[4], os.O_RDWR), 4096)
print("ready", flush=True)
begun = time.monotonic()
n = 0
while True:
    due = n + 2000 if rate == 0 else int((time.monotonic() - begun) * rate)
    while n < due:
        at = n % hot * 4096
        memory[at] = (memory[at] + 1) % 256
        n += 1
    count[:8] = struct.pack("<Q", n)
    if rate:
        time.sleep(0.002)
"""


def run(*words, user=None):
    return subprocess.run([TERN, "dirty-rate", *words], capture_output=True, text=True, timeout=LONG,
                          check=False, user=user)


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tern-dirty-rate-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def spawn(self, argv, **more):
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **more)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def writer(self, pages, hot, rate):
        with open(self.path("count"), "wb") as file:
            file.truncate(4096)
        child = self.spawn([sys.executable, "-c", WRITER, str(pages), str(hot), str(rate), self.path("count")],
                           stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        self.assertEqual(child.stdout.readline(), "ready\n")
        return child

    def written(self):
        with open(self.path("count"), "rb") as file:
            return int.from_bytes(file.read(8), "little"), time.monotonic()

    def measured(self, *words):
        done = run(*words, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]


MEMORY = ("--match", "/memfd:tern-test*")


class Processes(Case):
    def test_the_rate_is_the_one_the_writer_counts(self):
        writer = self.writer(32768, 32768, 8000)
        for precision in ("--samples=32768", "--precision=3"):  # all pages, and a sample of them
            first, begun = self.written()
            found = self.measured("--pid", str(writer.pid), *MEMORY, "--window", "600ms", precision)[0]
            last, ended = self.written()
            rate = (last - first) / (ended - begun) / 256
            # Its pace is uneven where the machine is busy; a wrong count would be off by a factor.
            self.assertAlmostEqual(found["windows"][0]["rate-mib-s"]["value"] / rate, 1, delta=0.3)
            self.assertEqual(found["memory"]["populated-bytes"], 32768 * 4096)
            self.assertEqual(found["memory"]["mappings"], 1)

    def test_the_set_of_pages_grows_to_what_is_written_and_no_further(self):
        writer = self.writer(8192, 2560, 0)
        found = self.measured("--pid", str(writer.pid), *MEMORY, "--curve", "0.05,0.3,0.6", "--regions",
                              "64")[0]
        sets = [window["dirty-mib"]["value"] for window in found["windows"]]
        self.assertEqual([window["window-ms"] for window in found["windows"]], [50, 300, 600])
        self.assertEqual(sets, sorted(sets))
        self.assertEqual(sets[2], 10.0)
        dirty = sum(region["dirty-bytes"] for region in found["regions"])
        self.assertEqual(dirty, 10 << 20)

    def test_json_says_what_was_done_and_what_it_cost(self):
        writer = self.writer(1024, 10, 0)
        found = self.measured("--pid", str(writer.pid), *MEMORY, "--window", "0.1", "--count", "2", "--mode",
                              "page-sampling")
        self.assertEqual(len(found), 2)
        for one in found:
            self.assertEqual(set(one), {"tern", "target", "started", "mode", "mode-reason", "memory", "samples",
                                        "windows", "regions", "cost", "notes"})
            self.assertEqual(one["mode"], "page-sampling")
            self.assertEqual(one["target"]["pid"], writer.pid)
            self.assertEqual(one["cost"]["pages-hashed"], 2 * 1024)
            self.assertEqual(one["cost"]["bytes-read"], 2 * 1024 * 4096)
            self.assertGreater(one["cost"]["cpu-ms"], 0)
            self.assertGreater(one["cost"]["peak-memory-bytes"], 1 << 20)
            window = one["windows"][0]
            self.assertEqual(set(window), {"window-ms", "interval-ms", "dirty-mib", "rate-mib-s", "new-bytes",
                                           "left-bytes", "samples"})
            self.assertEqual(window["samples"], 1024)

    def test_auto_says_which_mode_was_used_and_why(self):
        writer = self.writer(64, 10, 0)
        found = self.measured("--pid", str(writer.pid), *MEMORY, "--window", "50ms")[0]
        self.assertIn(found["mode"], ("page-sampling", "soft-dirty"))
        self.assertIn("soft-dirty", found["mode-reason"])

    def test_text_csv_and_a_chart(self):
        writer = self.writer(1024, 10, 0)
        base = ("--pid", str(writer.pid), *MEMORY, "--window", "50ms")
        text = run(*base, "--svg", self.path("chart.svg"))
        self.assertEqual(text.returncode, 0, text.stderr)
        for word in ("process", "memory", "sample", "dirty", "rate", "hot", "cost"):
            self.assertRegex(text.stdout, rf"(?m)^{word}\b")
        root = xml.etree.ElementTree.parse(self.path("chart.svg")).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertIn(str(writer.pid), "".join(root.itertext()))
        rows = list(csv.DictReader(run(*base, "--csv", "--count", "2").stdout.splitlines()))
        self.assertEqual(len(rows), 2)
        self.assertEqual(float(rows[1]["dirty_mib"]), round(10 / 256, 3))

    def test_in_a_pipe_each_measurement_is_a_line_and_on_a_terminal_one_line_is_redrawn(self):
        writer = self.writer(64, 10, 0)
        words = ("--pid", str(writer.pid), *MEMORY, "--window", "50ms", "--count", "3")
        lines = run(*words).stdout.splitlines()
        self.assertEqual(len([line for line in lines if " dirty " in line]), 3)
        self.assertTrue(lines[-1].startswith("3 measurements: mean "), lines)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 20, 0, 0))
        child = self.spawn([TERN, "dirty-rate", *words], stdout=theirs)
        os.close(theirs)
        text = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            text += more
        os.close(ours)
        self.assertEqual(child.wait(LONG), 0)
        self.assertEqual(text.count(b"\r\x1b[K"), 3)
        for line in text.split(b"\r\x1b[K")[1:]:
            self.assertEqual(len(line.split(b"\r\n")[0]), 19, text)  # cut to the terminal

    def test_an_interrupt_ends_it_with_what_was_measured(self):
        writer = self.writer(64, 10, 0)
        child = self.spawn([TERN, "dirty-rate", "--pid", str(writer.pid), *MEMORY, "--window", "50ms", "--count", "0"],
                           stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        for _ in range(3):
            child.stdout.readline()
        child.send_signal(signal.SIGINT)
        self.assertIn("measurements: mean", child.communicate(timeout=LONG)[0])
        self.assertEqual(child.returncode, 0)

    def test_an_interrupt_before_there_is_a_figure_is_no_success(self):
        writer = self.writer(64, 10, 0)
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            child = self.spawn([TERN, "dirty-rate", "--pid", str(writer.pid), *MEMORY, "--window", "1h"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(child.stdout.close)
            self.addCleanup(child.stderr.close)
            child.stdout.readline()
            child.send_signal(number)
            self.assertIn("interrupted", child.communicate(timeout=LONG)[1])
            self.assertEqual(child.returncode, status)

    def test_a_curve_that_is_cut_short_leaves_its_finished_windows(self):
        for cut in ("interrupt", "end"):
            patience = 0.2
            while True:  # a busy machine may take any time for the first window
                writer = self.writer(64, 10, 0)
                chart = self.path(f"{cut}.svg")
                child = self.spawn([TERN, "dirty-rate", "--pid", str(writer.pid), *MEMORY, "--curve", "0.01,0.02,1h",
                                    "--json", "--svg", chart], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.addCleanup(child.stdout.close)
                self.addCleanup(child.stderr.close)
                time.sleep(patience)
                if cut == "interrupt":
                    child.send_signal(signal.SIGINT)
                else:
                    writer.kill()
                out, err = child.communicate(timeout=LONG)
                windows = json.loads(out)["windows"] if out else []
                if len(windows) == 2:
                    break
                patience *= 2
            self.assertEqual(child.returncode, 0 if cut == "interrupt" else 3, err)
            self.assertEqual([window["window-ms"] for window in windows], [10, 20])
            xml.etree.ElementTree.parse(chart)
            writer.kill()


class Ends(Case):
    def status(self, *words, expected, text, **more):
        done = run(*words, **more)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        self.assertIn(text, done.stderr)
        return done

    def test_usage(self):
        self.status(expected=2, text="--pid and --qmp")
        self.status("--pid", "1", "--window", "never", expected=2, text="--window 'never'")
        self.status("--pid", "self", expected=2, text="--pid")
        self.status("--pid", "0", expected=2, text="--pid '0'")
        self.status("--pid", "1", "--count", "-1", expected=2, text="--count '-1'")
        self.status("--pid", "1", "--curve", "--window", "1s", expected=2, text="--window and --curve")

    def test_help_lists_the_exit_statuses(self):
        text = run("--help").stdout
        for status in (*range(8), 130, 143):
            self.assertRegex(text, rf"(?m)^  {status}  \w")

    def test_no_such_process(self):
        child = self.spawn(["true"])
        child.wait()
        self.status("--pid", str(child.pid), expected=3, text=f"there is no process {child.pid}")

    def test_a_process_that_is_stopped(self):
        writer = self.writer(64, 10, 0)
        writer.send_signal(signal.SIGSTOP)
        os.waitpid(writer.pid, os.WUNTRACED)
        found = json.loads(run("--pid", str(writer.pid), *MEMORY, "--window", "50ms", "--json").stdout)
        self.assertTrue([note for note in found["notes"] if "it is stopped" in note], found["notes"])

    def test_a_process_that_ends_meanwhile_leaves_what_was_measured(self):
        writer = self.writer(64, 10, 0)
        child = self.spawn([TERN, "dirty-rate", "--pid", str(writer.pid), *MEMORY, "--window", "50ms", "--count", "0"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        for _ in range(3):
            child.stdout.readline()
        writer.kill()
        out, err = child.communicate(timeout=LONG)
        self.assertEqual(child.returncode, 3, err)
        self.assertIn("has ended", err)
        self.assertIn("measurements: mean", out)

    def test_a_process_that_starts_another_program(self):
        ready, go = self.path("ready"), self.path("go")
        shell = self.spawn(["bash", "-c", f"touch {ready}; until [ -e {go} ]; do :; done; exec sleep 1000"])
        while not os.path.exists(ready):
            time.sleep(0.01)
        child = self.spawn([TERN, "dirty-rate", "--pid", str(shell.pid), "--window", "50ms", "--count", "0"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        for _ in range(3):
            child.stdout.readline()
        with open(go, "wb"):
            pass
        err = child.communicate(timeout=LONG)[1]
        self.assertEqual(child.returncode, 5, err)
        self.assertIn("exec", err)

    def test_a_process_that_is_not_ours(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to be somebody else")
        sleeper = self.spawn(["sleep", "1000"])
        directory = tempfile.mkdtemp(prefix="tern-nobody-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        program = shutil.copy(TERN, directory)  # where anybody may run it
        done = subprocess.run([program, "dirty-rate", "--pid", str(sleeper.pid)], capture_output=True, text=True,
                              timeout=LONG, check=False, user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn(f"belongs to user 0, we are user {NOBODY}", done.stderr)

    def test_nothing_to_measure(self):
        writer = self.writer(16, 1, 0)
        self.status("--pid", str(writer.pid), "--min-region", "1T", expected=6, text="--min-region")

    def test_soft_dirty_where_the_kernel_has_none(self):
        writer = self.writer(16, 1, 0)
        done = run("--pid", str(writer.pid), *MEMORY, "--mode", "soft-dirty", "--window", "50ms")
        if done.returncode == 0:
            self.skipTest("this kernel has soft-dirty bits")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("CONFIG_MEM_SOFT_DIRTY", done.stderr)

    def test_a_chart_that_cannot_be_written(self):
        writer = self.writer(16, 1, 0)
        self.status("--pid", str(writer.pid), *MEMORY, "--window", "50ms", "--svg", "/nowhere/chart.svg", expected=1,
                    text="/nowhere/chart.svg")

    def test_output_that_cannot_be_written(self):
        writer = self.writer(16, 1, 0)
        words = [TERN, "dirty-rate", "--pid", str(writer.pid), *MEMORY, "--window", "50ms"]
        # Without an end of its own: the first line that is not written ends it.
        for more in ([], ["--json"], ["--csv"], ["--count", "0"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([*words, *more], stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONG,
                                      check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(done.stderr.count("standard output: "), 1, done.stderr)
        closed = subprocess.run(["bash", "-c", '"$@" >&-', "-", *words], stderr=subprocess.PIPE, text=True, timeout=LONG,
                                check=False)
        self.assertEqual(closed.returncode, 1, closed.stderr)
        self.assertIn("standard output: ", closed.stderr)


class Servers(Case):
    def qemu(self):
        if QEMU is None:
            self.skipTest("no qemu-system-x86_64")
        path = self.path("qmp")
        child = self.spawn([QEMU, "-machine", "none", "-nodefaults", "-display", "none", "-m", "64M", "-qmp",
                            f"unix:{path},server=on,wait=off"])
        while subprocess.run([TERN, "ctl", path, "query-status"], capture_output=True, timeout=LONG,
                             check=False).returncode:
            self.assertIsNone(child.poll(), "QEMU has ended")
        return child, path

    def test_qemu_measures_itself(self):
        child, path = self.qemu()
        found = self.measured("--qmp", path, "--window", "0.4", "--sample-pages", "1024")[0]
        self.assertEqual(set(found), {"tern", "target", "started", "mode", "sample-pages", "window-ms", "interval-ms",
                                      "rate-mib-s", "rate-low-mib-s", "rate-high-mib-s", "vcpus", "notes"})
        self.assertEqual(found["rate-mib-s"], 0)
        self.assertEqual(found["sample-pages"], 1024)
        self.assertIn("QEMU", found["target"]["server"])
        self.assertGreaterEqual(found["window-ms"], 400)
        self.assertEqual(found["notes"] != [], found["window-ms"] != 400)
        self.assertEqual(self.measured("--qmp", f"unix:{path}", "--window", "1s")[0]["rate-mib-s"], 0)
        refused = run("--qmp", path, "--sample-pages", "2")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("calc-dirty-rate", refused.stderr)
        # QEMU 7.2 ends when it is asked for this without KVM.
        refused = run("--qmp", path, "--mode", "dirty-ring")
        self.assertEqual(refused.returncode, 7, refused.stderr)
        self.assertIsNone(child.poll(), "QEMU has ended")

    def test_an_interrupt_while_the_server_hangs(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path("hangs"))
            listener.listen()
            child = self.spawn([TERN, "dirty-rate", "--qmp", self.path("hangs")], stderr=subprocess.PIPE, text=True)
            self.addCleanup(child.stderr.close)
            connection = listener.accept()[0]  # and it is not greeted
            self.addCleanup(connection.close)
            child.send_signal(signal.SIGINT)
            self.assertIn("interrupted", child.communicate(timeout=LONG)[1])
            self.assertEqual(child.returncode, 130)

    def test_nobody_listens(self):
        done = run("--qmp", self.path("nobody"))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(self.path("nobody"), done.stderr)


class Completion(Case):
    def test_options_and_their_values_are_completed(self):
        def complete(line):
            words = line.split(" ")
            script = (f". {COMPLETION}; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
                      f"COMP_CWORD={len(words) - 1}; _tern; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
            return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=LONG,
                                  check=True).stdout.split()

        self.assertEqual(complete("tern dirty-r"), ["dirty-rate"])
        self.assertEqual(complete("tern dirty-rate --mode so"), ["soft-dirty"])
        self.assertIn(str(os.getpid()), complete(f"tern dirty-rate --pid {os.getpid()}"))
        offered = set(complete("tern dirty-rate --"))
        self.assertEqual(offered, set(re.findall(r"--[a-z][a-z-]+", run("--help").stdout)))


if __name__ == "__main__":
    TERN = os.path.join(sys.argv[1], "tools", "tern")
    sys.exit(tap.main(Processes, Ends, Servers, Completion))
