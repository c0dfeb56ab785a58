"""How long events are kept: by age, by number and by bytes, whichever is reached first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from .stores import Store, StoreUnavailable

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
DAY_MS: Final = 24 * 3600 * 1000

_ROOM: Final = 0.95
"""Share of the bytes that is left after a cut, so that the next event does not need another."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of each application's events; None is no bound. ``bytes`` is that of the whole store."""

    days: float | None = None
    events: int | None = None
    bytes: int | None = None


KEEP_ALL: Final = Retention()


def retain(store: Store, app: str, retention: Retention, now_ms: int) -> int:
    """Delete the oldest events that ``retention`` does not keep and return how many they were."""
    bounds = [] if retention.days is None else [now_ms - int(retention.days * DAY_MS)]
    most = _most_events(store, app, retention)
    if most is not None and (oldest_ms := store.time_at(app, most)) is not None:
        # That one is the first too many; others of its millisecond go with it.
        bounds.append(oldest_ms + 1)
    return store.expire(app, max(bounds)) if bounds else 0


def _most_events(store: Store, app: str, retention: Retention) -> int | None:
    """Return how many events may stay; bytes count as events of the store's average size."""
    most = [] if retention.events is None else [retention.events]
    if retention.bytes is not None:
        kept = store.kept(app)
        if kept.bytes > retention.bytes:
            most.append(int(kept.events * _ROOM * retention.bytes / kept.bytes))
    return min(most, default=None)


async def keep_retaining(store: Store, apps: tuple[str, ...], retention: Retention, clock: Callable[[], float]) -> None:
    """Retain once a minute until cancelled; a failure is logged, and the next minute tries again."""
    while True:
        for app in apps:
            try:
                gone = await run_in_threadpool(retain, store, app, retention, int(clock() * 1000))
            except StoreUnavailable as error:
                logger.warning("old events were not deleted: %s", error)
            else:
                logger.debug("%d old events were deleted", gone)
        await asyncio.sleep(EVERY_SECONDS)
