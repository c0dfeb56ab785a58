"""Hot paths: places in the documents of events whose values have an index of their own in SQLite.

Triggers keep the table ``hot`` in step with ``documents``, so that it is right whichever process writes. It holds each
distinct value at a path once for each event. A path that was made hot stays so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import orjson

from ...errors import ConfigurationError
from ..search import InvalidSearch
from ..search.fields import EVENTS, field_of

HotPaths = Mapping[tuple[str, ...], int]
"""Member names of a path -> the number that stands for it in the table ``hot``."""


def members_of(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the member names of dotted paths. Raises ConfigurationError for what needs no index or can have none."""
    found = []
    for name in names:
        try:
            field = field_of(EVENTS, name, "hot")
        except InvalidSearch as error:
            raise ConfigurationError("store", str(error)) from None
        if field.column is not None or field.below:
            why = "are many fields" if field.below else "has an index already"
            raise ConfigurationError("store", f"hot: {name} {why}")
        found.append(field.members)
    return found


def hot_paths(connection: sqlite3.Connection) -> HotPaths:
    """Return the hot paths of a file."""
    rows = connection.execute("SELECT names, path FROM hot_paths")
    return {tuple(orjson.loads(names)): path for names, path in rows}


def make_hot(connection: sqlite3.Connection, paths: Iterable[tuple[str, ...]]) -> None:
    """Give paths an index that have none: from now on, and for the events that are there. Call it in a transaction."""
    there = hot_paths(connection)
    for members in dict.fromkeys(paths):
        if members in there:
            continue
        names = orjson.dumps(members).decode()
        number = connection.execute("INSERT INTO hot_paths (names) VALUES (?)", (names,)).lastrowid
        quoted = names.replace("'", "''")
        values = f"INSERT OR IGNORE INTO hot (path, value, seq) SELECT {number}, value"
        connection.execute(
            f"CREATE TRIGGER hot_path_{number} AFTER INSERT ON documents BEGIN"
            f" {values}, new.seq FROM json_each(leaves(new.doc, '{quoted}', 0, 1)); END"
        )
        connection.execute(f"{values}, seq FROM documents, json_each(leaves(doc, '{quoted}', 0, 1))")
