"""Finished exchanges to submit, for tests of what comes after."""

from __future__ import annotations

import time
from typing import Any

from moesif_middleware import Moesif
from moesif_middleware.sansio.exchange import BodyBuffer, Exchange, ScopeHead


def exchange(path: str = "/items/1", status: int = 200, body: bytes = b'{"a":1}') -> Exchange:
    """Return a finished exchange."""
    scope = {"method": "GET", "path": path, "query_string": b"", "scheme": "http", "client": ("10.0.0.1", 1)}
    found = Exchange(ScopeHead(scope, [(b"host", b"api.example.com")]), time.time())
    found.status = status
    found.response_headers = [(b"content-type", b"application/json")]
    found.response_body = BodyBuffer(100_000)
    found.response_body.feed(body)
    return found


def submit(moesif: Moesif, count: int = 1, **options: Any) -> None:
    """Submit exchanges."""
    for _ in range(count):
        moesif.submit(exchange(**options))
