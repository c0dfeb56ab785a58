"""How the collector says no: one exception, one shape of answer (reference, "Errors")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ..errors import InvalidModel
from .intake import TooLarge
from .stores import StoreUnavailable

NEVER_SNIFFED: Final = {"X-Content-Type-Options": "nosniff"}
"""No browser may take captured content for anything but what it is sent as."""


class JSONAnswer(Response):
    """A JSON answer, encoded by orjson."""

    media_type = "application/json"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set the headers, and that no browser may take it for anything else."""
        super().init_headers({**NEVER_SNIFFED, **(headers or {})})

    def render(self, content: Any) -> bytes:
        """Return the body's bytes; bytes pass as they are."""
        return content if isinstance(content, bytes) else orjson.dumps(content)


class Refusal(Exception):
    """An answer that is not a success: its status, a sentence, and extra headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONAnswer:
    """Return the answer ``{"error": message}``."""
    return JSONAnswer({"error": message}, status, dict(headers or {}))


async def on_refusal(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer a Refusal."""
    assert isinstance(error, Refusal)  # noqa: S101 - Starlette calls it with what it was registered for
    return refused(error.status, error.message, error.headers)


async def on_invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer an InvalidModel: 413 for an event over the limit, else 400; the sentence begins with the field's path."""
    return refused(413 if isinstance(error, TooLarge) else 400, str(error))


async def on_unavailable(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer a store that cannot write now: the client keeps its batch and comes again."""
    return refused(503, f"the store is not available: {error}", {"Retry-After": "1"})


async def on_http(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer what Starlette's router refuses, 404 and 405, in the same shape as all else."""
    status = int(getattr(error, "status_code", 500))
    return refused(status, str(getattr(error, "detail", error)), getattr(error, "headers", None))


async def on_failure(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    """Answer a defect of ours; Starlette logs it."""
    return refused(500, "internal error")


HANDLERS = {
    Refusal: on_refusal,
    InvalidModel: on_invalid,
    StoreUnavailable: on_unavailable,
    Exception: on_failure,
}
