"""What every answer of the page has in common: headers that forbid what it does not need, and its parameters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from .calls import chosen
from .context import CollectorContext
from .listing import Listing
from .qualifiers import Qualifier, parse
from .refusals import JSONAnswer, Refusal
from .stores import Interruptible

T = TypeVar("T")

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
DATA_HEADERS: Final = {**SECURITY_HEADERS, "Cache-Control": "no-store"}


def answer(content: Any) -> Response:
    """Answer JSON that no cache keeps."""
    return JSONAnswer(content, headers=DATA_HEADERS)


def application(request: Request, context: CollectorContext) -> str:
    """Return the application that ``app`` names, the first one without it. Raises Refusal 404."""
    wanted = request.query_params.get("app")
    if not wanted:
        return context.apps[0]
    found = chosen(context.apps, wanted)
    if found is None:
        raise Refusal(404, "app is not an application of this collector", SECURITY_HEADERS)
    return found


def listing(request: Request, context: CollectorContext) -> Listing:
    """Return the events that ``app`` and the filter name. Raises Refusal."""
    return Listing(context.store, application(request, context), qualifiers(request))


async def while_asked(request: Request, context: CollectorContext, work: Callable[[], T]) -> T:
    """Return what ``work`` returns in a thread; what it reads is given up when the client goes away."""
    gone, store = threading.Event(), context.store

    def run() -> T:
        with store.interrupted_by(gone.is_set) if isinstance(store, Interruptible) else nullcontext():
            return work()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        return await run_in_threadpool(run)
    finally:
        gone.set()
        watcher.cancel()


def qualifiers(request: Request) -> list[Qualifier]:
    """Read ``q`` and the single filters beside it: ``status``, ``verb``, ``route``, ``user``, ``company``."""
    found = parse(request.query_params.get("q", ""))
    for name in ("status", "verb", "route", "user", "company"):
        if value := request.query_params.get(name):
            found.append(Qualifier(name, (value,)))
    return found


def whole(request: Request, name: str) -> int | None:
    """Return a parameter that is a whole number, None without it. Raises Refusal 400."""
    value = request.query_params.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Refusal(400, f"{name}: must be a whole number", SECURITY_HEADERS)
    return int(value)
