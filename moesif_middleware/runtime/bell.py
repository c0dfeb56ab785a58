"""A wake-up call for one thread, and the answer to those who wait for it."""

from __future__ import annotations

import queue
from collections import deque


class Bell:
    """Wakes the one thread that waits. Rings during a wait are one ring.

    Not a ``threading.Event``: that one takes a lock that is not reentrant, so that a signal handler which interrupts a
    ring and rings itself would wait for ever. The queue inside is made by the thread that waits: gevent may have
    patched the process since the bell was made, and a queue from before would stop all its greenlets.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Wake the waiting thread, or spare it its next wait."""
        if not self._rung:
            self._rung = True
            if self._calls is not None:
                self._calls.put(None)

    def wait(self, timeout: float | None) -> None:
        """Wait for a ring, at most ``timeout`` seconds when that is not None."""
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            if self._rung:
                self._rung = False
                return
        try:
            self._calls.get(timeout=timeout)
        except queue.Empty:
            return
        # Only now: a ring that comes before this is seen by what the woken thread does next.
        self._rung = False


class Waiters:
    """Threads that wait until somebody says that something has changed."""

    def __init__(self) -> None:
        self._bells: deque[Bell] = deque()

    def wait(self, timeout: float) -> None:
        """Wait to be told, at most ``timeout`` seconds."""
        bell = Bell()
        self._bells.append(bell)
        bell.wait(timeout)

    def tell(self) -> None:
        """Wake all who wait."""
        while self._bells:
            self._bells.popleft().ring()
