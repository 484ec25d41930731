# SPDX-License-Identifier: Apache-2.0
"""A tern-vmm or a QEMU with RAM and nothing else: how it is started, set and looked at from outside. Whatever
differs between the programs is here."""
import ctypes
import mmap
import os
import re
import shlex
import subprocess
import time

from bench_qmp import Qmp, QmpError

PR_SET_THP_DISABLE = 41
CHUNK = 2 << 20


class RunError(Exception):
    """A run that gave no figures; says why, with the logs of its processes."""


class Program:
    """A command that can be a source and a destination."""

    def __init__(self, command, name=None):
        self.argv = shlex.split(command) if isinstance(command, str) else list(command)
        self.is_tern = "tern-vmm" in os.path.basename(self.argv[0])
        try:
            first = subprocess.run([*self.argv, "--version"], capture_output=True, text=True, timeout=60, check=True,
                                   stdin=subprocess.DEVNULL).stdout.splitlines()[0]
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            raise RunError(f"{shlex.join(self.argv)} --version: {error}") from error
        self.version = first
        self.name = name or self._short_name(first)

    def _short_name(self, text):
        number = re.search(r"[0-9]+(?:\.[0-9]+)+", text)
        return f"{'tern' if self.is_tern else 'QEMU'} {number[0]}" if number else os.path.basename(self.argv[0])

    def command_line(self, role, directory, ram, content, options):
        """argv of one side. The source has the content file, the destination fresh anonymous memory."""
        prefault = has_prefault(options, role, content)
        qmp = os.path.join(directory, role + ".qmp")
        if self.is_tern:
            words = ["--machine", "none", "--ram", str(ram), "--ram-id", "m", "--qmp", f"unix:{qmp}", "--paused"]
            words += ["--ram-backend", f"file:{content},share=on" if role == "source" else "anon"]
            words += ["--huge", "thp"] if options.page_size == "thp" else []
            words += ["--prefault"] if prefault else []
            words += ["--incoming", "defer"] if role == "destination" else []
            return [*self.argv, *words]
        backend = f"memory-backend-file,mem-path={content},share=on" if role == "source" else "memory-backend-ram"
        words = ["-nodefaults", "-display", "none", "-machine", "none,memory-backend=m", "-S",
                 "-object", f"{backend},id=m,size={ram}{',prealloc=on' if prefault else ''}",
                 "-qmp", f"unix:{qmp},server=on,wait=off"]
        words += ["-incoming", "defer"] if role == "destination" else []
        return [*self.argv, *words]


def has_prefault(options, role, content):
    # Prefaulting a hole makes it a page.
    return options.prefault in (role, "both") and not (role == "source" and content.endswith("sparse"))


def _no_huge_pages():
    # Inherited by what is executed. Fails on a kernel without huge pages, which has none to take away.
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


class Guest:
    """One side of a migration, ended when its with block ends."""

    def __init__(self, program, role, directory, content, options):
        self.role = role
        self.ram = options.ram
        self.argv = program.command_line(role, directory, options.ram, content, options)
        self.log_path = os.path.join(directory, role + ".log")
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                          preexec_fn=_no_huge_pages if options.page_size == "4k" else None)
        self.qmp = None
        self.qmp_path = os.path.join(directory, role + ".qmp")

    def __enter__(self):
        try:
            self.qmp = Qmp(self.qmp_path, lambda: self.child.poll() is None)
        except (QmpError, OSError) as error:
            self.stop()
            raise RunError(f"{error}\n{self.story()}") from error
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.qmp:
            self.qmp.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        if os.path.exists(self.qmp_path):
            os.unlink(self.qmp_path)

    def story(self):
        """What its user would want to see after a failure."""
        status = self.child.poll()
        ended = f" (ended with {status})" if status is not None else ""
        with open(self.log_path, errors="replace", encoding="utf-8") as log:
            return f"--- {self.role}{ended}: {shlex.join(self.argv)}\n{log.read()}"

    def configure(self, options, keys):
        """The same settings at both sides, in QEMU's words."""
        capabilities = {"events": True, "return-path": True, "multifd": options.channels > 0}
        if options.zero_copy and self.role == "source":
            capabilities["zero-copy-send"] = True
        if options.channels == 0:
            del capabilities["multifd"]  # off anyway, also where there is none
        self.qmp.call("migrate-set-capabilities", {"capabilities": [
            {"capability": name, "state": state} for name, state in capabilities.items()]})
        parameters = {"max-bandwidth": options.max_bandwidth, "downtime-limit": options.downtime_limit}
        if options.channels:
            parameters |= {"multifd-channels": options.channels, "multifd-compression": options.compression}
        if options.level is not None:
            parameters[f"multifd-{options.compression}-level"] = options.level
        if options.zero_page_detection:
            parameters["zero-page-detection"] = options.zero_page_detection
        if keys:
            endpoint = "client" if self.role == "source" else "server"
            self.qmp.call("object-add", keys.object("tls0", endpoint))
            parameters["tls-creds"] = "tls0"
            if endpoint == "client" and keys.hostname:
                parameters["tls-hostname"] = keys.hostname
        self.qmp.call("migrate-set-parameters", parameters)

    def cpu_seconds(self):
        """The process's CPU clock: nanoseconds, ended threads included (clock_getcpuclockid(3))."""
        return time.clock_gettime((~self.child.pid << 3) | 2)

    def ram_mappings(self):
        """(start, end, smaps fields) of each private anonymous mapping that could hold the RAM of a destination."""
        found, fields = [], {}
        with open(f"/proc/{self.child.pid}/smaps", encoding="ascii", errors="replace") as smaps:
            for line in smaps:
                head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) (\S+) (\S+) ([0-9]+)(.*)", line)
                if head:
                    start, end, fields = int(head[1], 16), int(head[2], 16), {}
                    if head[3] == "rw-p" and head[6] == "0" and not head[7].strip() and end - start >= self.ram:
                        found.append((start, end, fields))
                    continue
                field = re.match(r"(\w+): +([0-9]+) kB", line)
                if field:
                    fields[field[1]] = int(field[2]) << 10
        return found

    def holding(self, content):
        """The smaps fields of the mapping that holds what the file does; None if there is none. A small RAM is not
        the only mapping of its size (a thread's stack has 8 MiB), and it may share its mapping with neighbours."""
        with open(content, "rb", buffering=0) as file, \
             open(f"/proc/{self.child.pid}/mem", "rb", buffering=0) as memory:
            for start, end, fields in self.ram_mappings():
                for at in range(start, end - self.ram + 1, mmap.PAGESIZE):
                    if _same(file.fileno(), memory.fileno(), at, self.ram):
                        return fields
        return None


def _same(file, memory, at, size):
    # The first page alone tells most wrong places apart. Whole bytearrays are compared as fast as memory is read;
    # memoryviews element by element.
    first_file, first_memory = os.pread(file, mmap.PAGESIZE, 0), os.pread(memory, mmap.PAGESIZE, at)
    if first_file != first_memory:
        return False
    wanted, there = bytearray(CHUNK), bytearray(CHUNK)
    for done in range(0, size, CHUNK):  # RAM is a multiple of it
        if os.preadv(file, [wanted], done) != CHUNK or os.preadv(memory, [there], at + done) != CHUNK or wanted != there:
            return False
    return True
