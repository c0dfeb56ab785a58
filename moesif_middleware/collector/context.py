"""What the collector's route groups share: the store, the applications it serves, and who listens for new events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .feed import Feeds
from .rate import CalendarRate
from .settings import ManagementKey
from .stores import Store

LARGE_AT_ONCE = 2
"""Large bodies that are parsed at the same time: each may take ten times its size in memory."""


class Arrivals:
    """Tells listeners on the event loop that events arrived; belongs to the loop that serves.

    It carries no events: a listener that is woken asks the store for what came after the last ``seq`` it saw, so
    that a slow one costs no memory and sees what other processes stored too.
    """

    def __init__(self) -> None:
        self.closed = False
        """True when the server is about to end: live streams end themselves then."""
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def publish(self, app: str) -> None:
        """Wake everyone who waits for ``app``. Call it on the event loop."""
        for waiting in self._waiting.pop(app, ()):
            waiting.set()

    def close(self) -> None:
        """Wake everyone for the last time. Call it on the event loop."""
        self.closed = True
        for app in list(self._waiting):
            self.publish(app)

    async def wait(self, app: str, timeout: float) -> bool:  # noqa: ASYNC109 - a poll interval, not a cancellation
        """Return True when events of ``app`` arrived, False after ``timeout`` seconds without one or when closed."""
        if self.closed:
            return False
        arrived = asyncio.Event()
        waiting = self._waiting.setdefault(app, set())
        waiting.add(arrived)
        try:
            async with asyncio.timeout(timeout):
                await arrived.wait()
        except TimeoutError:
            return False
        finally:
            waiting.discard(arrived)
        return not self.closed


@dataclass(frozen=True, slots=True)
class CollectorContext:
    """Handed to every route group; on the application as ``app.state.context``."""

    store: Store
    apps: tuple[str, ...]
    management_keys: tuple[ManagementKey, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)
    rate: CalendarRate = field(default_factory=CalendarRate)
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_AT_ONCE))
    clock: Callable[[], float] = time.time
    editing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who reads a document, changes it and writes it again."""
    membership_due: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when cohorts or rules have changed: who is in which cohort is looked at again at once."""
    feeds: Feeds = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "feeds", Feeds(self.store))

    def now_ms(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return int(self.clock() * 1000)

    def governance_changed(self, app: str) -> None:
        """Say that rules, config or cohorts were just written."""
        self.feeds.changed(app)
        self.membership_due.set()
