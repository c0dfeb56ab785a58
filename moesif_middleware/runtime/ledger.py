"""The ledger: captured = delivered + queued + spooled + sampled out + skipped + dropped by reason, at every moment."""

from __future__ import annotations

import threading
from typing import Any

OPEN = ("queued", "spooled")
"""States that an entry leaves again."""
FINAL = ("delivered", "sampled_out", "skipped")


class Ledger:
    """Counts what became of every captured thing. One lock, held for an addition and nothing else.

    A reentrant lock, since a signal handler or a finaliser may run in the middle of an addition and count as well.
    What lies in a shared spool is in the books of one process at a time: one that takes it over adopts it, and the one
    that had it hands it over. So the books of all processes add up to what was captured.
    """

    __slots__ = ("_counts", "_dropped", "_lock", "adopted", "handed_over")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts = dict.fromkeys(("captured", *OPEN, *FINAL), 0)
        self._dropped: dict[str, int] = {}
        self.adopted = 0
        """Things in ``captured`` that another process captured."""
        self.handed_over = 0
        """Things no longer in ``captured``, since another process took them over."""

    def capture(self, state: str, reason: str | None = None) -> None:
        """Enter one thing, which is in ``state`` from the start (``dropped`` with a reason, or a state's name)."""
        with self._lock:
            counts = self._counts
            counts["captured"] += 1
            if reason is None and state in counts:
                counts[state] += 1
            else:
                self._add(state, 1, reason)

    def adopt(self, count: int) -> None:
        """Enter things that another process captured and spooled, and that this one takes over."""
        with self._lock:
            self._counts["captured"] += count
            self._counts["spooled"] += count
            self.adopted += count

    def hand_over(self, count: int) -> None:
        """Take spooled things out of the books, since another process has them in its own by now."""
        with self._lock:
            self._counts["captured"] -= count
            self._counts["spooled"] -= count
            self.handed_over += count

    def move(self, source: str, target: str, count: int = 1, reason: str | None = None) -> None:
        """Take ``count`` things out of the open state ``source`` and enter them under ``target``."""
        with self._lock:
            self._counts[source] -= count
            self._add(target, count, reason)

    def _add(self, state: str, count: int, reason: str | None) -> None:
        if state == "dropped":
            name = reason or "unknown"
            self._dropped[name] = self._dropped.get(name, 0) + count
        else:
            self._counts[state] += count

    def forget(self) -> None:
        """Start from zero with a new lock: what a forked child does with its parent's numbers."""
        self.__init__()  # type: ignore[misc]  # the same as a new one, in the place that others refer to

    def count(self, state: str) -> int:
        """Return how many things are in a state now."""
        return self._counts[state]

    def snapshot(self) -> dict[str, Any]:
        """Return the counts, with ``dropped`` as a map of reason to count. The sum holds in what is returned."""
        with self._lock:
            return {**self._counts, "dropped": dict(self._dropped)}


def balance(counts: dict[str, Any]) -> int:
    """Return captured minus everything that became of it: 0, or the ledger is wrong."""
    return int(counts["captured"] - sum(counts[name] for name in (*OPEN, *FINAL)) - sum(counts["dropped"].values()))
