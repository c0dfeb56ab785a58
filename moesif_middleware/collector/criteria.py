"""What makes somebody a member of a cohort: a search over profiles, a bound on what their events add up to, or both.

A cohort's ``criteria`` is a search body with ``query`` (or ``post_filter``) over users or companies, and ``events``:

``{"query": {"term": {"metadata.plan.raw": "free"}}, "events": {"query": ..., "metric": ..., "gt": 1000}}``

``events.query`` says which events count, ``metric`` is one aggregation over them (the number of calls, by weight,
without one), and ``gt``, ``gte``, ``lt``, ``lte`` are numbers, or ``{"field": "metadata.quota"}`` for the number that
stands in each one's own profile. ``from``, ``to`` and ``time_zone`` of the cohort bound the events:
``from: "now/M"`` is this month.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from .checks import Unfit, any_object, at
from .parameters import Period
from .search import check_search
from .search.leaves import split_path
from .search.times import parse_time, zone_of
from .stores import Store

Document = dict[str, Any]

PAGE: Final = 1_000
"""Profiles that are looked at together."""

MOST_WITHOUT_PROFILE: Final = 65_536
"""Ids that a cohort takes from events alone, those with the most events first."""

CALLS: Final[Mapping[str, Any]] = {"sum": {"field": "weight"}}
"""How many calls events stand for."""

ENTITY_OF: Final[Mapping[str, tuple[str, str]]] = {"user": ("users", "user_id"), "company": ("companies", "company_id")}
"""Type of a cohort -> kind of its members' profiles, and the field of events that holds their ids."""

_BOUNDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ONE_VALUE: Final = frozenset({"sum", "avg", "min", "max", "cardinality", "value_count"})
_names: Final = lru_cache(maxsize=1_024)(split_path)
_QUERIES: Final = ("query", "post_filter")


@dataclass(frozen=True, slots=True)
class Criteria:
    """One cohort's criteria. ``events`` is None when events do not count; ``bounds`` are names and limits."""

    kind: str
    id_field: str
    profiles: Document
    events: Document | None
    metric: Document
    bounds: tuple[tuple[str, Any], ...]
    times: Period

    def members(self, store: Store, app: str) -> Iterator[tuple[str, Document]]:
        """Yield the id and profile of each member; with ``events`` the profile has ``metrics.value``."""
        seen: set[str] = set()
        for page in self._profiles(store, app):
            seen.update(page)
            yield from self._bounded(store, app, page)
        if self.events is not None and not self.profiles:
            yield from self._without_profile(store, app, seen)

    def _profiles(self, store: Store, app: str) -> Iterator[dict[str, Document]]:
        body: Document = {**self.profiles, "size": PAGE, "sort": [{"_id": "asc"}], "track_total_hits": False}
        while hits := store.search(app, self.kind, body)["hits"]["hits"]:
            yield {hit["_id"]: hit["_source"] for hit in hits}
            body["search_after"] = hits[-1]["sort"]

    def _bounded(self, store: Store, app: str, page: dict[str, Document]) -> Iterator[tuple[str, Document]]:
        if self.events is None:
            yield from page.items()
            return
        values = self._values(store, app, {"terms": {f"{self.id_field}.raw": list(page)}}, len(page))
        for key, profile in page.items():
            if self._within(value := values.get(key, 0.0), profile):
                yield key, {**profile, "metrics": {"value": value}}

    def _without_profile(self, store: Store, app: str, seen: set[str]) -> Iterator[tuple[str, Document]]:
        values = self._values(store, app, {"exists": {"field": self.id_field}}, MOST_WITHOUT_PROFILE)
        for key, value in values.items():
            if key not in seen and self._within(value, {}):
                yield key, {"metrics": {"value": value}}

    def _values(self, store: Store, app: str, who: Document, most: int) -> dict[str, float]:
        counted = (self.events or {}).get("query")
        clauses = [who, counted] if counted else [who]
        by_id = {"terms": {"field": f"{self.id_field}.raw", "size": most}, "aggs": {"metric": self.metric}}
        body = {"size": 0, "track_total_hits": False, "query": {"bool": {"filter": clauses}}, "aggs": {"id": by_id}}
        buckets = store.search(app, "events", body, *self.times)["aggregations"]["id"]["buckets"]
        return {str(bucket["key"]): float(bucket["metric"]["value"] or 0) for bucket in buckets}

    def _within(self, value: float, profile: Document) -> bool:
        for name, bound in self.bounds:
            limit = number_at(profile, bound["field"]) if isinstance(bound, dict) else bound
            # Who has no limit of their own is not over it.
            if limit is None or not _BOUNDS[name](value, limit):
                return False
        return True


