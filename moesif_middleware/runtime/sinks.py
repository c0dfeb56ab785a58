"""Where batches go: the Sink protocol, the collector over HTTP, and memory."""

from __future__ import annotations

import importlib
import time
import zlib
from types import ModuleType
from typing import Any, Protocol

import orjson

from ..sansio.batches import Batch
from ..sansio.protocol import PATHS, Answer, read_answer
from ..settings import Settings
from .transport import Transport

_igzip: ModuleType | None
try:
    _igzip = importlib.import_module("isal.igzip")
except ImportError:  # no wheel for this platform
    _igzip = None

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


def compress(body: bytes) -> bytes:
    """Return ``body`` as gzip."""
    if _igzip is not None:
        return bytes(_igzip.compress(body, compresslevel=1))
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


class CollectorSink:
    """Sends batches to a Moesif-compatible collector: gzip, one keep-alive connection, a total deadline."""

    def __init__(self, settings: Settings) -> None:
        self._transport = Transport(settings)

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Post the batch. Raises TransportError when no complete answer came."""
        body, headers = batch.body, {"Content-Type": "application/json"}
        if len(body) > _SMALL:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
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
