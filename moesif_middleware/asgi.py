"""The ASGI middleware: Starlette, FastAPI, Litestar, Quart, and any other ASGI 3 application.

The bytes, the chunk boundaries, the order and the timing that the application and its client see are the same with and
without it, apart from the headers that rules and the transaction id add, and apart from a block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, overload

from .runtime import hooks
from .runtime.client import Moesif
from .runtime.current import SEEN, current
from .runtime.lifespan import Lifespan
from .sansio.exchange import BodyBuffer, Exchange, ScopeHead
from .sansio.governance import Block
from .sansio.protocol import TRANSACTION_HEADER
from .sansio.route import Templates

if TYPE_CHECKING:
    from starlette.requests import Request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_TRANSACTION = TRANSACTION_HEADER.lower().encode("ascii")


class MoesifMiddleware:
    """Captures, governs and samples what passes; pass a ``Moesif``, or its settings as keywords.

    ``app.add_middleware(MoesifMiddleware, moesif=moesif)`` or ``MoesifMiddleware(app, application_id="...")``.
    """

    # Starlette's types ask for a positional application, since a keyword one could be among the settings; Litestar
    # passes it by name.
    @overload
    def __init__(self, app: ASGIApp, /, moesif: Moesif | None = None, **settings: Any) -> None: ...
    @overload
    def __init__(self, *, app: ASGIApp, moesif: Moesif | None = None, **settings: Any) -> None: ...

    def __init__(self, app: ASGIApp, moesif: Moesif | None = None, **settings: Any) -> None:  # type: ignore[misc]
        self.app = app
        self.moesif = Moesif.given(moesif, settings)
        self._templates = Templates()
        if self.moesif.hooks_before or self.moesif.hooks_after:
            # Now, and not during the first request.
            _request({"type": "http"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        moesif = self.moesif
        if not moesif.enabled:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            seen = scope.get(SEEN, ())
            application_id = moesif.settings.application_id
            if application_id in seen:
                await self.app(scope, receive, send)
                return
            scope[SEEN] = (*seen, application_id)
            if moesif.passes():
                await self.app(scope, receive, send)
            else:
                await self._serve(scope, receive, send, current.get() if seen else None)
        elif scope["type"] == "lifespan":
            await Lifespan(moesif, receive, send).serve(self.app, scope)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, outer: Exchange | None) -> None:
        moesif = self.moesif
        try:
            call = _Call(moesif, scope, receive, send, self.app, self._templates)
            call.exchange.outer = outer
        except Exception as error:
            # A request that cannot even be looked at still belongs to the application.
            moesif.missed(error)
            await self.app(scope, receive, send)
            return
        token = current.set(call.exchange)
        try:
            if moesif.looks_ahead:
                await call.look_ahead()
            block = call.admit()
            if block is not None:
                await call.block(block)
            elif call.watches:
                await self.app(scope, call.receive, call.send)
            else:
                await self.app(scope, receive, send)
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            current.reset(token)
            if not call.done:
                await call.finish()


class _Call:
    """One request on its way: what the application receives and sends passes through here untouched."""

    __slots__ = (
        "_ahead", "_app", "_headers", "_kept", "_moesif", "_receive", "_scope", "_send", "_templates", "done",
        "exchange", "watches",
    )  # fmt: skip

    def __init__(
        self, moesif: Moesif, scope: Scope, receive: Receive, send: Send, app: ASGIApp, templates: Templates
    ) -> None:
        headers = _rereadable(scope)
        self._moesif, self._scope, self._receive, self._send = moesif, scope, receive, send
        # The outermost that is known: a mounted application puts itself into the scope later.
        self._app = scope.get("router") or scope.get("app") or app
        self._templates = templates
        self.exchange: Exchange = moesif.begin(ScopeHead(scope, headers))
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        """Headers that are set on the response."""
        self._ahead: deque[Message] | None = None
        """Messages read before the application, for a rule that reads the body."""
        self._kept: BodyBuffer | None = None
        """Where the response's body goes until the exchange is submitted."""
        self.done = False
        """Whether the exchange was submitted."""
        self.watches = True
        """False when nothing of this request has to be seen."""

    async def look_ahead(self) -> None:
        """Identify by the hooks, and read what a rule reads of the body."""
        moesif = self._moesif
        if moesif.hooks_before:
            await hooks.arun(hooks.before(moesif.hooks, self.exchange, _request(self._scope), moesif.failed))
        if moesif.reads_body:
            await self._read_ahead()

    def admit(self) -> Block | None:
        """Decide; return the block, or None when the application is to run."""
        exchange = self.exchange
        decision = self._moesif.admit(exchange)
        if decision.headers:
            self._headers = _raw(decision.headers)
        if isinstance(decision, Block):
            return decision
        self.watches = exchange.wanted or bool(self._headers) or self._ahead is not None
        return None

    async def receive(self) -> Message:
        """Hand the next message to the application, and keep a bounded copy of its body."""
        if self._ahead:
            return self._ahead.popleft()
        message = await self._receive()
        self._saw(message)
        return message

    def _saw(self, message: Message) -> None:
        # What comes after the answer is too late for its event, whose cost is booked.
        if message["type"] == "http.request" and not self.done:
            body = message.get("body")
            if body:
                self._moesif.saw(self.exchange, body)
        elif message["type"] == "http.disconnect":
            self.exchange.gone = self.exchange.status is None

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on to the server, and keep a bounded copy of its body.

        No coroutine of its own for the middle of a stream: what the server's send returns is handed on.
        """
        kind = message["type"]
        if kind == "http.response.body":
            kept = self._kept
            if kept is not None:
                kept.feed(message.get("body"))
            return self._send(message) if message.get("more_body") else self._send_last(message)
        if kind == "http.response.start":
            return self._send(self._noted(message))
        return self._send_last(message) if kind == "http.response.pathsend" else self._send(message)

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        if not self.done:
            await self.finish()

    def _noted(self, message: Message) -> Message:
        """Return the message that starts the response, with our headers; as it is when we cannot make sense of it."""
        if self.done:
            # A second response to one request is the server's to refuse; the event is of the first.
            return message
        try:
            return self._begin_response(message)
        except Exception as error:
            self._moesif.failed("response", error)
            return message

    def _begin_response(self, message: Message) -> Message:
        exchange = self.exchange
        exchange.status = message["status"]
        headers = _pairs(message.get("headers"))
        if self._headers or exchange.transaction_header:
            headers = self._with_ours(headers)
        exchange.response_headers = headers
        self._kept = self._moesif.response_buffer(exchange)
        return {**message, "headers": headers}

    def _with_ours(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the headers with those of rules in the place of any of the same name, and the transaction id."""
        if self._headers:
            names = {name for name, _ in self._headers}
            headers = [*(pair for pair in headers if pair[0].lower() not in names), *self._headers]
        own = self.exchange.transaction_header
        if own:
            pair = (_TRANSACTION, own.encode("ascii"))
            for at, (name, _) in enumerate(headers):
                # Django's are not in lower case.
                if len(name) == len(_TRANSACTION) and name.lower() == _TRANSACTION:
                    headers[at] = pair
                    break
            else:
                headers.append(pair)
        return headers

    async def block(self, decision: Block) -> None:
        """Answer in the application's place."""
        length = decision.content_length
        headers = [] if length is None else [(b"content-length", length.encode())]
        await self.send({"type": "http.response.start", "status": decision.status, "headers": headers})
        body = b"" if self.exchange.head.verb == "HEAD" else decision.body
        await self.send({"type": "http.response.body", "body": body})

    async def _read_ahead(self) -> None:
        """Read the body up to the capture limit, for a rule that reads it; the application gets every message of it."""
        self._ahead = deque()
        size = 0
        limit = self._moesif.ahead_buffer(self.exchange).limit
        while size < limit:
            message = await self._receive()
            self._ahead.append(message)
            self._saw(message)
            if message["type"] != "http.request" or not message.get("more_body"):
                return
            size += len(message.get("body") or b"")

    def raised(self, error: BaseException) -> None:
        """Note what left the application."""
        if isinstance(error, Exception):
            self.exchange.error = type(error).__name__
        elif not self.done:
            # Cancelled: the client has gone or the server stops, and nothing may be awaited any more.
            self.done = True
            if self._moesif.hooks_after:
                hooks.run(self._moesif.conclude(self.exchange, _request(self._scope)))
            self._submit()

    async def finish(self) -> None:
        """Submit the exchange, once: when the last byte has passed, or when the application is done or has failed."""
        if self.done:
            return
        self.done = True
        moesif = self._moesif
        try:
            if moesif.hooks_after:
                await hooks.arun(moesif.conclude(self.exchange, _request(self._scope)))
        finally:
            # Also when the request is cancelled while a hook waits.
            self._submit()
        if moesif.settings.flush_each_request:
            await moesif.aflush_request()

    def _submit(self) -> None:
        self.done, self._kept = True, None
        self._moesif.submit(self.exchange, self._route)

    def _route(self) -> str | None:
        return self._templates.find(self._scope, self._app)


def _request(scope: Scope) -> Request:
    """Return the request as hooks are given it."""
    from starlette.requests import Request  # late, since it takes half as long as this package, and is for hooks alone

    return Request(scope)


_PAIR = (tuple, list)


def _rereadable(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers, having put what can be read once only into the scope anew: an iterable is all that ASGI asks.

    The application finds them as they were, apart from that.
    """
    headers = scope.get("headers")
    if type(headers) is not list or (headers and type(headers[0]) not in _PAIR):
        headers = scope["headers"] = _pairs(headers)
    for name in ("client", "server"):
        address = scope.get(name)
        if address is not None and type(address) not in _PAIR:
            scope[name] = tuple(address)
    return headers


def _pairs(headers: Iterable[Any] | None) -> list[tuple[bytes, bytes]]:
    found = list(headers or ())
    return [tuple(pair) for pair in found] if found and type(found[0]) not in _PAIR else found


def _raw(headers: Iterable[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)
