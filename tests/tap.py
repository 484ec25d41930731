# SPDX-License-Identifier: Apache-2.0
"""Runs python's unittest and prints TAP, which meson and tests/tally.py count case by case."""

import os
import unittest


class _Tap(unittest.TextTestResult):
    count = 0

    def _line(self, ok, test, more=""):
        self.count += 1
        name = test.id().split(".")[-1].replace("test_", "", 1)
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}{more}", flush=True)

    def addSuccess(self, test):
        self._line(True, test)

    def addSkip(self, test, reason):
        self._line(True, test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line(False, test)
        for line in self._exc_info_to_string(err, test).splitlines():
            print(f"# {line}")

    def addError(self, test, err):
        self.addFailure(test, err)

    def addSubTest(self, test, subtest, err):
        # The test itself is not told when one of its parts failed: only the parts are.
        if err is not None:
            self.addFailure(subtest, err)


def main(*classes):
    """Exit status of running these test cases."""
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    suite = unittest.TestSuite(load(cls) for cls in classes)
    with open(os.devnull, "w", encoding="utf-8") as quiet:
        result = unittest.TextTestRunner(resultclass=_Tap, stream=quiet).run(suite)
    print(f"1..{result.count}")
    return 0 if result.wasSuccessful() else 1
