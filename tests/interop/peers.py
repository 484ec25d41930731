# SPDX-License-Identifier: Apache-2.0
"""What the interop tests drive: QEMU and tern-vmm as processes, both over QMP."""
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PAGE = 4096


class QmpError(Exception):
    """The error object of a reply."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.error = error


class Qmp:
    """One QMP connection. Events are collected in self.events."""

    def __init__(self, path, alive, deadline=20.0):
        until = time.monotonic() + deadline
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                if not alive() or time.monotonic() > until:
                    raise
                time.sleep(0.01)
        self.file = self.sock.makefile("rwb", buffering=0)
        self.events = []
        self.greeting = self._read()
        self("qmp_capabilities")

    def _read(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the QMP server closed the connection")
        return json.loads(line)

    def __call__(self, command, **arguments):
        request = {"execute": command.replace("__", "-")}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.file.write(json.dumps(request).encode() + b"\n")
        while True:
            reply = self._read()
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise QmpError(reply["error"])
            else:
                return reply["return"]

    def drain(self):
        """Reads events that are there already."""
        self("query-status")
        return self.events

    def capabilities(self, **names):
        self("migrate-set-capabilities", capabilities=[
            {"capability": k.replace("_", "-"), "state": v} for k, v in names.items()])

    def migration_end(self, deadline=60.0):
        """Polls query-migrate until it ends; returns the last reply."""
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            info = self("query-migrate")
            if info.get("status") in ("completed", "failed", "cancelled"):
                return info
            time.sleep(0.02)
        raise TimeoutError(f"migration did not end: {info}")

    def wait_status(self, wanted, deadline=30.0):
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            info = self("query-migrate")
            if info.get("status") == wanted:
                return info
            time.sleep(0.01)
        raise TimeoutError(f"never {wanted}: {info}")

    def close(self):
        self.file.close()
        self.sock.close()


class Process:
    """A QEMU or a tern-vmm with a QMP socket, ended when the with block ends."""

    def __init__(self, argv, directory, name):
        self.directory = directory
        self.qmp_path = os.path.join(directory, name + ".qmp")
        self.log_path = os.path.join(directory, name + ".log")
        self.log = open(self.log_path, "wb")
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=subprocess.STDOUT)
        self.qmp = None

    def __enter__(self):
        try:
            self.qmp = Qmp(self.qmp_path, lambda: self.child.poll() is None)
        except OSError as e:
            self.stop()
            raise RuntimeError(f"no QMP from {self.child.args}: {self.output()}") from e
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.qmp:
            self.qmp.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.log.close()

    def output(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")


def ram_argument(path, size):
    return f"memory-backend-file,id=m,size={size},mem-path={path},share=on"


def qemu_none(qemu, directory, name, ram_path, size, *extra):
    """QEMU with RAM and nothing else, the RAM in a shared file."""
    return Process([qemu, "-nodefaults", "-display", "none", "-machine", "none,memory-backend=m",
                    "-object", ram_argument(ram_path, size),
                    "-qmp", f"unix:{directory}/{name}.qmp,server=on,wait=off", *extra], directory, name)


def tern_none(tern_vmm, directory, name, ram_path, size, *extra):
    return Process([tern_vmm, "-v", "--machine", "none", "--ram", str(size), "--ram-id", "m",
                    "--ram-backend", f"file:{ram_path},share=on", "--qmp", f"unix:{directory}/{name}.qmp",
                    *extra], directory, name)


@functools.lru_cache(maxsize=4)
def content(kind, size, seed=1):
    """RAM content by kind: random, zero, mixed."""
    import random
    rng = random.Random(seed)
    if kind == "random":
        return rng.randbytes(size)
    if kind == "zero":
        return bytes(size)
    pages = []
    for i in range(size // PAGE):
        if i % 4 == 0:
            pages.append(bytes(PAGE))
        elif i % 4 == 1:
            pages.append(rng.randbytes(PAGE))
        elif i % 4 == 2:
            pages.append((b"%08d the quick brown tern \n" % i * 160)[:PAGE].ljust(PAGE, b"."))
        else:
            pages.append(bytes(PAGE - 1) + b"\1")  # zero but for its last byte
    return b"".join(pages)


def write_file(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def find_qemu():
    return shutil.which(os.environ.get("TERN_QEMU", "qemu-system-x86_64"))


__all__ = [name for name in dir() if not name.startswith("_")]
