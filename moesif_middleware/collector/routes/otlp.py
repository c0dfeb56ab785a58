"""``POST traces`` and ``POST logs``: OTLP/HTTP exports, as JSON or protobuf (OpenTelemetry Protocol, "OTLP/HTTP").

What is an HTTP call becomes an event. What cannot be stored is rejected by number, as the protocol has it, and the rest
is stored; what is no call is let go, and the answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from .. import otlp, spans
from ..calls import Handler
from ..checks import Fields, Unfit
from ..context import CollectorContext
from ..intake import Arrival, action_row, event_row
from ..operations import Operation
from ..otlp import Record
from ..payload import MEGABYTE, parse, plain, read
from ..refusals import NEVER_SNIFFED, JSONAnswer, Refusal
from ..stores import EventRow

JSON_LIMIT: Final = 12 * MEGABYTE
PROTOBUF_LIMIT: Final = 4 * MEGABYTE
"""Bytes of a protobuf export. Two million empty spans fit into it, and take 330 MB while they are read."""

PROTOBUF: Final = "application/x-protobuf"

_MISSING: Final = "protobuf needs opentelemetry-proto: pip install 'moesif-middleware[otlp]'; JSON is taken without"


@dataclass(slots=True)
class Outcome:
    """What becomes of an export: rows to store, records that cannot be stored, and those that are no calls."""

    rows: list[EventRow]
    rejected: int = 0
    let_go: int = 0
    problem: str = ""

    def take(self, record: Record, arrival: Arrival) -> None:
        """Add one record."""
        try:
            if (call := spans.api_call(record)) is not None:
                self.rows.append(event_row(call, arrival))
            elif (action := spans.user_action(record)) is not None:
                self.rows.append(action_row(action, arrival))
            else:
                self.let_go += 1
        except Unfit as unfit:
            self.rejected += 1
            self.problem = self.problem or str(unfit)

    @property
    def message(self) -> str:
        """What the exporter is told beside the number that was rejected; empty when all is stored."""
        if self.rejected:
            return self.problem
        if self.let_go == 1:
            return "1 record is no HTTP call and was let go"
        return f"{self.let_go} records are no HTTP calls and were let go" if self.let_go else ""


def _handler(signal: str, fields: Fields, records: Callable[[dict[str, Any]], Iterator[Record]], count: str) -> Handler:
    async def handler(request: Request, context: CollectorContext, app: str) -> Response:
        binary = _is_protobuf(request)
        raw = await read(request, PROTOBUF_LIMIT if binary else JSON_LIMIT)
        coding = request.headers.get("content-encoding", "")
        arrival = Arrival(int(context.clock() * 1000), None)
        async with context.large_bodies:
            outcome = await run_in_threadpool(partial(_prepare, signal, fields, records, arrival), raw, coding, binary)
        if outcome.rows:
            appended = await asyncio.wrap_future(context.store.append(app, outcome.rows))
            if appended.stored:
                context.arrivals.publish(app)
        tags = (await context.feeds.served(app)).tags
        if binary:
            message = otlp.encoded(signal, outcome.rejected, outcome.message)
            return Response(message, 200, {**NEVER_SNIFFED, **tags}, PROTOBUF)
        partial_success = {count: outcome.rejected, "errorMessage": outcome.message}
        return JSONAnswer({"partialSuccess": partial_success} if outcome.message else {}, 200, tags)

    return handler


def _is_protobuf(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", ""):
        return False
    if kind != PROTOBUF:
        raise Refusal(415, f"the content type is application/json or {PROTOBUF}")
    if not otlp.PROTOBUF:
        raise Refusal(501, _MISSING)
    return True


def _prepare(
    signal: str,
    fields: Fields,
    records: Callable[[dict[str, Any]], Iterator[Record]],
    arrival: Arrival,
    raw: bytes,
    coding: str,
    binary: bool,
) -> Outcome:
    export = otlp.decoded(plain(raw, coding, PROTOBUF_LIMIT), signal) if binary else parse(raw, coding, JSON_LIMIT)
    fields(export)
    outcome = Outcome([])
    for record in records(export):
        outcome.take(record, arrival)
    return outcome


_ANSWER: Final = {"type": "object", "properties": {"partialSuccess": {"type": "object"}}}

OPERATIONS: Final = tuple(
    Operation("POST", f"/{signal}", _handler(signal, fields, records, count), f"Take an OTLP export of {signal}", (),
              200, (), fields, answer=_ANSWER, refusals=(400, 413, 415, 501))
    for signal, fields, records, count in (
        ("traces", otlp.TRACES, otlp.spans, "rejectedSpans"),
        ("logs", otlp.LOGS, otlp.logs, "rejectedLogRecords"),
    )
)  # fmt: skip
