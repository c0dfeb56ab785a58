"""uvicorn, told how a collector listens and ends. Needs the extra ``collector``."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from ..errors import ConfigurationError
from .context import CollectorContext


class CollectorServer(uvicorn.Server):
    """Serves one collector until SIGTERM or SIGINT, and ends live streams first, since they never end by themselves."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=3)
        )
        self._context: CollectorContext = app.state.context

    def end_on_signals(self) -> None:
        """Take the signals from now on. Call it in the main thread.

        uvicorn takes them while it runs, but raises the one that ended it once more afterwards: by default that would
        end the process before its temporary store is removed.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live streams, then the server."""
        self._context.arrivals.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is a free one. Raises ConfigurationError."""
    if not 0 <= port <= 65_535:
        raise ConfigurationError("port", f"must be from 0 to 65535, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError("port", f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    # asyncio does this only for sockets that it made itself: without it each answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
