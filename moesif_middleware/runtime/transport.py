"""One HTTP connection to the collector, with a deadline for the whole request."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from .. import _version
from ..errors import TransportError
from ..sansio.protocol import APPLICATION_ID_HEADER
from ..settings import Settings
from .clock import steady

USER_AGENT = f"moesif-middleware/{_version.VERSION}"
_PIECE = 262_144
_BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
_FAILED = (
    httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable, httpx.InvalidURL, OSError,
)  # fmt: skip


class Deadline:
    """A moment that is set for each request, and that bounds every operation of it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = 0.0

    def start(self, seconds: float) -> None:
        """Begin a request that has this long."""
        self._end = self._clock() + seconds

    def bound(self, timeout: float | None, error: type[Exception]) -> float:
        """Return the seconds that an operation has, at most ``timeout``. Raises ``error`` when none are left."""
        left = self._end - self._clock()
        if left <= 0:
            raise error("the time for a whole request is over")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A stream whose every operation ends by the deadline: a peer may drip a byte now and then, even in headers."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.bound(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = self._deadline.bound(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _PIECE], left)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.bound(timeout, httpcore.ConnectTimeout)
        # The new stream takes the descriptor of this one.
        self._stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _Stream(self._stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()

    def drop(self) -> None:
        """Close the descriptor and say nothing to the peer."""
        found = self._stream.get_extra_info("socket")
        if isinstance(found, socket.socket):
            descriptor = found.detach()
            if descriptor >= 0:
                os.close(descriptor)


class _Backend(httpcore.NetworkBackend):
    """Opens such streams; ``newest`` is the one that was opened last."""

    def __init__(self, deadline: Deadline) -> None:
        self._inner, self._deadline = httpcore.SyncBackend(), deadline
        self.newest: _Stream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.bound(timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        self.newest = _Stream(stream, self._deadline)
        return self.newest


class Transport:
    """One keep-alive HTTP connection to the collector. Used by one thread at a time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = steady) -> None:
        self._settings = settings
        self._deadline = Deadline(clock)
        self._backend = _Backend(self._deadline)
        self._connection: httpcore.ConnectionPool | None = None
        self._context: ssl.SSLContext | None = None
        # A base URI that ends with the version names the same place.
        self._base = settings.base_uri.rstrip("/").removesuffix("/v1")

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, timeout: float, most: int
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body of the answer, at most ``most`` bytes. Raises TransportError."""
        self._deadline.start(timeout)
        try:
            return self._attempt(method, path, headers, body, most)
        except _BROKEN as error:
            # A kept connection that the server closed meanwhile looks like this: one retry, on a new one.
            self.close()
            try:
                return self._attempt(method, path, headers, body, most)
            except _FAILED:
                self.close()
                raise TransportError(self._describe(error)) from error
        except _FAILED as error:
            self.close()
            raise TransportError(self._describe(error)) from error

    def _attempt(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, most: int
    ) -> tuple[int, httpx.Headers, bytes]:
        settings = self._settings
        timeouts = {"connect": settings.connect_timeout, "pool": 1.0}
        timeouts |= dict.fromkeys(("read", "write"), settings.read_timeout)
        named = {
            APPLICATION_ID_HEADER: settings.application_id,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            **headers,
        }
        all_headers: list[tuple[bytes | str, bytes | str]] = [*named.items()]
        url = _wire_url(self._base + path)
        pool, extensions = self._open(), {"timeout": timeouts}
        with pool.stream(method, url, headers=all_headers, content=body, extensions=extensions) as response:
            answer = bytearray()
            for piece in response.iter_stream():
                answer += piece
                if len(answer) > most:
                    self.close()
                    raise TransportError(f"the answer is longer than {most} bytes")
        return response.status, httpx.Headers(response.headers), bytes(answer)

    def _describe(self, error: Exception) -> str:
        """Say in one line what failed, where, and what mends it."""
        proxy = environment_proxy(self._base)
        where = self._base
        if proxy is not None:
            where += f" through the proxy {proxy.rpartition('@')[2]} of the environment"
        advice = _advice(_root(error), error, proxied=proxy is not None)
        text = str(error)
        raw = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return f"{where}: {advice} ({raw})" if advice else f"{where}: {raw}"

    def _open(self) -> httpcore.ConnectionPool:
        # Not a Client of httpx: that one follows settings that are not ours, writes a line into the application's log
        # for each of our requests, and has no place for a deadline.
        if self._connection is None:
            options: dict[str, Any] = {
                "ssl_context": self._ssl(),
                "max_connections": 1,
                "max_keepalive_connections": 1,
                "keepalive_expiry": 15.0,
                "network_backend": self._backend,
            }
            self._connection = _pool(environment_proxy(self._base), options)
        return self._connection

    def _ssl(self) -> ssl.SSLContext | None:
        """Return the context for https. Reading the certificates takes tens of milliseconds, so it is made once."""
        if self._context is None and self._base.lower().startswith("https"):
            self._context = httpx.create_ssl_context()
        return self._context

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Forget the connection without a word on it: after a fork it is the parent's.

        The pool is not asked to close: a thread that this process does not have may hold its lock.
        """
        self._connection, stream = None, self._backend.newest
        self._backend = _Backend(self._deadline)
        if stream is not None:
            stream.drop()


@lru_cache(maxsize=16)
def _wire_url(text: str) -> httpcore.URL:
    url = httpx.URL(text)
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _pool(proxy: str | None, options: dict[str, Any]) -> httpcore.ConnectionPool:
    if proxy is None:
        return httpcore.ConnectionPool(**options)
    parts = urlsplit(proxy)
    url = _wire_url(proxy)
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
    if parts.scheme.startswith("socks"):
        return httpcore.SOCKSProxy(url, auth, **options)
    return httpcore.HTTPProxy(url, auth, **options)


def environment_proxy(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY ask for, None for none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _root(error: BaseException) -> BaseException:
    """Return what the operating system or OpenSSL said, which httpcore turns into an error of its own."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _advice(cause: BaseException, error: Exception, *, proxied: bool) -> str:
    """Return what is wrong in plain words, and what to do about it; nothing when the error does not tell."""
    mend = "correct HTTP_PROXY, HTTPS_PROXY or NO_PROXY" if proxied else "correct base_uri"
    if isinstance(cause, ConnectionRefusedError):
        return f"nothing listens there; start it, or {mend}"
    if isinstance(cause, socket.gaierror):
        return f"the name of the host cannot be found; {mend}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "its certificate is not trusted; SSL_CERT_FILE may name the one of its authority"
    if isinstance(cause, ssl.SSLError):
        return "it does not speak TLS as we do; base_uri may have to begin with http://"
    if isinstance(error, httpcore.RemoteProtocolError) and "illegal" in str(error):
        return "the answer is no HTTP; base_uri may have to begin with https://"
    if isinstance(error, httpcore.ConnectTimeout):
        return f"no connection within connect_timeout; {mend}, or let a firewall pass it"
    return "no answer in time" if isinstance(error, httpcore.TimeoutException) else ""
