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

WRAPS = "UPSTREAM_WRAPS"
"""The environment's name for the frameworks to wrap, with commas between."""
CHILDREN = "UPSTREAM_CHILDREN"
"""The same for the processes that tests start, in which no pytest runs: a ``.pth`` file of the environment reads it."""
EVENTS = "UPSTREAM_EVENTS"
"""The environment's name for the file that the counts go to."""

CONTROL = "UPSTREAM_CONTROL"
"""Set when what does nothing is to stand in the middleware's place: to prove what a test really objects to."""
DJANGO_MIDDLEWARE = ("moesif_middleware.django.MoesifMiddleware", "upstream_django_runner.nothing")


@functools.cache
def handle() -> Any:
    """Return the one handle, made when it is first needed: servers that tests start have five seconds to come up."""
    from moesif_middleware import Moesif
    from moesif_middleware.runtime.sinks import MemorySink

    # The header is the one thing that is meant to be seen from outside, and the suites compare whole headers.
    return Moesif(
        sink=MemorySink(),
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
    moesif = handle()
    moesif.flush(60.0)
    found = {"events": len(moesif.worker.sink.events), **moesif.ledger.snapshot(), "errors": moesif.errors}
    Path(os.environ[EVENTS]).write_text(json.dumps(found))


def _asgi(app: Any) -> Any:
    """Return the application with the middleware around it, or with what does nothing in its place."""

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return nothing if CONTROL in os.environ else _adapter("asgi").MoesifMiddleware(app, handle())


def _wsgi(app: Any) -> Any:
    """Return the application with the middleware around it, or with what does nothing in its place."""

    def nothing(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return nothing if CONTROL in os.environ else _adapter("wsgi").MoesifMiddleware(app, handle())


@functools.cache
def _adapter(name: str) -> Any:
    return importlib.import_module(f"moesif_middleware.{name}")


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what ``make`` makes of an attribute in its place, under the same name and signature."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def _around_asgi(original: Any) -> Any:
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await _asgi(functools.partial(original, self))(scope, receive, send)

    return call


def _around_wsgi(original: Any) -> Any:
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        return _wsgi(functools.partial(original, self))(environ, start_response)

    return call


def _afterwards(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    """Return what makes an ``__init__`` change each new object at the end."""

    def make(original: Any) -> Any:
        def init(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            change(self)

        return init

    return make


def _wrap_app_of(owner: Any) -> None:
    owner.app = _asgi(owner.app)


def _starlette() -> None:
    testclient, applications, routing = _modules("starlette", "testclient", "applications", "routing")
    # Its transport, and not the client itself, since tests look at client.app.
    _replace(testclient.TestClient, "__init__", _afterwards(lambda client: _wrap_app_of(client._transport)))  # noqa: SLF001
    # For tests that call the application themselves, and for its lifespan.
    _replace(applications.Starlette, "__call__", _around_asgi)
    _replace(routing.Router, "__call__", _around_asgi)


def _transport(client: str) -> None:
    _replace(importlib.import_module(client).ASGITransport, "__init__", _afterwards(_wrap_app_of))


def _flask() -> None:
    def install(app: Any) -> None:
        if CONTROL in os.environ:
            app.wsgi_app = _wsgi(app.wsgi_app)
        else:
            _adapter("flask").init_app(app, handle())

    _replace(importlib.import_module("flask").Flask, "__init__", _afterwards(install))


def _werkzeug() -> None:
    test, serving = _modules("werkzeug", "test", "serving")

    def around_first(original: Any) -> Any:
        def run_wsgi_app(app: Any, *args: Any, **options: Any) -> Any:
            return original(_wsgi(app), *args, **options)

        return run_wsgi_app

    def wrap_served(server: Any) -> None:
        server.app = _wsgi(server.app)

    _replace(test, "run_wsgi_app", around_first)
    _replace(serving.BaseWSGIServer, "__init__", _afterwards(wrap_served))


def _falcon() -> None:
    # Around the validator of Falcon's test client: tests look for its streams in what they captured.
    validate = importlib.import_module("wsgiref.validate")
    _replace(validate, "validator", lambda original: lambda app: _wsgi(original(app)))
    # For what does without that client: conductors and servers.
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
        return [DJANGO_MIDDLEWARE[CONTROL in os.environ], *value] if name == "MIDDLEWARE" else value


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
