# SPDX-License-Identifier: Apache-2.0
"""The results as text for people: a table, or the same as Markdown."""
import shlex

from bench_figures import binary_size, rounded, with_spread
from bench_machine import sentence
from bench_options import CONTENTS, PUBLISHED_PAIRS

HEAD = ("program", "GiB/s of RAM", "of limit", "wire GiB/s", "on the wire", "reported", "total ms",
        "CPU s/GiB", "source", "dest.", "downtime ms")
QUIET_CORES = 0.1  # what a machine that does nothing does
WHO = {"others": "other processes of this machine used", "host": "the host of this virtual machine took"}
BOUNDS = {"sockets": "bare sockets", "memory": "reading memory", "none": "nothing"}


def settings_sentence(settings):
    """What all programs were told, in one line."""
    channels = f"multifd with {settings['channels']} channels" if settings["channels"] else "no multifd"
    words = [f"{binary_size(settings['ram'])} of RAM", channels]
    if settings["compression"] != "none":
        level = "" if settings["level"] is None else f" level {settings['level']}"
        words.append(settings["compression"] + level)
    if settings["tls"] != "none":
        words.append(f"TLS ({settings['tls']})")
    if settings["zero-page-detection"]:
        words.append(f"zero-page-detection {settings['zero-page-detection']}")
    if settings["zero-copy"]:
        words.append("zero-copy-send")
    words.append(f"{binary_size(settings['max-bandwidth'])}/s at most" if settings["max-bandwidth"] else "no max-bandwidth")
    return ", ".join(words)


def memory_sentence(settings, machine):
    """Pages and prefault of both sides: equal for all programs, and part of what the figures mean."""
    mapped = {"none": "no side's pages mapped beforehand", "source": "the source's pages mapped beforehand (not sparse)",
              "destination": "the destination's pages mapped beforehand",
              "both": "pages mapped beforehand at both sides (not a sparse source)"}[settings["prefault"]]
    pages = "4 KiB pages" if settings["page-size"] == "4k" else f"transparent huge pages (system: {machine['thp']})"
    return (f"source: a file on tmpfs, shared (huge pages of tmpfs: {machine['shmem-thp']}); "
            f"destination: fresh private memory, {pages}; {mapped}")


def notes(document):
    """Why these figures may not be good ones."""
    said = []
    if document["settings"]["pairs"] < PUBLISHED_PAIRS:
        pairs = document["settings"]["pairs"]
        said.append(f"{pairs} {'pair' if pairs == 1 else 'pairs'} only: a try, not for publication")
    for who, cores in document["machine"]["cores-used"].items():
        if cores > QUIET_CORES:
            said.append(f"{WHO[who]} {cores:.2f} of {document['machine']['cores']} cores meanwhile: not for publication")
    if not document["machine"]["alone"]:
        said.append("another tools/bench was measuring on this machine")
    if not all(run["verified"] for run in document["runs"] if run["pair"] == 1):
        said.append("the destination's RAM was not compared with the source's")
    for name, share in sorted(huge_shares(document).items()):
        said.append(f"{name}: {share:.0%} of the destination's RAM was in huge pages")
    return said


def huge_shares(document):
    """Programs whose pages were not what was asked for, with the share that was huge."""
    wanted = document["settings"]["page-size"] == "thp"
    found = {}
    for run in document["runs"]:
        resident = run.get("destination-resident-bytes", 0)
        if resident:
            share = run["destination-huge-bytes"] / resident
            if share < 0.9 if wanted else share > 0:
                found[f"{run['program']}, {run['content']}"] = share
    return found


def cells(name, figures, limit):
    return (name, with_spread(figures["ram-gib-s"]), f"{figures['ram-gib-s']['median'] / limit:.0%}",
            rounded(figures["wire-gib-s"]["median"]), binary_size(figures["wire-bytes"]["median"]),
            binary_size(figures["reported-bytes"]["median"]), with_spread(figures["total-ms"]),
            with_spread(figures["cpu-s-per-gib"]), rounded(figures["cpu-source-s-per-gib"]["median"]),
            rounded(figures["cpu-destination-s-per-gib"]["median"]), rounded(figures["downtime-ms"]["median"]))


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths))).rstrip()


def limit_of(summary):
    """The fastest of all pairs: a slower one was disturbed."""
    return summary["limit-gib-s"]["max"]


def limit_words(summary):
    limit = summary["limit-gib-s"]
    slowest = f", the slowest of all pairs {rounded(limit['min'])}" if limit["min"] < limit["max"] else ""
    return f"raw limit {rounded(limit['max'])} GiB/s of RAM ({BOUNDS[summary['limit-bound']]}{slowest})"


def times_words(summary):
    return [f"{times:.2f} times {name}" for name, times in summary["subject-times"].items()]


def table(document):
    """Lines of plain text."""
    yield sentence(document["machine"])
    yield settings_sentence(document["settings"])
    yield memory_sentence(document["settings"], document["machine"])
    for name, program in document["programs"].items():
        yield f"{name}: {shlex.join(program['command'])} ({program['version']})"
    pairs = document["settings"]["pairs"]
    yield f"median (smallest..largest) of {pairs} {'run' if pairs == 1 else 'runs'} each, in turn"
    for summary in document["summary"]:
        yield ""
        yield f"{summary['content']}: {CONTENTS[summary['content']]}"
        limit = limit_of(summary)
        yield from aligned([HEAD, *(cells(name, figures, limit) for name, figures in summary["programs"].items())])
        yield "  " + "; ".join([limit_words(summary), *times_words(summary)])
    said = notes(document)
    if said:
        yield ""
        yield from (f"note: {note}" for note in said)


def markdown(document):
    """The table of a README."""
    others = list(document["programs"])[1:]
    head = ["content", "program", "GiB/s of guest RAM", "of the raw limit", "CPU s/GiB", "on the wire", "downtime ms",
            *([f"{next(iter(document['programs']))} is"] if others else [])]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for summary in document["summary"]:
        limit = limit_of(summary)
        for name, figures in summary["programs"].items():
            row = [summary["content"], name, with_spread(figures["ram-gib-s"]),
                   f"{figures['ram-gib-s']['median'] / limit:.0%} of {rounded(limit)}", with_spread(figures["cpu-s-per-gib"]),
                   binary_size(figures["wire-bytes"]["median"]), rounded(figures["downtime-ms"]["median"])]
            if others:
                times = summary["subject-times"].get(name)
                row.append(f"{times:.2f} times as fast" if times else "")
            yield "| " + " | ".join(row) + " |"
    yield ""
    pairs = document["settings"]["pairs"]
    yield (f"Median (smallest..largest) of {pairs} {'run' if pairs == 1 else 'runs'} each, in turn, on loopback; "
           f"{settings_sentence(document['settings'])}; {memory_sentence(document['settings'], document['machine'])}.")
    yield f"{sentence(document['machine'])}. Made by `{document['command']}`."
    yield from (f"Note: {note}." for note in notes(document))
