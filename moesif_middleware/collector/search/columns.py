"""The columns of all events that a search finds, read without a GROUP BY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from .compiler import Search
from .sqlite import SQLiteEngine
from .statement import Engine, condition


def transposed(engine: Engine, search: Search, names: Sequence[str]) -> list[list[Any]]:
    """Return the values of columns of ``events``, one list for each name, from an engine that gives rows at once."""
    rows = engine.rows(*_selected(engine, search, names))
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]


def read_columns(engine: SQLiteEngine, search: Search, names: Sequence[str]) -> list[list[Any]]:
    """Return the values of columns of ``events``, one list for each name, in which a place stands for one event.

    One row carries them all: each row that leaves SQLite takes the interpreter's lock again, for which a reader may
    wait milliseconds while the event loop is busy.
    """
    inner, parameters = _selected(engine, search, names)
    arrays = ", ".join(f"json_group_array({name})" for name in names)
    (row,) = engine.rows(f"SELECT {arrays} FROM ({inner})", parameters)  # noqa: S608 - bound literals only
    return [orjson.loads(array) for array in row]


def _selected(engine: Engine, search: Search, names: Sequence[str]) -> tuple[str, Any]:
    statement = engine.statement(search.kind)
    where = [condition(node, statement) for node in search.where]
    columns = [f"{statement.column(name)} AS {name}" for name in names]
    return statement.select(columns, where), statement.parameters()
