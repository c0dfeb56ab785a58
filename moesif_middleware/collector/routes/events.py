"""``POST events, actions`` and their batches (reference, "Log an API Call", "Track a User Action")."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..calls import Handler
from ..checks import Unfit, list_of
from ..context import CollectorContext
from ..intake import Arrival, action_row, event_row
from ..operations import Operation
from ..payload import MEGABYTE, parse, read, small
from ..refusals import JSONAnswer
from ..stores import EventRow
from ..wire import ACTION, EVENT

EVENTS_LIMIT: Final = 50 * MEGABYTE
ACTIONS_LIMIT: Final = 12 * MEGABYTE

_INLINE: Final = 64 * 1024
"""A body up to this many bytes is prepared on the event loop: handing it to a thread would cost more."""

_INLINE_DECODED: Final = MEGABYTE
"""What such a body may decode to there: 250 bytes of brotli can be 42 MB, for which all others would wait."""

_STORED: Final = {
    "type": "object",
    "properties": {"stored": {"type": "integer"}, "duplicates": {"type": "integer"}},
    "required": ["stored", "duplicates"],
}

RowOf = Callable[[Any, Arrival], EventRow]


def _operations() -> Iterator[Operation]:
    groups = (("events", event_row, EVENTS_LIMIT, EVENT), ("actions", action_row, ACTIONS_LIMIT, ACTION))
    for name, row_of, limit, fields in groups:
        one, batch = _handler(partial(_one, row_of), limit), _handler(partial(_batch, row_of), limit)
        yield Operation("POST", f"/{name}/batch", batch, f"Store {name}", (), 201, (), list_of(fields),
                        answer=_STORED, refusals=(400, 413))  # fmt: skip
        yield Operation("POST", f"/{name}", one, f"Store one of {name}", (), 201, (), fields,
                        answer=_STORED, refusals=(400, 413))  # fmt: skip


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
        arrival = Arrival(context.now_ms(), request.client.host if request.client else None)
        coding = request.headers.get("content-encoding", "")
        body = small(raw, coding, _INLINE_DECODED) if len(raw) <= _INLINE else None
        if body is not None:
            rows = _prepare(rows_of, body, "", limit, arrival)
        else:
            async with context.large_bodies:
                rows = await run_in_threadpool(partial(_prepare, rows_of, raw, coding, limit, arrival))
        appended = await asyncio.wrap_future(context.store.append(app, rows))
        if appended.stored:
            context.arrivals.publish(app)
        answer = {"stored": appended.stored, "duplicates": appended.duplicates}
        return JSONAnswer(answer, 201, (await context.feeds.served(app)).tags)

    return handler


def _prepare(
    rows_of: Callable[[Any, Arrival], list[EventRow]], raw: bytes, coding: str, limit: int, arrival: Arrival
) -> list[EventRow]:
    return rows_of(parse(raw, coding, limit), arrival)


OPERATIONS: Final = tuple(_operations())
