"""Tornado: ``HTTPServer(MoesifMiddleware(application, moesif))`` stands between Tornado's server and its application.

Both talk through interfaces that Tornado documents (``HTTPServerConnectionDelegate``, ``HTTPMessageDelegate``,
``HTTPConnection``): handlers, streamed request bodies and flushes are as without it. A websocket makes no event.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import responses
from typing import Any

from tornado import httputil
from tornado.log import app_log
from tornado.web import HTTPError

from .runtime import hooks
from .runtime.client import Moesif
from .runtime.current import current
from .sansio.exchange import Exchange, target_head
from .sansio.governance import Block
from .sansio.protocol import TRANSACTION_HEADER

_DEPTH = 16
"""Routers in one another that are followed."""

StartLine = httputil.RequestStartLine | httputil.ResponseStartLine


class MoesifMiddleware(httputil.HTTPServerConnectionDelegate):
    """Captures, governs and samples what passes; pass a ``Moesif``, or its settings as keywords.

    ``app`` is a ``tornado.web.Application``, or any other ``HTTPServerConnectionDelegate``.
    """

    def __init__(
        self, app: httputil.HTTPServerConnectionDelegate, moesif: Moesif | None = None, **settings: Any
    ) -> None:
        self.app = app
        self.moesif = Moesif.given(moesif, settings)

    def start_request(self, server_conn: object, request_conn: Any) -> httputil.HTTPMessageDelegate:
        """Return what takes the next request of a connection."""
        moesif = self.moesif
        if not moesif.enabled or moesif in _handles(request_conn):
            return self.app.start_request(server_conn, request_conn)
        connection = _Connection(moesif, request_conn, self.app)
        return _Incoming(connection, lambda: self.app.start_request(server_conn, connection))

    def on_close(self, server_conn: object) -> None:
        """Tell the application that a connection is closed."""
        self.app.on_close(server_conn)


def _handles(connection: Any) -> Iterable[Moesif]:
    """Return the handles that look at a connection already: twice by mistake is once."""
    while isinstance(connection, _Connection):
        yield connection.moesif
        connection = connection.inner


class _Connection(httputil.HTTPConnection):
    """One request's way out: what the application writes passes through here untouched."""

    def __init__(self, moesif: Moesif, inner: Any, app: Any) -> None:
        self.moesif, self.inner, self._app = moesif, inner, app
        self.exchange: Exchange | None = None
        """What is known of the request; None when nothing has to be, or when we cannot make sense of it."""
        self.request: Any = None
        self.headers: tuple[tuple[str, str], ...] = ()
        """Headers that are set on the response."""
        self._closed: Callable[[], None] | None = None
        self._done = False
        inner.set_close_callback(self._close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def begin(self, start_line: httputil.RequestStartLine, headers: httputil.HTTPHeaders) -> None:
        """Take note of the request."""
        context = self.inner.context
        # Tornado reads every byte as Latin-1.
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.get_all()]
        self.request = httputil.HTTPServerRequest(connection=self.inner, start_line=start_line, headers=headers)
        target = start_line.path.encode("latin-1")
        head = target_head(start_line.method, target, context.protocol, context.remote_ip, pairs)
        exchange = self.moesif.begin(head)
        exchange.outer = self.inner.exchange if isinstance(self.inner, _Connection) else None
        self.exchange = exchange

    def write_headers(
        self, start_line: StartLine, headers: httputil.HTTPHeaders, chunk: bytes | None = None
    ) -> asyncio.Future[None]:
        """Note the status and the headers, and pass them on with ours."""
        if self.exchange is not None and isinstance(start_line, httputil.ResponseStartLine) and not self._done:
            try:
                headers = self._begin_response(self.exchange, start_line, headers, chunk)
            except Exception as error:
                self.moesif.failed("response", error)
        written: asyncio.Future[None] = self.inner.write_headers(start_line, headers, chunk)
        return written

    def _begin_response(
        self, exchange: Exchange, start_line: httputil.ResponseStartLine, headers: httputil.HTTPHeaders, chunk: Any
    ) -> httputil.HTTPHeaders:
        if start_line.code == 101:
            # A websocket from here on.
            self._done = True
            return headers
        headers = headers.copy()
        for name, value in self.headers:
            headers[name] = value
        if exchange.transaction_header:
            headers[TRANSACTION_HEADER] = exchange.transaction_header
        exchange.status, exchange.response_headers = start_line.code, list(headers.get_all())
        # Tornado answers an exception while it handles it.
        error = sys.exc_info()[1]
        if start_line.code >= 500 and error is not None and not isinstance(error, HTTPError):
            exchange.error = type(error).__name__
        self.moesif.response_buffer(exchange)
        self._keep(chunk)
        return headers

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Pass a chunk on, and keep a bounded copy of it."""
        self._keep(chunk)
        written: asyncio.Future[None] = self.inner.write(chunk)
        return written

    def _keep(self, chunk: Any) -> None:
        if chunk and self.exchange is not None and self.exchange.response_body is not None:
            self.exchange.response_body.feed(chunk)

    def raised(self, error: Exception) -> None:
        """Note what left the application."""
        exchange = self.exchange
        if exchange is not None and not self._done:
            # Tornado closes the connection, so that nobody gets an answer.
            exchange.error, exchange.gone = type(error).__name__, exchange.status is None

    def finish(self) -> None:
        """Submit, and pass the end on."""
        self._end()
        self.inner.finish()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Take the application's wish to be told when the client goes."""
        self._closed = callback

    def _close(self) -> None:
        callback, self._closed = self._closed, None
        try:
            if callback is not None:
                callback()
        finally:
            self._end()

    def _end(self) -> None:
        """Submit the exchange, once; after asynchronous hooks in a task of their own."""
        exchange = self.exchange
        if exchange is None or self._done:
            return
        self._done = True
        if exchange.wanted and (self.moesif.hooks_after or self.moesif.settings.flush_each_request):
            task = asyncio.ensure_future(self._conclude(exchange))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        else:
            self.moesif.submit(exchange, self._route)

    async def _conclude(self, exchange: Exchange) -> None:
        moesif = self.moesif
        try:
            if moesif.hooks_after:
                await hooks.arun(moesif.conclude(exchange, self.request))
        finally:
            # Also when the loop ends while a hook waits.
            moesif.submit(exchange, self._route)
        if moesif.settings.flush_each_request:
            await moesif.aflush_request()

    def _route(self) -> str | None:
        return _template(getattr(self._app, "default_router", self._app), self.request, 0)


