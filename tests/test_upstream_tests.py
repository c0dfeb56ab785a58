"""The comparison behind docs/upstream.md: which tests count as newly failing, and what else stands against a suite."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.upstream_tests import probe, record
from scripts.upstream_tests.__main__ import suite_of
from scripts.upstream_tests.comparison import HEAD, Comparison, newly_failing
from scripts.upstream_tests.suites import SUITES, Suite

COUNTS = {"events": 3, "captured": 3, "delivered": 3, "dropped": {}, "errors": {}}


def compared(**changes: Any) -> Comparison:
    """Return a comparison of one test that passes on both sides, with changes."""
    same = {"bare": {"a": "passed"}, "wrapped": {"a": "passed"}}
    return Comparison.of("suite", "1.0", **({**same, "captured": COUNTS, "again": {}, "control": {}} | changes))


@pytest.mark.parametrize(
    ("bare", "wrapped", "expected"),
    [
        ("passed", "passed", []),
        ("passed", "failed", ["test"]),
        ("passed", "skipped", ["test"]),
        ("passed", None, ["test"]),
        ("failed", "failed", []),
        ("failed", "passed", []),
        ("skipped", "failed", []),
    ],
)
def test_a_test_fails_newly_when_it_passed_bare_and_does_not_pass_now(
    bare: str, wrapped: str | None, expected: list[str]
) -> None:
    """A skip, and a run that ended before the test's turn, are no passes."""
    assert newly_failing({"test": bare}, {"test": wrapped} if wrapped else {}) == expected


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"wrapped": {"a": "failed"}}, "suite: newly failing: a"),
        ({"wrapped": {"a": "failed"}, "again": {"a": "failed"}}, "suite: newly failing: a"),
        ({"wrapped": {"a": "failed"}, "again": {"a": "passed"}}, None),
        ({"wrapped": {"a": "failed"}, "control": {"a": "failed"}}, None),
        ({"wrapped": {"a": "failed"}, "control": {"a": "passed"}}, "suite: newly failing: a"),
        ({"bare": {}}, "suite: no test passes without the middleware"),
        ({"captured": COUNTS | {"events": 0}}, "suite: no event was captured, so that nothing was tested"),
        ({"captured": {}}, "suite: no event was captured, so that nothing was tested"),
        ({"captured": COUNTS | {"dropped": {"too_large": 2}}}, "suite: dropped: too_large: 2"),
        ({"captured": COUNTS | {"errors": {"begin": 1}}}, "suite: errors: begin: 1"),
    ],
)
def test_what_stands_against_a_suite_is_said(changes: dict[str, Any], problem: str | None) -> None:
    """A suite that ran nothing, captured nothing, lost events or made the middleware contain an error is not well."""
    assert compared(**changes).problems() == ([] if problem is None else [problem])


def test_the_row_fits_the_tables_head() -> None:
    """Each of the head's columns has its cell."""
    row = compared(wrapped={"a": "failed"}, bare={"a": "passed", "b": "skipped"}).row()
    assert row == "| suite | 1.0 | 2 | 1 | 0 | a | 3 |"
    assert all(line.count("|") == row.count("|") for line in HEAD.splitlines())


def test_the_row_names_what_passed_at_the_second_try_only_and_what_is_explained() -> None:
    """Neither is passed over in silence."""
    row = compared(
        bare={"a": "passed", "b": "passed"}, wrapped={}, again={"a": "passed"}, control={"b": "failed"}
    ).row()
    assert row == "| suite | 1.0 | 2 | 2 | 1 | a (at the first try)<br>b (explained) | 3 |"


def test_a_bar_in_a_tests_name_does_not_break_the_table() -> None:
    """Parameters may be anything."""
    assert "| a[x\\|y] |" in compared(bare={"a[x|y]": "passed"}, wrapped={}).row()


def test_the_worst_of_a_tests_phases_counts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose tear-down fails has failed, whatever it said before; addresses in names are left out."""
    monkeypatch.setattr(record, "outcomes", {})
    monkeypatch.setenv(record.RESULTS, str(tmp_path / "results.json"))
    for outcome in ("passed", "passed", "failed", "passed"):
        record.note("a[<object at 0x7f01>]", outcome)
    record.note("b", "skipped")
    record.write()
    assert json.loads((tmp_path / "results.json").read_text()) == {"a[<object at 0x>]": "failed", "b": "skipped"}


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_each_suite_names_what_the_probe_can_wrap(suite: Suite) -> None:
    """A slip in the table would show after an hour only."""
    assert set(suite.wraps) <= set(probe.WRAPPERS)
    assert suite_of(f"{suite.name}==0.1").label == f"{suite.name}-0.1"
