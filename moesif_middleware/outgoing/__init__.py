"""Capture of the calls that the application itself makes, one module per HTTP library.

``moesif.capture_outgoing()`` puts a look-out at the one place of each library where a request leaves; ``undo()``
or the end of the ``with`` takes it away again. A call is an event of direction ``Outgoing``, in which the metadata
names the incoming request that it was made for. What is sent to the collector itself is never captured.
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..runtime import hooks as hooks_module
from ..runtime.client import Moesif
from ..runtime.current import current
from ..sansio.exchange import Exchange, UrlHead

LIBRARIES = ("httpx", "requests", "urllib3", "aiohttp")
_OWN_HEADER = "x-moesif-application-id"

_inside: ContextVar[bool] = ContextVar("moesif_outgoing", default=False)
"""True inside of a call that is looked at, so that the library below it (urllib3 of requests) does not do it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingHooks:
    """What an application says of its calls: each is given the library's own request and response (or None).

    All run after the response, and are contained when they raise.
    """

    identify_user: Callable[[Any, Any], Any] | None = None
    identify_company: Callable[[Any, Any], Any] | None = None
    get_session_token: Callable[[Any, Any], Any] | None = None
    get_metadata: Callable[[Any, Any], Any] | None = None
    skip: Callable[[Any, Any], Any] | None = None


class Capture:
    """The look-out of one handle. A context manager; without ``with`` it stays until ``undo()``."""

    def __init__(self, moesif: Moesif, libraries: tuple[str, ...], hooks: OutgoingHooks, bodies: bool) -> None:
        self.moesif, self.libraries, self.hooks, self.bodies = moesif, libraries, hooks, bodies
        parts = urlsplit(moesif.settings.base_uri)
        self.collector = (parts.hostname, parts.port)

    def undo(self) -> None:
        """Look no more; when nobody else does, the libraries are as they were. May be called twice."""
        _leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def capture(
    moesif: Moesif,
    libraries: Iterable[str] | None = None,
    hooks: OutgoingHooks | None = None,
    *,
    bodies: bool = True,
) -> Capture:
    """Look at the calls that ``libraries`` make: all that are installed, unless you name some.

    Raises ConfigurationError for a library that is unknown, or named and not installed.
    """
    names = tuple(LIBRARIES if libraries is None else libraries)
    for name in names:
        if name not in LIBRARIES:
            raise ConfigurationError("libraries", f"{name!r} is none of {', '.join(LIBRARIES)}")
    found = Capture(moesif, names, hooks or OutgoingHooks(), bodies)
    with _lock:
        for name in names:
            if name not in _installed:
                try:
                    module = importlib.import_module(f".{name}", __name__)
                except ImportError as error:
                    if libraries is not None:
                        raise ConfigurationError("libraries", f"{name} cannot be imported: {error}") from error
                    continue
                _installed[name] = module.install()
        global _active  # replaced whole, so that readers need no lock
        _active = (*_active, found)
    return found


_lock = threading.Lock()
_active: tuple[Capture, ...] = ()
_installed: dict[str, Callable[[], None]] = {}


def _leave(found: Capture) -> None:
    global _active  # as above
    with _lock:
        _active = tuple(other for other in _active if other is not found)
        wanted = {name for other in _active for name in other.libraries}
        for name in [name for name in _installed if name not in wanted]:
            _installed.pop(name)()


