"""Writes down what became of each test, for pytest and for unittest. Runs inside a suite's environment."""

from __future__ import annotations

import json
import os
import re
import unittest
from pathlib import Path
from typing import Any

RESULTS = "UPSTREAM_RESULTS"
"""The environment's name for the file that the outcomes go to."""
_WORSE = ("passed", "skipped", "failed")
_ADDRESS = re.compile(r"0x[0-9a-f]+")

outcomes: dict[str, str] = {}


def note(test: str, outcome: str) -> None:
    """Keep the worst outcome of a test: of its set-up, itself, its subtests and its tear-down."""
    name = _ADDRESS.sub("0x", test)
    outcomes[name] = max(outcomes.get(name, outcome), outcome, key=_WORSE.index)


def write() -> None:
    """Write all outcomes as one JSON object."""
    Path(os.environ[RESULTS]).write_text(json.dumps(outcomes, indent=0, sort_keys=True))


def pytest_runtest_logreport(report: Any) -> None:
    """Take pytest's report of one phase of a test."""
    note(report.nodeid, report.outcome)


def pytest_unconfigure() -> None:
    """Write when pytest is done."""
    write()


class Result(unittest.TextTestResult):
    """unittest's result, which also keeps each test's outcome."""

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Keep a success."""
        note(test.id(), "passed")
        super().addSuccess(test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Keep a skip."""
        note(test.id(), "skipped")
        super().addSkip(test, reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Keep a failure that was expected as pytest does."""
        note(test.id(), "skipped")
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Keep a success that was not expected as unittest does."""
        note(test.id(), "failed")
        super().addUnexpectedSuccess(test)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Keep a failure."""
        note(test.id(), "failed")
        super().addFailure(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Keep an error."""
        note(test.id(), "failed")
        super().addError(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Keep a subtest's failure as the test's."""
        if err is not None:
            note(test.id(), "failed")
        super().addSubTest(test, subtest, err)
