"""Where batches go: the Sink protocol, the collector over HTTP, and memory."""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import orjson

from .. import _version
from ..errors import TransportError
from ..sansio.batches import Batch
from ..sansio.protocol import APPLICATION_ID_HEADER, PATHS, Answer, read_answer
from ..settings import Settings

_igzip: ModuleType | None
try:
    _igzip = importlib.import_module("isal.igzip")
except ImportError:  # no wheel for this platform
    _igzip = None

USER_AGENT = f"moesif-middleware/{_version.VERSION}"
MAX_ANSWER = 65_536
"""Bytes read of an answer to a batch."""
_PIECE = 262_144
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


class Transport:
    """One keep-alive HTTP connection to the collector, with a deadline for the whole request.

    httpx bounds each read and write, so a peer that drips a byte now and then would hold a request for ever: the
    deadline is looked at between the pieces, and an operation gets no more than what is left of it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._connection: httpx.HTTPTransport | None = None
        self._base = settings.base_uri.rstrip("/")
        # A base URI that ends with the version names the same place.
        self._base = self._base.removesuffix("/v1")

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, timeout: float, most: int
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and at most ``most`` bytes of the answer. Raises TransportError."""
        deadline = self._clock() + timeout
        try:
            return self._attempt(method, path, headers, body, deadline, most)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError) as error:
            # A kept connection that the server closed meanwhile looks like this: one retry, on a new one.
            self.close()
            try:
                return self._attempt(method, path, headers, body, deadline, most)
            except httpx.HTTPError:
                self.close()
                raise TransportError(_describe(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.close()
            raise TransportError(_describe(error)) from error

    def _attempt(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, deadline: float, most: int
    ) -> tuple[int, httpx.Headers, bytes]:
        settings, left = self._settings, max(deadline - self._clock(), 0.001)
        timeout = httpx.Timeout(
            min(settings.read_timeout, left), connect=min(settings.connect_timeout, left), pool=min(1.0, left)
        )
        content = None if body is None else self._pieces(body, deadline)
        all_headers = {
            APPLICATION_ID_HEADER: settings.application_id,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            **headers,
        }
        if body is not None:
            all_headers["Content-Length"] = str(len(body))
        extensions = {"timeout": timeout.as_dict()}
        request = httpx.Request(method, self._base + path, headers=all_headers, content=content, extensions=extensions)
        response = self._open().handle_request(request)
        try:
            answer = bytearray()
            for piece in response.iter_raw():
                answer += piece
                if len(answer) > most:
                    raise TransportError(f"the answer is longer than {most} bytes")
                if self._clock() > deadline:
                    raise TransportError("the answer did not end within the time for a whole request")
        except TransportError:
            self.close()
            raise
        finally:
            response.close()
        return response.status_code, response.headers, bytes(answer)

    def _pieces(self, body: bytes, deadline: float) -> Iterator[bytes]:
        for start in range(0, len(body), _PIECE):
            if self._clock() > deadline:
                raise httpx.WriteTimeout("the request did not end within its time")
            yield body[start : start + _PIECE]

    def _open(self) -> httpx.HTTPTransport:
        # The transport and not a Client: that one follows settings that are not ours, and writes a line into the
        # application's log for each of our requests.
        if self._connection is None:
            limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=15.0)
            self._connection = httpx.HTTPTransport(limits=limits, proxy=environment_proxy(self._base))
        return self._connection

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Forget the connection without a word on it: after a fork it is the parent's."""
        self._connection = None


def environment_proxy(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY ask for, None for none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
