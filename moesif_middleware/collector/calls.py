"""What every API call has in common: JSON is acceptable, the caller is known, the rate is kept."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from .context import CollectorContext
from .refusals import Refusal
from .tokens import verified

APPLICATION_ID: Final = "x-moesif-application-id"

Handler = Callable[[Request, CollectorContext, str], Awaitable[Response]]
"""Takes the request, the context and the application id that the caller was found to be."""

Endpoint = Callable[[Request], Awaitable[Response]]


def collector_call(handler: Handler) -> Endpoint:
    """Return the endpoint of a Collector API call: 406 unless JSON is acceptable, 401 for an unknown application id."""

    async def endpoint(request: Request) -> Response:
        context = context_of(request)
        require_json_acceptable(request)
        return await handler(request, context, _application(request, context))

    return endpoint


def management_call(scopes: tuple[str, ...], handler: Handler, *, public: bool = False) -> Endpoint:
    """Return the endpoint of a Management API call: 401 without a known key that has all scopes, 429 over the rate.

    The application is the one named by the query parameter ``app_id``; ``~`` is the first one (404 when unknown).
    A ``public`` call takes the access token of a workspace as well, whose application is its own.
    """

    async def endpoint(request: Request) -> Response:
        context = context_of(request)
        require_json_acceptable(request)
        signed = _signed(request, context) if public else None
        key, app = signed or (_authorize(request, context, scopes), None)
        context.rate.spend(key)
        return await handler(request, context, app or managed_application(context, request.query_params.get("app_id")))

    return endpoint


def context_of(request: Request) -> CollectorContext:
    """Return the context of the application that serves this request."""
    context: CollectorContext = request.app.state.context
    return context


def require_json_acceptable(request: Request) -> None:
    """Raise Refusal 406 when the client will not take JSON (reference, "Errors")."""
    accept = request.headers.get("accept")
    if not accept:
        return
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media in ("*/*", "application/*", "application/json") and not {"q=0", "q=0.0"} & set(parameters):
            return
    raise Refusal(406, "the answer is application/json")


def chosen(apps: Iterable[str], wanted: str) -> str | None:
    """Return the application id that equals ``wanted``, None without one.

    All are compared, each in constant time, so that the time does not tell which one was near.
    """
    found = [app for app in apps if same(app, wanted)]
    return found[0] if found else None


def same(one: str, other: str) -> bool:
    """Return whether two secrets are equal, in a time that does not tell how far they agree."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def _application(request: Request, context: CollectorContext) -> str:
    sent = request.headers.get(APPLICATION_ID)
    if sent is None:
        raise Refusal(401, "X-Moesif-Application-Id is missing")
    found = chosen(context.apps, sent)
    if found is None:
        raise Refusal(401, "X-Moesif-Application-Id is not an application of this collector")
    return found


def bearer(request: Request) -> str:
    """Return the token of ``Authorization: Bearer``. Raises Refusal 401."""
    kind, _, sent = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not sent.strip():
        raise Refusal(401, "Authorization: Bearer <management key> is missing", {"WWW-Authenticate": "Bearer"})
    return sent.strip()


def managed_application(context: CollectorContext, wanted: str | None) -> str:
    """Return the application that a management call names; ``~`` and none are the first one. Raises Refusal 404."""
    if wanted is None or wanted == "~":
        return context.apps[0]
    found = chosen(context.apps, wanted)
    if found is None:
        raise Refusal(404, "app_id is not an application of this collector")
    return found


def _authorize(request: Request, context: CollectorContext, scopes: tuple[str, ...]) -> str:
    sent = bearer(request)
    found = [key for key in context.management_keys if same(key.key, sent)]
    if not found:
        raise Refusal(401, "the management key is not known", {"WWW-Authenticate": "Bearer"})
    held = found[0].scopes
    if held is not None and (lacking := [scope for scope in scopes if scope not in held]):
        raise Refusal(
            401,
            f"the management key lacks the scope {' and '.join(lacking)}",
            {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(lacking)}"'},
        )
    return found[0].key


def _signed(request: Request, context: CollectorContext) -> tuple[str, str] | None:
    """Return whose rate an access token spends, its own, and its application; None when it is no token."""
    found = verified(bearer(request), (key.key for key in context.management_keys), context.clock())
    if found is None or found[1].get("app") not in context.apps:
        return None
    claims = found[1]
    return f"token {claims['id']}", str(claims["app"])
