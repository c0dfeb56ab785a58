"""Runs the user's hooks: sync or async, each at most once a request, contained when it raises.

The steps are written once, as generators that yield what has to be awaited; ``run`` drives them where nothing can be
awaited (WSGI), ``arun`` where it can (ASGI).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

from ..sansio.exchange import Exchange
from ..settings import Hooks

Steps = Generator[Awaitable[Any], Any, None]
Failed = Callable[[str, Exception], None]

_IDENTITY = (
    ("identify_user", "user_id"),
    ("identify_company", "company_id"),
    ("get_session_token", "session_token"),
)
"""The hooks of identity, and what of the exchange each says."""


class ResponseView:
    """The response as hooks see it, the same under every framework."""

    __slots__ = ("body", "headers", "original", "request_body", "status_code")

    def __init__(self, status_code: int | None, headers: Mapping[str, str], body: bytes, request_body: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.body = body
        """What was kept of it; at most the capture limit."""
        self.request_body = request_body
        """What was kept of the request's body; at most the capture limit."""
        self.original: Any = None
        """The framework's own response, where the adapter has one."""


def as_id(value: Any) -> str | None:
    """Return an id as the wire wants it: text, or None for nothing."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    return value if type(value) is str else str(value)


def _call(
    name: str, hook: Callable[..., Any], arguments: tuple[Any, ...], failed: Failed, read: Callable[[Any], Any]
) -> Generator[Any, Any, Any]:
    """Call one hook and return what ``read`` makes of its value, None when either raised."""
    try:
        value = hook(*arguments)
        if inspect.isawaitable(value):
            value = yield value
        return read(value)
    except Exception as error:  # whatever a hook raises, or its value when it is looked at, is counted and stays here
        failed(name, error)
        return None


def _mapping(value: Any) -> dict[str, Any] | None:
    if isinstance(value, Mapping):
        return {**value}
    if value is not None:
        raise TypeError(f"must return a mapping or None, not {type(value).__name__}")
    return None


def before(hooks: Hooks, exchange: Exchange, request: Any, failed: Failed) -> Steps:
    """Identify the exchange, before the application runs."""
    yield from identify(hooks, exchange, (request,), failed)


def identify(hooks: Any, exchange: Exchange, arguments: tuple[Any, ...], failed: Failed) -> Steps:
    """Identify the exchange by the three hooks that do, each given ``arguments``."""
    for name, target in _IDENTITY:
        hook = getattr(hooks, name)
        if hook is not None:
            yield from _identify(name, hook, target, exchange, arguments, failed)


def _identify(
    name: str, hook: Callable[..., Any], target: str, exchange: Exchange, arguments: tuple[Any, ...], failed: Failed
) -> Steps:
    found = yield from _call(name, hook, arguments, failed, as_id)
    if found is not None:
        setattr(exchange, target, found)


def after(hooks: Any, exchange: Exchange, request: Any, response: Any, failed: Failed) -> Steps:
    """Ask for metadata and whether to skip, after the response.

    A hook of identity that has a ``late``, as the vendor's have, is asked by it when it could not say before.
    """
    for name, target in _IDENTITY:
        late = getattr(getattr(hooks, name), "late", None)
        if late is not None and getattr(exchange, target) is None:
            yield from _identify(name, late, target, exchange, (request, response), failed)
    if hooks.skip is not None:
        exchange.skipped = bool((yield from _call("skip", hooks.skip, (request, response), failed, bool)))
    if hooks.get_metadata is not None and not exchange.skipped:
        value = yield from _call("get_metadata", hooks.get_metadata, (request, response), failed, _mapping)
        if value is not None:
            exchange.metadata = {**(exchange.metadata or {}), **value}


def run(steps: Steps) -> None:
    """Drive the steps where nothing can be awaited: an async hook gets an event loop of its own."""
    try:
        awaitable = next(steps)
        while True:
            try:
                value = resolve(awaitable)
            except Exception as error:  # handed to the step that asked for it
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(value)
    except StopIteration:
        return


async def arun(steps: Steps) -> None:
    """Drive the steps on the running event loop."""
    try:
        awaitable = next(steps)
        while True:
            try:
                value = await awaitable
            except Exception as error:  # handed to the step that asked for it
                awaitable = steps.throw(error)
            except BaseException as error:
                if not _cancelled_inside(error):
                    raise
                awaitable = steps.throw(RuntimeError("what the hook waited for was cancelled"))
            else:
                awaitable = steps.send(value)
    except StopIteration:
        return


def resolve(awaitable: Awaitable[Any]) -> Any:
    """Return what an awaitable gives, on an event loop made for it. Raises RuntimeError inside a running one."""
    import asyncio  # late, since a WSGI application may need it nowhere

    async def wait() -> Any:
        return await awaitable

    waiting = wait()
    try:
        return asyncio.run(waiting)
    except asyncio.CancelledError:
        raise RuntimeError("what the hook waited for was cancelled") from None
    finally:
        waiting.close()
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()


def _cancelled_inside(error: BaseException) -> bool:
    """Return whether something that a hook waited for was cancelled, and not the request with it."""
    import asyncio  # late, as above

    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
