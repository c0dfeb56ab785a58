"""What runs inside a request can say about it, from anywhere: whose it is, its route, that it is to be skipped."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ..sansio.exchange import Exchange
from .hooks import as_id

current: ContextVar[Exchange | None] = ContextVar("moesif_exchange", default=None)
"""The exchange that runs now; with two middlewares of two applications, the inner one, which knows the outer."""
SEEN = "moesif_middleware.applications"
"""The key, in a scope or environ, of the application ids whose middleware the request has passed: twice is once."""


def running() -> list[Exchange]:
    """Return the exchanges of the current request, the innermost first; none outside a request."""
    found = []
    exchange = current.get()
    while exchange is not None:
        found.append(exchange)
        exchange = exchange.outer
    return found


def identify(user_id: object = None, company_id: object = None, session_token: object = None) -> bool:
    """Say whose the current request is. Returns False outside a request, and then does nothing.

    What is said here wins over hooks and defaults. Governance has decided by then; the event and its sampling use it.
    """
    found = running()
    for exchange in found:
        exchange.user_id = as_id(user_id) or exchange.user_id
        exchange.company_id = as_id(company_id) or exchange.company_id
        exchange.session_token = as_id(session_token) or exchange.session_token
    return bool(found)


def add_metadata(metadata: Mapping[str, Any] | None = None, /, **more: Any) -> bool:
    """Add to the metadata of the current request's event. Returns False outside a request."""
    found = running()
    for exchange in found:
        exchange.metadata = {**(exchange.metadata or {}), **(metadata or {}), **more}
    return bool(found)


def set_route(template: str | None) -> bool:
    """Say which route template the current request was routed by, such as ``/items/{id}``. Returns False outside one.

    For frameworks that leave it nowhere where an adapter finds it. It wins over what an adapter finds.
    """
    found = running()
    for exchange in found:
        exchange.route = template or exchange.route
    return bool(found)


def skip() -> bool:
    """Make no event of the current request. Returns False outside a request."""
    found = running()
    for exchange in found:
        exchange.skipped = True
    return bool(found)


def note_exception(error: BaseException) -> bool:
    """Note the type of an exception that a framework answers itself. Returns False outside a request."""
    found = running()
    for exchange in found:
        exchange.error = type(error).__name__
    return bool(found)
