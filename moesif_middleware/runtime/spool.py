"""Undelivered batches in one SQLite file that the worker processes of a host share.

A row is a batch. Whoever holds its lease may send it; the lease of a process that died runs out, and any other one goes
on. ``owner`` says in whose ledger the row is. The bodies are masked before they come here. A connection never crosses
a fork: it is closed before one and opened again on both sides.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import SpoolError
from ..sansio.batches import Batch
from .compression import compress

_log = logging.getLogger(__name__)

APPLICATION_MARK = 0x4D4F4553
"""``PRAGMA application_id`` of a spool: MOES."""
FORMAT = 1
"""``PRAGMA user_version``; a file of another one is left alone."""
_PAGE = 8_192
_WAL_BYTES = 8_388_608
"""Of the file's size this much, or a quarter if that is less, is left to the write-ahead log."""
_BUSY_SECONDS = 1.0
_SCAN = 256
"""Rows that one claim looks at."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,
    lease REAL NOT NULL, born REAL NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL,
    lengths BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_by_app ON batches (app, id);
CREATE INDEX IF NOT EXISTS batches_by_owner ON batches (owner, kind, count);
"""

# What another try may mend; anything else switches the spool off.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM}


class Unusable(Exception):  # a state of the file, told to the log and never raised to a caller
    """The file is not a spool of this version."""


class Gone(NamedTuple):
    """Events that left the spool unsent: their kind, how many, whether they were in this process's books, and why."""

    kind: str
    number: int
    own: bool
    reason: str


@dataclass(slots=True)
class Claim:
    """A batch out of the spool, made of one or more rows, leased to this process and now in its books."""

    batch: Batch
    tickets: tuple[int, ...]
    age: float
    """Seconds since the oldest of it was captured."""
    adopted: int
    """How many of its items another process had in its books."""


class _Row(NamedTuple):
    """What a claim reads of a row before it decides to take it."""

    id: int
    kind: str
    owner: str
    born: float
    number: int
    size: int


