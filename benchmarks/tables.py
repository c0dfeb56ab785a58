"""Tables in Markdown of measured rows: the first columns say which row it is, the others show its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .contestants import CONTESTANTS, Ours
from .results import Result

ABSENT = "-"
Cell = Callable[[Result], str]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one measure: ``by`` are the attributes that tell them apart, ``figures`` the other columns."""

    title: str
    measure: str
    by: Sequence[str]
    figures: Mapping[str, Cell]

    def of(self, rows: Iterable[Result]) -> str:
        """Return the table, or nothing when there are no rows."""
        found = sorted(rows, key=order)
        lines = [
            [*(self._name(row, name) for name in self.by), *(shown(row, cell) for cell in self.figures.values())]
            for row in found
        ]
        return markdown([*self.by, *self.figures], lines, len(self.by))

    @staticmethod
    def _name(row: Result, attribute: str) -> str:
        value = str(getattr(row, attribute))
        return named(value) if attribute == "contestant" else value


def figure(name: str, digits: int = 0, per: float = 1) -> Cell:
    """Return the cell of a figure, in a unit of so many."""
    return lambda row: f"{row.figures[name] / per:,.{digits}f}"


def shown(row: Result | None, cell: Cell) -> str:
    """Return a cell, or what stands for a row that is not there or failed."""
    if row is None:
        return ABSENT
    return "failed" if "failed" in row.figures else cell(row)


def cost(row: Result) -> str:
    """Return what is added to a request, and that a contestant is out when nothing of it arrived."""
    figures = row.figures
    if not figures["delivered"]:
        return "out: delivered nothing"
    arrived = "" if figures["delivered"] >= figures["sent"] else f" ({delivered(row)} arrived)"
    return f"{figures['path']:,.0f} / {figures['cpu']:,.0f}{arrived}"


def delivered(row: Result) -> str:
    """Return the share of the events that arrived; never 100 % when one is missing."""
    sent, came = row.figures["sent"], row.figures["delivered"]
    if not came:
        return ABSENT if row.contestant == "bare" else "0 %"
    return f"{min(int(came / sent * 1000), 1000) / 10:g} %"


def named(contestant: str) -> str:
    """Return the name of a contestant; this package's stands out."""
    return f"**{contestant}**" if contestant == Ours.name else contestant


def order(row: Result) -> tuple[str, int, tuple[str, int]]:
    """Return where a row stands: by kind, contestant, and case, whose numbers count as numbers."""
    name, _, number = row.case.rpartition(" ")
    place = list(CONTESTANTS).index(row.contestant) if row.contestant in CONTESTANTS else len(CONTESTANTS)
    return row.kind, place, (name, int(number)) if number.isdigit() else (row.case, 0)


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]], names: int = 1) -> str:
    """Return a table whose first columns are names and whose others are numbers; nothing when it has no lines."""
    if not lines:
        return ""
    rule = ["---"] * names + ["--:"] * (len(heads) - names)
    return "".join("| " + " | ".join(line) + " |\n" for line in (heads, rule, *lines))
