# SPDX-License-Identifier: Apache-2.0
"""From runs to what is said about them: medians and spreads."""
import statistics

# Figures of a run that get a median and a spread, in the order of the report.
SUMMARIZED = (
    "ram-gib-s", "wire-gib-s", "wall-s", "total-ms", "setup-ms", "downtime-ms", "wire-bytes", "reported-bytes",
    "cpu-s-per-gib", "cpu-source-s-per-gib", "cpu-destination-s-per-gib",
)


def spread(values):
    """Median, smallest and largest of at least one value."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(runs):
    return {figure: spread([run[figure] for run in runs]) for figure in SUMMARIZED}


def content_summary(content, programs, runs, limits):
    """One row of the report: `runs` and `limits` of one content, by pair."""
    by_program = {name: summarize([r for r in runs if r["program"] == name]) for name in programs}
    limit = spread([each["ram-gib-s"] for each in limits])  # its largest is the limit
    first = by_program[programs[0]]["ram-gib-s"]["median"]
    bounds = [each["bound"] for each in limits]
    return {
        "content": content,
        "limit-gib-s": limit,
        "limit-bound": max(sorted(set(bounds)), key=bounds.count),
        "programs": by_program,
        # How many times the subject's throughput is each other's.
        "subject-times": {name: first / by_program[name]["ram-gib-s"]["median"] for name in programs[1:]},
    }


def binary_size(count):
    """1536 -> '1.5 KiB'."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def rounded(value):
    """Three figures that mean something."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def with_spread(figure):
    if figure["min"] == figure["max"]:
        return rounded(figure["median"])
    return f"{rounded(figure['median'])} ({rounded(figure['min'])}..{rounded(figure['max'])})"
