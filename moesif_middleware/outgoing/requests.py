"""requests: each request of a session on its way to the HTTP adapter, each hop of a redirect by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter

from . import Outgoing, begin, below, replace
from .urllib3 import look_at

_CALL = "_moesif_call"
"""The attribute of a response whose body the session is still to read."""


def _adapter(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(adapter: HTTPAdapter, request: Any, stream: bool = False, *arguments: Any, **named: Any) -> Any:
        call = begin("requests", request, request.method or "GET", lambda: (request.url or "", request.headers))
        if call is None:
            return original(adapter, request, stream, *arguments, **named)
        call.request_body(request.body)
        try:
            with below():
                response = original(adapter, request, stream, *arguments, **named)
        except BaseException as error:
            call.failed(error)
            raise
        # A session decodes what it reads.
        call.answered(response, response.status_code, response.headers.items(), decoded=True)
        if hasattr(response.raw, "read_chunked"):
            look_at(response.raw, call, ends=stream)
        if not stream:
            # The session reads the body next, before hooks may look at it.
            setattr(response, _CALL, call)
        return response

    return send


def _session(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(session: Session, request: Any, **named: Any) -> Any:
        response = original(session, request, **named)
        for answered in (*getattr(response, "history", ()), response):
            call: Outgoing | None = answered.__dict__.pop(_CALL, None)
            if call is not None:
                call.finish()
        return response

    return send


def install() -> Callable[[], None]:
    """Look at the adapters and the sessions."""
    first, second = replace(HTTPAdapter, "send", _adapter), replace(Session, "send", _session)

    def undo() -> None:
        first()
        second()

    return undo
