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
    """Takes batches. Called from one thread at a time, and from another one only after a fork.

    One that has ``concurrent = True`` is called from several threads at once when there is much to send.
    """

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Return the answer that came within ``timeout`` seconds. Raises TransportError when none did."""

    def close(self) -> None:
        """Give back what is open. The sink may be used again, and opens anew."""


class CollectorSink:
    """Sends batches to a Moesif-compatible collector: gzip, a total deadline, keep-alive.

    It has as many connections as there were threads that sent at the same time.
    """

    concurrent = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transports: list[LateTransport] = []
        self._idle: list[LateTransport] = []

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Post the batch. Raises TransportError when no complete answer came."""
        transport = self._take()
        try:
            headers = {"Content-Type": "application/json"}
            if batch.size > _SMALL:
                body = transport.compressed(batch.pieces())
                headers["Content-Encoding"] = "gzip"
            else:
                body = batch.body
            status, answered, text = transport.request("POST", PATHS[batch.kind], headers, body, timeout, MAX_ANSWER)
        finally:
            self._idle.append(transport)
        return read_answer(status, answered, text, time.time())

    def _take(self) -> LateTransport:
        """Return the connection that was used last of those that nobody uses, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            transport = LateTransport(self._settings)
            self._transports.append(transport)
            return transport

    def close(self) -> None:
        """Close the connections."""
        for transport in self._transports:
            transport.close()

    def abandon(self) -> None:
        """Forget the connections: after a fork they are the parent's."""
        for transport in self._transports:
            transport.abandon()
        self._idle = [*self._transports]


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
