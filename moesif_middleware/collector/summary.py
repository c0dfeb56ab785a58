"""What the page's overview shows: events over time by status and route, top routes, users and companies, latency.

One search without hits; a sampled event counts by its weight. Where a store reads columns quickly, ``tally`` counts the
same figures in one pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .qualifiers import Qualifier, query
from .stores import Store

PERCENTS: Final = (50, 75, 90, 95, 99)
FEW_PERCENTS: Final = (50, 95)
"""The levels of latency over time."""

TOP: Final = 10
MOST_BUCKETS: Final = 72
NO_RESPONSE: Final = "none"
OTHER: Final = "other"
"""Of statuses from 600 to 999, which no RFC gives a class."""

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_STEPS: Final = (
    *(_SECOND, 5 * _SECOND, 15 * _SECOND, 30 * _SECOND, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 24 * _HOUR),
)
_ERRORS: Final = {"filter": {"range": {"response.status": {"gte": 400}}}}
_NO_STATUS: Final = 0
"""Stands in for that of a call without a response; no call has it."""
_ALL_STATUSES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time, both ends inclusive milliseconds since the epoch."""

    first: int
    last: int

    @property
    def step(self) -> int:
        """Return the length of a bucket in milliseconds: the shortest round one that gives few enough."""
        length = self.last - self.first
        return next((step for step in _STEPS if length <= step * MOST_BUCKETS), _STEPS[-1])


def summarize(store: Store, app: str, qualifiers: list[Qualifier], span: Span) -> dict[str, Any]:
    """Return the figures of the events in a range of time that pass a filter. Raises Refusal and InvalidSearch."""
    body = {"query": query(qualifiers), "size": 0, "track_total_hits": False, "aggs": _aggregations(span)}
    found = store.search(app, "events", body, span.first, span.last)["aggregations"]
    over_time = [(bucket, _statuses(bucket)) for bucket in found["by_status"]["buckets"]]
    return {
        "first": span.first,
        "last": span.last,
        "step": span.step,
        "total": sum(bucket["doc_count"] for bucket, _ in over_time),
        "errors": sum(errors_of(statuses) for _, statuses in over_time),
        "latency": _percentiles(found["latency"]),
        "by_status": [
            {"at": int(bucket["key"]), "count": bucket["doc_count"], "parts": classes_of(statuses)}
            for bucket, statuses in over_time
        ],
        "by_route": _by_route(found),
        "latency_over_time": [{"at": int(bucket["key"]), **_percentiles(bucket["latency"])} for bucket, _ in over_time],
        **{name: [_top(bucket) for bucket in found[name]["buckets"]] for name in ("routes", "users", "companies")},
    }


def _aggregations(span: Span) -> dict[str, Any]:
    over_time = {
        "field": "request.time",
        "fixed_interval": f"{span.step // _SECOND}s",
        "extended_bounds": {"min": span.first, "max": span.last},
    }
    few_percents = {"percentiles": {"field": "duration_ms", "percents": list(FEW_PERCENTS)}}
    percents = {"percentiles": {"field": "duration_ms", "percents": list(PERCENTS)}}
    statuses = {"terms": {"field": "response.status", "size": _ALL_STATUSES, "missing": _NO_STATUS}}
    return {
        "latency": percents,
        "by_status": {
            "date_histogram": over_time,
            "aggs": {"status": statuses, "latency": few_percents},
        },
        "routes": {
            "terms": {"field": "request.route", "size": TOP},
            "aggs": {"errors": _ERRORS, "latency": percents, "over_time": {"date_histogram": over_time}},
        },
        "users": {"terms": {"field": "user_id", "size": TOP}, "aggs": {"errors": _ERRORS}},
        "companies": {"terms": {"field": "company_id", "size": TOP}, "aggs": {"errors": _ERRORS}},
    }


def _statuses(bucket: dict[str, Any]) -> dict[int | None, int]:
    return {part["key"] or None: part["doc_count"] for part in bucket["status"]["buckets"]}


def errors_of(statuses: Mapping[int | None, int]) -> int:
    """Return how many of the calls with these statuses failed, None being that of a call without a response."""
    return sum(count for status, count in statuses.items() if status is not None and status >= 400)


def classes_of(statuses: Mapping[int | None, int]) -> dict[str, int]:
    """Return how many calls had a status of each class, ``5xx`` as well as those that have none."""
    found: Counter[str] = Counter()
    for status, count in statuses.items():
        found[_class_of(status)] += count
    return dict(sorted(found.items()))


def _class_of(status: int | None) -> str:
    if status is None:
        return NO_RESPONSE
    return f"{status // 100}xx" if status < 600 else OTHER


def _by_route(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how often the routes that are called most were called over time."""
    parts: dict[Any, dict[str, int]] = {}
    for route in found["routes"]["buckets"]:
        for bucket in route["over_time"]["buckets"]:
            if bucket["doc_count"]:
                parts.setdefault(bucket["key"], {})[route["key"]] = bucket["doc_count"]
    return [
        {"at": int(bucket["key"]), "count": bucket["doc_count"], "parts": parts.get(bucket["key"], {})}
        for bucket in found["by_status"]["buckets"]
    ]


def _top(bucket: dict[str, Any]) -> dict[str, Any]:
    found = {"key": bucket["key"], "count": bucket["doc_count"], "errors": bucket["errors"]["doc_count"]}
    return {**found, "latency": _percentiles(bucket["latency"])} if "latency" in bucket else found


def _percentiles(metric: dict[str, Any]) -> dict[str, float | None]:
    """Return ``p50`` and so on in milliseconds, None where there was no response at all."""
    return {f"p{float(name):g}": value for name, value in metric["values"].items()}
