"""aiohttp.web: ``init_app(app, moesif)`` puts a middleware in front of all others, and sees what goes out.

Handlers, streams, file responses and websockets are as without it; a websocket makes no event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .runtime import hooks
from .runtime.client import Moesif
from .runtime.content import Content, put_back
from .runtime.current import current
from .sansio.exchange import Exchange, RequestHead, target_head
from .sansio.governance import Block
from .sansio.protocol import TRANSACTION_HEADER

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _key(name: str) -> Any:
    return web.RequestKey(name, tuple) if hasattr(web, "RequestKey") else name


_SEEN = _key("moesif_middleware.handles")
"""The request's key for the handles whose middleware it has passed: twice by mistake is once."""
_CALLS = _key("moesif_middleware.calls")


def init_app(app: web.Application, moesif: Moesif | None = None, **settings: Any) -> Moesif:
    """Watch an application with all its sub-applications, and return the handle that does."""
    handle = Moesif.given(moesif, settings)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await _serve(handle, request, handler)

    async def prepared(request: web.Request, response: web.StreamResponse) -> None:
        for call in request.get(_CALLS, ()):
            if call.moesif is handle:
                call.prepared(response)

    async def start(_: web.Application) -> None:
        handle.start()

    async def stop(_: web.Application) -> None:
        await handle.apark()

    app.middlewares.insert(0, middleware)
    app.on_response_prepare.append(prepared)
    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    return handle


async def _serve(handle: Moesif, request: web.Request, handler: Handler) -> web.StreamResponse:
    seen = request.get(_SEEN, ())
    if not handle.enabled or handle in seen:
        return await handler(request)
    request[_SEEN] = (*seen, handle)
    if handle.passes():
        return await handler(request)
    try:
        call = _Call(handle, request)
        call.exchange.outer = current.get() if seen else None
        request[_CALLS] = (*request.get(_CALLS, ()), call)
    except Exception as error:
        # A request that cannot even be looked at still belongs to the application.
        handle.missed(error)
        return await handler(request)
    token = current.set(call.exchange)
    try:
        block = await call.admit()
        response = call.blocked(block) if block is not None else await handler(request)
        call.watch_sending(response)
        return response
    except web.HTTPException as answer:
        # An answer like any other, which is sent next.
        call.watch_sending(answer)
        raise
    except Exception as error:
        await call.raised(error)
        raise
    except BaseException:
        call.cancelled()
        raise
    finally:
        current.reset(token)


def _head(request: web.Request) -> RequestHead:
    target, headers = request.raw_path.encode("utf-8", "surrogateescape"), list(request.raw_headers)
    if request._message.compression:  # noqa: SLF001  # no public name for it
        # What is read of a compressed request is not compressed any more.
        headers = [pair for pair in headers if pair[0].lower() != b"content-encoding"]
    return target_head(request.method, target, request.scheme, request.remote, headers)


