"""``POST events, actions`` and their batches (reference, "Log an API Call", "Track a User Action")."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..calls import Handler, collector_call
from ..checks import Unfit
from ..context import CollectorContext
from ..intake import Arrival, action_row, event_row
from ..payload import MEGABYTE, parse, read
from ..refusals import JSONAnswer
from ..stores import EventRow

EVENTS_LIMIT: Final = 50 * MEGABYTE
ACTIONS_LIMIT: Final = 12 * MEGABYTE

_INLINE: Final = 64 * 1024
"""A body up to this many bytes is prepared on the event loop: handing it to a thread would cost more."""

RowOf = Callable[[Any, Arrival], EventRow]


def routes(prefix: str) -> list[Route]:
    """Return the routes under ``prefix``."""
    groups = (("events", event_row, EVENTS_LIMIT), ("actions", action_row, ACTIONS_LIMIT))
    found = []
    for name, row_of, limit in groups:
        one, batch = _handler(partial(_one, row_of), limit), _handler(partial(_batch, row_of), limit)
        found.append(Route(f"{prefix}/{name}/batch", collector_call(batch), methods=["POST"]))
        found.append(Route(f"{prefix}/{name}", collector_call(one), methods=["POST"]))
    return found


def _one(row_of: RowOf, document: Any, arrival: Arrival) -> list[EventRow]:
    return [row_of(document, arrival)]


def _batch(row_of: RowOf, document: Any, arrival: Arrival) -> list[EventRow]:
    if not isinstance(document, list):
        raise Unfit("must be an array")
    rows: list[EventRow] = []
    try:
        rows.extend(row_of(item, arrival) for item in document)
    except Unfit as unfit:
        raise unfit.within(f"[{len(rows)}]")  # noqa: B904 - it is the same exception
    return rows


def _handler(rows_of: Callable[[Any, Arrival], list[EventRow]], limit: int) -> Handler:
    async def handler(request: Request, context: CollectorContext, app: str) -> Response:
        raw = await read(request, limit)
        arrival = Arrival(int(time.time() * 1000), request.client.host if request.client else None)
        coding = request.headers.get("content-encoding", "")
        work = partial(_prepare, rows_of, raw, coding, limit, arrival)
        if len(raw) <= _INLINE:
            rows = work()
        else:
            async with context.large_bodies:
                rows = await run_in_threadpool(work)
        appended = await asyncio.wrap_future(context.store.append(app, rows))
        if appended.stored:
            context.arrivals.publish(app)
        answer = {"stored": appended.stored, "duplicates": appended.duplicates}
        return JSONAnswer(answer, 201, context.feeds.current(app).tags)

    return handler


def _prepare(
    rows_of: Callable[[Any, Arrival], list[EventRow]], raw: bytes, coding: str, limit: int, arrival: Arrival
) -> list[EventRow]:
    return rows_of(parse(raw, coding, limit), arrival)
