"""What is refused before any call is looked at: a foreign Host, a cross-site request, the page without its token."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .calls import same
from .refusals import refused

TOKEN_HEADER: Final = "x-collector-token"  # noqa: S105 - a header's name
TOKEN_COOKIE: Final = "collector_token"  # noqa: S105 - a cookie's name

_WITH_KEY_OF_THEIR_OWN: Final = ("/v1/", "/collector/v1/", "/api/v1/", "/search/")


class Guard:
    """ASGI middleware around the whole collector.

    The API calls carry an application id or a management key. All else, the page and what it reads, needs ``token``
    when there is one: in the header ``X-Collector-Token``, or in the cookie that opening ``/?token=...`` once sets.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str], token: str | None) -> None:
        self._app = app
        self._allowed = {"localhost", *(host.lower() for host in allowed_hosts)}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, pass on the rest."""
        if scope["type"] == "http" and (answer := self._refusal(scope)) is not None:
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            # A name that an attacker points at this address (DNS rebinding) would make his page our own origin.
            return refused(403, "the Host header is not a name of this collector; --allowed-host adds one")
        if _is_cross_site(headers):
            return refused(403, "cross-site requests are refused")
        if self._token is not None and not scope["path"].startswith(_WITH_KEY_OF_THEIR_OWN):
            return self._without_token(scope, headers, self._token)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (name in self._allowed or _is_address(name))

    def _without_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        sent = headers.get(TOKEN_HEADER) or _cookie(headers.get("cookie", ""))
        if sent is not None and same(sent, token):
            return None
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and same(asked, token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(TOKEN_COOKIE, token, httponly=True, samesite="strict", secure=scope["scheme"] == "https")
            return answer
        return refused(401, "the collector's token is missing: open /?token=TOKEN once")


def _is_address(name: str) -> bool:
    """Return whether a host is an IP address: one that is typed as such cannot be re-bound by a name server."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_cross_site(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _cookie(header: str) -> str | None:
    try:
        found = SimpleCookie(header).get(TOKEN_COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value
