"""Compares a suite's run with the middleware to its bare run, and writes the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEAD = (
    "| suite | version | tests | passed bare | passed with | newly failing | events captured |\n"
    "|---|---|---:|---:|---:|---|---:|"
)


def passed(outcomes: Mapping[str, str]) -> set[str]:
    """Return the tests that passed."""
    return {test for test, outcome in outcomes.items() if outcome == "passed"}


def newly_failing(bare: Mapping[str, str], wrapped: Mapping[str, str]) -> list[str]:
    """Return the tests that pass bare and do not pass with the middleware; one that did not run did not pass."""
    return sorted(passed(bare) - passed(wrapped))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the two runs of one suite came to."""

    suite: str
    version: str
    tests: int
    passed_bare: int
    passed_with: int
    newly_failing: tuple[str, ...]
    second_try: tuple[str, ...]
    """Tests that failed, and passed when they were run by themselves, with the middleware as well."""
    excepted: tuple[str, ...]
    """Newly failing ones that the suite's table explains, and that the control run proves to fail with anything."""
    captured: Mapping[str, Any]
    """The probe's counts: ``events``, the ledger, and ``errors`` that the middleware contained."""

    @classmethod
    def of(
        cls,
        suite: str,
        version: str,
        *,
        bare: Mapping[str, str],
        wrapped: Mapping[str, str],
        captured: Mapping[str, Any],
        again: Mapping[str, str],
        control: Mapping[str, str],
    ) -> Comparison:
        """Compare maps of test to outcome; ``again`` and ``control`` have those of the tests that were run again."""
        failing = newly_failing(bare, wrapped)
        second_try = tuple(test for test in failing if again.get(test) == "passed")
        excepted = tuple(test for test in failing if control.get(test) == "failed")
        return cls(
            suite=suite,
            version=version,
            tests=len(bare),
            passed_bare=len(passed(bare)),
            passed_with=len(passed(wrapped)) + len(second_try),
            newly_failing=tuple(test for test in failing if test not in {*second_try, *excepted}),
            second_try=second_try,
            excepted=excepted,
            captured=captured,
        )

    def problems(self) -> list[str]:
        """Return what stands against this suite, in words; nothing when all is well."""
        found = [f"{self.suite}: newly failing: {test}" for test in self.newly_failing]
        if not self.captured.get("events"):
            found.append(f"{self.suite}: no event was captured, so that nothing was tested")
        if not self.passed_bare:
            found.append(f"{self.suite}: no test passes without the middleware")
        for kind in ("dropped", "errors"):
            found += (f"{self.suite}: {kind}: {name}: {count}" for name, count in self.captured.get(kind, {}).items())
        return found

    def row(self) -> str:
        """Return the table's row."""
        failing = [
            *self.newly_failing,
            *(f"{test} (at the first try)" for test in self.second_try),
            *(f"{test} (explained)" for test in self.excepted),
        ]
        cells = (
            self.suite, self.version, self.tests, self.passed_bare, self.passed_with,
            "<br>".join(failing).replace("|", "\\|") or "none",
            self.captured.get("events", 0),
        )  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"
