"""From spans and log records to events: by the semantic conventions for HTTP, the stable names and the older ones.

A server span with a method is an API call; so is a log record with a method and a status, as access logs have. A log
record with an event name is a user action. All pass the default masks, since their exporter had none.
"""

from __future__ import annotations

import math
from base64 import b64encode
from functools import cache
from typing import Any, Final

import orjson

from ..models import Action, Event, EventRequest, EventResponse, wire_time
from ..sansio.masking import compile_masking
from .otlp import SERVER, Record

masker: Final = cache(compile_masking)
"""The default masks, compiled with the first export."""

_METHOD: Final = ("http.request.method_original", "http.request.method", "http.method")
_STATUS: Final = ("http.response.status_code", "http.status_code")
_URL: Final = ("url.full", "http.url")
_ADDRESS: Final = ("client.address", "http.client_ip", "net.sock.peer.addr", "net.peer.ip", "network.peer.address")
_USER: Final = ("user.id", "enduser.id", "moesif.user_id")
_COMPANY: Final = ("moesif.company_id", "tenant.id")
_SESSION: Final = ("session.id",)
_AGENT: Final = ("user_agent.original", "http.user_agent")
_HOST: Final = ("http.host", "server.address", "net.host.name")
_NANOSECOND: Final = 1e-9


def api_call(record: Record) -> dict[str, Any] | None:
    """Return the API call that a record is, masked, as the Collector API takes it; None for another record."""
    found = record.attributes
    method, status = _first(found, _METHOD), _status(found)
    if method is None or (record.kind != SERVER and (record.kind or status is None)):
        return None
    event = Event(
        request=EventRequest(
            time=wire_time(record.start * _NANOSECOND),
            uri=_uri(found),
            verb=str(method),
            headers=_headers(found, "request"),
            ip_address=_text(_first(found, _ADDRESS)),
        ),
        user_id=_text(_first(found, _USER)),
        company_id=_text(_first(found, _COMPANY)),
        session_token=_text(_first(found, _SESSION)),
        transaction_id=_identity(record),
        direction="Incoming",
        metadata=_metadata(record),
    )
    _add_body(event.request, found.get("http.request.body"))
    if status is not None:
        end = max(record.end, record.start) + _duration(found)
        event.response = EventResponse(wire_time(end * _NANOSECOND), status, _headers(found, "response"))
        _add_body(event.response, found.get("http.response.body"))
    # A masked body may be a fragment of JSON text; what is stored is looked into.
    wire: dict[str, Any] = orjson.loads(orjson.dumps(masker().event(event).to_wire()))
    if isinstance(route := found.get("http.route"), str) and route:
        wire["request"]["route"] = route
    return wire


def user_action(record: Record) -> dict[str, Any] | None:
    """Return the action that a log record with an event name is, masked; None for another record."""
    if record.kind or not record.name:
        return None
    found = record.attributes
    action = Action(
        action_name=record.name,
        request={"uri": _text(_first(found, _URL)) or _place(record), "time": wire_time(record.start * _NANOSECOND)},
        user_id=_text(_first(found, _USER)),
        company_id=_text(_first(found, _COMPANY)),
        session_token=_text(_first(found, _SESSION)),
        transaction_id=_identity(record, record.name),
        metadata={**_metadata(record), **({"body": record.body} if record.body is not None else {})},
    )
    wire: dict[str, Any] = orjson.loads(orjson.dumps(masker().action(action).to_wire()))
    return wire


def _first(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Return the first of these attributes that is there."""
    return next((attributes[name] for name in names if attributes.get(name) not in (None, "")), None)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _status(attributes: dict[str, Any]) -> int | None:
    status = _first(attributes, _STATUS)
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == 3:
        status = int(status)
    return status if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599 else None


def _uri(attributes: dict[str, Any]) -> str:
    """Return the whole URI, put together where the span has only its parts."""
    if isinstance(whole := _first(attributes, _URL), str):
        return whole
    host = _text(_first(attributes, _HOST)) or "localhost"
    port = _text(attributes.get("server.port", attributes.get("net.host.port")))
    if port and ":" not in host and port not in ("80", "443"):
        host = f"{host}:{port}"
    scheme = _text(attributes.get("url.scheme", attributes.get("http.scheme"))) or "http"
    path = _text(attributes.get("url.path", attributes.get("http.target"))) or "/"
    query = _text(attributes.get("url.query"))
    return f"{scheme}://{host}{path if path.startswith('/') else f'/{path}'}{f'?{query}' if query else ''}"


def _headers(attributes: dict[str, Any], side: str) -> dict[str, str]:
    """Return the headers that were captured as ``http.request.header.NAME``; repeated ones joined with a comma."""
    prefix = f"http.{side}.header."
    found = {
        name.removeprefix(prefix): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in attributes.items()
        if name.startswith(prefix) and value is not None
    }
    agent = _text(_first(attributes, _AGENT)) if side == "request" else None
    return {"user-agent": agent, **found} if agent else found


def _add_body(message: EventRequest | EventResponse, body: Any) -> None:
    """Set a body that an instrumentation captured as text."""
    if not isinstance(body, str) or not body:
        return
    try:
        message.body, message.transfer_encoding = orjson.loads(body), "json"
    except orjson.JSONDecodeError:
        message.body, message.transfer_encoding = b64encode(body.encode()).decode(), "base64"


def _duration(attributes: dict[str, Any]) -> int:
    """Return the duration that a log record has as an attribute, in nanoseconds; spans have an end."""
    seconds = attributes.get("http.server.request.duration")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return 0
    return int(min(max(seconds, 0.0), 86_400.0) * 1e9)


def _identity(record: Record, name: str = "") -> str | None:
    """Return an id that a second sending of the same record has too; None when it has none of its own."""
    parts = [record.trace_id, record.span_id]
    if not all(parts):
        return None
    if record.kind != SERVER:
        parts += [str(record.start), name]
    return "-".join(parts)[:1024]


def _place(record: Record) -> str:
    return f"otlp://{record.resource.get('service.name') or 'unknown'}"


def _metadata(record: Record) -> dict[str, Any]:
    """Return where a record came from and what it says beside HTTP."""
    about = {
        "name": record.name,
        "service": record.resource.get("service.name"),
        "scope": record.scope,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_span_id": record.parent_span_id,
        "message": record.message,
        "exception": record.exception,
    }
    other = {name: value for name, value in record.attributes.items() if not name.startswith(("http.", "url."))}
    return {"otel": {name: value for name, value in about.items() if value}, **({"attributes": other} if other else {})}
