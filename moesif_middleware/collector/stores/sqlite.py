"""The embedded store: one SQLite file in WAL mode, synchronous=FULL, written by one thread in groups.

Other processes may read and write the same file. Readers have connections of their own and never block the writer.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final

import orjson

from ..merge import merged
from ..search import parse_search, run_search
from ..search.columns import read_columns
from ..search.sqlite import SQLiteEngine, add_functions
from . import Appended, EventRow, Kept, Recent, StoreUnavailable
from .appending import append_rows
from .hot import hot_paths, make_hot, members_of
from .recent import recent_rows
from .schema import EVENT_COLUMNS, MIGRATIONS
from .writer import Writer, transaction

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process that is writing."""

PAGE_BYTES: Final = 8192
"""Pages of a new file. Two documents of over 2 KB do not share one of the usual 4 KB, and leave half of it empty."""

CACHE_BYTES: Final = 16 * 1024 * 1024
"""Pages that the writer holds: a group and the pages of the indexes that it changes, which else are written twice."""

_UPSERT_ENTITY: Final = (
    "INSERT INTO entities (app, kind, id, updated_ms, doc) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (app, kind, id) DO UPDATE SET updated_ms = excluded.updated_ms, doc = excluded.doc"
)
_GET_EVENT: Final = "SELECT d.doc FROM events e JOIN documents d ON d.seq = e.seq WHERE e.app = ? AND e.id = ?"
_GET_ENTITY: Final = "SELECT doc FROM entities WHERE app = ? AND kind = ? AND id = ?"
_LIST_ENTITIES: Final = "SELECT doc FROM entities WHERE app = ? AND kind = ? ORDER BY id"
_VERSION: Final = "SELECT version FROM versions WHERE app = ? AND kind = ?"
_NEXT_VERSION: Final = (
    "INSERT INTO versions (app, kind, version) VALUES (?, ?, 1)"
    " ON CONFLICT (app, kind) DO UPDATE SET version = version + 1"
)
_TIME_AT: Final = "SELECT time_ms FROM events WHERE app = ? ORDER BY time_ms DESC LIMIT 1 OFFSET ?"
_WINDOW_END: Final = (
    "SELECT max(time_ms) FROM (SELECT time_ms FROM events WHERE app = ? AND time_ms > ? ORDER BY time_ms LIMIT ?)"
)
_NAMES: Final = ", ".join(f"e.{column.name}" for column in EVENT_COLUMNS if column.name != "app")
_WINDOW: Final = (
    f"SELECT {_NAMES}, d.doc FROM events e JOIN documents d ON d.seq = e.seq"  # noqa: S608 - constants
    " WHERE e.app = ? AND e.time_ms > ? AND e.time_ms <= ? ORDER BY e.time_ms, e.seq"
)
STEPS_BETWEEN_LOOKS: Final = 50_000
"""Steps of SQLite's machine, a few milliseconds, after which a reading that can be given up asks whether it is."""

PIECE_ROWS: Final = 2_000
"""Events that one piece of columns looks at, so that nobody waits long for the interpreter's lock."""

_EXPIRED: Final = "SELECT seq FROM events WHERE app = ? AND time_ms < ? ORDER BY time_ms LIMIT ?"
_EXPIRE_ROWS: Final = 1_000


