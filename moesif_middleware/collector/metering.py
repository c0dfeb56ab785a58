"""What billing meters read: the usage of each company, computed from events whenever it is asked for.

A meter's ``es_query`` is a search body, as JSON text: ``query`` says which events count, and one aggregation under
``aggs`` what is added up (the number of calls, by weight, without one). ``billing_plan.params`` may have
``usage_multiplier`` and ``usage_rounding_mode`` (``up``, ``down``, else to the nearest).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from .checks import Unfit, any_object, at
from .criteria import CALLS, one_value
from .parameters import Period
from .search import check_search
from .search.aggregations import MAX_BUCKETS
from .search.intervals import DAY
from .search.times import iso_millis, wire_millis
from .stores import Store

Document = dict[str, Any]

COMPANIES: Final = 1_000
"""Companies that are looked at together, fewer where their days would be more buckets than a search answers."""

MOST_USAGE: Final = 2.0**53
"""The largest usage: what a multiplier such as 1e308 makes of a few calls could not be written down."""

INTERVALS: Final = ("minute", "hour", "day", "week", "month", "quarter", "year")
AGGREGATORS: Final = ("sum", "avg", "min", "max")


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter as it is read: which events, what of them, and how that becomes usage."""

    id: str
    provider: str
    query: Document
    metric: Document
    multiplier: float
    rounding: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Meter:
        """Read a stored meter."""
        body, plan = orjson.loads(document["es_query"] or "{}"), document["billing_plan"]
        params = plan.get("params") or {}
        aggregations = list((body.get("aggs") or {}).values()) or [dict(CALLS)]
        clauses = [body[name] for name in ("query", "post_filter") if body.get(name)]
        multiplier, rounding = params.get("usage_multiplier") or 1, params.get("usage_rounding_mode") or ""
        return cls(document["_id"], plan["provider_slug"], {"bool": {"filter": clauses}}, aggregations[0],
                   float(multiplier), rounding)  # fmt: skip

    def usage(self, metric: float) -> int:
        """Return what is billed for a metric."""
        rounded = {"up": math.ceil, "down": math.floor}.get(self.rounding, round)
        return rounded(_writable(metric * self.multiplier))

    def by_day(self, store: Store, app: str, period: Period, company: str | None) -> Iterator[tuple[str, int, float]]:
        """Yield (company, first millisecond of a day, metric) for the days of a period that have events."""
        whose: Document = {"exists": {"field": "company_id"}}
        if company:
            whose = {"term": {"company_id.raw": company}}
        days = {"date_histogram": {"field": "request.time", "calendar_interval": "day"}, "aggs": {"m": self.metric}}
        size = _together(period)
        terms = {"field": "company_id.raw", "size": size, "order": {"_key": "asc"}}
        clauses = [whose]
        while True:
            asked = {"who": {"terms": terms, "aggs": {"days": days}}}
            found = self._search(store, app, period, {"bool": {"filter": clauses}}, asked)["who"]["buckets"]
            for one in found:
                for day in one["days"]["buckets"]:
                    if day["doc_count"]:
                        yield one["key"], int(day["key"]), float(day["m"]["value"] or 0)
            if len(found) < size:
                return
            clauses = [whose, {"range": {"company_id.raw": {"gt": found[-1]["key"]}}}]

    def over_time(
        self, store: Store, app: str, period: Period, interval: str, company: str | None
    ) -> Iterator[tuple[int, float]]:
        """Yield (first millisecond, metric) for each interval of a period."""
        whose = {"term": {"company_id.raw": company}} if company else {"match_all": {}}
        steps = {"date_histogram": {"field": "request.time", "calendar_interval": interval}, "aggs": {"m": self.metric}}
        for bucket in self._search(store, app, period, whose, {"steps": steps})["steps"]["buckets"]:
            yield int(bucket["key"]), float(bucket["m"]["value"] or 0)

    def _search(self, store: Store, app: str, period: Period, whose: Document, aggs: Document) -> Document:
        query = {"bool": {"filter": [self.query, whose]}}
        body = {"size": 0, "track_total_hits": False, "query": query, "aggs": aggs}
        found: Document = store.search(app, "events", body, *period)["aggregations"]
        return found


