"""The lifespan of an ASGI application, looked at; or one in its place for an application that has none, as Django's.

(ASGI specification, "Lifespan Protocol".) Some servers end themselves with the signal that they got, so that the end of
the lifespan is the last moment at which anything runs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .client import Moesif

_log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]

_WITHOUT = ("django.core.handlers.asgi", "channels.routing")
"""The modules whose applications raise at any scope that they do not know."""


class Lifespan:
    """Starts the feed with the application, and flushes before the server is told of its end."""

    def __init__(
        self, moesif: Moesif, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._moesif, self._receive, self._send = moesif, receive, send
        self._begun = False

    async def serve(self, app: Callable[..., Awaitable[None]], scope: MutableMapping[str, Any]) -> None:
        """Serve the application's lifespan."""
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            if self._begun or not _takes_no_lifespan(error):
                raise
            # To the specification it is no error. A server that would have said so now sees a lifespan, so that the
            # word is ours.
            _log.info("the application has no lifespan of its own (%s)", type(error).__name__)
            await self._stand_in()

    async def receive(self) -> Message:
        """Hand the server's next message on."""
        self._begun = True
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Hand the application's message on, once what belongs to that moment is done."""
        self._begun = True
        if message["type"] == "lifespan.startup.complete":
            self._moesif.start()
        elif message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            await self._moesif.apark()
        await self._send(message)

    async def _stand_in(self) -> None:
        await self._receive()
        await self.send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self.send({"type": "lifespan.shutdown.complete"})


def _takes_no_lifespan(error: BaseException) -> bool:
    """Return whether it was raised by a handler that never takes one; what others raise may be a start that fails."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") in _WITHOUT
