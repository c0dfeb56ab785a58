"""Inserting events with few statements: each one lets go of the interpreter's lock, and a busy event loop takes
milliseconds to give it back. A hundred rows by a statement keep the writer at the disk's speed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Final, TypeVar

from . import Appended, EventRow
from .schema import EVENT_COLUMNS

T = TypeVar("T")

_COLUMNS: Final = ("seq", *(column.name for column in EVENT_COLUMNS))
_CHUNKS: Final = (100, 10, 1)
"""Rows of one statement. Few sizes, so that each statement is compiled once."""


def append_rows(connection: sqlite3.Connection, app: int, rows: Sequence[EventRow]) -> Appended:
    """Insert the rows whose ids are new to ``app``. Call it in a transaction that holds the write lock."""
    new: dict[str, EventRow] = {}
    for row in rows:
        new.setdefault(row.id, row)
    for ids in _chunks(list(new)):
        for (known,) in connection.execute(_known(len(ids)), (app, *ids)).fetchall():
            del new[known]
    seq = _last_seq(connection)
    for chunk in _chunks(list(new.values())):
        numbered = list(enumerate(chunk, seq + 1))
        seq += len(chunk)
        connection.execute(
            _insert("events", _COLUMNS, len(chunk)),
            [value for number, row in numbered for value in (number, app, *row.columns())],
        )
        connection.execute(
            _insert("documents", ("seq", "doc"), len(chunk)),
            list(chain.from_iterable((number, row.doc) for number, row in numbered)),
        )
    return Appended(len(new), len(rows) - len(new))


def _last_seq(connection: sqlite3.Connection) -> int:
    """Return the highest ``seq`` that was ever used."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    position = 0
    for size in _CHUNKS:
        while len(items) - position >= size:
            yield items[position : position + size]
            position += size


@cache
def _known(count: int) -> str:
    marks = ", ".join("?" * count)
    return f"SELECT id FROM events WHERE app = ? AND id IN ({marks})"  # noqa: S608 - marks only


@cache
def _insert(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - constants
