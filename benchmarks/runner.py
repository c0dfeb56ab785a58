"""Runs the measures for the contestants and keeps each row as soon as it is there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from . import governed, growth, importing, memory, overhead, served, streaming
from .contestants import CONTESTANTS, Contestant
from .environments import Environment, NotInstalled, at_hand, environment
from .plan import Failed, Figures, Length, Measure, Subject
from .results import Result, Results, machine

MEASURES = (
    overhead.MEASURE, governed.MEASURE, importing.MEASURE, growth.MEASURE, served.MEASURE, streaming.MEASURE,
    memory.MEASURE,
)  # fmt: skip
PLAIN, UVLOOP, FREE_THREADED = "", "uvloop", "free-threaded"
_INTERPRETERS = ("python3.14t", "python3.13t")
"""Those without a global interpreter lock, by the names under which they are installed."""
NO_FREE_THREADED = f"NOT MEASURED: no free-threaded Python is installed here ({' or '.join(_INTERPRETERS)})."
_VERSIONS = ("django", "flask", "gunicorn", "starlette", "uvicorn", "uvloop")
"""Whose versions a row gives beside the contestant's own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to measure. ``only`` and ``contestants`` keep what they name; empty, they keep all."""

    only: Sequence[str] = ()
    contestants: Sequence[str] = ()
    variants: Sequence[str] = (PLAIN,)
    environments: Path | None = None
    """Where environments are kept; without it, the Python at hand serves those contestants that it has."""

    def measured_variants(self) -> list[str]:
        """Return the variants for which there is an interpreter."""
        return [variant for variant in self.variants if variant != FREE_THREADED or free_threaded()]

    def rows(self, length: Length) -> Iterator[Row]:
        """Yield what is wanted, measure by measure."""
        for measure in MEASURES:
            for contestant in CONTESTANTS.values():
                if self.contestants and contestant.name not in self.contestants:
                    continue
                for kind, case in measure.cases(contestant, length):
                    for variant in self.measured_variants():
                        row = Row(measure, contestant, kind, case, variant)
                        if row.makes_sense and (not self.only or any(part in row.label for part in self.only)):
                            yield row


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement to make."""

    measure: Measure
    contestant: type[Contestant]
    kind: str
    case: str
    variant: str

    @property
    def shown_kind(self) -> str:
        """Return the kind as the results give it, with the variant."""
        return f"{self.kind}, {self.variant}" if self.variant else self.kind

    @property
    def label(self) -> str:
        """Return what ``--only`` looks at."""
        return " ".join(part for part in (self.measure.name, self.shown_kind, self.case, self.contestant.name) if part)

    @property
    def makes_sense(self) -> bool:
        """Return whether the variant says something about the measure."""
        if self.variant == UVLOOP:
            return self.measure is served.MEASURE and self.kind == "ASGI"
        return not self.variant or (self.measure in (overhead.MEASURE, served.MEASURE) and self.kind == "ASGI")


@dataclass
class Runner:
    """Makes the measurements of a choice, and adds them to the results of a directory."""

    choice: Choice
    length: Length
    out: Path
    _environments: dict[tuple[str, str], Environment | None] = field(default_factory=dict)

    def run(self) -> Results:
        """Measure all; each row is written when it is there, so that what is interrupted keeps what it had."""
        if FREE_THREADED in self.choice.variants and not free_threaded():
            print(f"{'!' * 80}\n{NO_FREE_THREADED}\n{'!' * 80}", flush=True)
        for row in self.choice.rows(self.length):
            result = self._measured(row)
            if result is not None:
                # Read again: another run may measure another part meanwhile.
                results = Results.read(self.out)
                results.add(result)
                results.write(self.out)
                print(f"{row.label}: {summary(result.figures)}", flush=True)
        return Results.read(self.out)

    def _measured(self, row: Row) -> Result | None:
        """Return a row, with why it failed when it did; None when there is nothing to measure it with."""
        python = ""
        versions: dict[str, str] = {}
        try:
            found = self._environment(row.contestant, row.variant)
            if found is None:
                print(f"{row.label}: left out, it is not installed here", flush=True)
                return None
            python = found.version
            versions = {
                name: found.versions[name] for name in (row.contestant.package, *_VERSIONS) if name in found.versions
            }
            figures = row.measure.run(
                Subject(row.contestant, row.kind, row.case, found.python, row.variant), self.length
            )
        except (NotInstalled, Failed, OSError, HTTPException) as error:
            figures = {"failed": str(error) or type(error).__name__}
        names = (row.measure.name, row.shown_kind, row.case, row.contestant.name)
        return Result(*names, figures, versions, machine(python))

    def _environment(self, contestant: type[Contestant], variant: str) -> Environment | None:
        """Return where a contestant runs; None when no environments are wanted and it is not at hand."""
        key = contestant.name, variant
        if key not in self._environments:
            python = (free_threaded() if variant == FREE_THREADED else None) or sys.executable
            if self.choice.environments is None:
                self._environments[key] = at_hand(contestant, python)
            else:
                self._environments[key] = environment(contestant, self.choice.environments, python)
        return self._environments[key]


def free_threaded() -> str | None:
    """Return an interpreter without a global lock, if one is installed."""
    return next(filter(None, map(shutil.which, _INTERPRETERS)), None)


def summary(figures: Figures) -> str:
    """Return the figures of a row on one line."""
    return ", ".join(
        f"{name} {value:,.1f}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
