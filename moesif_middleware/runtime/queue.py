"""The bounded queue between the request path and the worker: by count, by bytes, and by what is worth keeping.

Nothing here waits: the lock is held for a few appends and never over I/O. It is reentrant, since a signal handler or a
finaliser may interrupt a put and put something itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..sansio.exchange import Exchange

ORDINARY, NOTABLE, VITAL = range(3)
"""What is lost first to last: answers as hoped for; client errors; blocked and failed requests, and updates."""


class Entry(NamedTuple):
    """One captured thing. ``cost`` is about the bytes of memory that it holds."""

    kind: str
    payload: Any
    cost: int
    born: float


def priority(exchange: Exchange) -> int:
    """Return how much an exchange is worth when memory runs out."""
    status = exchange.status
    if exchange.error or exchange.blocked_by or status is None or status >= 500:
        return VITAL
    return NOTABLE if status >= 400 else ORDINARY


class BoundedQueue:
    """Entries in order of age within each priority; ``lost`` is told of every one that had to go."""

    def __init__(self, most: int, most_bytes: int, lost: Callable[[Entry, str], None]) -> None:
        self._most, self._most_bytes, self._lost = most, most_bytes, lost
        self._lock = threading.RLock()
        # Ordinary entries that have lost their bodies already are the older ones: they have a lane of their own.
        self._bare: deque[Entry] = deque()
        self._lanes: tuple[deque[Entry], deque[Entry], deque[Entry]] = (deque(), deque(), deque())
        self.count = 0
        self.bytes = 0
        """Bytes of everything queued, and of what the worker has reserved."""

    def put(self, entry: Entry, worth: int) -> int:
        """Append an entry, making room for it if need be. Returns the count after it, 0 when it was lost itself."""
        if entry.cost > self._most_bytes:
            # A body in a hundred thousand pieces: room for it would cost all others, and there would be none still.
            entry = _without_bodies(entry)
        with self._lock:
            if self.count >= self._most or self.bytes + entry.cost > self._most_bytes:
                if entry.cost <= self._most_bytes:
                    self._make_room(entry.cost, worth)
                if self.count >= self._most or self.bytes + entry.cost > self._most_bytes:
                    self._lost(entry, "queue_full")
                    return 0
            self._lanes[worth].append(entry)
            self.bytes += entry.cost
            self.count += 1
            return self.count

    def _make_room(self, cost: int, worth: int) -> None:
        """Give up what is worth no more than the newcomer: bodies of ordinary entries first, then entries."""
        ordinary = self._lanes[ORDINARY]
        while ordinary and self.count < self._most and self.bytes + cost > self._most_bytes:
            entry = ordinary.popleft()
            bare = _without_bodies(entry)
            self.bytes -= entry.cost - bare.cost
            self._bare.append(bare)
        for lane in (self._bare, *self._lanes[: worth + 1]):
            while lane and (self.count >= self._most or self.bytes + cost > self._most_bytes):
                entry = lane.popleft()
                self.bytes -= entry.cost
                self.count -= 1
                self._lost(entry, "queue_full")

    def take(self, most: int, most_bytes: int) -> list[Entry]:
        """Take out up to ``most`` entries of about ``most_bytes``, the most precious first.

        Their bytes stay reserved until ``release``.
        """
        found: list[Entry] = []
        size = 0
        with self._lock:
            for lane in (self._lanes[VITAL], self._lanes[NOTABLE], self._bare, self._lanes[ORDINARY]):
                while lane and len(found) < most and size < most_bytes:
                    entry = lane.popleft()
                    size += entry.cost
                    found.append(entry)
            self.count -= len(found)
        return found

    def release(self, size: int) -> None:
        """Give back reserved bytes; a negative number reserves more."""
        with self._lock:
            self.bytes -= size

    def oldest(self) -> float | None:
        """Return when the oldest entry was born, None when there is none."""
        with self._lock:
            heads = [lane[0].born for lane in (self._bare, *self._lanes) if lane]
        return min(heads) if heads else None


def _without_bodies(entry: Entry) -> Entry:
    exchange = entry.payload
    if not isinstance(exchange, Exchange):
        return entry
    exchange.shed_bodies()
    return entry._replace(cost=exchange.whole_cost)
