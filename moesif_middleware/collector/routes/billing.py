"""Billing meters, reports and balance transactions (groups "Billing Meters", "Billing Reports").

Reports are computed from the stored events when they are asked for: one for each meter, company and day with usage,
and one for each balance transaction. Nothing is sent to a billing provider.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...models import wire_time
from .. import checks
from ..checks import Check, Fields, epoch_ms
from ..context import CollectorContext
from ..documents import Collection, Document, posted, present
from ..metering import (
    AGGREGATORS,
    INTERVALS,
    Meter,
    balance,
    check_query,
    transaction_report,
    usage_reports,
)
from ..operations import APP_ID, FLAG, NUMBER, OBJECT, TEXT, Operation, Query, array_of
from ..parameters import Period, flag, period
from ..refusals import JSONAnswer, Refusal
from ..search.times import wire_millis

MONTH_MS: Final = 30 * 24 * 3_600_000
"""How far back reports go without ``from``."""

TRANSACTIONS: Final = "balance_transactions"

_PARAMS: Final = Fields({"usage_rounding_mode": checks.text, "usage_multiplier": checks.number})
_METER: Final[dict[str, Check]] = {
    "name": checks.name,
    "slug": checks.text,
    "status": checks.text,
    "url_query": checks.text,
    "es_query": checks.anything,
    "billing_plan": Fields(
        {"provider_slug": checks.text, "friendly_name": checks.text, "params": _PARAMS}, required=("provider_slug",)
    ),
}
_TRANSACTION: Final = Fields(
    {
        **dict.fromkeys(("company_id", "subscription_id", "transaction_id", "type"), checks.key),
        "description": checks.text,
        "amount": checks.number,
        "active_at": checks.moment,
        "expire_at": checks.moment,
    },
    required=("company_id", "subscription_id", "transaction_id", "type", "amount"),
)
_REPORT: Final = {"type": "object", "required": ["billing_meter_id", "company_id", "meter_usage", "success"]}
_BUCKETS: Final = {"type": "object", "properties": {"buckets": array_of(OBJECT)}, "required": ["buckets"]}
_REFUSALS: Final = (400, 404, 413)


async def create_meter(request: Request, context: CollectorContext, app: str) -> Response:
    """Store a meter. The published API has no such call: its meters are made on its website."""
    meter = await METERS.posted(request, METERS.new)
    meter["es_query"] = check_query(meter.get("es_query", {}), context.now_ms())
    document = METERS.stamped({"slug": meter["name"], **meter}, app, request, context.clock())
    await METERS.store(context, app, document)
    return JSONAnswer(document, 201)


METERS: Final = Collection(
    kind="meters",
    noun="billing meter",
    new=Fields(_METER, required=("name", "billing_plan")),
    changes=Fields(_METER),
    constants={"status": "active", "url_query": ""},
)


async def reports(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer the reports of a period, the last 30 days without one, that have what the query asks for."""
    asked = _period(request, context)
    query = request.query_params
    found = [] if flag(request, "success") is False or query.get("status_code") or query.get("error_code") else [
        report
        for report in await asyncio.to_thread(_reports, context, app, asked, query.get("company_id"))
        if all(
            query.get(name) in (None, "", report[name])
            for name in ("billing_meter_id", "company_id", "provider", "subscription_id", "type")
        )
    ]  # fmt: skip
    stamps = {"app_id": app, "org_id": request.path_params["org"]}
    return JSONAnswer([{**report, **stamps} for report in found])


