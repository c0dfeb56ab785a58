"""What is lost: booked at once, told to the user's hook on the delivery thread, and said in the log now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from .ledger import Ledger

_log = logging.getLogger(__name__)

SAY_SECONDS = 60.0
"""The least time between two lines of the log about the same thing."""


class Losses:
    """Books losses from any thread; ``dropped`` is told of them when ``tell`` is called, and on that thread."""

    def __init__(self, ledger: Callable[[str], Ledger], dropped: Callable[[str, int], None]) -> None:
        self._ledger, self._dropped = ledger, dropped
        self.forget()

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.RLock()
        self._untold: dict[str, int] = {}
        self._said_at: dict[str, float] = {}

    def book(self, kind: str, state: str, count: int, reason: str) -> None:
        """Count things of a kind as dropped that were in ``state``."""
        self._ledger(kind).move(state, "dropped", count, reason)
        with self._lock:
            self._untold[reason] = self._untold.get(reason, 0) + count

    def tell(self) -> None:
        """Tell what was lost since the last time. The hook may do what it likes, so that no lock is held meanwhile."""
        if not self._untold:
            return
        with self._lock:
            untold, self._untold = self._untold, {}
        for reason, count in untold.items():
            self._dropped(reason, count)

    def said(self, key: str, message: str, *arguments: Any) -> None:
        """Write a warning, at most once a minute for each key."""
        now = time.monotonic()
        if now - self._said_at.get(key, -SAY_SECONDS) >= SAY_SECONDS:
            self._said_at[key] = now
            _log.warning(message, *arguments)
