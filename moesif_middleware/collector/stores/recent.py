"""The live list's query over the narrow table: newest arrivals first, by exact filters."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from . import Recent
from .schema import EVENT_COLUMNS

COLUMNS: Final = ("seq", *(column.name for column in EVENT_COLUMNS if column.name != "app"))
MOST_ROWS: Final = 1_000

_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_GLOB_SPECIAL: Final = re.compile(r"([*?\[])")

Bind = Callable[[Any], str]
"""Returns the SQL that stands for a value."""


def recent_rows(connection: sqlite3.Connection, app: int, query: Recent) -> list[dict[str, Any]]:
    """Return at most ``query.limit`` rows (1 000 at most) as mappings of column to value, newest first."""
    values: list[Any] = []

    def bind(value: Any) -> str:
        values.append(value)
        return "?"

    # The plus keeps the planner on seq, the order that is asked for: any other index would sort all events.
    where = [f"+app = {bind(app)}", *conditions(query, bind, _glob)]
    # Column names are this module's constants and every value is bound.
    statement = f"SELECT {', '.join(COLUMNS)} FROM events WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    return named(connection.execute(statement, [*values, rows_of(query)]).fetchall())


def rows_of(query: Recent) -> int:
    """Return how many rows at most the answer has."""
    return max(0, min(query.limit, MOST_ROWS))


def named(rows: list[Any]) -> list[dict[str, Any]]:
    """Return rows of ``COLUMNS`` as mappings."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def conditions(query: Recent, bind: Bind, begins: Callable[[str, str, Bind], str]) -> list[str]:
    """Return the SQL of the filters; ``begins`` writes that a column begins with a text."""
    found = []
    if query.after is not None:
        found.append(f"seq > {bind(query.after)}")
    if query.before is not None:
        found.append(f"seq < {bind(query.before)}")
    if query.status:
        lowest, highest = _status_bounds(query.status)
        found.append(f"status BETWEEN {bind(lowest)} AND {bind(highest)}")
    if query.verb:
        found.append(f"verb = {bind(query.verb.upper())}")
    if query.route and query.route.endswith("*"):
        found.append(begins("route", query.route[:-1], bind))
    elif query.route:
        found.append(f"route = {bind(query.route)}")
    if query.user_id:
        found.append(f"user_id = {bind(query.user_id)}")
    if query.company_id:
        found.append(f"company_id = {bind(query.company_id)}")
    return found


def _glob(column: str, start: str, bind: Bind) -> str:
    pattern = _GLOB_SPECIAL.sub(r"[\1]", start) + "*"
    return f"{column} GLOB {bind(pattern)}"


def _status_bounds(status: str) -> tuple[int, int]:
    """Return the lowest and highest status meant; what is neither a number nor a class such as ``4xx`` matches none."""
    if found := _CLASS.fullmatch(status):
        lowest = int(found[1]) * 100
        return lowest, lowest + 99
    number = int(status) if status.isascii() and status.isdigit() and len(status) < 10 else -1
    return number, number
