"""The Django middleware, sync and async: ``MIDDLEWARE = ["moesif_middleware.django.MoesifMiddleware", ...]``.

``settings.MOESIF_MIDDLEWARE`` holds the settings, in capitals. The rules are asked before the view; a request's body
is copied as the view reads it, so that ``request.body``, ``request.read()`` and upload handlers are Django's own; a
stream is looked at chunk by chunk, and a file response is handed on as it is.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, ClassVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core import asgi, checks
from django.core.signals import got_request_exception, setting_changed
from django.http import FileResponse, HttpResponse
from django.utils.functional import LazyObject, empty

from .errors import ConfigurationError
from .runtime import hooks
from .runtime.client import Moesif
from .runtime.current import SEEN, current, note_exception, running
from .runtime.lifespan import Lifespan
from .runtime.streams import AsyncChunks, Chunks, Input, may_have_body
from .sansio.exchange import EnvironHead, Exchange, ScopeHead
from .sansio.governance import Block
from .sansio.protocol import TRANSACTION_HEADER
from .sansio.route import django_route
from .settings import Settings

_log = logging.getLogger(__name__)

SETTING = "MOESIF_MIDDLEWARE"
_OLD = "moesif_middleware.compat."

_handles: dict[type[MoesifMiddleware], Moesif] = {}
_handles_lock = threading.Lock()


def moesif() -> Moesif:
    """Return the handle that ``settings.MOESIF_MIDDLEWARE`` asks for: for update_user(), flush() and stats()."""
    return MoesifMiddleware.handle()


def get_asgi_application() -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return Django's ASGI application with a lifespan, which Django's own has not: it delivers before the server ends.

    In the place of ``django.core.asgi.get_asgi_application``.
    """
    application = asgi.get_asgi_application()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and (handle := moesif()).enabled:
            await Lifespan(handle, receive, send).serve(application, scope)
        else:
            await application(scope, receive, send)

    return app


