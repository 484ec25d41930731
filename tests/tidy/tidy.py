#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the house tidy: checks the source tree against rules.py and names file and line.

    tests/tidy/tidy.py                 all rules
    tests/tidy/tidy.py arrows format   these
    tests/tidy/tidy.py --tap …         as TAP, for the test run
"""

import argparse
import os
import shutil
import sys

import rules
from tree import Tree

HERE = os.path.dirname(os.path.abspath(__file__))


def run_rule(name, tree, compiler):
    """Findings of a rule, or the reason why it cannot run here."""
    if name == "format" and shutil.which("clang-format") is None:
        return [], "clang-format is not installed"
    rule = rules.RULES[name]
    findings = rule(tree, compiler) if name == "headers-compile" else rule(tree)
    return sorted(findings, key=lambda f: (f.path, f.line)), None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(rules.RULES))
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(HERE)))
    parser.add_argument("--compiler", help="for headers-compile (default: $CXX or c++)")
    parser.add_argument("--tap", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.rules if name not in rules.RULES]
    if unknown:
        parser.error("no such rule: " + ", ".join(unknown))
    names = options.rules or list(rules.RULES)
    tree = Tree(options.root)
    if not any(tree.code(*rules.ROOMS)):
        parser.error(f"no source of tern below {options.root}")

    failed = 0
    if options.tap:
        print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        findings, skipped = run_rule(name, tree, options.compiler)
        failed += bool(findings)
        says = rules.RULES[name].__doc__
        if options.tap:
            print(
                f"{'not ok' if findings else 'ok'} {number} - {name}: {says}"
                + (f" # SKIP {skipped}" if skipped else "")
            )
        elif findings or skipped:
            print(f"{name}: {says}: {skipped or f'{len(findings)} findings'}")
        for finding in findings:
            print(f"#   {finding}" if options.tap else f"  {finding}", flush=True)
    for line in rules.size_report(tree):
        print(f"# large: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
