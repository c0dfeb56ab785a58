"""Ways into an application that tests need control over: chunk by chunk, with a client that may go away.

A door is a server as far as the application can tell: ASGI in an event loop of its own, WSGI in the caller's thread, or
a socket for frameworks that bring their own server.
"""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from wsgiref.util import setup_testing_defaults

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds after which something that must happen has not happened."""


class Stage:
    """What a test sees of the application, and the gate that a stream waits at between its two chunks."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = threading.Event()

    def wait(self) -> bytes:
        """Return the second chunk once the first one has arrived; another one when it never does."""
        return b"two" if self.gate.wait(PATIENCE) else b"late"

    async def await_(self) -> bytes:
        """As wait(), without keeping the event loop from working."""
        for _ in range(int(PATIENCE * 500)):
            if self.gate.is_set():
                return b"two"
            await asyncio.sleep(0.002)
        return b"late"


@dataclass
class Answer:
    """What a client saw."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    error: str | None = None
    """The type of the exception that reached the server."""

    @property
    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Door(Protocol):
    """A way in."""

    def ask(self, verb: str, path: str, body: bytes = b"", *, leave: bool = False) -> Answer:
        """Send one request; with ``leave`` the client goes away after the first chunk."""


def _request_headers(body: bytes) -> list[tuple[str, str]]:
    found = [("host", "shop.example"), ("accept", "*/*")]
    return [*found, ("content-type", "application/json"), ("content-length", str(len(body)))] if body else found


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and return what it gives."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def close(self) -> None:
        """End what still runs, and the loop."""

        async def end() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await self.loop.shutdown_asyncgens()
            await self.loop.shutdown_default_executor()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


class AsgiDoor:
    """ASGI, with the lifespan around everything."""

    def __init__(self, app: Any, stage: Stage, loop: Loop) -> None:
        self._app, self._stage, self._loop = app, stage, loop

    def ask(self, verb: str, path: str, body: bytes = b"", *, leave: bool = False) -> Answer:
        """Send one request."""
        return self._loop.run(self._ask(verb, path, body, leave))

    async def _ask(self, verb: str, path: str, body: bytes, leave: bool) -> Answer:
        answer, gone, over = Answer(), asyncio.Event(), asyncio.Event()
        pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)] or [b""]

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if gone.is_set():
                raise OSError("the client has gone")
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(key.decode(), value.decode()) for key, value in message.get("headers", ())]
            elif message["type"] == "http.response.body" and message.get("body"):
                answer.chunks.append(bytes(message["body"]))
                self._stage.gate.set()
                if leave:
                    gone.set()
            if gone.is_set() or (message["type"] == "http.response.body" and not message.get("more_body")):
                over.set()
            await asyncio.sleep(0)

        try:
            await self._app(self._scope(verb, path, body), receive, send)
        except Exception as error:  # as a server does
            answer.error = type(error).__name__
            answer.status = answer.status or 500
        return answer

    def _scope(self, verb: str, path: str, body: bytes) -> dict[str, Any]:
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": verb,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(key.encode(), value.encode()) for key, value in _request_headers(body)],
            "client": ("10.0.0.1", 4000), "server": ("127.0.0.1", 80), "extensions": {}, "state": {},
        }  # fmt: skip


@contextmanager
def asgi_door(app: Any, stage: Stage) -> Iterator[AsgiDoor]:
    """Start an ASGI application as servers do, and stop it."""
    loop = Loop()
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    said: asyncio.Queue[str] = asyncio.Queue()

    async def live() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await app(scope, incoming.get, lambda message: said.put(message["type"]))
        except Exception:  # an application without a lifespan, as servers take it
            await said.put("lifespan.unsupported")

    async def start() -> tuple[asyncio.Task[None], str]:
        task = asyncio.create_task(live())
        await incoming.put({"type": "lifespan.startup"})
        return task, await said.get()

    async def stop(task: asyncio.Task[None]) -> None:
        await incoming.put({"type": "lifespan.shutdown"})
        await task

    try:
        task, first = loop.run(start())
        yield AsgiDoor(app, stage, loop)
        if first == "lifespan.startup.complete":
            loop.run(stop(task))
    finally:
        loop.close()


class WsgiDoor:
    """WSGI, in the caller's thread."""

    def __init__(self, app: Any, stage: Stage) -> None:
        self._app, self._stage = app, stage

    def ask(self, verb: str, path: str, body: bytes = b"", *, leave: bool = False) -> Answer:
        """Send one request."""
        answer = Answer()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": verb, "PATH_INFO": path, "wsgi.input": io.BytesIO(body), "REMOTE_ADDR": "10.0.0.1",
            "wsgi.errors": io.StringIO(),
        }  # fmt: skip
        for key, value in _request_headers(body):
            name = key.upper().replace("-", "_")
            environ[name if name.startswith("CONTENT_") else f"HTTP_{name}"] = value
        setup_testing_defaults(environ)

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            answer.status, answer.headers = int(status[:3]), list(headers)
            return answer.chunks.append

        try:
            self._walk(self._app(environ, start_response), answer, leave)
        except Exception as error:  # as a server does
            answer.error = type(error).__name__
            answer.status = answer.status or 500
        return answer

    def _walk(self, result: Any, answer: Answer, leave: bool) -> None:
        try:
            for chunk in result:
                if chunk:
                    answer.chunks.append(bytes(chunk))
                    self._stage.gate.set()
                    if leave:
                        break
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()


