"""The collector's page at ``/``, its files, and the reading API under ``/_page/api/`` that it is made from.

Files come from a table that is read once: no path from a request touches the file system. Every answer forbids
the browser all that the page does not need, and whatever was captured is sent as JSON and shown as text.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from .context import CollectorContext
from .qualifiers import Qualifier, parse, recent
from .refusals import JSONAnswer, Refusal
from .stores import Recent

API: Final = "/_page/api"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_SCRIPT: Final = "text/javascript; charset=utf-8"
_SCRIPTS: Final = (
    *("api", "app", "bytes", "curl", "detail", "dom", "empty", "json", "keys", "query", "show", "table", "theme"),
    "tree",
)
FILES: Final[Mapping[str, str]] = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": _SCRIPT for name in _SCRIPTS},
}
"""Every file of the page and its media type; nothing else is served."""

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


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the page, in memory."""

    body: bytes
    media_type: str
    etag: str


def read_files() -> dict[str, StaticFile]:
    """Read the page's files out of the package."""
    folder = files(__package__) / "static"
    found = {}
    for name, media_type in FILES.items():
        body = (folder / name).read_bytes()
        found[name] = StaticFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found


def page_routes(context: CollectorContext) -> list[BaseRoute]:
    """Return the routes of the page and of its reading API."""
    page = Page(context)
    return [
        Route("/", page.index),
        Route("/static/{name}", page.static),
        Route(f"{API}/events", page.events),
        Route(f"{API}/events/{{id:path}}", page.event),
        Route(f"{API}/live", page.live),
    ]


class Page:
    """The endpoints; they share the files and the count of live streams."""

    def __init__(self, context: CollectorContext) -> None:
        self._context = context
        self._files = read_files()
        self._streams = 0

    async def index(self, request: Request) -> Response:
        """Answer the page itself."""
        return _file_answer(request, self._files["index.html"])

    async def static(self, request: Request) -> Response:
        """Answer one file of the table; 404 for any other name."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise Refusal(404, "there is no such file", SECURITY_HEADERS)
        return _file_answer(request, found)

    async def events(self, request: Request) -> Response:
        """Answer rows, newest first: ``events``, ``more`` when there are older ones, ``newest`` for the stream."""
        app, query = self._app(request), _query(request)
        limit = min(_whole(request, "limit") or PAGE_ROWS, MOST_ROWS)
        query = replace(query, limit=limit + 1, before=_whole(request, "before"))
        # Before the list, so that the stream may repeat a row and never misses one.
        newest = await self._newest(app)
        rows = await run_in_threadpool(self._context.store.recent, app, query)
        return _json(
            {
                "events": rows[:limit],
                "more": len(rows) > limit,
                "newest": newest,
                "app": app,
                "apps": self._context.apps,
            }
        )

    async def event(self, request: Request) -> Response:
        """Answer one whole event, or 404."""
        app, key = self._app(request), request.path_params["id"]
        found = await run_in_threadpool(self._context.store.get, app, "events", key)
        if found is None:
            raise Refusal(404, "no event of this application has that id; it may have expired", SECURITY_HEADERS)
        return _json({"id": key, "event": found})

    async def live(self, request: Request) -> Response:
        """Answer the stream of new rows as server-sent events; ``after`` is the last ``seq`` that is known."""
        app, query, after = self._app(request), _query(request), _whole(request, "after")
        if self._streams >= MOST_STREAMS:
            raise Refusal(503, "too many pages are open on this collector", {"Retry-After": "5"})
        if after is None:
            after = await self._newest(app)
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._messages(app, query, after), media_type="text/event-stream", headers=headers)

    async def _messages(self, app: str, query: Recent, after: int) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            # A first line at once: proxies and browsers take the stream as open when bytes arrive.
            yield b": open\n\n"
            quiet = 0.0
            while not self._context.arrivals.closed:
                newest = await self._newest(app)
                if newest > after:
                    rows = await run_in_threadpool(self._context.store.recent, app, replace(query, after=after))
                    after = max(newest, rows[0]["seq"] if rows else 0)
                    quiet = 0.0
                    if rows:
                        yield _message({"events": rows, "gap": len(rows) >= LIVE_ROWS, "newest": after})
                elif quiet >= PING_SECONDS:
                    quiet = 0.0
                    yield b": ping\n\n"
                if await self._context.arrivals.wait(app, POLL_SECONDS):
                    await asyncio.sleep(SETTLE_SECONDS)
                else:
                    quiet += POLL_SECONDS
        finally:
            self._streams -= 1

    async def _newest(self, app: str) -> int:
        rows = await run_in_threadpool(self._context.store.recent, app, Recent(limit=1))
        return int(rows[0]["seq"]) if rows else 0

    def _app(self, request: Request) -> str:
        """Return the application that is asked for, the first one unless the query names another."""
        wanted = request.query_params.get("app")
        if not wanted:
            return self._context.apps[0]
        if wanted not in self._context.apps:
            raise Refusal(404, "app is not an application of this collector", SECURITY_HEADERS)
        return wanted


def _query(request: Request) -> Recent:
    """Read ``q`` and the single filters beside it: ``status``, ``verb``, ``route``, ``user``, ``company``."""
    found = parse(request.query_params.get("q", ""))
    for name in ("status", "verb", "route", "user", "company"):
        if value := request.query_params.get(name):
            found.append(Qualifier(name, value))
    return replace(recent(found), limit=LIVE_ROWS)


def _whole(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Refusal(400, f"{name}: must be a whole number", SECURITY_HEADERS)
    return int(value)


def _file_answer(request: Request, found: StaticFile) -> Response:
    # Asked again each time, answered 304: a new version of the package shows at once.
    headers = {**SECURITY_HEADERS, "ETag": found.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)


def _json(content: Any) -> Response:
    return JSONAnswer(content, headers={**SECURITY_HEADERS, "Cache-Control": "no-store"})


def _message(content: Any) -> bytes:
    return b"event: rows\ndata: " + orjson.dumps(content) + b"\n\n"