class SQLiteStore:
    """A ``Store`` in one file. ``path`` is made, with its tables, when it is not there.

    ``hot`` are dotted paths in the documents of events that get an index. Raises ConfigurationError, StoreUnavailable.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time, hot: Sequence[str] = ()) -> None:
        paths = members_of(hot)
        self._path = str(path)
        self._clock = clock
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._readers = threading.local()
        self._apps: dict[str, int] = {}
        connection = self._connect()
        try:
            migrate(connection)
            if paths:
                with transaction(connection):
                    make_hot(connection, paths)
            self._hot = hot_paths(connection)
        finally:
            connection.close()
        self._writer = Writer(self._writing, "moesif-store")

    def append(self, app: str, rows: Iterable[EventRow]) -> Future[Appended]:
        """Return a future that is done when the rows are durable; an id that the app has already is a duplicate."""
        number, batch = self.app_number(app), list(rows)
        return self._writer.submit(lambda connection: append_rows(connection, number, batch), len(batch))

    def recent(self, app: str, query: Recent) -> list[dict[str, Any]]:
        """Return the narrow rows of the newest events, as mappings of column to value with ``seq``, newest first."""
        number = self.app_number(app)
        with self.reading() as connection:
            return recent_rows(connection, number, query)

    def search(
        self, app: str, kind: str, body: object, first: int | None = None, last: int | None = None, zone: tzinfo = UTC
    ) -> dict[str, Any]:
        """Return the answer of a search over the documents of a kind. Raises InvalidSearch."""
        search = parse_search(kind, body, first, last, zone, int(self._clock() * 1000))
        number = self.app_number(app)
        with self.reading() as connection:
            return run_search(SQLiteEngine(connection, number, self._hot), search)

    def counts_sooner(self, query: object) -> bool:  # noqa: ARG002 - a ReadsColumns
        """Return True: SQLite sorts for each GROUP BY."""
        return True

    def columns(
        self, app: str, query: object, names: Sequence[str], times: tuple[int, int]
    ) -> Iterator[list[list[Any]]]:
        """Yield the values of columns of the events that pass a query, some thousand events at a time, by time.

        To count what this yields takes a tenth of what GROUP BY takes. Raises InvalidSearch.
        """
        first, last = times
        search = parse_search("events", {"query": query}, first, last, UTC, int(self._clock() * 1000))
        number = self.app_number(app)
        while first <= last:
            with self.reading() as connection:
                (end,) = connection.execute(_WINDOW_END, (number, first - 1, PIECE_ROWS)).fetchone()
                if end is None:
                    return
                piece = replace(search, first=first, last=min(end, last))
                found = read_columns(SQLiteEngine(connection, number, self._hot), piece, names)
            yield found
            first = end + 1

    def get(self, app: str, kind: str, key: str) -> dict[str, Any] | None:
        """Return one document; ``kind`` is ``events`` or one of the kinds of ``entities``."""
        number = self.app_number(app)
        with self.reading() as connection:
            if kind == "events":
                row = connection.execute(_GET_EVENT, (number, key)).fetchone()
            else:
                row = connection.execute(_GET_ENTITY, (number, kind, key)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def documents(self, app: str, kind: str) -> list[dict[str, Any]]:
        """Return all documents of a kind that is not ``events``, in the order of their keys."""
        number = self.app_number(app)
        with self.reading() as connection:
            rows = connection.execute(_LIST_ENTITIES, (number, kind)).fetchall()
        return [orjson.loads(row[0]) for row in rows]

    def version(self, app: str, kind: str) -> object:
        """Return a value that differs after every write to the documents of a kind; cheap to ask for."""
        number = self.app_number(app)
        with self.reading() as connection:
            return connection.execute(_VERSION, (number, kind)).fetchone()

    def put(self, app: str, kind: str, documents: Mapping[str, dict[str, Any]], *, merge: bool = True) -> Future[None]:
        """Return a future that is done when the documents are durable, merged into those there or in their place."""
        number, now_ms = self.app_number(app), int(self._clock() * 1000)
        return self._writer.submit(
            lambda connection: _put(connection, (number, kind, now_ms), documents, merge=merge), len(documents)
        )

    def delete(self, app: str, kind: str, key: str, time_ms: int | None = None) -> Future[bool]:  # noqa: ARG002
        """Return a future of whether there was such a document; events are found by their ids, whatever their time."""
        number = self.app_number(app)
        return self._writer.submit(lambda connection: _delete(connection, number, kind, key))

    def apps(self) -> list[str]:
        """Return the ids of all applications that have something here."""
        with self.reading() as connection:
            return [name for (name,) in connection.execute("SELECT application_id FROM apps ORDER BY 1")]

    def kinds(self, app: str) -> list[str]:
        """Return the kinds of its documents that are not ``events``."""
        number = self.app_number(app)
        with self.reading() as connection:
            rows = connection.execute("SELECT DISTINCT kind FROM entities WHERE app = ? ORDER BY 1", (number,))
            return [kind for (kind,) in rows]

    def items(self, app: str, kind: str) -> dict[str, dict[str, Any]]:
        """Return all documents of a kind that is not ``events`` by their keys."""
        number = self.app_number(app)
        with self.reading() as connection:
            rows = connection.execute("SELECT id, doc FROM entities WHERE app = ? AND kind = ?", (number, kind))
            return {name: orjson.loads(document) for name, document in rows}

    def window(self, app: str, after_ms: int, rows: int) -> list[EventRow]:
        """Return the next events by time after a millisecond: about ``rows``, and all of the last one's millisecond."""
        number = self.app_number(app)
        with self.reading() as connection:
            (last,) = connection.execute(_WINDOW_END, (number, after_ms, rows)).fetchone()
            found = connection.execute(_WINDOW, (number, after_ms, last)).fetchall() if last is not None else []
        return [EventRow(*row) for row in found]

    def kept(self, app: str) -> Kept:
        """Return how much is stored; pages of the file that are free again do not count."""
        number = self.app_number(app)
        with self.reading() as connection:
            (events,) = connection.execute("SELECT count(*) FROM events WHERE app = ?", (number,)).fetchone()
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return Kept(events, (pages - free) * size)

    def time_at(self, app: str, rank: int) -> int | None:
        """Return the time, in milliseconds since the epoch, of the event that has ``rank`` newer ones, if any."""
        number = self.app_number(app)
        with self.reading() as connection:
            row = connection.execute(_TIME_AT, (number, rank)).fetchone()
        return None if row is None else int(row[0])

    def expire(self, app: str, before_ms: int) -> int:
        """Delete the events older than ``before_ms`` and return how many they were.

        It goes in small transactions, so that events which arrive meanwhile are not held up.
        """
        number, total = self.app_number(app), 0
        while gone := self._writer.submit(lambda connection: _expire(connection, number, before_ms)).result():
            total += gone
        return total

    def close(self) -> None:
        """Write what was handed over and close the file."""
        self._writer.close()
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a reading connection to one thread. Raises StoreUnavailable when the file cannot be read."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._reader()
        stop = getattr(self._readers, "stop", None)
        if stop is not None:
            connection.set_progress_handler(stop, STEPS_BETWEEN_LOOKS)
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(str(error)) from error
        finally:
            if stop is not None:
                connection.set_progress_handler(None, 0)
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    @contextmanager
    def interrupted_by(self, stop: Callable[[], bool]) -> Iterator[None]:
        """Give up what this thread reads within the block, with StoreUnavailable, soon after ``stop`` returns true."""
        self._readers.stop = stop
        try:
            yield
        finally:
            self._readers.stop = None

    def app_number(self, app: str) -> int:
        """Return the number that stands for an application id in the column ``app``."""
        number = self._apps.get(app)
        if number is None:
            number = self._apps[app] = self._writer.submit(lambda connection: _app_number(connection, app)).result()
        return number

    def _reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _writing(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute(f"PRAGMA cache_size = {-CACHE_BYTES // 1024}")
        return connection

    def _connect(self) -> sqlite3.Connection:
        try:
            # Autocommit: transactions are begun by hand. No connection is used by two threads at a time.
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            # A file that is there keeps its own.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            add_functions(connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error
        return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the newest version. Raises StoreUnavailable for a file that a newer version wrote."""
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreUnavailable(f"the file has schema version {version}, this program knows {len(MIGRATIONS)}")
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _put(
    connection: sqlite3.Connection,
    key: tuple[int, str, int],
    documents: Mapping[str, dict[str, Any]],
    *,
    merge: bool,
) -> None:
    app, kind, now_ms = key
    connection.execute(_NEXT_VERSION, (app, kind))
    for name, document in documents.items():
        there = connection.execute(_GET_ENTITY, (app, kind, name)).fetchone() if merge else None
        whole = merged(orjson.loads(there[0]) if there else {}, document) if merge else document
        connection.execute(_UPSERT_ENTITY, (app, kind, name, now_ms, orjson.dumps(whole).decode()))


def _delete(connection: sqlite3.Connection, app: int, kind: str, key: str) -> bool:
    if kind == "events":
        row = connection.execute("SELECT seq FROM events WHERE app = ? AND id = ?", (app, key)).fetchone()
        return row is not None and _delete_events(connection, [row]) == 1
    connection.execute(_NEXT_VERSION, (app, kind))
    cursor = connection.execute("DELETE FROM entities WHERE app = ? AND kind = ? AND id = ?", (app, kind, key))
    return cursor.rowcount == 1


def _expire(connection: sqlite3.Connection, app: int, before_ms: int) -> int:
    return _delete_events(connection, connection.execute(_EXPIRED, (app, before_ms, _EXPIRE_ROWS)).fetchall())


def _delete_events(connection: sqlite3.Connection, seqs: list[tuple[int]]) -> int:
    connection.executemany("DELETE FROM documents WHERE seq = ?", seqs)
    connection.executemany("DELETE FROM events WHERE seq = ?", seqs)
    return len(seqs)


def _app_number(connection: sqlite3.Connection, app: str) -> int:
    connection.execute("INSERT INTO apps (application_id) VALUES (?) ON CONFLICT DO NOTHING", (app,))
    (number,) = connection.execute("SELECT app FROM apps WHERE application_id = ?", (app,)).fetchone()
    return int(number)