class MoesifMiddleware:
    """Captures, governs and samples what passes.

    Stand it first to see what all other middlewares do, or right below AuthenticationMiddleware when rules are about
    users that only Django's session knows.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._is_async: bool = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    @staticmethod
    def open(value: object) -> Moesif:
        """Return the handle for what ``settings.MOESIF_MIDDLEWARE`` holds: a mapping, Settings, or a Moesif."""
        if isinstance(value, Moesif):
            return value
        if value is None or isinstance(value, Mapping | Settings):
            return Moesif.shared(value)
        made = Moesif(enabled=False)
        made.problem = f"{SETTING}: must be a dictionary, not {type(value).__name__}"
        _log.error("moesif-middleware is off, the application runs without it: %s", made.problem)
        return made

    @classmethod
    def handle(cls) -> Moesif:
        """Return the handle for the settings as they are now; it is a new one once they were overridden."""
        found = _handles.get(cls)
        if found is None:
            with _handles_lock:
                found = _handles.get(cls) or cls.open(getattr(django_settings, SETTING, None))
                _handles[cls] = found
        return found

    def __call__(self, request: Any) -> Any:
        """Serve one request; in an asynchronous chain the answer is a coroutine."""
        handle = self.handle()
        call = _begin(handle, request)
        if self._is_async:
            return self._serve_async(handle, request, call)
        if call is None:
            return _seen_inside(handle, request, self.get_response(request))
        token = current.set(call.exchange)
        try:
            if handle.looks_ahead:
                hooks.run(call.look_ahead())
            block = call.admit()
            response = self.get_response(request) if block is None else call.blocked(block)
            if call.leave(response):
                call.finish()
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            current.reset(token)
        return response

    async def _serve_async(self, handle: Moesif, request: Any, call: _Call | None) -> Any:
        if call is None:
            return _seen_inside(handle, request, await self.get_response(request))
        token = current.set(call.exchange)
        try:
            if handle.looks_ahead:
                await hooks.arun(call.look_ahead())
            block = call.admit()
            response = await self.get_response(request) if block is None else call.blocked(block)
            if call.leave(response):
                await call.afinish()
            call.watch_task()
        except Exception as error:
            await call.araised(error)
            raise
        except BaseException:
            call.cancelled()
            raise
        finally:
            current.reset(token)
        return response


def _begin(handle: Moesif, request: Any) -> _Call | None:
    """Return the call to watch; None when the handle is off, nothing is kept, or another middleware watches already."""
    if not handle.enabled:
        return None
    try:
        carrier = getattr(request, "scope", None)
        if carrier is None:
            carrier = request.META
        seen = carrier.get(SEEN, ())
        if handle.settings.application_id in seen:
            return None
        carrier[SEEN] = (*seen, handle.settings.application_id)
        if handle.passes():
            return None
        call = _Call(handle, request)
        call.exchange.outer = current.get() if seen else None
    except Exception as error:
        # A request that cannot even be looked at still belongs to the application.
        handle.missed(error)
        return None
    return call


def _seen_inside(handle: Moesif, request: Any, response: Any) -> Any:
    """Tell the middlewares outside, which watch this request, what only Django knows of it."""
    for exchange in running():
        _identify(handle, exchange, request)
        try:
            exchange.route = exchange.route or _route(request)
        except Exception as error:  # a match may be a class of the application's own
            handle.failed("route", error)
    return response


def _identify(handle: Moesif, exchange: Exchange, request: Any) -> None:
    """Fill in Django's user and session where nothing else has said whose the request is.

    No query is made: only a user whom the view or another middleware has looked up is known.
    """
    try:
        if exchange.user_id is None:
            exchange.user_id = _username(_loaded_user(request))
        if exchange.session_token is None and handle.hooks.get_session_token is None:
            session = getattr(request, "session", None)
            exchange.session_token = _session_digest(getattr(session, "session_key", None))
    except Exception as error:  # a user model or a session of the application's own may do anything
        handle.failed("user", error)


def _head(request: Any) -> EnvironHead | ScopeHead:
    scope = getattr(request, "scope", None)
    if scope is None:
        return EnvironHead(request.META)
    headers = scope.get("headers")
    return ScopeHead(scope, headers if type(headers) is list else list(headers or ()))


def _may_have_body(request: Any) -> bool:
    # Of an ASGI request neither header has to say so.
    return may_have_body(request.META) or getattr(request, "scope", None) is not None


class _Call:
    """One request on its way."""

    __slots__ = ("_done", "_headers", "_moesif", "_request", "_response", "exchange")

    def __init__(self, handle: Moesif, request: Any) -> None:
        self._moesif, self._request = handle, request
        self.exchange: Exchange = handle.begin(_head(request))
        self._headers: tuple[tuple[str, str], ...] = ()
        """Headers that are set on the response."""
        self._response: Any = None
        self._done = False

    def look_ahead(self) -> hooks.Steps:
        """Identify by the hooks, and read what a rule reads of the body."""
        moesif, exchange, request = self._moesif, self.exchange, self._request
        if moesif.hooks_before:
            yield from hooks.before(moesif.hooks, exchange, request, moesif.failed)
        stream = getattr(request, "_stream", None)
        if moesif.reads_body and stream is not None:
            length = request.META.get("CONTENT_LENGTH") or ""
            # Not request.body, which refuses large ones, and after which nobody can read() or stream an upload.
            request._stream = Input.read_ahead(stream, exchange, moesif, length)  # noqa: SLF001

    def admit(self) -> Block | None:
        """Identify and decide; return the block, or None when the view is to run."""
        moesif, exchange, request = self._moesif, self.exchange, self._request
        if not moesif.snapshot.idle:
            _identify(moesif, exchange, request)
        decision = moesif.admit(exchange)
        self._headers = decision.headers
        if isinstance(decision, Block):
            return decision
        if exchange.wanted and exchange.request_body is None and _may_have_body(request):
            self._watch_body()
        return None

    def _watch_body(self) -> None:
        moesif, exchange, request = self._moesif, self.exchange, self._request
        read, stream = getattr(request, "_body", None), getattr(request, "_stream", None)
        if read is not None:
            # A middleware above has had it, so that request.body reads nothing any more.
            moesif.saw(exchange, read)
        elif stream is not None:
            request._stream = Input(stream, exchange, moesif)  # noqa: SLF001  # as above

    def blocked(self, block: Block) -> Any:
        """Return the answer in the view's place."""
        body = b"" if self.exchange.head.verb == "HEAD" else block.body
        response = HttpResponse(body, status=block.status)
        # The rule's own Content-Type, or none: Django's default would say that it is HTML.
        del response.headers["Content-Type"]
        if block.content_length is not None:
            response.headers["Content-Length"] = block.content_length
        return response

    def leave(self, response: Any) -> bool:
        """Look at the response; return whether that is all, which it is not of a stream."""
        self._response = response
        try:
            return not self._respond(response)
        except Exception as error:
            # What is wrong with it is for Django to say.
            self._moesif.failed("response", error)
            return True

    def _respond(self, response: Any) -> bool:
        """Set our headers, note the response's own and keep its body; return whether the body is still to come."""
        exchange = self.exchange
        for name, value in self._headers:
            response.headers[name] = value
        if exchange.transaction_header:
            response.headers[TRANSACTION_HEADER] = exchange.transaction_header
        exchange.status = response.status_code
        exchange.response_headers = [
            *response.headers.items(),
            *(("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()),
        ]
        kept = self._moesif.response_buffer(exchange)
        if not response.streaming:
            if kept is not None and getattr(response, "is_rendered", True):
                kept.feed(response.content)
            return False
        if isinstance(response, FileResponse) or not exchange.wanted:
            # A file goes out by the server's own means, such as sendfile; nobody reads it here.
            return False
        chunks = response.streaming_content
        response.streaming_content = AsyncChunks(chunks, self) if response.is_async else Chunks(chunks, self)
        return True

    def watch_task(self) -> None:
        """Submit a stream at the latest when the task that sends it ends: Django closes none whose client has gone."""
        task = None if self._done else asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self.cancelled())

    def raised(self, error: BaseException) -> None:
        """Note what left Django, and submit."""
        self._note(error)
        self.finish()

    async def araised(self, error: Exception) -> None:
        """Note what left Django, and submit."""
        self._note(error)
        await self.afinish()

    def _note(self, error: BaseException) -> None:
        if isinstance(error, Exception) and not self._done:
            self.exchange.error = type(error).__name__

    def cancelled(self) -> None:
        """Submit at the end of a task, where nothing can be awaited any more."""
        if not self._done:
            self._done = True
            if self._moesif.hooks_after:
                hooks.run(self._moesif.conclude(self.exchange, self._request, self._response))
            self._submit()

    def finish(self) -> None:
        """Submit the exchange, once."""
        if self._done:
            return
        self._done = True
        moesif = self._moesif
        if moesif.hooks_after:
            hooks.run(moesif.conclude(self.exchange, self._request, self._response))
        self._identify_and_submit()
        if moesif.settings.flush_each_request:
            moesif.flush_request()

    async def afinish(self) -> None:
        """Submit the exchange, once."""
        if self._done:
            return
        self._done = True
        moesif = self._moesif
        try:
            if moesif.hooks_after:
                await hooks.arun(moesif.conclude(self.exchange, self._request, self._response))
        finally:
            # Also when the request is cancelled while a hook waits.
            self._identify_and_submit()
        if moesif.settings.flush_each_request:
            await moesif.aflush_request()

    def _identify_and_submit(self) -> None:
        if self.exchange.wanted:
            _identify(self._moesif, self.exchange, self._request)
        self._submit()

    def _submit(self) -> None:
        self._done = True
        self._moesif.submit(self.exchange, self._route)

    def _route(self) -> str | None:
        return _route(self._request)


def _session_digest(key: object) -> str | None:
    """Return a digest that is the same for all requests of a session; its key is the cookie that opens the session."""
    return sha256(key.encode()).hexdigest() if isinstance(key, str) and key else None


def _loaded_user(request: Any) -> Any:
    """Return the user that something has looked up already, None when nothing has: no query is made."""
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:  # noqa: SLF001  # the one way to ask without a query
        return getattr(request, "_acached_user", None)
    return user


def _username(user: Any) -> str | None:
    get_username = getattr(user, "get_username", None)
    return hooks.as_id(get_username()) if get_username is not None else None


def _route(request: Any) -> str | None:
    match = getattr(request, "resolver_match", None)
    return None if match is None else django_route(match.route, request.META.get("SCRIPT_NAME", ""))


def _note_exception(**_: Any) -> None:
    """Note the exception that Django turns into a 500."""
    error = sys.exc_info()[1]
    if error is not None:
        note_exception(error)


def _settings_changed(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        _handles.clear()


got_request_exception.connect(_note_exception, dispatch_uid="moesif_middleware")
setting_changed.connect(_settings_changed, dispatch_uid="moesif_middleware")


class MoesifConfig(AppConfig):
    """The system checks: ``INSTALLED_APPS = [..., "moesif_middleware.django.MoesifConfig"]``."""

    name = "moesif_middleware"
    label = "moesif_middleware"
    verbose_name = "Moesif"


def check_settings(app_configs: object = None, **_: object) -> list[Any]:  # noqa: ARG001  # Django's signature
    """Say everything that is wrong with ``settings.MOESIF_MIDDLEWARE``.

    moesif.E001: it is no dictionary. E002: there is no application id. E003: a key is unknown. E004: a value is wrong.
    W001: the middleware is not in MIDDLEWARE. W002: it is there twice.
    """
    value = getattr(django_settings, SETTING, None)
    if any(str(name).startswith(_OLD) for name in django_settings.MIDDLEWARE):
        # The vendor's keys, of which a DeprecationWarning says what they are called now.
        return []
    return [*_check_value(value), *_check_middleware(list(django_settings.MIDDLEWARE))]


checks.register(check_settings, "moesif")


def _check_value(value: object) -> Iterable[Any]:
    if isinstance(value, Moesif | Settings):
        return
    if value is not None and not isinstance(value, Mapping):
        yield checks.Error(f"{SETTING} must be a dictionary, not {type(value).__name__}.", id="moesif.E001")
        return
    for key, item in (value or {}).items():
        try:
            Settings.load({"application_id": "checked", str(key): item}, {})
        except ConfigurationError as error:
            unknown = "is not a setting" in str(error)
            yield checks.Error(f"{SETTING}: {error}", id="moesif.E003" if unknown else "moesif.E004")
    if "application_id" not in {str(key).lower() for key in value or {}}:
        try:
            Settings.load()
        except ConfigurationError as error:
            missing = error.key == "application_id"
            yield checks.Error(f"{SETTING}: {error}", id="moesif.E002" if missing else "moesif.E004")


def _check_middleware(names: list[str]) -> Iterable[Any]:
    own = f"{MoesifMiddleware.__module__}.{MoesifMiddleware.__qualname__}"
    count = names.count(own)
    if not count and not any(name.startswith("moesif_middleware.") for name in names):
        yield checks.Warning(
            "The middleware is not in MIDDLEWARE, so that nothing is captured.", hint=f"Add {own!r}.", id="moesif.W001"
        )
    elif count > 1:
        yield checks.Warning("The middleware is in MIDDLEWARE twice.", hint="Once is enough.", id="moesif.W002")