@contextmanager
def wsgi_door(app: Any, stage: Stage) -> Iterator[WsgiDoor]:
    """Serve a WSGI application."""
    yield WsgiDoor(app, stage)


class SocketDoor:
    """HTTP over a socket, for a framework with a server of its own."""

    def __init__(self, port: int, stage: Stage, loop: Loop) -> None:
        self._port, self._stage, self._loop = port, stage, loop

    def ask(self, verb: str, path: str, body: bytes = b"", *, leave: bool = False) -> Answer:
        """Send one request."""
        lines = [f"{verb} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in _request_headers(body))]
        head = "\r\n".join([*lines, "connection: close", "", ""]).encode()
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE) as connection:
            connection.sendall(head + body)
            return self._read(connection.makefile("rb"), leave)

    def _read(self, stream: io.BufferedReader, leave: bool) -> Answer:
        answer = Answer(status=int(stream.readline().split()[1]))
        while line := stream.readline().strip():
            key, _, value = line.decode().partition(":")
            answer.headers.append((key, value.strip()))
        length = answer.header("content-length")
        chunks = self._chunks(stream) if length is None else iter([stream.read(int(length))])
        for chunk in chunks:
            answer.chunks.append(chunk)
            self._stage.gate.set()
            if leave:
                return answer
        # The server closes once it is done with the request, but for what it does in a task of its own.
        assert stream.read() == b""
        for _ in range(3):
            self._loop.run(asyncio.sleep(0))
        return answer

    def _chunks(self, stream: io.BufferedReader) -> Iterator[bytes]:
        while size := int(stream.readline() or b"0", 16):
            yield stream.read(size)
            stream.readline()
        stream.readline()


Stop = Callable[[], Awaitable[None]]


@contextmanager
def socket_door(
    start: Callable[[socket.socket], Awaitable[Callable[[], Awaitable[None]]]], stage: Stage
) -> Iterator[SocketDoor]:
    """Serve by what ``start(listener)`` starts, until what it returned is awaited."""
    loop = Loop()
    listener = socket.create_server(("127.0.0.1", 0))

    async def begin() -> Stop:
        return await start(listener)

    async def end(stop: Stop) -> None:
        await stop()

    try:
        stop = loop.run(begin())
        yield SocketDoor(listener.getsockname()[1], stage, loop)
        loop.run(end(stop))
    finally:
        loop.close()
        listener.close()
