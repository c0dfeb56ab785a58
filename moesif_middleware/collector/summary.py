"""What the page's overview shows: events over time by status and route, top routes, users and companies, latency.

One search without hits; a sampled event counts by its weight. Where a store reads columns quickly, ``tally`` counts the
same figures in one pass.
"""

from __future__ import annotations

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

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_STEPS: Final = (
    *(_SECOND, 5 * _SECOND, 15 * _SECOND, 30 * _SECOND, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 24 * _HOUR),
)
_ERRORS: Final = {"filter": {"range": {"response.status": {"gte": 400}}}}
_CLASSES: Final = {
    **{f"{hundred}xx": {"range": {"response.status": {"gte": hundred * 100, "lt": hundred * 100 + 100}}}
       for hundred in range(1, 6)},
    NO_RESPONSE: {"bool": {"must_not": [{"exists": {"field": "response.status"}}]}},
}  # fmt: skip


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
    body = {"query": query(qualifiers), "size": 0, "aggs": _aggregations(span)}
    answer = store.search(app, "events", body, span.first, span.last)
    found = answer["aggregations"]
    return {
        "first": span.first,
        "last": span.last,
        "step": span.step,
        "total": answer["hits"]["total"],
        "errors": found["errors"]["doc_count"],
        "latency": _percentiles(found["latency"]),
        "by_status": [_bucket(bucket) for bucket in found["by_status"]["buckets"]],
        "by_route": _by_route(found),
        "latency_over_time": [
            {"at": int(bucket["key"]), **_percentiles(bucket["latency"])} for bucket in found["by_status"]["buckets"]
        ],
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
    return {
        "errors": _ERRORS,
        "latency": percents,
        "by_status": {
            "date_histogram": over_time,
            "aggs": {"status": {"filters": {"filters": _CLASSES}}, "latency": few_percents},
        },
        "routes": {
            "terms": {"field": "request.route", "size": TOP},
            "aggs": {"errors": _ERRORS, "latency": percents, "over_time": {"date_histogram": over_time}},
        },
        "users": {"terms": {"field": "user_id", "size": TOP}, "aggs": {"errors": _ERRORS}},
        "companies": {"terms": {"field": "company_id", "size": TOP}, "aggs": {"errors": _ERRORS}},
    }


def _bucket(bucket: dict[str, Any]) -> dict[str, Any]:
    counts = {key: part["doc_count"] for key, part in bucket["status"]["buckets"].items() if part["doc_count"]}
    return {"at": int(bucket["key"]), "count": bucket["doc_count"], "parts": counts}


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
