"""What is measured: four workloads, and a bare application with its driver for ASGI, WSGI and Django.

Imports nothing that a contestant's own environment may lack.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[int], None]
"""Sends so many requests through an application, one after the other."""

HEADERS = {
    "host": "api.example.com", "user-agent": "python-httpx/0.28.1", "accept": "*/*", "accept-encoding": "gzip, br",
    "connection": "keep-alive", "content-type": "application/json", "x-request-id": "4fa9b2c7",
}  # fmt: skip
PATH, QUERY = "/items/1", "page=1"
WORKLOADS = {
    "a": "GET, 200 B back", "b": "POST of 2 kB, 2 kB back", "c": "POST of 64 kB, 64 kB back",
    "d": "GET, a stream of 100 pieces of 10 kB back",
}  # fmt: skip
"""The four of the goals, each under the letter that the tables call it by."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request and its answer. ``body`` and ``chunks`` are what passes, in bytes."""

    name: str
    verb: str
    body: bytes
    chunks: Sequence[bytes]
    headers: tuple[tuple[str, str], ...] = tuple(HEADERS.items())


def words(dice: random.Random, count: int) -> str:
    """Return so many made-up words, which compress about as well as text does."""
    return " ".join("".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(count))


def document(size: int, seed: int = 1) -> bytes:
    """Return a JSON document of about ``size`` bytes, such as APIs answer."""
    dice, length = random.Random(seed), 30
    items: list[dict[str, Any]] = []
    while length < size or not items:
        price, tags = round(dice.uniform(1, 999), 2), words(dice, 2).split()
        item = {"id": dice.randrange(10**8), "name": words(dice, 4), "price": price, "tags": tags, "active": True}
        items.append(item)
        length += len(json.dumps(item)) + 2
    return json.dumps({"items": items, "next": None}).encode()


def text(size: int, seed: int = 2) -> bytes:
    """Return so many bytes of text that is no JSON."""
    return words(random.Random(seed), size // 3).encode()[:size]


def workload(letter: str) -> Workload:
    """Return one of ``WORKLOADS``."""
    if letter == "a":
        return Workload(letter, "GET", b"", [document(200)])
    if letter == "d":
        return Workload(letter, "GET", b"", [text(10_240, seed) for seed in range(100)])
    size = {"b": 2_000, "c": 64_000}[letter]
    return Workload(letter, "POST", document(size), [document(size, 3)])


def asgi_app(load: Workload) -> Any:
    """Return a bare ASGI application that reads its body and answers the chunks."""
    headers = [(b"content-type", b"application/json")]
    *first, last = load.chunks

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  # ASGI's signature
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for chunk in first:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    return app


def asgi_run(app: Any, load: Workload, concurrent: int = 1) -> Run:
    """Return the driver of an ASGI application: ``concurrent`` requests are under way at any time."""
    raw = [(name.encode(), value.encode()) for name, value in load.headers]

    async def receive() -> Any:
        if concurrent > 1:
            await asyncio.sleep(0)
        return {"type": "http.request", "body": load.body, "more_body": False}

    async def send(message: Any) -> None:
        """Forget."""

    async def requests(count: int) -> None:
        for _ in range(count):
            scope = {
                "type": "http", "method": load.verb, "path": PATH, "raw_path": PATH.encode(),
                "query_string": QUERY.encode(), "scheme": "http", "headers": list(raw), "client": ("10.0.0.1", 5000),
                "server": ("10.0.0.2", 80), "root_path": "", "http_version": "1.1",
            }  # fmt: skip
            await app(scope, receive, send)

    async def side_by_side(count: int) -> None:
        await asyncio.gather(*(requests(count // concurrent) for _ in range(concurrent)))

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(side_by_side(count) if concurrent > 1 else requests(count))


def wsgi_app(load: Workload) -> Any:
    """Return a bare WSGI application that reads its body and answers the chunks."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [("Content-Type", "application/json")])
        return load.chunks if len(load.chunks) == 1 else iter(load.chunks)

    return app


def wsgi_run(app: Any, load: Workload) -> Run:
    """Return the driver of a WSGI application."""
    base = {
        "REQUEST_METHOD": load.verb, "PATH_INFO": PATH, "QUERY_STRING": QUERY, "SCRIPT_NAME": "",
        "SERVER_NAME": "h", "SERVER_PORT": "80", "REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": True, "SERVER_PROTOCOL": "HTTP/1.1",
        "RAW_URI": f"{PATH}?{QUERY}", "CONTENT_LENGTH": str(len(load.body)), "wsgi.errors": io.StringIO(),
        **{_variable(name): value for name, value in load.headers},
    }  # fmt: skip

    def start_response(*arguments: Any) -> None:  # PEP 3333's signature
        """Forget."""

    def requests(count: int) -> None:
        for _ in range(count):
            result = app({**base, "wsgi.input": io.BytesIO(load.body)}, start_response)
            for _chunk in result:
                pass
            if hasattr(result, "close"):
                result.close()

    return requests


def _variable(name: str) -> str:
    """Return the name that a header has in an environ."""
    name = name.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def django_app(
    load: Workload, middleware: Sequence[str] = (), settings: dict[str, Any] | None = None, view: Any = None
) -> Any:
    """Return a Django application with one view, as WSGI; its chain of middleware is made here and stays.

    The settings count when the first one is made. ``view`` stands in for the one that answers the chunks.
    """
    django, conf = importlib.import_module("django"), importlib.import_module("django.conf")
    http, urls = importlib.import_module("django.http"), importlib.import_module("django.urls")
    if not conf.settings.configured:
        own = {"ALLOWED_HOSTS": ["*"], "ROOT_URLCONF": __name__, "SECRET_KEY": "x" * 50, "LOGGING_CONFIG": None}
        conf.settings.configure(**own, **(settings or {}))
        django.setup()
    conf.settings.MIDDLEWARE = list(middleware)

    def answering(request: Any, number: int) -> Any:  # noqa: ARG001  # Django's signature
        _ = request.body
        if len(load.chunks) > 1:
            return http.StreamingHttpResponse(iter(load.chunks), content_type="application/json")
        return http.HttpResponse(load.chunks[0], content_type="application/json")

    urlpatterns[:] = [urls.path("items/<int:number>", view or answering)]
    return importlib.import_module("django.core.wsgi").get_wsgi_application()


urlpatterns: list[Any] = []
"""Django's: this module is its URL configuration."""
