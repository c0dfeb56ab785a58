"""A small application on ASGI and on WSGI: bare, or with the middleware around it when an application id is set."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import orjson

from moesif_middleware import Moesif
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware

CHUNK = b"0123456789abcdef" * 4096
MEGABYTE = 1_048_576
JSON = [("content-type", "application/json")]
BINARY = [("content-type", "application/octet-stream")]


def small() -> bytes:
    """Return a JSON document of about 200 bytes."""
    return orjson.dumps({"id": 7, "name": "a thing", "tags": ["one", "two", "three"], "text": "x" * 120})


def state(moesif: Moesif | None) -> bytes:
    """Return what a test wants to know of the process: its ledger, its peak and its present memory in bytes."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        lines = dict(line.split(":", 1) for line in status)
    memory = {key: int(lines[key].split()[0]) * 1024 for key in ("VmHWM", "VmRSS")}
    return orjson.dumps({"stats": moesif.stats() if moesif is not None else None, "pid": os.getpid(), **memory})


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Serve the test routes."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path, query = scope["path"], scope["query_string"].decode()
    headers = BINARY if path in {"/download", "/slow-stream"} else JSON
    raw = [(name.encode(), value.encode()) for name, value in headers]

    async def start(status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": raw})

    async def finish(body: bytes) -> None:
        await start()
        await send({"type": "http.response.body", "body": body})

    if path == "/upload":
        digest, size, more = hashlib.sha256(), 0, True
        while more:
            message = await receive()
            digest.update(message.get("body", b""))
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await finish(orjson.dumps({"sha256": digest.hexdigest(), "size": size}))
    elif path == "/download":
        await start()
        for _ in range(int(query or 1) * MEGABYTE // len(CHUNK)):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/slow-stream":
        await start()
        for number in range(4):
            await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
            await asyncio.sleep(0.5)
        await send({"type": "http.response.body", "body": b""})
    elif path == "/static/state":
        await finish(state(asgi_moesif))
    elif path == "/error":
        raise ZeroDivisionError
    else:
        await finish(small())


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    """Serve the test routes."""
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/error":
        raise ZeroDivisionError
    start_response("200 OK", BINARY if path in {"/download", "/slow-stream"} else JSON)
    if path == "/upload":
        digest, size = hashlib.sha256(), 0
        while piece := environ["wsgi.input"].read(65_536):
            digest.update(piece)
            size += len(piece)
        return [orjson.dumps({"sha256": digest.hexdigest(), "size": size})]
    if path == "/download":
        return (CHUNK for _ in range(int(query or 1) * MEGABYTE // len(CHUNK)))
    if path == "/slow-stream":
        return _slowly()
    return [state(wsgi_moesif) if path == "/static/state" else small()]


def _slowly() -> Iterator[bytes]:
    for number in range(4):
        yield b"%d\n" % number
        time.sleep(0.5)


asgi_app: Any = asgi
wsgi_app: Any = wsgi
asgi_moesif: Moesif | None = None
wsgi_moesif: Moesif | None = None
if os.environ.get("MOESIF_APPLICATION_ID"):
    logging.basicConfig(level=logging.WARNING)
    asgi_moesif = wsgi_moesif = Moesif()
    asgi_app = AsgiMiddleware(asgi, asgi_moesif)
    wsgi_app = WsgiMiddleware(wsgi, wsgi_moesif)
