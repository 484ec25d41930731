# SPDX-License-Identifier: Apache-2.0
"""Counts what test programs say: every GoogleTest case, every line of TAP, and programs that only
have an exit status. It reads the records of meson's testlog.json and runs nothing."""

import re
from collections import defaultdict


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.failures = []  # (pass, what, log)
        self.skips = defaultdict(list)  # reason: names
        self.reports = []

    def fail(self, where, what, log):
        self.failed += 1
        self.failures.append((where, what, log))

    def skip(self, name, reason):
        self.skipped += 1
        self.skips[reason].append(name)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.reports += other.reports
        for reason, names in other.skips.items():
            self.skips[reason] += names

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


_GTEST = re.compile(r"\[\s*(RUN|OK|FAILED|SKIPPED)\s*\] ([\w./-]+)(.*)$")
_TIME = re.compile(r"\(\d+ ms\)\s*$")
_SKIP_PLACE = re.compile(r"^\S+:\d+: Skipped$")


def gtest_cases(text):
    """(name, outcome, skip reason) of each case that ran; one that never ended has 'died'."""
    running = None
    said = []
    for line in text.splitlines():
        match = _GTEST.search(line)
        if not match:
            if running:
                said.append(line.strip())
            continue
        what, name, rest = match.groups()
        if what == "RUN":
            if running:
                yield running, "died", None
            running, said = name, []
        elif running == name.rstrip(",") and _TIME.search(rest):
            reason = None
            if what == "SKIPPED":
                reason = (
                    " ".join(s for s in said if s and not _SKIP_PLACE.match(s)) or "no reason given"
                )
            yield running, {"OK": "ok", "FAILED": "failed", "SKIPPED": "skipped"}[what], reason
            running = None
    if running:
        yield running, "died", None


_TAP = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s+#\s*(SKIP)\S*\s*(.*))?$", re.I)


def tap_cases(text):
    """(name, outcome, skip reason) of each line of TAP."""
    for line in text.splitlines():
        match = _TAP.match(line)
        if not match:
            continue
        bad, name, directive, reason = match.groups()
        if directive:
            yield name, "skipped", reason or "no reason given"
        else:
            yield name, "failed" if bad else "ok", None


_UNITTEST = re.compile(r"^(?:(test\w*) \(\S+\))?.* \.\.\. (ok|FAIL|ERROR|skipped (.*))$")
_UNITTEST_NAME = re.compile(r"^(test\w*) \(\S+\)$")


def unittest_cases(text):
    """(name, outcome, skip reason) of each test that python's unittest ran with -v."""
    last = "test"
    for line in text.splitlines():
        name = _UNITTEST_NAME.match(line)
        match = _UNITTEST.match(line)
        if name:
            last = name[1]
        elif match:
            outcome = {"ok": "ok", "FAIL": "failed", "ERROR": "failed"}.get(match[2], "skipped")
            yield match[1] or last, outcome, (match[3] or "").strip("'\"") or None


def cases_of(protocol, record):
    """The single cases of a program, or nothing where it has an exit status only."""
    said, complained = record.get("stdout") or "", record.get("stderr") or ""
    if protocol == "gtest":
        return list(gtest_cases(said))
    if protocol == "tap":
        return list(tap_cases(said))
    if re.search(r"(?m)^Ran \d+ tests? in ", complained):
        return list(unittest_cases(complained))
    return []


def _last_line(record):
    for text in (record.get("stdout"), record.get("stderr")):
        lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return "no reason given"


def count_test(tally, where, name, protocol, record, log):
    """Adds one test program to the tally."""
    result = record["result"]
    good = result in ("OK", "EXPECTEDFAIL")
    cases = cases_of(protocol, record)
    bad = 0
    for case, outcome, reason in cases:
        if outcome == "ok":
            tally.passed += 1
        elif outcome == "skipped":
            tally.skip(f"{name} {case}", reason)
        else:
            bad += 1
            died = f" ({result.lower()} before it ended)" if outcome == "died" else ""
            tally.fail(where, f"{name} {case}{died}", log)
    if not cases:
        if good and protocol == "exitcode":
            tally.passed += 1
        elif result == "SKIP":
            tally.skip(name, _last_line(record))
        elif not good:
            tally.fail(where, f"{name} ({result.lower()})", log)
        elif "GTEST_FILTER" not in (record.get("env") or {}):
            tally.fail(where, f"{name} (no case ran)", log)
    elif not good and result != "SKIP" and bad == 0:
        # All cases were well, the program was not: a leak, a crash at its end, a plan not kept.
        tally.fail(where, f"{name} ({result.lower()} after its last case)", log)


_REPORT = re.compile(r"^(?:# )?([\w ,+-]+: \d+ runs: .*\d)")


def report_lines(record):
    """Lines that are worth showing although the test passed: how often what ending was seen."""
    matches = (_REPORT.match(line) for line in (record.get("stdout") or "").splitlines())
    return [match[1] for match in matches if match]