class _Call:
    """One request on its way."""

    def __init__(self, handle: Moesif, request: web.Request) -> None:
        self.moesif, self._request = handle, request
        self.exchange: Exchange = handle.begin(_head(request))
        self._headers: tuple[tuple[str, str], ...] = ()
        """Headers that are set on the response."""
        self._response: web.StreamResponse | None = None
        self._done = False

    async def admit(self) -> Block | None:
        """Identify and decide; return the block, or None when the handler is to run."""
        moesif, exchange, request = self.moesif, self.exchange, self._request
        if moesif.hooks_before:
            await hooks.arun(hooks.before(moesif.hooks, exchange, request, moesif.failed))
        again = 0
        if moesif.reads_body and request.can_read_body:
            again = await self._read_ahead()
        decision = moesif.admit(exchange)
        self._headers = decision.headers
        if isinstance(decision, Block):
            return decision
        if exchange.wanted and request.can_read_body:
            # There is no public way to look at what a handler reads; ``content`` is kept by its first reader.
            content: Any = Content(request._payload, self._saw, again=again)  # noqa: SLF001  # as above
            request._payload = content  # noqa: SLF001  # as above
        return None

    async def _read_ahead(self) -> int:
        """Read the body up to the capture limit, for a rule that reads it, and put it back; return how much it is."""
        kept, pieces = self.moesif.ahead_buffer(self.exchange), []
        stream = self._request._payload  # noqa: SLF001  # as below
        while kept.total < kept.limit and (piece := await stream.readany()):
            kept.feed(piece)
            pieces.append(piece)
        put_back(stream, b"".join(pieces))
        return kept.total

    def _saw(self, data: bytes) -> None:
        self.moesif.saw(self.exchange, data)

    def blocked(self, block: Block) -> web.Response:
        """Return the answer in the handler's place."""
        return web.Response(status=block.status, body=block.body)

    def watch_sending(self, response: object) -> None:
        """Submit also where a response cannot be sent, which is the only end of a file whose client has gone."""
        if not isinstance(response, web.StreamResponse):
            # The server's to refuse.
            return
        prepare = response.prepare

        async def look(request: web.BaseRequest) -> Any:
            try:
                return await prepare(request)
            except BaseException as error:
                if isinstance(error, Exception) and not isinstance(error, ConnectionError):
                    await self.raised(error)
                self.cancelled()
                raise

        response.prepare = look  # type: ignore[method-assign]  # as write() and write_eof() below

    def prepared(self, response: web.StreamResponse) -> None:
        """Set our headers on a response that is about to start, note its own, and look at its body from here on."""
        if isinstance(response, web.WebSocketResponse):
            self._done = True
            return
        if response is self._response:
            # The application is watched twice by mistake, and both tell.
            return
        self._response = response
        try:
            self._set_headers(response)
            if not self._done:
                # First: it is by the response's end that the request is counted, whatever goes wrong in between.
                self._look_at(response)
                self._prepare(response)
        except Exception as error:
            self.moesif.failed("response", error)

    def _set_headers(self, response: web.StreamResponse) -> None:
        for name, value in self._headers:
            response.headers[name] = value
        if self.exchange.transaction_header:
            response.headers[TRANSACTION_HEADER] = self.exchange.transaction_header

    def _prepare(self, response: web.StreamResponse) -> None:
        exchange = self.exchange
        exchange.status = response.status
        # What is written to a compressed response is not compressed yet.
        exchange.response_headers = [
            (name, value)
            for name, value in response.headers.items()
            if not (response.compression and name.lower() == "content-encoding")
        ]
        self.moesif.response_buffer(exchange)

    def _look_at(self, response: Any) -> None:
        write, write_eof = response.write, response.write_eof

        async def look(data: Any) -> None:
            self._keep(data)
            await write(data)

        async def look_at_the_end(data: Any = b"") -> None:
            self._keep(data or (response.body if isinstance(response, web.Response) else b""))
            try:
                await write_eof(data)
            finally:
                await self.finish()

        response.write, response.write_eof = look, look_at_the_end

    def _keep(self, data: Any) -> None:
        kept = self.exchange.response_body
        if kept is not None:
            kept.feed(data)

    async def raised(self, error: Exception) -> None:
        """Note what left the handler, and submit."""
        if not self._done:
            self.exchange.error = type(error).__name__
            await self.finish()

    def cancelled(self) -> None:
        """Submit where the task is cancelled or the client has gone, and nothing may be awaited any more."""
        if not self._done:
            self._done = True
            if self.moesif.hooks_after:
                hooks.run(self.moesif.conclude(self.exchange, self._request, self._response))
            self._submit()

    async def finish(self) -> None:
        """Submit the exchange, once."""
        if self._done:
            return
        self._done = True
        moesif = self.moesif
        try:
            if moesif.hooks_after:
                await hooks.arun(moesif.conclude(self.exchange, self._request, self._response))
        finally:
            # Also when the request is cancelled while a hook waits.
            self._submit()
        if moesif.settings.flush_each_request:
            await moesif.aflush_request()

    def _submit(self) -> None:
        self._done = True
        self.moesif.submit(self.exchange, self._route)

    def _route(self) -> str | None:
        resource = self._request.match_info.route.resource
        return None if resource is None else resource.canonical
