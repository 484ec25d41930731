# SPDX-License-Identifier: Apache-2.0
"""One migration, measured; and the limits of the machine beside it."""
import json
import os
import subprocess
import time

from bench_guest import Guest, RunError
from bench_qmp import QmpError, wait_for_ends

GIB = 1 << 30
DEADLINE = 1800.0  # a zlib of 4 GiB on one core takes minutes
WARM_FACTOR = 2.2
STATISTICS_DEADLINE = 1.0  # a migration of less than a millisecond has a total-time of 0


def loopback_bytes(text=None):
    """What `lo` has received since it is there; each byte that is sent there is received there."""
    if text is None:
        with open("/proc/net/dev", encoding="ascii") as file:
            text = file.read()
    for line in text.splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[0])
    return 0


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0


class Memory:
    """tern-bench-memory, the program beside this one that is fast."""

    def __init__(self, program):
        self.program = program

    def __call__(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RunError(f"{os.path.basename(self.program)} {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def warm(self, ram):
        # A gigabyte stays with those who live on this machine.
        return self("warm", max(min(int(ram * WARM_FACTOR), available_memory() - GIB), 0) // 4096 * 4096)

    def limits(self, content, made, options):
        """Seconds that the bytes take without a protocol, and that reading takes; what of it was measured."""
        sent = (made["pages"] - made["zero"] - made["hole"]) * 4096
        sparse = made["hole"] > 0
        prefault = options.prefault
        if sparse:
            prefault = {"both": "destination", "source": "none"}.get(prefault, prefault)
        result = {"bytes": sent, "seconds": 0.0, "bound": "none"}
        if sent:
            # The fastest way is the limit. Without missing pages at the receiver there is only one.
            ways = ("straight",) if prefault in ("destination", "both") else ("straight", "populate")
            tried = []
            for way in ways:
                self.warm(options.ram)
                words = (content, options.ram, sent, options.channels or 1, options.page_size, prefault, way)
                tried.append({"way": way} | self("raw", *words))
            result |= {"seconds": min(raw["seconds"] for raw in tried), "bound": "sockets", "raw": tried}
        if not sparse:  # reading a hole would fill it
            read = self("read", content, options.ram)
            result["read"] = read
            if read["seconds"] > result["seconds"]:
                result |= {"seconds": read["seconds"], "bound": "memory"}
        result["ram-gib-s"] = options.ram / GIB / result["seconds"]
        return result


def migrate(program, directory, content, options, keys, verify, tick=None):
    """Figures of one migration, or RunError."""
    with Guest(program, "destination", directory, content, options) as b, \
         Guest(program, "source", directory, content, options) as a:
        try:
            return _measure(a, b, content, options, keys, verify, tick)
        except (QmpError, OSError) as error:
            raise RunError(f"{program.name}: {error}\n{a.story()}\n{b.story()}") from error


def _measure(a, b, content, options, keys, verify, tick):
    b.configure(options, keys)
    a.configure(options, keys)
    b.qmp.call("migrate-incoming", {"uri": "tcp:127.0.0.1:0"})
    address = b.qmp.call("query-migrate")["socket-address"][0]
    wire = loopback_bytes()
    cpu_a, cpu_b = a.cpu_seconds(), b.cpu_seconds()
    start = time.monotonic()
    a.qmp.call("migrate", {"uri": f"tcp:{address['host']}:{address['port']}"})
    ends = wait_for_ends([a.qmp, b.qmp], DEADLINE, tick)
    if any(end is None or end[1] != "completed" for end in ends):
        why = a.qmp.call("query-migrate").get("error-desc", "") if a.child.poll() is None else ""
        raise QmpError(f"the migration did not complete: source {ends[0] and ends[0][1]}, "
                       f"destination {ends[1] and ends[1][1]} {why}")
    info = final_statistics(a.qmp)
    b.qmp.call("query-migrate")  # its main loop is through with the migration, too
    cpu_a, cpu_b = a.cpu_seconds() - cpu_a, b.cpu_seconds() - cpu_b
    figures = figures_of(info, options.ram, max(when for when, _ in ends) - start, loopback_bytes() - wire, cpu_a, cpu_b)
    if verify:
        pages = b.holding(content)
        if pages is None:
            raise QmpError("the destination's RAM is not the source's")
        figures["destination-huge-bytes"] = pages.get("AnonHugePages", 0)
        figures["destination-resident-bytes"] = pages.get("Rss", 0)
        figures["verified"] = True
    return figures


def final_statistics(qmp):
    """query-migrate of a source that completed. QEMU sends the event first and counts the time afterwards."""
    until = time.monotonic() + STATISTICS_DEADLINE
    while True:
        info = qmp.call("query-migrate")
        if (info.get("status") == "completed" and info.get("total-time", 0) > 0) or time.monotonic() > until:
            return info
        time.sleep(0.02)


def figures_of(info, ram, wall, wire, cpu_source, cpu_destination):
    """One run as a flat object; `info` is query-migrate of the source."""
    gib = ram / GIB
    return {
        "wall-s": wall,
        "total-ms": info.get("total-time", 0),
        "setup-ms": info.get("setup-time", 0),
        "downtime-ms": info.get("downtime", 0),
        "ram-gib-s": gib / wall,
        "wire-gib-s": wire / GIB / wall,
        "wire-bytes": wire,
        "reported-bytes": info.get("ram", {}).get("transferred", 0),
        "cpu-source-s-per-gib": cpu_source / gib,
        "cpu-destination-s-per-gib": cpu_destination / gib,
        "cpu-s-per-gib": (cpu_source + cpu_destination) / gib,
        "passes": info.get("ram", {}).get("dirty-sync-count", 0),
        "verified": False,
    }
