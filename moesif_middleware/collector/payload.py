"""Reading a posted body within its bounds: compressed bytes, decoded bytes, and the number of parts it parses to."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request

from ..sansio.decoding import Undecodable, undo
from .encoding import encoded
from .refusals import Refusal

MEGABYTE: Final = 1024 * 1024

MOST_CONTAINERS: Final = 2_000_000
"""Objects and arrays in one body. 50 MB of ``[]`` would parse to a gigabyte; 50 MB of events have a tenth of this."""

BODY_SECONDS: Final = 60.0
"""A body that takes longer is given up, however steadily it drips: a client gives a request half of it."""

_DRAINED: Final = 8 * MEGABYTE
"""What is still read of a body that is too large, so that the client gets to read the answer."""


async def read(request: Request, limit: int) -> bytes:
    """Return the body as it came. Raises Refusal 413 over ``limit`` bytes, 408 when it takes too long."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(request, limit)
    except TimeoutError:
        # What is still to come would be taken for the next request.
        raise Refusal(408, f"the body took over {BODY_SECONDS:g} seconds", {"Connection": "close"}) from None


async def _read(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    too_large = announced.isdigit() and int(announced) > limit
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            too_large = too_large or size > limit
            if not too_large:
                pieces.append(piece)
            elif size > limit + _DRAINED:
                break
    except ClientDisconnect:
        raise Refusal(400, "the body ended early") from None
    if too_large:
        raise Refusal(413, f"the body has over {limit} bytes")
    return b"".join(pieces)


def parse(raw: bytes, content_encoding: str, limit: int) -> Any:
    """Return the JSON value of a body. Raises Refusal 400, or 413 when it decodes to more than ``limit`` bytes."""
    raw = plain(raw, content_encoding, limit)
    if len(raw) > MOST_CONTAINERS and raw.count(b"{") + raw.count(b"[") > MOST_CONTAINERS:
        raise Refusal(413, f"the body has over {MOST_CONTAINERS} objects and arrays")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None


def parse_storable(raw: bytes, content_encoding: str, limit: int) -> Any:
    """Return the JSON value of a body that can be written as JSON again. Raises Unfit, and Refusal as ``parse``."""
    value = parse(raw, content_encoding, limit)
    encoded(value)
    return value


def small(raw: bytes, content_encoding: str, limit: int) -> bytes | None:
    """Return a body without its content coding, None for one of over ``limit`` bytes, or that cannot be decoded."""
    if not content_encoding:
        return raw if len(raw) <= limit else None
    try:
        data, complete = undo(raw, content_encoding, limit)
    except Undecodable:
        return None
    return data if complete else None


def plain(raw: bytes, content_encoding: str, limit: int) -> bytes:
    """Return a body without its content coding. Raises Refusal 400, or 413 for more than ``limit`` bytes."""
    if not content_encoding:
        return raw
    try:
        data, complete = undo(raw, content_encoding, limit)
    except Undecodable as error:
        raise Refusal(400, f"Content-Encoding {content_encoding[:100]}: {error}") from None
    if not complete:
        if len(data) >= limit:
            raise Refusal(413, f"the body decodes to over {limit} bytes")
        raise Refusal(400, f"Content-Encoding {content_encoding[:100]}: the body ended early")
    return data
