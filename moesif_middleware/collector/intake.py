"""From what was posted to what is stored: check it, set what the server sets, cut what is too large."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson

from ..models import wire_time
from .checks import Unfit, base64_bytes, epoch_ms
from .encoding import encoded
from .stores import EventRow
from .stores.schema import API_CALL, USER_ACTION
from .wire import ACTION, check_event

EVENT_LIMIT: Final = 1024 * 1024
"""Bytes of one event without its bodies (reference, "Maximum Event Size")."""

BODY_LIMIT: Final = 450 * 1024
"""Bytes that are kept of a request or response body (reference, "Truncation size")."""

OLDEST_MS: Final = 30 * 24 * 3600 * 1000
"""An event that is older is rejected (reference, "Late Events")."""

LATE_MS: Final = 5 * 60 * 1000
"""An event that is older is late."""


class TooLarge(Unfit):
    """One event is over the limit even with its bodies cut."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a batch came in, in milliseconds since the epoch, and from which address."""

    now_ms: int
    ip_address: str | None


def event_row(event: Any, arrival: Arrival) -> EventRow:
    """Return the row of one API call. Raises Unfit."""
    check_event(event)
    event["event_type"] = API_CALL
    if event.get("weight") is None:
        event["weight"] = 1
    if event.get("direction") is None:
        event["direction"] = "Incoming"
    request, response = event["request"], event.get("response")
    request["verb"] = request["verb"].upper()
    time_ms = _time_ms(request, "request.time")
    if response is not None:
        event["duration_ms"] = _time_ms(response, "response.time") - time_ms
    return _row(event, arrival, time_ms)


def action_row(action: Any, arrival: Arrival) -> EventRow:
    """Return the row of one user action. Raises Unfit."""
    ACTION(action)
    action["event_type"] = USER_ACTION
    action["weight"] = 1
    request = action["request"]
    if request.get("time") is None:
        request["time"] = wire_time(arrival.now_ms / 1000)
    return _row(action, arrival, _time_ms(request, "request.time"))


def route_of(uri: str) -> str:
    """Return the path of a URI without its query."""
    start = uri.find("://")
    start = uri.find("/", start + 3) if start >= 0 else 0
    if start < 0:
        return "/"
    end = len(uri)
    for mark in "?#":
        found = uri.find(mark, start, end)
        end = found if found >= 0 else end
    return uri[start:end] or "/"


def _route(event: dict[str, Any], uri: str) -> str:
    """Return the route template that the middleware notes in metadata, else the path."""
    noted = (event.get("metadata") or {}).get("route")
    return noted if isinstance(noted, str) and noted else route_of(uri)


def _time_ms(message: dict[str, Any], path: str) -> int:
    """Return a message's time in milliseconds since the epoch, and leave it as UTC with milliseconds and ``Z``."""
    text = message["time"]
    try:
        time_ms = epoch_ms(text)
    except Unfit as unfit:
        raise unfit.within(path)  # noqa: B904 - it is the same exception
    # What clients send is as it should be; writing it again would cost more than all other checks.
    if len(text) != 24 or text[10] != "T" or text[19] != "." or text[23] != "Z":
        message["time"] = wire_time(time_ms / 1000)
    return time_ms


def _row(event: dict[str, Any], arrival: Arrival, time_ms: int) -> EventRow:
    if arrival.now_ms - time_ms > OLDEST_MS:
        raise Unfit("is over 30 days in the past", "request.time")
    if event.get("transaction_id") is None:
        event["transaction_id"] = str(uuid4())
    request, response = event["request"], event.get("response") or {}
    if request.get("ip_address") is None and arrival.ip_address is not None:
        request["ip_address"] = arrival.ip_address
    if request.get("route") is None:
        request["route"] = _route(event, request["uri"])
    if arrival.now_ms - time_ms > LATE_MS:
        event["late"] = True
    return EventRow(
        id=event["transaction_id"],
        time_ms=time_ms,
        received_ms=arrival.now_ms,
        event_type=event["event_type"],
        action_name=event.get("action_name"),
        status=response.get("status"),
        verb=request.get("verb"),
        route=request["route"],
        uri=request["uri"],
        ip_address=request.get("ip_address"),
        user_id=event.get("user_id"),
        company_id=event.get("company_id"),
        session_token=event.get("session_token"),
        duration_ms=event.get("duration_ms"),
        weight=event["weight"],
        direction=event.get("direction"),
        blocked_by=event.get("blocked_by"),
        doc=_encoded(event).decode(),
    )


def _encoded(event: dict[str, Any]) -> bytes:
    document = encoded(event)
    if len(document) <= BODY_LIMIT:
        return document
    bodies = sum(_cut_body(event, side) for side in ("request", "response"))
    document = encoded(event)
    if len(document) - bodies > EVENT_LIMIT:
        raise TooLarge(f"has over {EVENT_LIMIT} bytes beside its bodies")
    return document


def _cut_body(event: dict[str, Any], side: str) -> int:
    """Cut one side's body to the limit, as base64 that is no longer JSON, and return its encoded length in bytes."""
    message = event.get(side) or {}
    if (body := message.get("body")) is None:
        return 0
    is_base64 = message.get("transfer_encoding") == "base64"
    data = base64_bytes(body) if is_base64 else orjson.dumps(body)
    if len(data) <= BODY_LIMIT:
        return len(body) if is_base64 else len(data)
    message["body"] = base64.b64encode(data[:BODY_LIMIT]).decode()
    message["transfer_encoding"] = "base64"
    metadata = event["metadata"] = event.get("metadata") or {}
    metadata.setdefault(f"{side}_body_truncated", len(data))
    return len(message["body"])
