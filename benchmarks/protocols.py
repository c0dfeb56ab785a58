"""How many requests are in what a contestant sends: Moesif, OTLP as protobuf, Sentry's envelopes, Elastic's intake."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

_SERVER = 2
"""OTLP's number for the kind of span that a server makes of a request."""


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its content encoding: gzip, deflate or none."""
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def requests_in(path: str, body: bytes) -> int:
    """Return how many requests a POST to ``path`` tells of."""
    if path.startswith("/v1/events"):
        return _moesif(body)
    if path == "/v1/traces":
        return _otlp(body)
    if path.endswith("/envelope/"):
        return _sentry(body)
    if path == "/intake/v2/events":
        return sum(line.startswith(b'{"transaction"') for line in body.splitlines())
    return 0


def status_of(path: str) -> int:
    """Return the status with which such a server takes a POST to ``path``."""
    if path.startswith("/v1/events"):
        return 201
    return 202 if path.startswith("/intake/") else 200


def _moesif(body: bytes) -> int:
    found = json.loads(body)
    return len(found) if isinstance(found, list) else 1


def _otlp(body: bytes) -> int:
    """ExportTraceServiceRequest > ResourceSpans (1) > ScopeSpans (2) > Span (2), whose kind is 6."""
    spans = [
        span for resource in _messages(body, 1) for scope in _messages(resource, 2) for span in _messages(scope, 2)
    ]
    return sum((6, _SERVER) in _fields(span) for span in spans)


def _messages(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the messages in one field of a protobuf message."""
    for number, value in _fields(message):
        if number == wanted and isinstance(value, bytes):
            yield value


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the fields of a protobuf message: their numbers and values, bytes for all but varints."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        if tag & 7 == 0:
            value, at = _number(message, at)
            yield tag >> 3, value
            continue
        length, at = _number(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
        yield tag >> 3, message[at : at + length]
        at += length


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Return a protobuf varint and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _sentry(body: bytes) -> int:
    """Count the transactions: items follow each other, each with a line of JSON before it that has its length."""
    _, _, rest = body.partition(b"\n")
    count = 0
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        head = json.loads(line)
        length = head.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        count += head["type"] == "transaction"
        rest = rest[length:].lstrip(b"\n")
    return count
