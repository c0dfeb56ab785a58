"""Fuzz the way from the bytes of a body to the bytes of an event.

    python -m scripts.fuzz_bodies tests/corpus/bodies -max_total_time=600 -timeout=2

Takes libFuzzer's arguments and needs ``atheris``. An input is four bytes that choose the content type, the content
encoding, the capture limit and the chunk size, and then the body. ``check`` is what the tests replay the corpus with.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any, NoReturn

import brotli  # type: ignore[import-untyped]
import jiter
import orjson
import zstandard

from moesif_middleware.sansio import events
from moesif_middleware.sansio.bodies import Look
from moesif_middleware.sansio.exchange import BodyBuffer, Exchange, ScopeHead
from moesif_middleware.sansio.masking import compile_masking

CONTENT_TYPES = (
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=XX",
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/json; charset=utf-16",
    b"text/plain; charset=latin1",
    b"",
)
CODINGS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"", bytes),
    (b"gzip", bytes),
    (b"gzip", gzip.compress),
    (b"deflate", bytes),
    (b"deflate", zlib.compress),
    (b"br", bytes),
    (b"br", brotli.compress),
    (b"zstd", bytes),
    (b"zstd", zstandard.compress),
    (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
)
LIMITS = (1, 16, 100, 1000, 100_000, 460_800)
_PACKAGE = "moesif_middleware"
_MASKER = compile_masking()


def check(data: bytes) -> None:
    """Make an event of an input. Raises AssertionError or ValueError when it is not what every event is."""
    if len(data) < 4:
        return
    content_type = CONTENT_TYPES[data[0] % len(CONTENT_TYPES)]
    coding, encode = CODINGS[data[1] % len(CODINGS)]
    limit = LIMITS[data[2] % len(LIMITS)]
    body = encode(data[4:])
    exchange = _exchange([(b"content-type", content_type), (b"content-encoding", coding)], body, limit, data[3] + 1)
    for parsed in (False, True):
        encoded = [_encoded(exchange, limit, look, parsed=parsed) for look in (_MASKER.look, None)]
        _check(encoded[0], len(body))
        if encoded[0] != encoded[1]:
            raise AssertionError("a body that was looked at when it was read is masked in another way")


def _encoded(exchange: Exchange, limit: int, look: Look | None, *, parsed: bool) -> bytes:
    event = events.build(exchange, events.BuildOptions(body_bytes=limit, look=look), transaction_id="t")
    return events.encode(events.finish(_MASKER.event(event), parsed=parsed))


def _exchange(headers: list[tuple[bytes, bytes]], body: bytes, limit: int, chunk: int) -> Exchange:
    made = Exchange(ScopeHead({"method": "POST", "path": "/"}, headers), 1.0)
    made.status, made.response_headers = 200, headers
    made.request_body = made.response_body = BodyBuffer(limit)
    for start in range(0, len(body), chunk):
        made.request_body.feed(body[start : start + chunk])
    return made


def _check(encoded: bytes, size: int) -> None:
    if len(encoded) > events.MAX_EVENT:
        raise AssertionError(f"{len(encoded)} bytes")
    found: Any = json.loads(encoded, parse_constant=_refuse)
    orjson.loads(encoded)
    jiter.from_json(encoded, allow_inf_nan=False)
    for side in ("request", "response"):
        message = found[side]
        if ("body" in message) != (size > 0) or ("transfer_encoding" in message) != (size > 0):
            raise AssertionError(f"{side}: {size} bytes passed, the event has {sorted(message)}")


def _refuse(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


def main() -> None:
    """Fuzz until libFuzzer stops."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    for name in [name for name in sys.modules if name.startswith(_PACKAGE)]:
        del sys.modules[name]
    # Instrumenting the package alone takes seconds, instrumenting all that it imports takes minutes.
    with atheris.instrument_imports(include=[f"{_PACKAGE}.sansio"]):
        instrumented = importlib.import_module("scripts.fuzz_bodies")
    atheris.Setup(sys.argv, instrumented.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