_tasks: set[asyncio.Task[None]] = set()
"""What still runs: the event loop holds its tasks weakly."""


def _template(router: Any, request: Any, depth: int) -> str | None:
    """Return the pattern of the rule that a request is routed by, through routers in routers."""
    for rule in getattr(router, "rules", ()):
        if rule.matcher.match(request) is not None:
            if hasattr(rule.target, "rules") and depth < _DEPTH:
                found = _template(rule.target, request, depth + 1)
                if found is not None:
                    return found
                continue
            pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", None)
            return pattern.removesuffix("$") if isinstance(pattern, str) else None
    return None


class _Incoming(httputil.HTTPMessageDelegate):
    """One request's way in: what the server reads goes on to the application, unless a rule blocks."""

    def __init__(self, connection: _Connection, start: Callable[[], httputil.HTTPMessageDelegate]) -> None:
        self._connection, self._start, self._moesif = connection, start, connection.moesif
        self._inner: httputil.HTTPMessageDelegate | None = None
        """The application's; None before it is let in, and for good when a rule blocks."""
        self._head: tuple[Any, Any] = (None, None)
        self._held: list[bytes] | None = None
        """The body so far, for a rule that reads it."""
        self._room = 0
        """Bytes that may still be held back."""

    async def headers_received(self, start_line: StartLine, headers: httputil.HTTPHeaders) -> None:
        """Identify and decide, and let the application in."""
        connection, moesif, self._head = self._connection, self._moesif, (start_line, headers)
        try:
            # Not before: Tornado gets ready for a connection's next request whether there is one or not.
            if not moesif.passes():
                connection.begin(start_line, headers)  # type: ignore[arg-type]  # a server's is a request's
        except Exception as error:
            # A request that cannot even be looked at still belongs to the application.
            moesif.missed(error)
        exchange = connection.exchange
        if exchange is not None and moesif.hooks_before:
            await hooks.arun(hooks.before(moesif.hooks, exchange, connection.request, moesif.failed))
        if exchange is not None and moesif.reads_body and _has_body(headers):
            self._held, self._room = [], moesif.ahead_buffer(exchange).limit
        else:
            await self._let_in()

    async def _let_in(self) -> None:
        """Decide, and hand on what was held back; or answer in the application's place."""
        exchange, held, self._held = self._connection.exchange, self._held, None
        if exchange is not None:
            decision = self._moesif.admit(exchange)
            self._connection.headers = decision.headers
            if isinstance(decision, Block):
                self._block(decision, exchange)
                return
        with self._inside():
            inner = self._inner = self._start()
            await _awaited(inner.headers_received(*self._head))
            for chunk in held or ():
                await _awaited(inner.data_received(chunk))

    def _block(self, decision: Block, exchange: Exchange) -> None:
        length = decision.content_length
        headers = httputil.HTTPHeaders({} if length is None else {"Content-Length": length})
        start_line = httputil.ResponseStartLine("", decision.status, responses.get(decision.status, "Blocked"))
        body = b"" if exchange.head.verb == "HEAD" else decision.body
        self._connection.write_headers(start_line, headers, body)
        self._connection.finish()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Run the application in the context of this request, which the tasks that it starts inherit."""
        token = current.set(self._connection.exchange or current.get())
        try:
            yield
        except Exception as error:
            self._connection.raised(error)
            raise
        finally:
            current.reset(token)

    async def data_received(self, chunk: bytes) -> None:
        """Keep a bounded copy of a chunk, and hand it on."""
        exchange = self._connection.exchange
        if exchange is not None:
            self._moesif.saw(exchange, chunk)
        if self._held is not None:
            self._held.append(chunk)
            self._room -= len(chunk)
            if self._room <= 0:
                await self._let_in()
        elif self._inner is not None:
            with self._inside():
                await _awaited(self._inner.data_received(chunk))

    def finish(self) -> None:
        """Tell the application that it has the whole request."""
        if self._held is not None:
            task = asyncio.ensure_future(self._finish_held())
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._inner is not None:
            with self._inside():
                self._inner.finish()

    async def _finish_held(self) -> None:
        try:
            await self._let_in()
            self._finish()
        except Exception:
            # What Tornado's server does where the application raises, which it cannot see in a task.
            app_log.error("Uncaught exception", exc_info=True)
            self.on_connection_close()
            self._connection.close()

    def on_connection_close(self) -> None:
        """Tell the application that the client has gone before the request's end, and submit."""
        if self._inner is not None:
            with self._inside():
                self._inner.on_connection_close()
        self._connection._close()  # noqa: SLF001  # of this module


async def _awaited(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _has_body(headers: httputil.HTTPHeaders) -> bool:
    return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
