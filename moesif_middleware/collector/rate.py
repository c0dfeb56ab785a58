"""The Management API's rate: calls of one key in a calendar minute (reference, "Management API Rate Limits")."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from .refusals import Refusal

CALLS_PER_MINUTE: Final = 500


class CalendarRate:
    """Counts calls by key and by calendar minute."""

    def __init__(self, most: int = CALLS_PER_MINUTE, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._clock = clock
        self._minute = -1
        self._spent: dict[str, int] = {}

    def spend(self, key: str) -> None:
        """Count one call. Raises Refusal 429, with the seconds to the next minute, when there were too many."""
        minute, second = divmod(int(self._clock()), 60)
        if minute != self._minute:
            self._minute, self._spent = minute, {}
        spent = self._spent.get(key, 0)
        if spent >= self._most:
            raise Refusal(429, f"over {self._most} calls in this minute", {"Retry-After": str(60 - second)})
        self._spent[key] = spent + 1