class Spool:
    """The file. Safe from any thread; every method raises SpoolError when it could not do its work.

    ``bytes`` bounds the file with its write-ahead log, ``age`` is in seconds since the capture, ``lease`` in seconds.
    """

    def __init__(
        self, path: str, application_id: str, *, most_bytes: int, age: float, lease: float,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._path, self._age, self._lease, self._clock = path, age, lease, clock
        self._wal = min(_WAL_BYTES, most_bytes // 4)
        self._most_pages = max((most_bytes - self._wal) // _PAGE, 16)
        # The spool of several applications is one file; none of them may send what is another's.
        self._app = hashlib.sha256(application_id.encode()).hexdigest()[:32]
        self._said: set[str] = set()
        self.broken = False
        """Whether the file cannot be used at all. Said once in the log; it is memory only from then on."""
        self.forget()

    def forget(self) -> None:
        """Begin anew in a forked child: with a name, a lock and a connection of its own."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._owner = uuid.uuid4().hex

    def put(self, batch: Batch, age: float) -> tuple[int, list[Gone]]:
        """Store a batch that was captured ``age`` seconds ago, leased to this process.

        Returns its ticket, and what had to go to make room.
        """
        packed = _pack(batch)
        with self._transaction() as connection:
            now = self._clock()
            gone = self._make_room(connection, len(packed) + 4 * len(batch.items))
            return self._insert(connection, batch, packed, now - age, now + self._lease), gone

    def replace(self, tickets: Sequence[int], halves: Sequence[Batch], age: float) -> list[int]:
        """Store parts of a batch in its place, leased to this process; return their tickets, none if it is not ours."""
        wanted = sum(len(half.items) for half in halves)
        with self._transaction() as connection:
            if self._delete(connection, tickets) != wanted:
                connection.execute("ROLLBACK")
                return []
            now = self._clock()
            return [self._insert(connection, half, _pack(half), now - age, now + self._lease) for half in halves]

    def claim(self, most: int, most_bytes: int) -> tuple[Claim | None, list[Gone]]:
        """Lease the oldest rows of one kind that nobody holds: at most ``most`` items of ``most_bytes`` bytes.

        Returns them, None when there is nothing, and what had to be given up: it is too old, or cannot be read.
        """
        with self._transaction() as connection:
            now = self._clock()
            # A lease that ends impossibly late was written before the clock was set back.
            found = connection.execute(
                "SELECT id, kind, owner, born, count, size FROM batches"
                " WHERE app = ? AND (lease <= ? OR lease > ?) ORDER BY id LIMIT ?",
                (self._app, now, now + 2 * self._lease, _SCAN),
            )
            rows = [_Row(*row) for row in found.fetchall()]
            gone = [self._give_up(connection, row, "too_old") for row in rows if row.born < now - self._age]
            chosen = _choose([row for row in rows if row.born >= now - self._age], most, most_bytes)
            items: list[bytes] = []
            for row in tuple(chosen):
                try:
                    items += _items(connection, row.id)
                except (zlib.error, struct.error):
                    chosen.remove(row)
                    gone.append(self._give_up(connection, row, "spool_corrupt"))
            if not chosen:
                return None, gone
            self._take_over(connection, chosen, now)
            adopted = sum(row.number for row in chosen if row.owner != self._owner)
            age = now - min(row.born for row in chosen)
            return Claim(Batch(chosen[0].kind, tuple(items)), tuple(row.id for row in chosen), age, adopted), gone

    def remove(self, tickets: Sequence[int]) -> int:
        """Take rows out that are settled; return how many items that were, 0 when another process has taken over."""
        with self._transaction() as connection:
            return self._delete(connection, tickets)

    def release(self, tickets: Sequence[int]) -> None:
        """Give a lease back, so that anybody may try."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE batches SET lease = 0 WHERE id = ? AND owner = ?", [(ticket, self._owner) for ticket in tickets]
            )

    def renew(self, tickets: Sequence[int]) -> int:
        """Extend a lease; return how many rows are still ours."""
        with self._transaction() as connection:
            until = self._clock() + self._lease
            return connection.executemany(
                "UPDATE batches SET lease = ? WHERE id = ? AND owner = ?",
                [(until, ticket, self._owner) for ticket in tickets],
            ).rowcount

    def owned(self) -> dict[str, int]:
        """Return how many items of each kind are in this process's books."""
        with self._used() as connection:
            rows = connection.execute(
                "SELECT kind, sum(count) FROM batches WHERE owner = ? GROUP BY kind", (self._owner,)
            )
            return dict(rows.fetchall())

    def waiting(self) -> tuple[int, int]:
        """Return how many items of this application lie here, whoever holds them, and how many of other ones."""
        with self._used() as connection:
            rows = connection.execute("SELECT app = ?, sum(count) FROM batches GROUP BY 1", (self._app,))
            found = dict(rows.fetchall())
            return found.get(1, 0), found.get(0, 0)

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def hold(self) -> None:
        """Close before a fork, and let nobody open until ``let_go``."""
        self._lock.acquire()
        self.close()

    def let_go(self) -> None:
        """End what ``hold`` began, in the parent."""
        self._lock.release()

    # Inside

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        if self.broken:
            raise SpoolError("the spool is off")
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _open(self._path, self._most_pages, self._wal)
                yield self._connection
            except (sqlite3.Error, OSError, Unusable) as error:
                self._failed(error)
                raise SpoolError(str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._used() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", None)
        passing = code is not None and code & 0xFF in _PASSING
        if not passing:
            self.broken = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        said = "passing" if passing else "broken"
        if said in self._said:
            return
        self._said.add(said)
        if passing:
            _log.warning("the spool %s cannot be written now, events wait in memory: %s", self._path, error)
        else:
            _log.error("the spool %s cannot be used, events wait in memory only: %s", self._path, error)

    def _insert(self, connection: sqlite3.Connection, batch: Batch, packed: bytes, born: float, lease: float) -> int:
        lengths = struct.pack(f"<{len(batch.items)}I", *map(len, batch.items))
        done = connection.execute(
            "INSERT INTO batches (app, kind, owner, lease, born, count, size, lengths, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._app, batch.kind, self._owner, lease, born, len(batch.items), batch.size, lengths, packed),
        )
        return int(done.lastrowid or 0)

    def _delete(self, connection: sqlite3.Connection, tickets: Sequence[int]) -> int:
        removed = 0
        for ticket in tickets:
            key = (ticket, self._owner)
            row = connection.execute("SELECT count FROM batches WHERE id = ? AND owner = ?", key).fetchone()
            if row is not None:
                connection.execute("DELETE FROM batches WHERE id = ?", (ticket,))
                removed += row[0]
        return removed

    def _make_room(self, connection: sqlite3.Connection, size: int) -> list[Gone]:
        """Delete the oldest rows, whoever's they are but in flight here, until ``size`` bytes fit."""
        wanted = size // _PAGE + 4
        if wanted > self._most_pages:
            raise SpoolError(f"{size} bytes are more than the whole spool may hold")
        gone = []
        while _pages_used(connection) + wanted > self._most_pages:
            row = connection.execute(
                "SELECT id, kind, owner, count FROM batches WHERE owner != ? OR lease <= ? ORDER BY id LIMIT 1",
                (self._owner, self._clock()),
            ).fetchone()
            if row is None:
                break
            connection.execute("DELETE FROM batches WHERE id = ?", (row[0],))
            gone.append(Gone(row[1], row[3], row[2] == self._owner, "spool_full"))
        return gone

    def _give_up(self, connection: sqlite3.Connection, row: _Row, reason: str) -> Gone:
        connection.execute("DELETE FROM batches WHERE id = ?", (row.id,))
        return Gone(row.kind, row.number, row.owner == self._owner, reason)

    def _take_over(self, connection: sqlite3.Connection, rows: list[_Row], now: float) -> None:
        connection.executemany(
            "UPDATE batches SET lease = ?, owner = ? WHERE id = ?",
            [(now + self._lease, self._owner, row.id) for row in rows],
        )


def _pack(batch: Batch) -> bytes:
    return compress((b"".join(batch.items),))


def _items(connection: sqlite3.Connection, ticket: int) -> list[bytes]:
    """Return the items of a row. Raises zlib.error or struct.error when they cannot be read."""
    lengths, packed = connection.execute("SELECT lengths, body FROM batches WHERE id = ?", (ticket,)).fetchone()
    body = zlib.decompress(packed, 31)
    items, start = [], 0
    for (length,) in struct.iter_unpack("<I", lengths):
        items.append(body[start : start + length])
        start += length
    if start != len(body):
        raise struct.error("the lengths are not those of the body")
    return items


def _choose(rows: list[_Row], most: int, most_bytes: int) -> list[_Row]:
    """Return the first row, and those after it of the same kind for as long as they make one batch together."""
    chosen: list[_Row] = []
    count = size = 0
    for row in rows:
        if chosen and row.kind != chosen[0].kind:
            continue
        if chosen and (count + row.number > most or size + row.size > most_bytes):
            break
        chosen.append(row)
        count, size = count + row.number, size + row.size
    return chosen


def _pages_used(connection: sqlite3.Connection) -> int:
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(pages - free)


def _open(path: str, most_pages: int, wal_bytes: int) -> sqlite3.Connection:
    """Open or make the file, readable by its owner only. Raises sqlite3.Error, OSError or SpoolError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, most_pages, wal_bytes)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, most_pages: int, wal_bytes: int) -> None:
    # One snapshot: another process may be making the tables just now.
    connection.execute("BEGIN")
    mark, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    connection.execute("COMMIT")
    if tables and (mark, version) != (APPLICATION_MARK, FORMAT):
        raise Unusable("it is a database of something else, or of another version of this package")
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA max_page_count = {most_pages}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {max(wal_bytes // _PAGE // 2, 8)}")
    connection.execute(f"PRAGMA journal_size_limit = {wal_bytes}")
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_MARK};"
            f" PRAGMA user_version = {FORMAT}; COMMIT;"
        )
