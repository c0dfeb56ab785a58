"""From an ordinary exchange straight to the bytes of its event, where no hook has to see the event in between.

Byte for byte what ``events.build``, the masker, ``events.finish`` and ``events.encode`` make of it, in less time: the
worker makes no objects for the event and its messages, and takes no steps for what such an exchange lacks.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..models import wire_time
from . import jsontext
from .bodies import Body
from .events import (
    BODILESS,
    MAX_EVENT,
    MAX_QUERY_PARAMETERS,
    TRANSACTION_HEADER,
    BuildOptions,
    fit_body,
    metadata_of,
    read_body,
)
from .exchange import Exchange, Heads
from .headers import join_headers
from .masking import Masker

Message = dict[str, Any]
_IN_REQUEST = ("ip_address", "api_version")
_IN_EVENT = ("user_id", "company_id", "session_token", "weight", "metadata", "blocked_by")
_ROUTE = frozenset(("route",))


def encode(exchange: Exchange, options: BuildOptions, masker: Masker, transaction_id: str) -> bytes | None:
    """Return the event as JSON; None for an exchange that is out of the ordinary, of which the event has to be built.

    Ordinary is one that was answered, and that fits once its bodies are cut. May raise for what makes no event.
    """
    head, status, route, token = exchange.head, exchange.status, exchange.route, exchange.session_token
    if status is None:
        return None
    heads, verb = exchange.heads or heads_of(exchange), head.verb.upper()
    uri, sent, answered = heads.uri, heads.sent, heads.answered
    if "query=" in uri or "extensions=" in uri or uri.count("&") >= MAX_QUERY_PARAMETERS:
        # An operation of GraphQL, and more parameters than the collector takes.
        return None
    uri, clean = masker.head(uri, (sent, answered), () if route is None else (route,), clean=heads.clean)
    notes: dict[str, Any] = {}
    request: Message = {
        "time": wire_time(exchange.started), "uri": uri, "verb": verb, "headers": masker.fields(sent, clean),
        "ip_address": options.client_address(head) if options.client_address else head.peer,
        "api_version": options.api_version,
    }  # fmt: skip
    sent_body = read_body(exchange.request_body, sent, options, "request", notes)
    ended = exchange.started if exchange.ended is None else exchange.ended
    response: Message = {"time": wire_time(ended), "status": status, "headers": masker.fields(answered, clean)}
    bodiless = status in BODILESS or verb == "HEAD"
    answered_body = None if bodiless else read_body(exchange.response_body, answered, options, "response", notes)
    metadata = metadata_of(exchange, notes)
    if metadata is not None and not (clean and _says_route(exchange, metadata) and masker.is_simple(metadata)):
        metadata = masker.value(metadata)
    if sent_body is not None:
        metadata = _put(request, masker.body(sent_body), "request", metadata)
    if answered_body is not None:
        metadata = _put(response, masker.body(answered_body), "response", metadata)
    wire: Message = {
        "request": _without_nothing(request, _IN_REQUEST), "response": response,
        "user_id": exchange.user_id, "company_id": exchange.company_id,
        "session_token": None if token is None else masker.string(str(token)), "transaction_id": transaction_id,
        "direction": exchange.direction, "weight": exchange.weight, "metadata": metadata,
        "blocked_by": exchange.blocked_by,
    }  # fmt: skip
    return _written(_without_nothing(wire, _IN_EVENT))


def heads_of(exchange: Exchange) -> Heads:
    """Return the heads of an exchange as an event has them, before they are masked."""
    sent, answered = exchange.head.headers, join_headers(exchange.response_headers)
    if exchange.transaction_header:
        sent = {**sent, TRANSACTION_HEADER: exchange.transaction_header}
        answered[TRANSACTION_HEADER] = exchange.transaction_header
    return Heads(exchange.head.uri, sent, answered)


def _put(message: Message, body: Body, side: str, metadata: Any) -> Any:
    """Put a masked body into its message; return the metadata with what there is to say of that."""
    text, metadata = fit_body(body, side, metadata)
    message["body"], message["transfer_encoding"] = orjson.Fragment(text), body.transfer_encoding
    return metadata


def _says_route(exchange: Exchange, metadata: dict[str, Any]) -> bool:
    """Return whether there is nothing in the metadata but the route, which was looked at with the head."""
    return exchange.metadata is None and metadata.keys() == _ROUTE


def _without_nothing(found: Message, names: tuple[str, ...]) -> Message:
    """Take out those names of a map under which there is None, in place; return the same map."""
    for name in names:
        if found[name] is None:
            del found[name]
    return found


def _written(wire: Message) -> bytes | None:
    """Return an event as JSON, None when it does not fit or needs a closer look."""
    try:
        encoded = orjson.dumps(wire, default=jsontext.foreign, option=jsontext.OPTIONS)
    except (TypeError, RecursionError):
        return None
    return encoded if len(encoded) <= MAX_EVENT else None