async def metrics(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer what a meter reads in each interval of a period, all meters without one, and a company's balance then."""
    query = request.query_params
    interval, aggregator = query.get("interval", "day"), query.get("aggregator", "sum")
    for name, value, choices in (("interval", interval, INTERVALS), ("aggregator", aggregator, AGGREGATORS)):
        if value not in choices:
            raise Refusal(400, f"{name}: must be one of {', '.join(choices)}")
    asked, company = period(request, required=True), query.get("company_id")
    meters = [
        document
        for document in await METERS.all(context, app)
        if query.get("billing_meter_id") in (None, document["_id"])
    ]
    buckets = await asyncio.to_thread(_buckets, context, app, meters, (asked, interval, aggregator, company))
    return JSONAnswer({"buckets": [] if flag(request, "success") is False else buckets})


async def transact(request: Request, context: CollectorContext, app: str) -> Response:
    """Store a balance transaction; one that is there already, by ``transaction_id``, stays as it is."""
    transaction: Any = await posted(request)
    _TRANSACTION(transaction)
    key = transaction["transaction_id"]
    async with context.editing:
        if await run_in_threadpool(context.store.get, app, TRANSACTIONS, key) is None:
            document = present({**transaction, "created_at": wire_time(context.clock())})
            await asyncio.wrap_future(context.store.put(app, TRANSACTIONS, {key: document}, merge=False))
    return Response(status_code=204)


def _period(request: Request, context: CollectorContext) -> Period:
    first, last, zone = period(request)
    last = context.now_ms() if last is None else last
    return last - MONTH_MS if first is None else first, last, zone


def _reports(context: CollectorContext, app: str, asked: Period, company: str | None) -> list[Document]:
    found = []
    for document in context.store.documents(app, METERS.kind):
        found += usage_reports(context.store, app, Meter.of(document), asked, company)
    first, last, _ = asked
    for transaction in context.store.documents(app, TRANSACTIONS):
        report = transaction_report(transaction)
        if (first or 0) <= epoch_ms(report["usage_start_time"]) <= (last or 0):
            found.append(report)
    return sorted(found, key=lambda report: (report["usage_start_time"], report["_id"]))


def _buckets(
    context: CollectorContext, app: str, meters: list[Document], asked: tuple[Period, str, str, str | None]
) -> list[Document]:
    times, interval, aggregator, company = asked
    values: dict[int, list[float]] = {}
    for document in meters:
        for start, metric in Meter.of(document).over_time(context.store, app, times, interval, company):
            values.setdefault(start, []).append(metric)
    mine = [each for each in context.store.documents(app, TRANSACTIONS) if each["company_id"] == company]
    starts = sorted(values)
    buckets = []
    for start, end in pairwise([*starts, times[1] or 0]):
        bucket: Document = {"start": wire_millis(start), "metric": _added(aggregator, values[start])}
        if company:
            current = balance(mine, end)
            bucket["ending_balance"] = {
                "current_balance": current, "pending_activity": 0.0, "available_balance": current
            }  # fmt: skip
        buckets.append(bucket)
    return buckets


def _added(aggregator: str, values: list[float]) -> float:
    if aggregator == "avg":
        return sum(values) / len(values)
    if aggregator == "sum":
        return sum(values)
    return min(values) if aggregator == "min" else max(values)


def _operations() -> tuple[Operation, ...]:
    made, listed, read, _, deleted = METERS.operations("/{org}/billing/meters", "billing_meters")
    reads, creates = (
        tuple(f"{action}:billing_{each}" for each in ("meters", "reports")) for action in ("read", "create")
    )
    whose = tuple(Query(name) for name in ("billing_meter_id", "company_id", "subscription_id"))
    listing = (*(Query(name) for name in ("from", "to", "time_zone", "provider", "error_code", "type")),
               Query("success", FLAG), Query("status_code", NUMBER))  # fmt: skip
    charted = (Query("from", required=True), Query("to", required=True), Query("time_zone"), Query("success", FLAG),
               Query("type", array_of(TEXT)), Query("aggregator"), Query("interval"))  # fmt: skip
    return (
        Operation("POST", made.path, create_meter, made.summary, made.scopes, 201, (APP_ID,), made.body,
                  answer=METERS.schema, refusals=_REFUSALS),
        listed,
        read,
        deleted,
        Operation("POST", "/{org}/billing/reports/balance_transactions", transact, "Post a balance transaction",
                  creates, 204, (APP_ID,), _TRANSACTION, refusals=_REFUSALS),
        Operation("GET", "/{org}/billing/reports/metrics", metrics, "Read meters over time", creates, 200,
                  (APP_ID, *whose, *charted), answer=_BUCKETS, refusals=(400, 404)),
        Operation("GET", "/{org}/billing/reports", reports, "List billing reports", reads, 200,
                  (APP_ID, *whose, *listing), answer=array_of(_REPORT), refusals=(400, 404)),
    )  # fmt: skip


OPERATIONS: Final = _operations()
