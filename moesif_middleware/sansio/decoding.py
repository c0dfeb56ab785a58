"""Content codings undone with a hard bound on what comes out (RFC 9110 8.4.1; gzip, deflate, br, zstd).

A few hundred bytes can stand for gigabytes: nothing here writes much more than the bound, whatever comes in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

MAX_CODINGS = 2
_MAX_MEMBERS = 64
# RFC 9659: a decoder on the web need not take a larger window.
_ZSTD_WINDOW = 1 << 23


class Undecodable(ValueError):
    """The bytes stay as they passed. The message says why: an unknown coding, too many, a missing package, bad data."""


def undo(data: bytes, content_encoding: str, limit: int) -> tuple[bytes, bool]:
    """Return at most ``limit`` decoded bytes, and whether these are all there was. Raises Undecodable."""
    codings = [name for part in content_encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(codings) > MAX_CODINGS:
        raise Undecodable(f"{len(codings)} content codings")
    complete = True
    for name in reversed(codings):
        decode = _DECODERS.get(name)
        if decode is None:
            raise Undecodable(f"unknown content coding {name[:40]}")
        data, ended = decode(data, limit + 1)
        complete = complete and ended and len(data) <= limit
        data = data[:limit]
    if not data and not complete:
        raise Undecodable("too little to decode")
    return data, complete


def _gzip(data: bytes, bound: int) -> tuple[bytes, bool]:
    found: list[bytes] = []
    room = bound
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(31)
        try:
            piece = stream.decompress(data, room)
        except zlib.error as error:
            if found:
                # What follows a whole member and is no gzip is padding, as gzip itself takes it.
                return b"".join(found), True
            raise Undecodable(str(error)) from None
        found.append(piece)
        room -= len(piece)
        data = stream.unused_data
        if not stream.eof or room <= 0:
            return b"".join(found), False
        if not data:
            return b"".join(found), True
    return b"".join(found), False


def _deflate(data: bytes, bound: int) -> tuple[bytes, bool]:
    """Undo zlib as RFC 9110 has it, or the raw deflate that some send under that name."""
    for window_bits in (15, -15):
        stream = zlib.decompressobj(window_bits)
        try:
            return stream.decompress(data, bound), stream.eof
        except zlib.error:
            continue
    raise Undecodable("neither zlib nor deflate")


def _brotli(data: bytes, bound: int) -> tuple[bytes, bool]:
    package = _brotli_package()
    if package is None:
        raise Undecodable("the package brotli (1.2 or later) is not installed")
    stream = package.Decompressor()
    try:
        found = stream.process(_narrowed(data, bound), output_buffer_limit=bound)
    except package.error as error:
        raise Undecodable(str(error)) from None
    return found, stream.is_finished()


def _narrowed(data: bytes, bound: int) -> bytes:
    """Return the stream with a window just larger than the bound (RFC 7932 9.1, WBITS).

    The decoder fills its whole window, up to 16 MB, before it hands out the first byte. As long as less than a window
    was written the window's size changes nothing else, so a smaller one gives the same beginning.
    """
    first = data[0] if data else 0
    if not first & 1 or not first & 0x0E:
        return data
    wanted = max(18, (bound + 16).bit_length())
    if wanted >= 17 + (first >> 1 & 7):
        return data
    return bytes((first & ~0x0E | wanted - 17 << 1,)) + data[1:]


@cache
def _brotli_package() -> Any:
    try:
        import brotli  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        brotli.Decompressor().process(b"", output_buffer_limit=1)
    except TypeError:
        # Before 1.2 there is no bound on the output.
        return None
    return brotli


def _zstd(data: bytes, bound: int) -> tuple[bytes, bool]:
    package = _zstd_package()
    if package is None:
        raise Undecodable("the package zstandard is not installed")
    reader = package.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(data, read_across_frames=True)
    try:
        found = reader.read(bound)
    except package.ZstdError as error:
        raise Undecodable(str(error)) from None
    return found, len(found) < bound


@cache
def _zstd_package() -> Any:
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


_DECODERS: dict[str, Callable[[bytes, int], tuple[bytes, bool]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
