#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The counting is right: what fails, dies, skips or says nothing is not counted as passed."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tap
from tally import Tally, count_test, report_lines

GTEST = """[==========] Running 4 tests from 1 test suite.
[ RUN      ] Link.works
[       OK ] Link.works (0 ms)
[ RUN      ] Link.breaks
link_test.cc:9: Failure
[  FAILED  ] Link.breaks (3 ms)
[ RUN      ] Link.needs_kvm
link_test.cc:12: Skipped
no /dev/kvm here

[  SKIPPED ] Link.needs_kvm (0 ms)
[ RUN      ] All/Link.each/0
half a line[       OK ] All/Link.each/0 (0 ms)
[==========] 4 tests from 1 test suite ran. (3 ms total)
[  PASSED  ] 2 tests.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Link.needs_kvm
[  FAILED  ] 1 test, listed below:
[  FAILED  ] Link.breaks
"""


def count(protocol, result, stdout="", stderr="", env=None):
    tally = Tally()
    record = {"result": result, "stdout": stdout, "stderr": stderr, "env": env or {}}
    count_test(tally, "plain", "unit", protocol, record, "log")
    return tally


class Counting(unittest.TestCase):
    def test_each_googletest_case_counts_once(self):
        tally = count("gtest", "FAIL", GTEST)
        self.assertEqual(tally.line(), "2 passed, 1 failed, 1 skipped")
        self.assertEqual(tally.failures, [("plain", "unit Link.breaks", "log")])
        self.assertEqual(dict(tally.skips), {"no /dev/kvm here": ["unit Link.needs_kvm"]})

    def test_a_case_that_never_ended_failed(self):
        tally = count(
            "gtest", "FAIL", "[ RUN      ] A.b\n[       OK ] A.b (0 ms)\n[ RUN      ] A.c\n"
        )
        self.assertEqual(tally.line(), "1 passed, 1 failed, 0 skipped")
        self.assertIn("A.c", tally.failures[0][1])

    def test_a_program_that_failed_after_its_last_case_failed(self):
        tally = count("gtest", "FAIL", "[ RUN      ] A.b\n[       OK ] A.b (0 ms)\n")
        self.assertEqual(tally.line(), "1 passed, 1 failed, 0 skipped")

    def test_a_program_that_died_before_its_first_case_failed(self):
        self.assertEqual(count("gtest", "FAIL").line(), "0 passed, 1 failed, 0 skipped")

    def test_a_program_without_any_case_failed(self):
        self.assertEqual(count("gtest", "OK").line(), "0 passed, 1 failed, 0 skipped")

    def test_a_program_whose_cases_were_filtered_away_does_not_count(self):
        tally = count("gtest", "OK", env={"GTEST_FILTER": "*x*"})
        self.assertEqual(tally.line(), "0 passed, 0 failed, 0 skipped")

    def test_a_time_limit_is_a_failure(self):
        tally = count("gtest", "TIMEOUT", "[ RUN      ] A.b\n")
        self.assertEqual(tally.failures[0][1], "unit A.b (timeout before it ended)")
        self.assertEqual(count("exitcode", "TIMEOUT").line(), "0 passed, 1 failed, 0 skipped")

    def test_each_line_of_tap_counts_once(self):
        text = (
            "1..3\nok 1 - arrows\nnot ok 2 - threads\n# a.cc:1: x\nok 3 - format # SKIP no tool\n"
        )
        tally = count("tap", "ERROR", text)
        self.assertEqual(tally.line(), "1 passed, 1 failed, 1 skipped")
        self.assertEqual(dict(tally.skips), {"no tool": ["unit format"]})

    def test_python_tests_count_case_by_case(self):
        text = (
            "test_a (__main__.T.test_a) ... ok\ntest_b (__main__.T.test_b)\nSays why. ... FAIL\n"
            "test_c (__main__.T.test_c) ... skipped 'no QEMU'\n\nRan 3 tests in 1.2s\n"
        )
        tally = count("exitcode", "FAIL", stderr=text)
        self.assertEqual(tally.line(), "1 passed, 1 failed, 1 skipped")
        self.assertEqual(tally.failures[0][1], "unit test_b")
        self.assertEqual(dict(tally.skips), {"no QEMU": ["unit test_c"]})

    def test_programs_with_an_exit_status_only_count_once(self):
        self.assertEqual(count("exitcode", "OK").line(), "1 passed, 0 failed, 0 skipped")
        self.assertEqual(count("exitcode", "FAIL").line(), "0 passed, 1 failed, 0 skipped")
        tally = count("exitcode", "SKIP", "looking\nno kernel for it\n")
        self.assertEqual(dict(tally.skips), {"no kernel for it": ["unit"]})

    def test_a_test_that_must_fail_and_does_not_is_a_failure(self):
        self.assertEqual(count("exitcode", "EXPECTEDFAIL").line(), "1 passed, 0 failed, 0 skipped")
        self.assertEqual(
            count("exitcode", "UNEXPECTEDPASS").line(), "0 passed, 1 failed, 0 skipped"
        )

    def test_the_tally_of_all_passes_is_their_sum(self):
        total = Tally()
        total.add(count("gtest", "FAIL", GTEST))
        total.add(count("exitcode", "OK"))
        self.assertEqual(total.line(), "3 passed, 1 failed, 1 skipped")
        self.assertEqual(len(total.failures), 1)

    def test_the_count_of_endings_is_shown(self):
        said = "cuts: 160 runs: kept 150, unknown 10, both sides 0"
        killed = "killed, kvm: 20 runs: kept 20, both sides 0"
        record = {"stdout": f"[ RUN      ] x\n{said}\n# {killed}\nok 1 - x\n"}
        self.assertEqual(report_lines(record), [said, killed])


if __name__ == "__main__":
    sys.exit(tap.main(Counting))
