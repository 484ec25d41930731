#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the tests in passes (plain, then under sanitizers) and counts what happened.
tools/test is its command line; the counting is in tests/tally.py."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

from tally import Tally, count_test, report_lines

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORES = os.cpu_count() or 1


@dataclass
class Pass:
    """One build directory and what is run in it."""

    name: str
    directory: str
    setup: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    suites: tuple = ()  # of tests that are not GoogleTest programs; empty: all tests
    without: tuple = ()  # GoogleTest programs that have nothing for this pass to find
    wrapper: list = field(default_factory=list)
    timeout_factor: int = 1

    def takes(self, test):
        if test["name"] in self.without:
            return False
        return (
            not self.suites
            or test["protocol"] == "gtest"
            or any(suite.split(":")[-1] in self.suites for suite in test["suite"])
        )


def passes(build_dir, quick):
    """What is run, in this order. The clang pass is also the one that drops no Result unread."""
    yield Pass("plain", build_dir)
    if quick:
        return
    small = [
        "-Doptimization=1",
        "-Ddebug=false",
        "-Dcpp_args=-gline-tables-only",
        "-Ddefault_library=static",
        "-Db_lundef=false",
    ]
    symbolizer = shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14")
    yield Pass(
        "asan+ubsan",
        build_dir + "-asan",
        [
            "-Db_sanitize=address,undefined",
            "-Dchecked_results=true",
            *small,
        ],
        {
            "CC": "clang",
            "CXX": "clang++",
            "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
            **({"ASAN_SYMBOLIZER_PATH": symbolizer} if symbolizer else {}),
        },
        suites=("fuzz",),
        # Minutes to compile: no peer reaches it, or the fuzz targets do the same here (inspect).
        without=(
            "unit-ctl",
            "unit-dirty-rate",
            "unit-inspect",
            "unit-stats",
            "unit-tool-common",
            "unit-vmm",
        ),
        timeout_factor=4,
    )
    # Guest memory is written by the guest while it is read to be sent: that race is the trade.
    suppressions = os.path.join(ROOT, "tests", "tsan.supp")
    # Randomised addresses of some kernels do not leave TSan's shadow where it must be.
    fixed = ["setarch", os.uname().machine, "-R"] if shutil.which("setarch") else []
    yield Pass(
        "tsan",
        build_dir + "-tsan",
        ["-Db_sanitize=thread", *small],
        {
            "CC": "clang",
            "CXX": "clang++",
            "TSAN_OPTIONS": f"suppressions={suppressions}:halt_on_error=1:second_deadlock_stack=1"
            + (f":external_symbolizer_path={symbolizer}" if symbolizer else ""),
        },
        suites=("threads",),
        # One thread each or threads that other programs use, too, and minutes to compile.
        without=(
            "unit-capi",
            "unit-ctl",
            "unit-dirty-rate",
            "unit-inspect",
            "unit-ram",
            "unit-stats",
            "unit-tool-common",
            "unit-vmm",
        ),
        wrapper=fixed,
        timeout_factor=6,
    )


def say(text=""):
    print(text, flush=True)


