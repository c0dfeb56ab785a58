"""From an exchange to the bytes of an event: build, (mask), finish, encode.

``build`` gives an event whose bodies are ``Body`` objects, which is what the masker reads. ``finish`` puts wire values
in their place. ``encode`` writes JSON that any parser reads and that fits the collector's limits, whatever a hook made
of the event (reference, "Collector API v1": event fields, 1 MB an event, 450 KB a body, 500 query parameters).
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from ..models import Event, EventRequest, EventResponse, wire_time
from . import bodies, fitting, graphql, jsontext, protocol
from .bodies import MAX_BODY, Body
from .exchange import BodyBuffer, Exchange, RequestHead
from .headers import join_headers

MAX_EVENT = 1_000_000
"""Bytes of an encoded event at most."""
MAX_QUERY_PARAMETERS = 500
TRANSACTION_HEADER = protocol.TRANSACTION_HEADER.lower()

# For the names of two bodies and the commas between them.
_MARGIN = 100
_SAFE = frozenset((str, int, float, bool, type(None), orjson.Fragment))
_MAX_FIELDS = 20
# Values of one field: more would not fit anyway.
_MAX_NODES = 40_000
_TIMES = (int, float, datetime)
BODILESS = frozenset((204, 304))
_NOTE_KEYS = {
    "truncated": "{}_body_truncated",
    "stream": "{}_body_stream",
    "problem": "{}_body_problem",
    "fields_left_out": "{}_body_fields_left_out",
}
_EVENT_FIELDS = tuple(name for name in Event.__dataclass_fields__ if name not in ("request", "response"))
_MESSAGE_FIELDS = {
    EventRequest: ("uri", "verb", "headers", "ip_address", "api_version"),
    EventResponse: ("status", "headers", "ip_address"),
}


class BuildOptions(NamedTuple):
    """What building needs to know beside the exchange. ``body_bytes`` bounds the decoded bytes of each body."""

    api_version: str | None = None
    client_address: Callable[[RequestHead], str | None] | None = None
    """The client's address as the trusted proxies tell it; None: the peer's."""
    body_bytes: int = 100_000
    look: bodies.Look | None = None
    """The look of what will mask the event."""


_DEFAULTS = BuildOptions()


def build(exchange: Exchange, options: BuildOptions = _DEFAULTS, *, transaction_id: str | None = None) -> Event:
    """Return the event of an exchange, with ``Body`` objects as bodies and seconds since the epoch as times.

    The weight and the direction are the exchange's. An application that raised before its response started answers
    with 500; a response that never started is left out.
    """
    notes: dict[str, Any] = {}
    request = _request(exchange, options, notes)
    response = _response(exchange, options, notes)
    return Event(
        request,
        response,
        user_id=exchange.user_id,
        company_id=exchange.company_id,
        session_token=exchange.session_token,
        transaction_id=transaction_id,
        direction=exchange.direction,
        weight=exchange.weight,
        metadata=metadata_of(exchange, notes),
        blocked_by=exchange.blocked_by,
    )


def _request(exchange: Exchange, options: BuildOptions, notes: dict[str, Any]) -> EventRequest:
    head = exchange.head
    headers = dict(head.headers)
    notes.update(graphql.operation_in_query(head.query_string))
    body = read_body(exchange.request_body, headers, options, "request", notes)
    if exchange.transaction_header:
        headers[TRANSACTION_HEADER] = exchange.transaction_header
    return EventRequest(
        exchange.started,
        _bounded_query(head.uri, notes),
        head.verb.upper(),
        headers,
        ip_address=options.client_address(head) if options.client_address else head.peer,
        api_version=options.api_version,
        body=body,
        transfer_encoding=body.transfer_encoding if body else None,
    )


def _response(exchange: Exchange, options: BuildOptions, notes: dict[str, Any]) -> EventResponse | None:
    status = exchange.status
    if status is None:
        if exchange.error is None or exchange.gone or exchange.direction == "Outgoing":
            return None
        # The server answers so once the exception has passed the middleware.
        status = 500
    headers = join_headers(exchange.response_headers)
    if exchange.transaction_header:
        headers[TRANSACTION_HEADER] = exchange.transaction_header
    buffer = exchange.response_body
    if status in BODILESS or exchange.head.verb.upper() == "HEAD":
        buffer = None
    body = read_body(buffer, headers, options, "response", notes)
    ended = exchange.started if exchange.ended is None else exchange.ended
    return EventResponse(ended, status, headers, body=body, transfer_encoding=body.transfer_encoding if body else None)


def read_body(
    buffer: BodyBuffer | None, headers: dict[str, str], options: BuildOptions, side: str, notes: dict[str, Any]
) -> Body | None:
    """Return one side's body, and add what there is to say of it to the notes."""
    if buffer is None:
        return None
    body = bodies.read(
        buffer.getvalue(),
        total=buffer.total,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        limit=options.body_bytes,
        chunks=buffer.count,
        look=options.look,
        clean=buffer.clean,
    )
    if body is not None and body.notes:
        for name, note in body.notes.items():
            if name in _NOTE_KEYS:
                notes[_NOTE_KEYS[name].format(side)] = note
            elif side == "request":
                notes[name] = note
    return body


