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
    }


class Neighbours:
    """How many cores somebody else used, and how many the host took away, since this was made."""

    def __init__(self):
        self.before = self._now()

    @staticmethod
    def _now():
        # user nice system idle iowait irq softirq steal, in ticks; what we and our ended children used is not others'.
        ticks = [int(word) for word in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        own = sum(os.times()[:4]) * os.sysconf("SC_CLK_TCK")
        return time.monotonic(), sum(ticks[:3]) + sum(ticks[5:7]) - own, ticks[7]

    def cores(self):
        """{"others": cores, "host": cores}"""
        (start, busy, steal), (end, busy_now, steal_now) = self.before, self._now()
        ticks = max(end - start, 0.01) * os.sysconf("SC_CLK_TCK")
        return {"others": max(busy_now - busy, 0) / ticks, "host": max(steal_now - steal, 0) / ticks}


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