def run(command, environment, log=None):
    """Exit status of a command. With a log, what it prints goes there; otherwise it is shown."""
    env = {**os.environ, **environment}
    if log is None:
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    with open(log, "w", encoding="utf-8") as file:
        return subprocess.run(
            command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode


def introspect(directory, what):
    text = subprocess.run(
        ["meson", "introspect", what, directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(text)


def configure(step, tally):
    """meson setup where it is missing or was done with other options; None, or why it failed."""
    stamp = os.path.join(step.directory, "tern-test-setup.json")
    wanted = json.dumps([step.setup, step.environment.get("CXX", "")])
    command = ["meson", "setup", step.directory, ROOT, *step.setup]
    if os.path.exists(os.path.join(step.directory, "build.ninja")):
        # Without our stamp it was made by hand or by tools/demo: it is used as it is.
        if not os.path.exists(stamp) or open(stamp, encoding="utf-8").read() == wanted:
            return True
        command.append("--wipe")
    os.makedirs(step.directory, exist_ok=True)
    log = os.path.join(step.directory, "setup.log")
    if run(command, step.environment, log) != 0:
        say(open(log, encoding="utf-8").read())
        tally.fail(step.name, f"meson setup of {step.directory}", log)
        return False
    if step.setup:
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(wanted)
    return True


def targets_of(step, tests):
    """The ninja targets that these tests need; nothing means all, which suite install needs."""
    if any(suite.split(":")[-1] == "install" for test in tests for suite in test["suite"]):
        return []
    files = {t["id"]: t["filename"] for t in introspect(step.directory, "--targets")}
    base = os.path.abspath(step.directory) + os.sep
    made = {name for names in files.values() for name in names}
    wanted = set()
    for test in tests:
        names = [name for target in test.get("depends", []) for name in files.get(target, [])]
        for name in [*names, *test["cmd"]]:
            if name in made and name.startswith(base):
                wanted.add(os.path.relpath(name, base))
    return sorted(wanted)


_STEP = re.compile(r"^\[\d+/\d+\] ")


def build(step, targets, tally):
    log = os.path.join(step.directory, "meson-logs", "build.txt")
    command = ["ninja", "-C", step.directory, "-k", "0", *targets]
    if sys.stdout.isatty():
        status = run(command, step.environment)
        log = "above"
    else:
        status = run(command, step.environment, log)
        if status != 0:
            with open(log, encoding="utf-8", errors="replace") as file:
                say("".join(line for line in file if not _STEP.match(line)))
    if status != 0:
        tally.fail(step.name, f"build of {step.directory}", log)
    return status == 0


def choose(tests, name):
    """Tests whose own name contains `name`; otherwise all GoogleTest programs with such a case."""
    if name is None:
        return tests, {}
    named = [test for test in tests if name in test["name"]]
    if named:
        return named, {}
    return [t for t in tests if t["protocol"] == "gtest"], {"GTEST_FILTER": f"*{name}*"}


def meson_test(step, tests, options, environment):
    command = [
        *step.wrapper,
        "meson",
        "test",
        "-C",
        step.directory,
        "--no-rebuild",
        "--print-errorlogs",
    ]
    command += ["--num-processes", str(CORES)]
    command += ["--timeout-multiplier", str(step.timeout_factor * (20 if options.full else 1))]
    command += [test["name"] for test in tests]
    # A stale log would be counted as today's.
    log = os.path.join(step.directory, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.remove(log)
    run(command, environment)
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def run_pass(step, options, tally):
    began = time.monotonic()
    say(f"== {step.name}: building in {step.directory}")
    if not configure(step, tally):
        return
    tests = [test for test in introspect(step.directory, "--tests") if step.takes(test)]
    tests, filter_environment = choose(tests, options.filter)
    if not tests:
        say("   nothing to run")
        return
    if not build(step, targets_of(step, tests), tally):
        return
    built = time.monotonic()
    say(f"   built in {built - began:.0f} s; {len(tests)} test programs")
    environment = {**step.environment, **filter_environment}
    if options.full:
        environment["TERN_TEST_FULL"] = "1"
    protocols = {test["name"]: test["protocol"] for test in tests}
    log = os.path.join(step.directory, "meson-logs", "testlog.txt")
    here = Tally()
    done = meson_test(step, tests, options, environment)
    names = set()
    for record in done:
        name = record["name"].split(" / ")[-1]
        names.add(name)
        count_test(here, step.name, name, protocols.get(name, "exitcode"), record, log)
        for line in report_lines(record):
            here.reports.append(f"{name}: {line}")
    for name in sorted(set(protocols) - names):
        here.fail(step.name, f"{name} (did not run)", log)
    tally.add(here)
    say(f"   {here.line()} in {time.monotonic() - built:.0f} s")


def summary(tally):
    if tally.reports:
        say("\nWhat tests reported:")
        for line in tally.reports:
            say(f"  {line}")
    if tally.skipped:
        say("\nSkipped:")
        for reason, names in sorted(tally.skips.items()):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            say(f"  {reason}: {shown}")
    if tally.failures:
        say("\nFailed:")
        for where, what, log in tally.failures:
            say(f"  {where}: {what} (log: {log})")
    say()
    say(tally.line())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--filter")
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    options = parser.parse_args()
    build_dir = os.path.relpath(os.path.abspath(options.build_dir), ROOT)
    os.chdir(ROOT)
    tally = Tally()
    began = time.monotonic()
    try:
        for step in passes(build_dir, options.quick):
            run_pass(step, options, tally)
    except KeyboardInterrupt:
        tally.fail("all", "interrupted", "-")
    if options.filter and not tally.passed + tally.failed + tally.skipped:
        tally.fail("all", f"no test has '{options.filter}' in its name", "-")
    say(f"\n{(time.monotonic() - began) / 60:.1f} minutes on {CORES} processors")
    summary(tally)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
