"""What the page reads, under ``/_page/api/``: the list, one event, the live stream, the overview, the archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, Final

import orjson
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from . import har
from .context import CollectorContext
from .listing import Listing
from .page_answers import (
    API,
    DATA_HEADERS,
    SECURITY_HEADERS,
    answer,
    application,
    listing,
    qualifiers,
    while_asked,
    whole,
)
from .qualifiers import query
from .refusals import Refusal
from .stores import ReadsColumns
from .summary import Span, summarize
from .tally import COLUMNS, Tally

PAGE_ROWS: Final = 100
MOST_ROWS: Final = 500
LIVE_ROWS: Final = 200
"""Rows of one live message; when more came at once, the page reads its list anew."""

MOST_STREAMS: Final = 100
"""Live streams at the same time; each may hold a thread for a moment."""

POLL_SECONDS: Final = 1.0
"""How often a stream looks for what other processes stored."""

SETTLE_SECONDS: Final = 0.2
"""How long a stream lets events gather after the first, so that a busy app is a few messages a second."""

PING_SECONDS: Final = 15.0
MOST_EXPORTED: Final = 10_000
HOUR_MS: Final = 3_600_000
LONGEST_SPAN_MS: Final = 366 * 24 * HOUR_MS


def routes(context: CollectorContext) -> list[Route]:
    """Return the routes."""
    reading = Reading(context)
    return [
        Route(f"{API}/events", reading.events),
        Route(f"{API}/events/{{id:path}}", reading.event),
        Route(f"{API}/live", reading.live),
        Route(f"{API}/summary", reading.summary),
        Route(f"{API}/export.har", reading.archive),
    ]


class Reading:
    """The endpoints; they share the count of live streams."""

    def __init__(self, context: CollectorContext) -> None:
        self._context = context
        self._streams = 0

    async def events(self, request: Request) -> Response:
        """Answer rows, newest first: ``events``, ``more`` when there are older ones, ``newest`` for the stream."""
        asked = listing(request, self._context)
        limit = min(whole(request, "limit") or PAGE_ROWS, MOST_ROWS)
        # Before the list, so that the stream may repeat a row and never misses one.
        newest = await run_in_threadpool(asked.newest)
        page = partial(asked.page, limit, request.query_params.get("before"))
        # A body that is looked for is looked for in every event: not for a filter that is typed on.
        rows, more = await while_asked(request, self._context, page)
        return answer({"events": rows, "more": more, "newest": newest, "app": asked.app, "apps": self._context.apps})

    async def event(self, request: Request) -> Response:
        """Answer one whole event, or 404."""
        app, key = application(request, self._context), request.path_params["id"]
        found = await run_in_threadpool(self._context.store.get, app, "events", key)
        if found is None:
            raise Refusal(404, "no event of this application has that id; it may have expired", SECURITY_HEADERS)
        return answer({"id": key, "event": found})

    async def summary(self, request: Request) -> Response:
        """Answer the figures of the events from ``from`` to ``to``, milliseconds; the last hour without them."""
        app, filtered = application(request, self._context), qualifiers(request)
        last, first = whole(request, "to"), whole(request, "from")
        last = self._context.now_ms() if last is None else last
        first = last - HOUR_MS if first is None else first
        if not 0 < last - first <= LONGEST_SPAN_MS:
            raise Refusal(400, "from: must be before to, by a year at most", SECURITY_HEADERS)
        store, span = self._context.store, Span(first, last)
        searched = query(filtered)
        if not (isinstance(store, ReadsColumns) and store.counts_sooner(searched)):
            return answer(await while_asked(request, self._context, lambda: summarize(store, app, filtered, span)))
        tally = Tally(span)
        pieces = store.columns(app, searched, COLUMNS, (first, last))
        # Between the pieces other threads have their turn, and a page that asks no more is noticed.
        async for _ in iterate_in_threadpool(map(tally.add, pieces)):
            if await request.is_disconnected():
                return Response(status_code=204)
        return answer(await run_in_threadpool(tally.answer))

    async def archive(self, request: Request) -> Response:
        """Answer the newest events that pass the filter as a HAR file."""
        asked = listing(request, self._context)
        await run_in_threadpool(asked.check)
        headers = {**DATA_HEADERS, "Content-Disposition": 'attachment; filename="events.har"'}
        return StreamingResponse(_archive(asked), media_type="application/json", headers=headers)

    async def live(self, request: Request) -> Response:
        """Answer the stream of new rows as server-sent events; ``after`` is the last ``seq`` that is known."""
        asked, after = listing(request, self._context), whole(request, "after")
        if self._streams >= MOST_STREAMS:
            raise Refusal(503, "too many pages are open on this collector", {"Retry-After": "5"})
        await run_in_threadpool(asked.check)
        if after is None:
            after = await run_in_threadpool(asked.newest)
        headers = {**DATA_HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._messages(asked, after), media_type="text/event-stream", headers=headers)

    async def _messages(self, asked: Listing, after: int) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            # A first line at once: proxies and browsers take the stream as open when bytes arrive.
            yield b": open\n\n"
            quiet = 0.0
            while not self._context.arrivals.closed:
                newest = await run_in_threadpool(asked.newest)
                if newest > after:
                    rows, gap = await run_in_threadpool(asked.arrived, after, LIVE_ROWS)
                    after, quiet = newest, 0.0
                    if rows or gap:
                        yield _message({"events": rows, "gap": gap, "newest": after})
                elif quiet >= PING_SECONDS:
                    quiet = 0.0
                    yield b": ping\n\n"
                if await self._context.arrivals.wait(asked.app, POLL_SECONDS):
                    await asyncio.sleep(SETTLE_SECONDS)
                else:
                    quiet += POLL_SECONDS
        finally:
            self._streams -= 1


def _message(content: Any) -> bytes:
    return b"event: rows\ndata: " + orjson.dumps(content) + b"\n\n"


def _archive(asked: Listing) -> Iterator[bytes]:
    yield har.head()
    separator = b""
    for events in asked.whole(MOST_EXPORTED):
        if events:
            yield separator + b",".join(orjson.dumps(har.entry(event)) for event in events)
            separator = b","
    yield har.tail()
