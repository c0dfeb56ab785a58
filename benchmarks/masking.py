"""Microseconds that masking takes per event: a clean and a dirty JSON body of 2 KB, with ordinary headers.

Run as ``python -m benchmarks.masking``.
"""

from __future__ import annotations

import random
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from moesif_middleware.models import Event, EventRequest, EventResponse
from moesif_middleware.sansio import bodies
from moesif_middleware.sansio.bodies import Body
from moesif_middleware.sansio.masking import Masker, compile_masking

HEADERS = {
    "host": "api.example.com",
    "user-agent": "python-httpx/0.28.1",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate, br",
    "content-type": "application/json",
    "content-length": "2048",
    "authorization": "Bearer 0123456789abcdef",
    "x-request-id": "7d0e8f3a-2f0b-4a7e-9f52-1f4f2c9d7c11",
}


def document(*, dirty: bool) -> bytes:
    """Return about 2 KB of JSON as an application writes it, with a password at the end when it is dirty."""
    dice = random.Random(1)
    items = [
        {"id": dice.randrange(10**6), "name": f"Item {n}", "price": n * 1.5, "note": "An ordinary text about things"}
        for n in range(26)
    ]
    return orjson.dumps({"items": items, **({"password": "hunter2"} if dirty else {})})


def event(raw: bytes) -> Event:
    """Return an event with the document on both sides."""
    first, second = (
        bodies.read(raw, total=len(raw), content_type="application/json", content_encoding="", limit=100_000)
        for _ in range(2)
    )
    request = EventRequest(0.0, "https://api.example.com/items?page=2&sort=name", "POST", dict(HEADERS), body=first)
    answer = {"content-type": "application/json", "server": "uvicorn", "date": "Wed, 25 Nov 2026 04:00:00 GMT"}
    return Event(request, EventResponse(0.1, 200, answer, body=second), metadata={"route": "/items"})


def microseconds(call: Callable[[], Any], number: int = 2000) -> float:
    """Return the best mean of five rounds."""
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def mask_again(masker: Masker, made: Event, body: Body | None) -> Event:
    """Mask an event that is as it was before the last round."""
    made.request.headers = HEADERS
    made.request.body = body
    if made.response is not None:
        made.response.body = body
    return masker.event(made)


def main() -> None:
    """Print one line per part."""
    masker = compile_masking()
    clean, dirty = document(dirty=False), document(dirty=True)
    for name, raw in (("clean", clean), ("dirty", dirty)):
        body = event(raw).request.body
        print(f"{name} body, {len(raw)} bytes: {microseconds(partial(masker.body, body)):.1f} us")
        whole = microseconds(partial(mask_again, masker, event(raw), body))
        print(f"{name} event, two bodies and {len(HEADERS) + 3} headers: {whole:.1f} us")
    print(f"headers: {microseconds(lambda: masker.headers(HEADERS)):.1f} us")
    print(f"uri: {microseconds(lambda: masker.uri('https://api.example.com/items?page=2&sort=name')):.1f} us")


if __name__ == "__main__":
    main()
