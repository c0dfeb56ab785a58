"""The fault switch: a collector that answers wrongly on purpose, to try a client's delivery against.

``429:0.2`` answers 429 to a fifth of the calls, ``hang:0.05`` never answers one in twenty, ``reset:0.1`` ends the
connection in the middle of an answer, ``drip:0.1`` sends the answer a byte at a time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ConfigurationError

MODES: Final = ("hang", "reset", "drip", "garbage")
DRIP_SECONDS: Final = 0.5
_RETRY_AFTER: Final = {429, 503}


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of misbehaviour, a status or one of ``MODES``, and the share of the calls that get it, 0 to 1."""

    kind: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``KIND[:SHARE]``; without a share it is every call. Raises ConfigurationError."""
        kind, _, number = text.partition(":")
        try:
            share = float(number or 1)
        except ValueError:
            share = -1.0
        known = kind in MODES or (kind.isascii() and kind.isdigit() and 400 <= int(kind) <= 599)
        if not known or not 0 <= share <= 1:
            raise ConfigurationError(
                "fault", f"{text!r} is not STATUS or one of {', '.join(MODES)}, then :SHARE from 0 to 1"
            )
        return cls(kind, share)


class FaultSwitch:
    """ASGI middleware in front of the API calls; the page is left alone."""

    def __init__(
        self, app: ASGIApp, faults: Sequence[Fault], latency: float = 0.0, draw: Callable[[], float] = random.random
    ) -> None:
        self._app = app
        self._faults = tuple(faults)
        self._latency = latency
        self._draw = draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Misbehave as the dice say, else pass the call on."""
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", "/collector/", "/api/")):
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(self._latency)
        kind = self._chosen()
        if kind is None:
            await self._app(scope, receive, send)
        elif kind == "drip":
            await self._app(scope, receive, _dripping(send))
        else:
            await _drain(receive)
            await _misbehave(kind, receive, send)

    def _chosen(self) -> str | None:
        """Return one fault or none; the shares add up, so that each is met as often as it says."""
        drawn = self._draw()
        for fault in self._faults:
            if drawn < fault.share:
                return fault.kind
            drawn -= fault.share
        return None


async def _drain(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        continue


async def _misbehave(kind: str, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    if kind == "hang":
        while (await receive())["type"] != "http.disconnect":
            continue
    elif kind == "garbage":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"sample_rate": "\x00\xff'})
    elif kind == "reset":
        # A body shorter than its length: the server can only end the connection.
        await send({"type": "http.response.start", "status": 201, "headers": [*headers, (b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
    else:
        headers += [(b"retry-after", b"1")] if int(kind) in _RETRY_AFTER else []
        await send({"type": "http.response.start", "status": int(kind), "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "a fault was asked for"}'})


def _dripping(send: Send) -> Send:
    async def drip(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            await send(message)
            return
        for position in range(len(body)):
            await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
            await asyncio.sleep(DRIP_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})

    return drip