def _together(period: Period) -> int:
    first, last, _ = period
    days = ((last or 0) - (first or 0)) // DAY + 2
    return max(1, min(COMPANIES, MAX_BUCKETS // days))


def _writable(metric: float) -> float:
    return max(-MOST_USAGE, min(metric, MOST_USAGE))


def check_query(value: Any, now_ms: int) -> str:
    """Return a meter's search as JSON text. Raises Unfit and InvalidSearch."""
    try:
        body = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        raise Unfit("must be a search, an object or JSON text", "es_query") from None
    at("es_query", any_object, body)
    if unknown := [name for name in body if name not in ("query", "post_filter", "aggs", "size")]:
        raise Unfit("is not used: write query, post_filter, aggs", f"es_query.{unknown[0]}")
    check_search("events", body, now_ms, "es_query")
    if len(body.get("aggs") or {}) > 1:
        raise Unfit("must be one aggregation", "es_query.aggs")
    for name, metric in (body.get("aggs") or {}).items():
        # Only where it stands below a group is it known to be a number.
        steps = {"date_histogram": {"field": "request.time", "calendar_interval": "day"}, "aggs": {name: metric}}
        check_search("events", {"aggs": {"steps": steps}}, now_ms, "es_query.aggs", inside="aggs.steps.aggs.")
        at(f"es_query.aggs.{name}", one_value, metric)
    return orjson.dumps(body).decode()


def subscriptions(store: Store, app: str) -> dict[str, str]:
    """Return company id -> the subscription that its usage counts for: an active one before others."""
    found: dict[str, tuple[bool, str]] = {}
    for each in store.documents(app, "subscriptions"):
        rank = (each.get("status") == "active", str(each["subscription_id"]))
        found[each["company_id"]] = max(rank, found.get(each["company_id"], rank))
    return {company: rank[1] for company, rank in found.items()}


def usage_reports(store: Store, app: str, meter: Meter, period: Period, company: str | None) -> list[Document]:
    """Return what a meter reads for each company and day, as reports of the Management API."""
    subscribed, reports = subscriptions(store, app), []
    for who, start, metric in meter.by_day(store, app, period, company):
        usage = meter.usage(metric)
        reports.append(
            {
                "_id": f"{meter.id}-{who}-{start}",
                "type": "usage",
                "billing_meter_id": meter.id,
                "provider": meter.provider,
                "company_id": who,
                "subscription_id": subscribed.get(who, ""),
                "success": True,
                "usage_start_time": wire_millis(start),
                "usage_end_time": wire_millis(start + 24 * 3_600_000),
                "meter_metric": round(_writable(metric)),
                "meter_usage": usage,
                "report_total_usage": usage,
                "provider_requests": [],
            }
        )
    return reports


def transaction_report(transaction: Document) -> Document:
    """Return a balance transaction as a report of the Management API."""
    moment = transaction.get("active_at") or transaction["created_at"]
    return {
        "_id": transaction["transaction_id"],
        "type": transaction["type"],
        "billing_meter_id": "",
        "provider": "moesif",
        **{name: transaction[name] for name in ("company_id", "subscription_id", "amount", "created_at")},
        "balance_changes": [{"amount": transaction["amount"]}],
        "success": True,
        "usage_start_time": moment,
        "usage_end_time": moment,
        "meter_metric": 0,
        "meter_usage": 0,
        "report_total_usage": 0,
        "provider_requests": [],
    }


def balance(transactions: list[Document], until_ms: int) -> float:
    """Return what transactions add up to before a moment, in milliseconds since the epoch."""
    total = 0.0
    for each in transactions:
        active = iso_millis(each.get("active_at") or each["created_at"]) or 0
        expires = iso_millis(each.get("expire_at") or "") or math.inf
        if active < until_ms < expires:
            total += each["amount"]
    return total
