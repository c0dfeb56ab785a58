"""Events as an HTTP Archive (HAR 1.2), which browsers' developer tools and HTTP clients open."""

from __future__ import annotations

import base64
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from .._version import VERSION

UNKNOWN: Final = -1
"""What the format says for a size or time that is not known."""


def head() -> bytes:
    """Return the archive up to its first entry."""
    creator = orjson.dumps({"name": "moesif-middleware", "version": VERSION})
    return b'{"log":{"version":"1.2","creator":' + creator + b',"entries":['


def tail() -> bytes:
    """Return what ends the archive."""
    return b"]}}"


def entry(event: dict[str, Any]) -> dict[str, Any]:
    """Return one event as an entry; an event without a response has status 0, as browsers write it."""
    request, response = event.get("request") or {}, event.get("response") or {}
    took = event.get("duration_ms", 0)
    return {
        "startedDateTime": request.get("time"),
        "time": took,
        "request": _request(request),
        "response": _response(response),
        "cache": {},
        "timings": {"send": 0, "wait": took, "receive": 0},
        "comment": f"transaction {event.get('transaction_id', '')}",
    }


def _request(request: dict[str, Any]) -> dict[str, Any]:
    uri, headers = str(request.get("uri", "")), request.get("headers") or {}
    found = {
        "method": request.get("verb", "GET"),
        "url": uri,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(headers.items()),
        "queryString": _pairs(_query(uri)),
        "headersSize": UNKNOWN,
        "bodySize": UNKNOWN,
    }
    if (text := _text(request)) is not None:
        found["postData"] = {"mimeType": _media_type(headers), "text": text[0], "params": []}
        if text[1]:
            # The format has no encoding for what was sent; this is the field that tools write.
            found["postData"]["encoding"] = "base64"
    return found


def _response(response: dict[str, Any]) -> dict[str, Any]:
    headers = response.get("headers") or {}
    content: dict[str, Any] = {"size": UNKNOWN, "mimeType": _media_type(headers)}
    if (text := _text(response)) is not None:
        content["text"] = text[0]
        if text[1]:
            content["encoding"] = "base64"
    return {
        "status": response.get("status", 0),
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(headers.items()),
        "content": content,
        "redirectURL": _header(headers, "location"),
        "headersSize": UNKNOWN,
        "bodySize": UNKNOWN,
    }


def _text(message: dict[str, Any]) -> tuple[str, bool] | None:
    """Return a body as text and whether that is base64; None when there is no body."""
    body = message.get("body")
    if body is None and message.get("transfer_encoding") != "json":
        return None
    if message.get("transfer_encoding") != "base64":
        return orjson.dumps(body).decode(), False
    try:
        return base64.b64decode(str(body)).decode(), False
    except ValueError:
        return str(body), True


def _query(uri: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    except ValueError:
        return []


def _pairs(found: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in found]


def _media_type(headers: dict[str, str]) -> str:
    return _header(headers, "content-type") or "application/octet-stream"


def _header(headers: dict[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")
