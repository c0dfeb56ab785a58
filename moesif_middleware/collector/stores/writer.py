"""The one thread that writes to SQLite: it makes what has queued up durable in one transaction (group commit)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from . import StoreUnavailable
from .grouping import GroupQueue, Job, fail

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
                self._commit(connection, group)
        finally:
            connection.close()

    def _commit(self, connection: sqlite3.Connection, group: list[Job[Work]]) -> None:
        try:
            results = self._transaction(connection, group)
        except sqlite3.OperationalError as error:
            fail(group, StoreUnavailable(str(error)))
        except Exception as error:
            if len(group) == 1:
                fail(group, error)
                return
            # One bad job must not fail the others of its group.
            for job in group:
                self._commit(connection, [job])
        else:
            for job, result in zip(group, results, strict=True):
                job.future.set_result(result)

    @staticmethod
    def _transaction(connection: sqlite3.Connection, group: list[Job[Work]]) -> list[Any]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [job.work(connection) for job in group]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results