def criteria_of(cohort: Document, now_ms: int) -> Criteria:
    """Read a cohort. Raises Unfit, or InvalidSearch with the path of the clause."""
    kind, id_field = ENTITY_OF[cohort["cohort_type"]]
    written = cohort.get("criteria") or {}
    for name in written:
        if name not in (*_QUERIES, "events"):
            raise Unfit(f"is not supported: write {', '.join((*_QUERIES, 'events'))}", f"criteria.{name}")
    profiles = {name: written[name] for name in _QUERIES if name in written}
    times = _times(cohort, now_ms)
    check_search(kind, profiles, now_ms, "criteria")
    events = written.get("events")
    metric, bounds = _events(events, id_field, now_ms) if events is not None else (dict(CALLS), ())
    return Criteria(kind, id_field, profiles, events, metric, bounds, times)


def value_at(document: Document, path: str) -> Any:
    """Return what stands at a dotted path of a profile, None for nothing; ``body`` is another name of ``metadata``."""
    value: Any = document
    names = _names(path)
    for name in ("metadata", *names[1:]) if names[:1] == ("body",) and "body" not in document else names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def number_at(document: Document, path: str) -> float | None:
    """Return the number at a path, also one that is written as text; None without one."""
    value = value_at(document, path)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def text_of(value: Any) -> str:
    """Return a value as it stands in a template: whole numbers without a point, objects and arrays as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return orjson.dumps(value).decode()


def _events(events: Any, id_field: str, now_ms: int) -> tuple[Document, tuple[tuple[str, Any], ...]]:
    """Return the metric and the bounds of ``criteria.events``."""
    at("criteria.events", any_object, events)
    for name, value in events.items():
        if name in _BOUNDS:
            at(f"criteria.events.{name}", _bound, value)
        elif name not in ("query", "metric"):
            raise Unfit(f"is not supported: write query, metric, {', '.join(_BOUNDS)}", f"criteria.events.{name}")
    metric = events.get("metric") or dict(CALLS)
    by_id = {"terms": {"field": id_field}, "aggs": {"metric": metric}}
    body = {"query": events.get("query") or {"match_all": {}}, "aggs": {"id": by_id}}
    check_search("events", body, now_ms, "criteria.events", inside="aggs.id.aggs.")
    at("criteria.events.metric", one_value, metric)
    return metric, tuple((name, events[name]) for name in _BOUNDS if name in events)


def one_value(metric: Mapping[str, Any]) -> None:
    """Accept an aggregation that gives one number. It has been checked as an aggregation."""
    if _ONE_VALUE.isdisjoint(metric):
        raise Unfit("must be a metric with one value")


def _bound(value: Any) -> None:
    if isinstance(value, dict):
        if list(value) != ["field"] or not isinstance(value["field"], str):
            raise Unfit('must be a number, or {"field": "metadata.name"}')
    elif type(value) not in (int, float):
        raise Unfit('must be a number, or {"field": "metadata.name"}')


def _times(cohort: Document, now_ms: int) -> Period:
    name = "time_zone"
    try:
        zone = zone_of(cohort.get(name) or "UTC")
        name = "from"
        first = parse_time(cohort[name], now_ms, zone).first if cohort.get(name) else None
        name = "to"
        last = parse_time(cohort[name], now_ms, zone).last if cohort.get(name) else None
    except ValueError as error:
        raise Unfit(str(error), name) from None
    return first, last, zone
