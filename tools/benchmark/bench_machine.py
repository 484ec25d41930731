# SPDX-License-Identifier: Apache-2.0
"""What a reader of figures must know about the machine that made them."""
import os
import platform
import re
import time


def _first(path, pattern, default=""):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return default
    return found[1].strip() if found else default


def describe():
    memory = int(_first("/proc/meminfo", r"^MemTotal:\s+([0-9]+)", "0")) << 10
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$", platform.machine()),
        "cores": os.cpu_count(),
        "memory-bytes": memory,
        "kernel": platform.release(),
        "virtual": re.search(r"^flags\s*:.*\bhypervisor\b", _read("/proc/cpuinfo"), re.M) is not None,
        "thp": _first("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]", "none"),
        "shmem-thp": _first("/sys/kernel/mm/transparent_hugepage/shmem_enabled", r"\[(\w+)\]", "none"),
        "load": os.getloadavg()[0],
    }


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def sentence(machine):
    where = "virtual machine, " if machine["virtual"] else ""
    return (f"{machine['date']}, {where}{machine['cpu']}, {machine['cores']} cores, "
            f"{machine['memory-bytes'] / (1 << 30):.0f} GiB RAM, Linux {machine['kernel']}")
