"""The WSGI middleware: any PEP 3333 application.

A list or tuple is returned as the object that it was, so that servers keep Content-Length and one write; a file wrapper
is returned untouched, so that they keep sendfile; anything else goes through an iterator that hands each chunk on as it
comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .runtime import hooks
from .runtime.client import Moesif
from .runtime.current import SEEN, current
from .runtime.streams import Chunks, Input, SizedChunks, may_have_body
from .sansio.exchange import BodyBuffer, EnvironHead, Exchange
from .sansio.governance import Block
from .sansio.protocol import TRANSACTION_HEADER
from .sansio.route import environ_route

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_TRANSACTION = TRANSACTION_HEADER.lower()


class MoesifMiddleware:
    """Captures, governs and samples what passes; pass a ``Moesif``, or its settings as keywords.

    ``application = MoesifMiddleware(application, moesif)`` or ``MoesifMiddleware(application, application_id="...")``.
    """

    def __init__(self, app: WSGIApp, moesif: Moesif | None = None, **settings: Any) -> None:
        self.app = app
        self.moesif = Moesif.given(moesif, settings)
        if self.moesif.hooks_before or self.moesif.hooks_after:
            # Now, and not during the first request.
            _request({})

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        moesif = self.moesif
        # The second is where a bridge from ASGI puts the scope that another middleware may have marked.
        seen = environ.get(SEEN) or (environ.get("asgi.scope") or {}).get(SEEN, ())
        if not moesif.enabled or moesif.settings.application_id in seen:
            return self.app(environ, start_response)
        environ[SEEN] = (*seen, moesif.settings.application_id)
        if moesif.passes():
            return self.app(environ, start_response)
        try:
            call = _Call(moesif, environ, start_response)
            call.exchange.outer = current.get() if seen else None
        except Exception as error:
            # A request that cannot even be looked at still belongs to the application.
            moesif.missed(error)
            return self.app(environ, start_response)
        token = current.set(call.exchange)
        try:
            block = call.admit()
            if block is not None:
                return call.block(block)
            if not call.watches:
                result = self.app(environ, start_response)
                call.finish()
                return result
            return call.outcome(self.app(environ, call.start_response))
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            current.reset(token)


class _Call:
    """One request on its way."""

    __slots__ = (
        "_done",
        "_environ",
        "_file",
        "_headers",
        "_moesif",
        "_request",
        "_start_response",
        "exchange",
        "watches",
    )

    def __init__(self, moesif: Moesif, environ: Environ, start_response: StartResponse) -> None:
        self._moesif, self._environ, self._start_response = moesif, environ, start_response
        self.exchange: Exchange = moesif.begin(EnvironHead(environ))
        self._headers: tuple[tuple[str, str], ...] = ()
        """Headers that are set on the response."""
        self._file: Any = None
        """What a file wrapper that is a function returned."""
        self._request: Any = None
        """Werkzeug's, which knows the URL rule and which Flask takes out of the environ at the end."""
        self._done = False
        self.watches = True
        """False when nothing of this request has to be seen."""

    def admit(self) -> Block | None:
        """Identify and decide; return the block, or None when the application is to run."""
        moesif, exchange, environ = self._moesif, self.exchange, self._environ
        if moesif.hooks_before:
            request = _request(environ)
            hooks.run(hooks.before(moesif.hooks, exchange, request, moesif.failed))
        if moesif.reads_body and may_have_body(environ):
            length = environ.get("CONTENT_LENGTH") or ""
            environ["wsgi.input"] = Input.read_ahead(environ["wsgi.input"], exchange, moesif, length)
        decision = moesif.admit(exchange)
        self._headers = decision.headers
        if isinstance(decision, Block):
            return decision
        self.watches = exchange.wanted or bool(self._headers)
        if exchange.wanted and exchange.request_body is None and may_have_body(environ):
            environ["wsgi.input"] = Input(environ["wsgi.input"], exchange, moesif)
        if self.watches:
            self._watch_files()
        return None

    def _watch_files(self) -> None:
        """Learn which object a file wrapper made, where the server's is a function and no class to compare with."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is None or isinstance(wrapper, type):
            return

        def file_wrapper(*arguments: Any) -> Any:
            self._file = wrapper(*arguments)
            return self._file

        self._environ["wsgi.file_wrapper"] = file_wrapper

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Pass the status and the headers on, with ours, and note them; what is written is looked at as it passes."""
        exchange = self.exchange
        if self._headers or exchange.transaction_header:
            try:
                headers = self._with_ours(headers)
            except Exception as error:
                # What makes no sense to us is the server's to refuse.
                self._moesif.failed("response", error)
        if exc_info is None:
            write = self._start_response(status, headers)
        else:
            write = self._start_response(status, headers, exc_info)
        # Only now: a server that has sent the first status raises at a second one, and the first one stands.
        try:
            kept = self._begin_response(status, headers)
        except Exception as error:
            self._moesif.failed("response", error)
            return write
        return write if kept is None else _keeping(write, kept)

    def _begin_response(self, status: str, headers: list[tuple[str, str]]) -> BodyBuffer | None:
        exchange = self.exchange
        exchange.status = int(status[:3])
        exchange.response_headers = tuple(headers)
        self._request = self._environ.get("werkzeug.request")
        return self._moesif.response_buffer(exchange)

    def _with_ours(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers with those of rules in the place of any of the same name, and the transaction id."""
        if self._headers:
            names = {name.lower() for name, _ in self._headers}
            headers = [*(pair for pair in headers if pair[0].lower() not in names), *self._headers]
        own = self.exchange.transaction_header
        if own:
            headers = [pair for pair in headers if pair[0].lower() != _TRANSACTION]
            headers.append((TRANSACTION_HEADER, own))
        return headers

    def block(self, decision: Block) -> list[bytes]:
        """Answer in the application's place."""
        length = decision.content_length
        self.start_response(_status_line(decision.status), [] if length is None else [("Content-Length", length)])
        chunks = [b"" if self.exchange.head.verb == "HEAD" else decision.body]
        self._keep(chunks)
        self.finish()
        return chunks

    def outcome(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server is to iterate over: the very object where that can be, else one that looks on."""
        if type(result) in {list, tuple}:
            self._keep(result)
            self.finish()
            return result
        wrapper = self._environ.get("wsgi.file_wrapper")
        if result is self._file is not None or (isinstance(wrapper, type) and isinstance(result, wrapper)):
            self.finish()
            return result
        return SizedChunks(result, self) if hasattr(result, "__len__") else Chunks(result, self)

    def _keep(self, chunks: Iterable[bytes]) -> None:
        kept = self.exchange.response_body
        if kept is not None:
            for chunk in chunks:
                kept.feed(chunk)

    def raised(self, error: BaseException) -> None:
        """Note what left the application, and submit."""
        if isinstance(error, Exception):
            self.exchange.error = type(error).__name__
        self.finish()

    def finish(self) -> None:
        """Submit the exchange, once."""
        if self._done:
            return
        self._done = True
        moesif = self._moesif
        if moesif.hooks_after:
            hooks.run(moesif.conclude(self.exchange, _request(self._environ)))
        moesif.submit(self.exchange, self._route)
        if moesif.settings.flush_each_request:
            moesif.flush_request()

    def _route(self) -> str | None:
        return environ_route(self._environ, self._request)


def _request(environ: Environ) -> Request:
    """Return the request as hooks are given it."""
    from werkzeug.wrappers import Request  # late, since it takes as long as this package, and is for hooks alone

    return Request(environ, populate_request=False, shallow=True)


def _keeping(write: Callable[[bytes], object], kept: BodyBuffer) -> Callable[[bytes], object]:
    def keep(data: bytes) -> object:
        result = write(data)
        kept.feed(data)
        return result

    return keep


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Blocked"
