"""Group commit: what many threads hand over is taken by one, several pieces of work at a time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from . import StoreUnavailable

logger = logging.getLogger(__name__)

W = TypeVar("W")

GROUP_ROWS: Final = 2_000
"""Rows in one group: enough to spread the cost of a commit, few enough to keep its answer quick."""

QUEUE_ROWS: Final = 50_000
"""Rows that may wait. More are refused, since their callers hold them in memory until they are answered."""


class Job(Generic[W]):
    """A piece of work, and the future of who waits for it."""

    __slots__ = ("future", "rows", "work")

    def __init__(self, work: W, rows: int) -> None:
        self.work = work
        self.rows = rows
        self.future: Future[Any] = Future()


class GroupQueue(Generic[W]):
    """Work that waits for the one thread that does it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job[W] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_rows = 0
        self._closed = False

    def submit(self, work: W, rows: int = 1) -> Future[Any]:
        """Return the future of what the work comes to. Raises StoreUnavailable when closed or too much waits."""
        job = Job(work, rows)
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if self._waiting_rows and self._waiting_rows + rows > QUEUE_ROWS:
                raise StoreUnavailable(f"{self._waiting_rows} rows wait to be written")
            self._waiting_rows += rows
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)

    def groups(self, every: float = 0.0, rows: Callable[[], int] = lambda: GROUP_ROWS) -> Iterator[list[Job[W]]]:
        """Yield what waits, in order, until closed: a job as soon as ``every`` seconds have passed since the last.

        ``rows`` is asked for the number of rows that make a group full.
        """
        last = float("-inf")
        while (job := self._jobs.get()) is not None:
            group = self._filled(job, last + every, rows())
            last = time.monotonic()
            with self._lock:
                self._waiting_rows -= sum(job.rows for job in group)
            # Nobody was told anything about a job whose caller has gone.
            yield [job for job in group if job.future.set_running_or_notify_cancel()]

    def _filled(self, first: Job[W], until: float, most: int) -> list[Job[W]]:
        """Return the job with those that stand behind it or come before the moment ``until``."""
        group, rows = [first], first.rows
        while rows < most:
            left = until - time.monotonic()
            try:
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
            rows += job.rows
        return group


def carry_out(group: Sequence[Job[W]], make: Callable[[Sequence[Job[W]]], Sequence[Any]]) -> None:
    """Tell everyone who waits for the group what ``make`` returned for their job, or that it failed."""
    try:
        results = make(group)
    except StoreUnavailable as error:
        _fail(group, error)
    except Exception as error:
        if len(group) == 1:
            _fail(group, error)
            return
        # One bad job must not fail the others of its group.
        for job in group:
            carry_out([job], make)
    else:
        for job, result in zip(group, results, strict=True):
            job.future.set_result(result)


def _fail(group: Sequence[Job[W]], error: Exception) -> None:
    logger.warning("a write of %d jobs to the store failed: %s", len(group), error)
    for job in group:
        job.future.set_exception(error)
