"""Where batches go: the Sink protocol, the collector over HTTP, and memory."""

from __future__ import annotations

import time
from typing import Any, Protocol

import orjson

from ..sansio.batches import Batch
from ..sansio.protocol import PATHS, Answer, read_answer
from ..settings import Settings
from .late import LateTransport

MAX_ANSWER = 65_536
"""Bytes read of an answer to a batch."""
_SMALL = 1_024
"""Below this compression costs more than it saves."""


class Sink(Protocol):
    """Takes batches. Called from one thread at a time, and from another one only after a fork."""

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Return the answer that came within ``timeout`` seconds. Raises TransportError when none did."""

    def close(self) -> None:
        """Give back what is open. The sink may be used again, and opens anew."""


class CollectorSink:
    """Sends batches to a Moesif-compatible collector: gzip, one keep-alive connection, a total deadline."""

    def __init__(self, settings: Settings) -> None:
        self._transport = LateTransport(settings)

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Post the batch. Raises TransportError when no complete answer came."""
        headers = {"Content-Type": "application/json"}
        if batch.size > _SMALL:
            body = self._transport.compressed(batch.pieces())
            headers["Content-Encoding"] = "gzip"
        else:
            body = batch.body
        status, answered, text = self._transport.request("POST", PATHS[batch.kind], headers, body, timeout, MAX_ANSWER)
        return read_answer(status, answered, text, time.time())

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def abandon(self) -> None:
        """Forget the connection: after a fork it is the parent's."""
        self._transport.abandon()


class MemorySink:
    """Keeps what it is sent, decoded, by kind: for tests."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {kind: [] for kind in PATHS}

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events, in the order of their arrival."""
        return self.sent["events"]

    def send(self, batch: Batch, timeout: float) -> Answer:  # noqa: ARG002  # the protocol's signature
        """Keep the batch."""
        self.sent[batch.kind].extend(orjson.loads(batch.body))
        return Answer(201)

    def close(self) -> None:
        """Nothing is open."""
