"""The collector's page at ``/`` and its files; what it is made from is in ``page_reading`` and ``page_editing``.

Files come from a table that is read once: no path from a request touches the file system. Every answer forbids
the browser all that the page does not need, and whatever was captured is sent as JSON and shown as text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from . import page_editing, page_reading
from .context import CollectorContext
from .page_answers import SECURITY_HEADERS
from .refusals import Refusal

_SCRIPT: Final = "text/javascript; charset=utf-8"
_SCRIPTS: Final = (
    *("actions", "api", "app", "bytes", "charts", "curl", "detail", "dom", "empty"),
    *("events", "explain", "json", "keys", "overview", "query", "ruleform", "rules", "show", "table", "theme", "tree"),
)
FILES: Final[Mapping[str, str]] = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": _SCRIPT for name in _SCRIPTS},
}
"""Every file of the page and its media type; nothing else is served."""


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
    """Return the routes of the page and of its API."""
    found = read_files()

    async def index(request: Request) -> Response:
        return _file_answer(request, found["index.html"])

    async def static(request: Request) -> Response:
        file = found.get(request.path_params["name"])
        if file is None:
            raise Refusal(404, "there is no such file", SECURITY_HEADERS)
        return _file_answer(request, file)

    return [
        Route("/", index),
        Route("/static/{name}", static),
        *page_editing.routes(context),
        *page_reading.routes(context),
    ]


def _file_answer(request: Request, found: StaticFile) -> Response:
    # Asked again each time, answered 304: a new version of the package shows at once.
    headers = {**SECURITY_HEADERS, "ETag": found.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
