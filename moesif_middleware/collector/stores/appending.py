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
    stored, seq = 0, _last_seq(connection)
    for chunk in _chunks(rows):
        numbered = list(enumerate(chunk, seq + 1))
        inserted = connection.execute(
            _insert("events", _COLUMNS, len(chunk), " ON CONFLICT (app, id) DO NOTHING"),
            [value for number, row in numbered for value in (number, app, *row.columns())],
        ).rowcount
        if inserted < len(chunk):
            # Rare, so that it is cheaper to ask afterwards which were new than to look for each before.
            new = {number for (number,) in connection.execute("SELECT seq FROM events WHERE seq > ?", (seq,))}
            numbered = [pair for pair in numbered if pair[0] in new]
        for part in _chunks(numbered):
            connection.execute(
                _insert("documents", ("seq", "doc"), len(part)),
                list(chain.from_iterable((number, row.doc) for number, row in part)),
            )
        stored += inserted
        seq += len(chunk)
    return Appended(stored, len(rows) - stored)


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
def _insert(table: str, columns: tuple[str, ...], count: int, otherwise: str = "") -> str:
    row = f"({', '.join('?' * len(columns))})"
    values = ", ".join([row] * count)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}{otherwise}"  # noqa: S608 - constants
