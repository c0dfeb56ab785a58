"""The one thread that writes to SQLite: it makes what has queued up durable in one transaction (group commit)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from . import StoreUnavailable
from .grouping import GroupQueue, Job, carry_out

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], Any]


class Writer:
    """Runs jobs on a connection of its own, several in one transaction, and answers when they are committed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str) -> None:
        self._connect = connect
        self._queue: GroupQueue[Work] = GroupQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T], rows: int = 1) -> Future[T]:
        """Return the future of what ``work`` returns, done when the transaction is on disk.

        Raises StoreUnavailable when it is closed or too much waits.
        """
        return self._queue.submit(work, rows)

    def close(self) -> None:
        """Write what was handed over, then end the thread."""
        self._queue.close()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        try:
            for group in self._queue.groups():
                carry_out(group, lambda jobs: _committed(connection, jobs))
        finally:
            connection.close()


def _committed(connection: sqlite3.Connection, group: Sequence[Job[Work]]) -> list[Any]:
    try:
        with transaction(connection):
            return [job.work(connection) for job in group]
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do what the block does as a whole, or with an exception nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
