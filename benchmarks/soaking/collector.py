"""A real collector on a given port that misbehaves as it is told: ``python -m benchmarks.soaking.collector``.

``POST /soak/MODE`` sets the mode: ``well``, ``hang``, ``reset``, a status for every call, or ``413``, which refuses
batches of more than SMALL bytes, as a proxy with a limit does. Arguments: PORT and the path of the store.
"""

from __future__ import annotations

import socket
import sys

from starlette.types import ASGIApp, Receive, Scope, Send

from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.faults import Fault, FaultSwitch
from moesif_middleware.collector.server import CollectorServer, listen
from moesif_middleware.collector.settings import CollectorSettings

APP = "soak-application"
SMALL = 3_000


class Misbehaving:
    """ASGI middleware with a mode that can be changed from outside."""

    def __init__(self, app: ASGIApp) -> None:
        self._well = app
        self.mode = "well"
        self._switch: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or not."""
        if scope["type"] == "http" and scope["path"].startswith("/soak/"):
            self.mode = scope["path"].rpartition("/")[2]
            self._switch = self._well if self.mode == "well" else FaultSwitch(self._well, (Fault(self.mode, 1.0),))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif self.mode == "413" and scope["type"] == "http" and _length(scope) <= SMALL:
            await self._well(scope, receive, send)
        else:
            await self._switch(scope, receive, send)


def _length(scope: Scope) -> int:
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def main() -> int:
    """Serve until SIGTERM."""
    port, path = int(sys.argv[1]), sys.argv[2]
    sys.setswitchinterval(0.0005)
    app = create_app(CollectorSettings(store=f"sqlite:///{path}", apps=(APP,)))
    server = CollectorServer(app)
    server.config.app = Misbehaving(app)
    server.end_on_signals()
    with listen("127.0.0.1", port) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
