"""A recorded event as the request that it was: what rules explained or tried after the fact look at."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from .conditions import Subject, scalar_text
from .exchange import ScopeHead


def recorded_subject(event: Mapping[str, Any]) -> Subject:
    """Return the request of an event as conditions read it, with the status of the response if there was one.

    ``event`` is a JSON object as it is posted, with a ``request`` in it; what is of another type counts as missing.
    """
    request, response = event["request"], event.get("response")
    headers = request.get("headers")
    pairs = [(str(name), scalar_text(value)) for name, value in (headers if isinstance(headers, dict) else {}).items()]
    raw = [(name.lower().encode(), value.encode()) for name, value in pairs if value is not None]
    scheme, path = _address(str(request.get("uri") or request.get("route") or "/"))
    scope = {"method": str(request.get("verb") or "GET"), "scheme": scheme, "path": path}
    status = response.get("status") if isinstance(response, dict) else None
    address = scalar_text(request.get("ip_address"))
    return Subject(
        ScopeHead(scope, raw),
        ip_address=lambda: address,
        body=lambda: _body(request),
        status=status if isinstance(status, int) else None,
    )


def recorded_id(event: Mapping[str, Any], key: str) -> str | None:
    """Return ``user_id`` or ``company_id`` of an event as text, None when it is missing or empty."""
    return scalar_text(event.get(key)) or None


def _address(uri: str) -> tuple[str, str]:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "", uri
    return parts.scheme, unquote(parts.path) or "/"


def _body(request: Mapping[str, Any]) -> Any:
    body = request.get("body")
    if request.get("transfer_encoding") != "base64" or not isinstance(body, str):
        return body
    try:
        return orjson.loads(base64.b64decode(body))
    except (binascii.Error, orjson.JSONDecodeError):
        return None