def metadata_of(exchange: Exchange, notes: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the application and the middleware say beside the messages, None when that is nothing."""
    if exchange.route is not None:
        notes["route"] = exchange.route
    if exchange.error is not None:
        notes["exception"] = exchange.error
    if exchange.shadow is not None:
        notes["governance_shadow"] = exchange.shadow
    return _joined(exchange.metadata, notes) or None


def _joined(metadata: Any, notes: dict[str, Any]) -> dict[str, Any]:
    if metadata is None:
        return notes
    if type(metadata) is not dict:
        found = jsontext.plain(metadata)
        metadata = found if type(found) is dict else {"metadata": found}
    # The notes stand first, so that trimming what an application put in does not lose them.
    return {**notes, **metadata, **notes}


def _bounded_query(uri: str, notes: dict[str, Any]) -> str:
    if uri.count("&") < MAX_QUERY_PARAMETERS:
        return uri
    base, _, query = uri.partition("?")
    parameters = query.split("&")
    if len(parameters) <= MAX_QUERY_PARAMETERS:
        return uri
    notes["query_parameters_truncated"] = len(parameters)
    return f"{base}?{'&'.join(parameters[:MAX_QUERY_PARAMETERS])}"


def finish(event: Event, *, parsed: bool = False) -> Event:
    """Put wire values where the bodies are, and text where the times are; return the same event.

    A body becomes its JSON text (``orjson.Fragment``), as it passed when nothing changed it, so that no parsed tree
    waits for the encoder. With ``parsed`` it becomes the value, for a mask hook to read.
    """
    for side, message in (("request", event.request), ("response", event.response)):
        if message is None:
            continue
        message.time = wire_time(message.time)
        body = message.body
        if isinstance(body, Body):
            message.transfer_encoding = body.transfer_encoding
            if parsed:
                message.body = body.value
                continue
            text, event.metadata = fit_body(body, side, event.metadata)
            message.body = orjson.Fragment(text)
    return event


def fit_body(body: Body, side: str, metadata: Any) -> tuple[bytes, Any]:
    """Return the JSON text of one side's body, cut to MAX_BODY, and the metadata, with a note of a cut."""
    text = body.encoded()
    if len(text) > MAX_BODY:
        metadata = _joined(metadata, _cut_note(metadata, side, text))
        text = fitting.cut_body(text, body.transfer_encoding == "base64", MAX_BODY)
    return text, metadata


def _cut_note(metadata: Any, side: str, text: bytes) -> dict[str, Any]:
    """Return the note of a cut at encoding, unless the cut at capture, which knows the original size, is noted."""
    name = _NOTE_KEYS["truncated"].format(side)
    return {} if type(metadata) is dict and name in metadata else {name: len(text)}


def encode(event: Event, *, own: bool = False) -> bytes:
    """Return the event as JSON that any parser reads, of at most MAX_EVENT bytes and MAX_BODY for each body.

    What is too large is trimmed and the cut noted in the metadata. Never raises for what a hook put into the event:
    what JSON lacks becomes text. ``own`` says that it is as ``finish`` left it, so that its bodies are known to fit.
    """
    wire = _wire(event)
    if own or not _unsafe(wire):
        try:
            encoded = orjson.dumps(wire, default=jsontext.foreign, option=jsontext.OPTIONS)
        except (TypeError, RecursionError):
            return _encode_slowly(wire)
        if len(encoded) <= (MAX_EVENT if own else MAX_BODY):
            return encoded
    return _encode_slowly(wire)


def _unsafe(found: dict[Any, Any], levels: int = 2) -> bool:
    """Return whether a hook put in what must not be handed to orjson as it is.

    Messages and header maps, ``levels`` of them, hold text and numbers nearly always: one look at their types.
    """
    if _SAFE.issuperset(map(type, found.values())):
        return False
    return any(
        _unsafe(value, levels - 1) if levels and type(value) is dict else jsontext.unsafe(value)
        for value in found.values()
        if type(value) not in _SAFE
    )


def _wire(event: Event) -> dict[str, Any]:
    wire = {"request": _message(event.request)}
    if event.response is not None:
        wire["response"] = _message(event.response)
    for name in _EVENT_FIELDS:
        value = getattr(event, name)
        if value is not None:
            wire[name] = value
    return wire


def _message(message: Any) -> Any:
    names = _MESSAGE_FIELDS.get(type(message))
    if names is None:
        return message
    time = message.time
    wire = {"time": time if type(time) is str else _time(time)}
    for name in names:
        value = getattr(message, name)
        if value is not None:
            wire[name] = value
    body = message.body
    if message.transfer_encoding is not None or body is not None:
        wire["body"] = orjson.Fragment(body.encoded()) if isinstance(body, Body) else body
        wire["transfer_encoding"] = _transfer_encoding(body, message.transfer_encoding)
    return wire


def _transfer_encoding(body: Any, said: Any) -> str:
    """Return what a body is, which a hook that put another one in its place may not have said."""
    if type(body) is orjson.Fragment or type(body) is Body:
        return str(said or "json")
    if said != "base64" or not isinstance(body, str):
        return "json"
    try:
        a2b_base64(body, strict_mode=True)
    except ValueError:
        return "json"
    return "base64"


def _time(value: Any) -> Any:
    try:
        return wire_time(value) if isinstance(value, _TIMES) else value
    except (ValueError, OverflowError, OSError):
        return jsontext.as_text(value)


def _encode_slowly(wire: dict[str, Any]) -> bytes:
    """Encode the bodies one by one, each cut to its size, and trim what is left to fit beside them."""
    texts: dict[str, bytes] = {}
    metadata = wire.get("metadata")
    for side in ("request", "response"):
        message = wire.get(side)
        if type(message) is not dict or "body" not in message:
            continue
        wire[side] = message = dict(message)
        text = jsontext.dump(message.pop("body"))
        if len(text) > MAX_BODY:
            wire["metadata"] = metadata = _joined(metadata, _cut_note(metadata, side, text))
            text = fitting.cut_body(text, message.get("transfer_encoding") == "base64", MAX_BODY)
        texts[side] = text
    room = MAX_EVENT - sum(map(len, texts.values())) - _MARGIN
    wire = fitting.trim({name: _plain_field(value) for name, value in wire.items()}, room)
    for side, text in texts.items():
        wire[side]["body"] = orjson.Fragment(text)
    return orjson.dumps(wire, option=jsontext.OPTIONS)


def _plain_field(value: Any) -> Any:
    """Return a plain copy, of a message field by field, so that one without end does not use up the others' room."""
    if type(value) is dict and len(value) < _MAX_FIELDS:
        return {jsontext.as_text(name): jsontext.plain(inner, _MAX_NODES) for name, inner in value.items()}
    return jsontext.plain(value, _MAX_NODES)
