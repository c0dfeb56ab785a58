"""The live list's query over the narrow table: newest arrivals first, by exact filters."""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Final

from . import Recent
from .schema import EVENT_COLUMNS

COLUMNS: Final = ("seq", *(column.name for column in EVENT_COLUMNS if column.name != "app"))
MOST_ROWS: Final = 1_000

_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_GLOB_SPECIAL: Final = re.compile(r"([*?\[])")


def recent_rows(connection: sqlite3.Connection, app: int, query: Recent) -> list[dict[str, Any]]:
    """Return at most ``query.limit`` rows (1 000 at most) as mappings of column to value, newest first."""
    conditions, values = _conditions(app, query)
    # Column names are this module's constants and every value is bound.
    statement = f"SELECT {', '.join(COLUMNS)} FROM events WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    values.append(max(0, min(query.limit, MOST_ROWS)))
    return [dict(zip(COLUMNS, row, strict=True)) for row in connection.execute(statement, values)]


def _conditions(app: int, query: Recent) -> tuple[list[str], list[Any]]:
    # The plus keeps the planner on seq, the order that is asked for: any other index would sort all events.
    conditions, values = ["+app = ?"], [app]

    def add(condition: str, *bound: Any) -> None:
        conditions.append(condition)
        values.extend(bound)

    if query.after is not None:
        add("seq > ?", query.after)
    if query.before is not None:
        add("seq < ?", query.before)
    if query.status:
        add("status BETWEEN ? AND ?", *_status_bounds(query.status))
    if query.verb:
        add("verb = ?", query.verb.upper())
    if query.route and query.route.endswith("*"):
        add("route GLOB ?", _GLOB_SPECIAL.sub(r"[\1]", query.route[:-1]) + "*")
    elif query.route:
        add("route = ?", query.route)
    for name in ("user_id", "company_id"):
        if value := getattr(query, name):
            add(f"{name} = ?", value)
    return conditions, values


def _status_bounds(status: str) -> tuple[int, int]:
    """Return the lowest and highest status meant; what is neither a number nor a class such as ``4xx`` matches none."""
    if found := _CLASS.fullmatch(status):
        lowest = int(found[1]) * 100
        return lowest, lowest + 99
    number = int(status) if status.isascii() and status.isdigit() and len(status) < 10 else -1
    return number, number
