"""The figures of the overview, counted over the columns of events: for a store that sorts rows in order to group them.

``summary`` asks for the same figures as one search; both give the same answer.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .search.sqlite import weighted_percentiles
from .summary import FEW_PERCENTS, PERCENTS, TOP, Span, classes_of, errors_of

COLUMNS: Final = ("time_ms", "status", "duration_ms", "weight", "route", "user_id", "company_id")
"""What is counted over, in the order in which ``add`` takes it."""

Counted = Counter[tuple[Any, ...]]
"""How often each combination of values occurs; the weight is its last part."""

Groups = dict[Any, Counter[Any]]
"""Key of a group -> how often each value occurs in it, by weight."""


class Tally:
    """Counts the events of a range of time, piece by piece."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._buckets: Counted = Counter()
        self._latencies: Counted = Counter()
        self._routes: Counted = Counter()
        self._users: Counted = Counter()
        self._companies: Counted = Counter()

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Count some events, given as lists of equal length in the order of ``COLUMNS``."""
        times, statuses, durations, weights, routes, users, companies = columns
        step = self._span.step
        starts = [time // step * step for time in times]
        # A Counter counts what zip yields without leaving C, which a loop over the events could not.
        self._buckets.update(zip(starts, statuses, routes, weights, strict=True))
        self._latencies.update(zip(starts, durations, weights, strict=True))
        self._routes.update(zip(routes, statuses, durations, weights, strict=True))
        self._users.update(zip(users, statuses, weights, strict=True))
        self._companies.update(zip(companies, statuses, weights, strict=True))

    def answer(self) -> dict[str, Any]:
        """Return the figures, as ``summary.summarize`` does."""
        span = self._span
        starts = range(span.first // span.step * span.step, span.last + 1, span.step)
        statuses, routes = _grouped(self._buckets, 0, 1), _grouped(self._buckets, 0, 2)
        latencies, route_latencies = _grouped(self._latencies, 0, 1), _grouped(self._routes, 0, 2)
        top_routes = _top(_grouped(self._routes, 0, 1))
        counts = {at: _total(statuses.get(at, _NOTHING)) for at in starts}
        return {
            "first": span.first,
            "last": span.last,
            "step": span.step,
            "total": sum(counts.values()),
            "errors": sum(map(errors_of, statuses.values())),
            "latency": _percentiles(latencies.values(), PERCENTS),
            "by_status": [
                {"at": at, "count": count, "parts": classes_of(statuses.get(at, _NOTHING))}
                for at, count in counts.items()
            ],
            "by_route": [
                {"at": at, "count": count, "parts": _of(top_routes, routes.get(at, _NOTHING))}
                for at, count in counts.items()
            ],
            "latency_over_time": [
                {"at": at, **_percentiles([latencies.get(at, _NOTHING)], FEW_PERCENTS)} for at in starts
            ],
            "routes": [{**row, "latency": _percentiles([route_latencies[row["key"]]], PERCENTS)} for row in top_routes],
            "users": _top(_grouped(self._users, 0, 1)),
            "companies": _top(_grouped(self._companies, 0, 1)),
        }


_NOTHING: Final[Counter[Any]] = Counter()


def _grouped(counted: Counted, key: int, value: int) -> Groups:
    """Return how often each ``value`` occurs beside each ``key``, both given as places in the combinations."""
    found: Groups = defaultdict(Counter)
    for parts, times in counted.items():
        found[parts[key]][parts[value]] += times * parts[-1]
    return found


def _total(values: Counter[Any]) -> int:
    return sum(values.values())


def _of(rows: Sequence[dict[str, Any]], counts: Counter[Any]) -> dict[str, int]:
    return {row["key"]: counts[row["key"]] for row in rows if row["key"] in counts}


def _top(groups: Groups) -> list[dict[str, Any]]:
    first = heapq.nsmallest(TOP, ((-_total(statuses), key) for key, statuses in groups.items() if key is not None))
    return [{"key": key, "count": -count, "errors": errors_of(groups[key])} for count, key in first]


def _percentiles(durations: Iterable[Counter[Any]], percents: Sequence[int]) -> dict[str, float | None]:
    merged: Counter[Any] = Counter()
    for counted in durations:
        merged.update(counted)
    pairs = [(float(duration), weight) for duration, weight in merged.items() if duration is not None]
    found = weighted_percentiles(pairs, [percent / 100 for percent in percents]) if pairs else [None] * len(percents)
    return {f"p{percent}": value for percent, value in zip(percents, found, strict=True)}
