"""The Management API's rate limit, kept on the client's side so that a loop is slowed down instead of refused.

Reference, "Management API Rate Limits": 500 queries a minute, by fixed calendar minutes.
"""

from __future__ import annotations

import threading

PER_MINUTE = 500


class MinuteBudget:
    """How many calls may start in each calendar minute. Shared by threads; never waits itself."""

    def __init__(self, per_minute: int | None = PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._minute = 0
        self._used = 0
        self._closed_until = 0.0

    def reserve(self, now: float) -> float:
        """Take one call's place. Return the seconds to wait before it may start, 0 for at once.

        ``now`` is seconds since the epoch: places that do not fit into this minute are taken from the next ones.
        """
        if self._per_minute is None:
            return max(0.0, self._closed_until - now)
        with self._lock:
            minute = int(max(now, self._closed_until) // 60)
            if minute > self._minute:
                self._minute, self._used = minute, 0
            elif self._used >= self._per_minute:
                self._minute, self._used = self._minute + 1, 0
            self._used += 1
            return max(0.0, self._minute * 60.0 - now, self._closed_until - now)

    def close_until(self, moment: float) -> None:
        """Let no call start before ``moment``: the server said 429, which holds for every caller of this client."""
        with self._lock:
            self._closed_until = max(self._closed_until, moment)
