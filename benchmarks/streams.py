"""Applications that stream: GET answers one piece, a pause, and the rest; POST takes a body piece by piece."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Iterator
from typing import Any

PIECE = 65_536
PAUSE = 1.0
"""Seconds between the first piece and the rest."""


def asgi_stream(size: int) -> Any:
    """Return an ASGI application that answers or takes ``size`` bytes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = scope["method"] == "POST"
        while more:
            more = (await receive()).get("more_body", False)
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(size // PIECE if scope["method"] == "GET" else 0):
            if number == 1:
                await asyncio.sleep(PAUSE)
            await send({"type": "http.response.body", "body": b"x" * PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b"taken"})

    return app


def wsgi_stream(size: int) -> Any:
    """Return a WSGI application that answers or takes ``size`` bytes."""

    def app(environ: Any, start_response: Any) -> Any:
        upload = environ["REQUEST_METHOD"] == "POST"
        if upload:
            _take(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"taken"] if upload else _pieces(size)

    return app


def django_stream(size: int) -> Any:
    """Return a view of Django that answers or takes ``size`` bytes."""
    http = importlib.import_module("django.http")

    def view(request: Any, number: int) -> Any:  # noqa: ARG001  # Django's signature
        if request.method == "POST":
            _take(request)
            return http.HttpResponse(b"taken", content_type="text/plain")
        return http.StreamingHttpResponse(_pieces(size), content_type="text/plain")

    view.csrf_exempt = True  # type: ignore[attr-defined]
    return view


def _take(stream: Any) -> None:
    while stream.read(PIECE):
        """Forget."""


def _pieces(size: int) -> Iterator[bytes]:
    for number in range(size // PIECE):
        if number == 1:
            time.sleep(PAUSE)
        yield b"x" * PIECE
    yield b"taken"
