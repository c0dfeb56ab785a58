"""The one thread that writes: it takes what has queued up and makes it durable in one transaction (group commit)."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from . import StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_ROWS: Final = 2_000
"""Rows in one transaction: enough to spread the cost of a disk flush, few enough to keep its answer quick."""

QUEUE_ROWS: Final = 50_000
"""Rows that may wait. More are refused, since their callers hold them in memory until they are answered."""


class _Job:
    """A piece of work on the writing connection, and the future of who waits for it."""

    __slots__ = ("future", "rows", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], rows: int) -> None:
        self.work = work
        self.rows = rows
        self.future: Future[Any] = Future()


class Writer:
    """Runs jobs on a connection of its own, several in one transaction, and answers when they are committed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_rows = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T], rows: int = 1) -> Future[T]:
        """Return the future of what ``work`` returns, done when the transaction is on disk.

        Raises StoreUnavailable when it is closed or too much waits.
        """
        job = _Job(work, rows)
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if self._waiting_rows and self._waiting_rows + rows > QUEUE_ROWS:
                raise StoreUnavailable(f"{self._waiting_rows} rows wait to be written")
            self._waiting_rows += rows
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Write what was handed over, then end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        try:
            while (group := self._next_group()) is not None:
                self._commit(connection, group)
        finally:
            connection.close()

    def _next_group(self) -> list[_Job] | None:
        """Wait for a job and return it with those that stand behind it; None at the end."""
        job = self._jobs.get()
        if job is None:
            return None
        group, rows = [job], job.rows
        while rows < GROUP_ROWS:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
            rows += job.rows
        with self._lock:
            self._waiting_rows -= rows
        # Nobody was told anything about a job whose caller has gone.
        return [job for job in group if job.future.set_running_or_notify_cancel()]

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        try:
            results = self._transaction(connection, group)
        except sqlite3.OperationalError as error:
            self._fail(group, StoreUnavailable(str(error)))
        except Exception as error:
            if len(group) == 1:
                self._fail(group, error)
                return
            # One bad job must not fail the others of its group.
            for job in group:
                self._commit(connection, [job])
        else:
            for job, result in zip(group, results, strict=True):
                job.future.set_result(result)

    @staticmethod
    def _fail(group: list[_Job], error: Exception) -> None:
        logger.warning("a write of %d jobs to the store failed: %s", len(group), error)
        for job in group:
            job.future.set_exception(error)

    @staticmethod
    def _transaction(connection: sqlite3.Connection, group: list[_Job]) -> list[Any]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [job.work(connection) for job in group]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results
