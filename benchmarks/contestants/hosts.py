"""Frameworks around the measured application, for contestants that come for frameworks only."""

from __future__ import annotations

import importlib
from typing import Any


def starlette_around(app: Any) -> Any:
    """Return a Starlette application with one route that the ASGI application answers."""
    starlette = importlib.import_module("starlette.applications")
    routing = importlib.import_module("starlette.routing")
    # A class is taken as an ASGI application, where a function would be called with a request.
    return starlette.Starlette(routes=[routing.Route("/items/{number:int}", _Endpoint(app))])


class _Endpoint:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def flask_around(app: Any) -> Any:
    """Return a Flask application with one route that the WSGI application answers."""
    flask = importlib.import_module("flask")
    found = flask.Flask("benchmark")

    @found.route("/items/<int:number>", methods=["GET", "POST"])  # type: ignore[untyped-decorator]
    def item(number: int) -> Any:  # noqa: ARG001  # Flask's signature
        start: list[Any] = []
        chunks = app(flask.request.environ, lambda *arguments: start.extend(arguments[:2]))
        return flask.Response(chunks, start[0], start[1])

    return found