def replace(owner: type[Any], name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Put ``make(original)`` in the place of a method, and return what undoes it.

    What somebody else has put over ours since then stays; ours then hands every call on, since nobody looks.
    """
    original = getattr(owner, name)
    ours = functools.wraps(original)(make(original))
    setattr(owner, name, ours)

    def undo() -> None:
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    return undo


@contextmanager
def below() -> Iterator[None]:
    """Keep the libraries below from looking at the same call, for as long as the context lasts."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


class Outgoing:
    """One call on its way, for every handle that looks."""

    def __init__(self, found: list[tuple[Capture, Exchange]], request: Any) -> None:
        self._found = found
        self._request = request
        self._response: Any = None
        self._done = False

    def request_body(self, chunk: Any) -> None:
        """Keep a bounded copy of what is sent."""
        data = self._copied(chunk)
        if data is not None:
            for look, exchange in self._found:
                look.moesif.saw(exchange, data)

    def response_body(self, chunk: Any) -> None:
        """Keep a bounded copy of what came."""
        data = self._copied(chunk)
        if data is not None:
            for _, exchange in self._found:
                if exchange.response_body is not None:
                    exchange.response_body.feed(data)

    def _copied(self, chunk: Any) -> Any:
        """Return what there is to keep of a chunk, None for what is no bytes, or comes after the end."""
        if isinstance(chunk, str):
            chunk = chunk.encode("utf-8", "surrogateescape")
        return chunk if isinstance(chunk, bytes | bytearray | memoryview) and not self._done else None

    def answered(self, response: Any, status: int, headers: Iterable[tuple[Any, Any]], *, decoded: bool) -> None:
        """Note the response. ``decoded``: its body comes without the content coding that its headers name."""
        self._response = response
        pairs = [(name, value) for name, value in headers if not decoded or _lower(name) != "content-encoding"]
        for look, exchange in self._found:
            exchange.status, exchange.response_headers = status, pairs
            look.moesif.response_buffer(exchange)

    def failed(self, error: BaseException) -> None:
        """Note that no answer, or not the whole of it, came; and submit."""
        for _, exchange in self._found:
            exchange.error = type(error).__name__
        self.finish()

    def finish(self) -> None:
        """Submit, once."""
        for look, exchange in self._end():
            hooks_module.run(self._conclude(look, exchange))

    async def afinish(self) -> None:
        """Submit, once."""
        for look, exchange in self._end():
            await hooks_module.arun(self._conclude(look, exchange))

    def _end(self) -> list[tuple[Capture, Exchange]]:
        found = [] if self._done else self._found
        self._done = True
        for _, exchange in found:
            exchange.ended = time.time()
        return found

    def _conclude(self, look: Capture, exchange: Exchange) -> hooks_module.Steps:
        moesif, given = look.moesif, (self._request, self._response)
        yield from hooks_module.identify(look.hooks, exchange, given, moesif.failed)
        yield from hooks_module.after(look.hooks, exchange, *given, moesif.failed)
        try:
            _as_the_incoming(moesif, exchange)
        except Exception as error:
            moesif.failed("outgoing", error)
        exchange.outer = None
        moesif.submit(exchange)


def _as_the_incoming(moesif: Moesif, exchange: Exchange) -> None:
    """Give a call the identity of the request that it was made for, where no hook said another one."""
    incoming = exchange.outer
    if incoming is None:
        return
    moesif.identify_defaults(incoming)
    exchange.user_id = exchange.user_id or incoming.user_id
    exchange.company_id = exchange.company_id or incoming.company_id
    exchange.session_token = exchange.session_token or incoming.session_token
    if incoming.transaction_header:
        link = {"incoming_transaction_id": incoming.transaction_header}
        exchange.metadata = {**link, **(exchange.metadata or {})}


def begin(library: str, request: Any, verb: str, target: Callable[[], tuple[str, Any]]) -> Outgoing | None:
    """Return the call to look at, None when nobody looks, or when it is ours. Never raises.

    ``target`` gives the URL and the headers, a mapping or pairs of text or bytes. It is asked only when somebody looks,
    and may raise at what is for the library to refuse.
    """
    active = _active
    if not active or _inside.get():
        return None
    try:
        url, headers = target()
        pairs = _pairs(headers)
        if any(_lower(name) == _OWN_HEADER for name, _ in pairs):
            return None
        parts = urlsplit(url)
        server = (parts.hostname, parts.port)
        found: list[tuple[Capture, Exchange]] = []
        for look in active:
            if library not in look.libraries or not look.moesif.enabled or server == look.collector:
                continue
            if any(look.moesif is other.moesif for other, _ in found):
                continue
            exchange = look.moesif.begin(UrlHead(verb, url, pairs))
            exchange.direction = "Outgoing"
            exchange.outer = current.get()
            exchange.bodies = exchange.bodies and look.bodies
            found.append((look, exchange))
    except Exception as error:  # the call is the application's, whatever we think of it
        active[0].moesif.failed("outgoing", error)
        return None
    return Outgoing(found, request) if found else None


def _pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [(_bytes(name), _bytes(value)) for name, value in items]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _lower(name: Any) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()
