"""Puts the middleware around every application that a suite builds. Runs inside a suite's environment.

As a pytest plugin it wraps what ``UPSTREAM_WRAPS`` names, where a suite's tests enter their applications: the test
clients, and the applications' own ``__call__`` for tests that call them directly. A request that enters twice is seen
once. Everything is captured and masked, and kept in memory; at the end what was captured is counted.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moesif_middleware import Moesif
from moesif_middleware.runtime.sinks import MemorySink

WRAPS = "UPSTREAM_WRAPS"
"""The environment's name for the frameworks to wrap, with commas between."""
CHILDREN = "UPSTREAM_CHILDREN"
"""The same for the processes that tests start, in which no pytest runs: a ``.pth`` file of the environment reads it."""
EVENTS = "UPSTREAM_EVENTS"
"""The environment's name for the file that the counts go to."""

sink = MemorySink()
# The header is the one thing that is meant to be seen from outside, and the suites compare whole headers.
moesif = Moesif(
    sink=sink,
    application_id="upstream-tests",
    strict=True,
    transaction_header=False,
    body_bytes=460_800,
    skip_paths=(),
    queue_events=1_000_000,
    queue_bytes=1 << 30,
)


def pytest_configure() -> None:
    """Wrap before the suite imports anything, and so do the servers that it starts."""
    wrap(os.environ[WRAPS].split(","))
    os.environ[CHILDREN] = os.environ[WRAPS]


def pytest_unconfigure() -> None:
    """Count when pytest is done."""
    count()


def wrap(frameworks: Iterable[str]) -> None:
    """Put the middleware around what these frameworks build from now on."""
    for framework in frameworks:
        WRAPPERS[framework]()


def count() -> None:
    """Write how many events were built, and what did not become one."""
    moesif.flush(60.0)
    found = {"events": len(sink.events), **moesif.ledger.snapshot(), "errors": moesif.errors}
    Path(os.environ[EVENTS]).write_text(json.dumps(found))


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what ``make`` makes of an attribute in its place, under the same name and signature."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def _around_asgi(original: Any) -> Any:
    from moesif_middleware.asgi import MoesifMiddleware

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await MoesifMiddleware(functools.partial(original, self), moesif)(scope, receive, send)

    return call


def _around_wsgi(original: Any) -> Any:
    from moesif_middleware.wsgi import MoesifMiddleware

    def call(self: Any, environ: Any, start_response: Any) -> Iterable[bytes]:
        return MoesifMiddleware(functools.partial(original, self), moesif)(environ, start_response)

    return call


def _starlette() -> None:
    from moesif_middleware.asgi import MoesifMiddleware

    testclient, applications, routing = _modules("starlette", "testclient", "applications", "routing")

    def with_wrapped_transport(original: Any) -> Any:
        def init(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            self._transport.app = MoesifMiddleware(self._transport.app, moesif)

        return init

    _replace(testclient.TestClient, "__init__", with_wrapped_transport)
    # For tests that call the application themselves, and for its lifespan.
    _replace(applications.Starlette, "__call__", _around_asgi)
    _replace(routing.Router, "__call__", _around_asgi)


def _transport(client: str) -> None:
    from moesif_middleware.asgi import MoesifMiddleware

    def around_app(original: Any) -> Any:
        def init(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            self.app = MoesifMiddleware(self.app, moesif)

        return init

    _replace(importlib.import_module(client).ASGITransport, "__init__", around_app)


def _flask() -> None:
    from moesif_middleware.flask import init_app

    def with_middleware(original: Any) -> Any:
        def init(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            init_app(self, moesif)

        return init

    _replace(importlib.import_module("flask").Flask, "__init__", with_middleware)


def _werkzeug() -> None:
    from moesif_middleware.wsgi import MoesifMiddleware

    test, serving = _modules("werkzeug", "test", "serving")

    def around_first(original: Any) -> Any:
        def run_wsgi_app(app: Any, *args: Any, **options: Any) -> Any:
            return original(MoesifMiddleware(app, moesif), *args, **options)

        return run_wsgi_app

    def around_served(original: Any) -> Any:
        def init(self: Any, host: str, port: int, app: Any, *args: Any, **options: Any) -> None:
            original(self, host, port, MoesifMiddleware(app, moesif), *args, **options)

        return init

    _replace(test, "run_wsgi_app", around_first)
    _replace(serving.BaseWSGIServer, "__init__", around_served)


def _falcon() -> None:
    _replace(importlib.import_module("falcon").App, "__call__", _around_wsgi)
    _replace(importlib.import_module("falcon.asgi").App, "__call__", _around_asgi)


def _litestar() -> None:
    _replace(importlib.import_module("litestar").Litestar, "__call__", _around_asgi)


class _FirstInLine:
    """Django's settings with the middleware before all others, whatever a test overrides them with."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        return ["moesif_middleware.django.MoesifMiddleware", *value] if name == "MIDDLEWARE" else value


def _django() -> None:
    (base,) = _modules("django.core.handlers", "base")
    base.settings = _FirstInLine(base.settings)


def _modules(package: str, *names: str) -> list[Any]:
    return [importlib.import_module(f"{package}.{name}") for name in names]


WRAPPERS: dict[str, Callable[[], None]] = {
    "starlette": _starlette,
    "httpx": functools.partial(_transport, "httpx"),
    "httpx2": functools.partial(_transport, "httpx2"),
    "flask": _flask,
    "werkzeug": _werkzeug,
    "falcon": _falcon,
    "litestar": _litestar,
    "django": _django,
}
