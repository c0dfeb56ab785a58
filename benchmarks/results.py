"""What was measured, as rows of one JSON file that runs add to: the tables and plots are made from it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

FILE = "results.json"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when a row was measured. ``load`` is the load average of a minute at the end."""

    cpu: str
    cores: int
    python: str
    system: str
    load: float
    at: str


@dataclass(frozen=True, slots=True)
class Result:
    """One row: the figures of a contestant in one case of a measure."""

    measure: str
    kind: str
    case: str
    contestant: str
    figures: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    """Of the contestant and of the server or framework that it was measured under."""
    machine: Machine | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what tells the row from others: a later one takes its place."""
        return self.measure, self.kind, self.case, self.contestant


class Results:
    """The rows of a directory's JSON file."""

    def __init__(self, rows: Iterable[Result] = ()) -> None:
        self._rows = {row.key: row for row in rows}

    @classmethod
    def read(cls, directory: Path) -> Results:
        """Return what is in the directory, which may be nothing."""
        path = directory / FILE
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        return cls(Result(**{**row, "machine": Machine(**row["machine"])}) for row in rows)

    def write(self, directory: Path) -> None:
        """Write the file, a row on each line, so that a run of a part changes its own only."""
        directory.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join(json.dumps(asdict(self._rows[key])) for key in sorted(self._rows))
        (directory / FILE).write_text(f'{{"rows": [\n{rows}\n]}}\n')

    def __iter__(self) -> Iterator[Result]:
        return iter(self._rows.values())

    def add(self, row: Result) -> None:
        """Add a row, in place of the one before it."""
        self._rows[row.key] = row

    def of(self, measure: str, kind: str = "", case: str = "") -> Iterator[Result]:
        """Yield the rows of a measure, all or those of one kind and case."""
        for row in self._rows.values():
            if row.measure == measure and kind in ("", row.kind) and case in ("", row.case):
                yield row

    def one(self, measure: str, kind: str, case: str, contestant: str) -> Result | None:
        """Return one row, or None."""
        return self._rows.get((measure, kind, case, contestant))


def machine(python: str) -> Machine:
    """Return this machine, now, with the version of the Python that was measured."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        python=python,
        system=f"{platform.system()} {platform.machine()}",
        load=round(os.getloadavg()[0], 2),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _cpu() -> str:
    """Return the processor's model, as Linux or the platform names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
