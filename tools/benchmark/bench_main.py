# SPDX-License-Identifier: Apache-2.0
"""tools/bench from its command line to its exit status."""
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

import bench_machine
from bench_chart import chart
from bench_figures import content_summary, rounded
from bench_guest import Program, RunError
from bench_keys import Keys
from bench_options import parse
from bench_report import markdown, table
from bench_run import GIB, Memory, available_memory, migrate

RAM_HOME = "/dev/shm"


class Turn:
    """One benchmark at a time on a machine: an abstract socket, which its owner's end frees."""

    NAME = "\0tern-bench"

    def __init__(self, wait):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.alone = self._take()
        if not self.alone and wait:
            print("tools/bench: another one is measuring on this machine; this one waits", file=sys.stderr)
            while not self._take():
                time.sleep(1)
            self.alone = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _take(self):
        try:
            self.sock.bind(self.NAME)
        except OSError:
            return False
        return True


class Progress:
    """What happens now: one line that changes on a terminal, nothing in a pipe."""

    def __init__(self, stream):
        self.stream = stream if stream.isatty() else None

    def __call__(self, text=""):
        if self.stream:
            self.stream.write("\r\033[K" + text[:120])
            self.stream.flush()


def build(root, options):
    """Compiles what is run; status of the compiler. stdout is for the result alone."""
    targets = ["tools/tern-bench-memory", *([] if options.subject else ["tools/tern-vmm"])]
    script = '. "$1/tools/setup" && tern_setup build && shift && tern_build "$@"'
    words = ["bash", "-c", script, "tools/bench", root, options.build_dir, *targets]
    return subprocess.run(words, stdout=sys.stderr, check=False).returncode


def programs_of(options):
    """Name to Program; the subject is first."""
    commands = [options.subject or [os.path.join(options.build_dir, "tools", "tern-vmm")], *options.against]
    named = {}
    for command in commands:
        program = Program(command)
        name = program.name
        # The same version twice is two builds, or the same with other options.
        for n in range(2, len(commands) + 1):
            if program.name not in named:
                break
            program.name = f"{name} #{n}"
        named[program.name] = program
    return named


def check_memory(options):
    # Content and destination, and what the programs need for themselves.
    needed = 2 * options.ram + (256 << 20)
    free = available_memory()
    if needed > free:
        raise RunError(f"{rounded(needed / GIB)} GiB of memory are needed and {rounded(free / GIB)} GiB are free: "
                       "a smaller --ram?")


class Bench:
    """Everything that is measured, in order."""

    def __init__(self, options, programs, memory, directory, ram_directory, progress):
        self.options, self.programs, self.memory = options, programs, memory
        self.directory, self.progress = directory, progress
        self.ram_directory = ram_directory
        self.keys = Keys(options.tls, directory) if options.tls != "none" else None
        self.runs, self.limits, self.summary = [], [], []

    def content(self, content):
        path = os.path.join(self.ram_directory, content)
        self.progress(f"{content}: making {rounded(self.options.ram / GIB)} GiB")
        made = self.memory("fill", path, self.options.ram, content)
        runs, limits = [], []
        for pair in range(1, self.options.pairs + 1):
            for program in self.programs.values():
                runs.append(self.one(program, content, path, pair))
            self.progress(f"{content} {pair}/{self.options.pairs}: raw limit")
            if content == "sparse":
                self.memory("fill", path, self.options.ram, content)
            limits.append({"content": content, "pair": pair} | self.memory.limits(path, made, self.options))
        os.unlink(path)
        self.runs += runs
        self.limits += limits
        self.summary.append(content_summary(content, list(self.programs), runs, limits) | {"pages": made})

    def one(self, program, content, path, pair):
        if content == "sparse":
            # Who reads a hole through a mapping fills it: the next one gets a new file.
            self.memory("fill", path, self.options.ram, content)
        line = f"{content} {pair}/{self.options.pairs}: {program.name}"
        # Before each run, not each pair: a machine that reports free pages to its host loses them in seconds.
        self.progress(line + ", warming the machine's memory")
        self.memory.warm(self.options.ram)
        self.progress(line)
        verify = pair == 1 and not self.options.no_verify
        figures = migrate(program, self.directory, path, self.options, self.keys, verify,
                          tick=lambda: self.progress(line + " is migrating"))
        return {"program": program.name, "content": content, "pair": pair} | figures

    def document(self, command):
        settings = {key.replace("_", "-"): getattr(self.options, key) for key in (
            "ram", "pairs", "channels", "compression", "level", "tls", "zero_page_detection", "zero_copy",
            "max_bandwidth", "downtime_limit", "machine_state", "page_size", "prefault")}
        return {
            "command": command,
            "settings": settings,
            "programs": {name: {"command": p.argv, "version": p.version} for name, p in self.programs.items()},
            "summary": self.summary,
            "runs": self.runs,
            "limits": self.limits,
        }


def svg_path(options, date):
    if options.svg:
        return options.svg
    folder = os.path.dirname(options.json) if options.json else ""
    return os.path.join(folder, f"bench-{date}.svg")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def measure(options, command, alone):
    machine = bench_machine.describe() | {"alone": alone}  # before our own load
    neighbours = bench_machine.Neighbours()
    check_memory(options)
    programs = programs_of(options)
    memory = Memory(os.path.join(options.build_dir, "tools", "tern-bench-memory"))
    progress = Progress(sys.stderr)
    with tempfile.TemporaryDirectory(prefix="tern-bench-") as directory, \
         tempfile.TemporaryDirectory(prefix="tern-bench-", dir=RAM_HOME) as ram_directory:
        bench = Bench(options, programs, memory, directory, ram_directory, progress)
        try:
            for content in options.content:
                bench.content(content)
        finally:
            progress()
    machine["cores-used"] = neighbours.cores()
    document = {"machine": machine} | bench.document(command)
    print("\n".join((markdown if options.markdown else table)(document)))
    if options.json:
        write(options.json, json.dumps(document, indent=2) + "\n")
    if options.svg is not None:
        write(svg_path(options, machine["date"]), chart(document))


def main(argv, root):
    options = parse(argv, root)
    # Also when it is asked to end, it ends its guests and takes their memory back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not options.no_build and build(root, options) != 0:
        print("tools/bench: the build failed", file=sys.stderr)
        return 1
    try:
        with Turn(wait=not options.quick) as turn:
            measure(options, shlex.join(["tools/bench", *argv]), turn.alone)
    except (RunError, OSError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tools/bench: interrupted", file=sys.stderr)
        return 1
    return 0
