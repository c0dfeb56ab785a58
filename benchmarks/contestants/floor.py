"""The floor: what any middleware has to do at least."""

from __future__ import annotations

import importlib
import io
import threading
import time
import urllib.request
import zlib
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ClassVar

from .base import Contestant


class Floor(Contestant):
    """A wrapper that captures and sends and has no features: references, one queue, JSON, gzip, batches of a hundred.

    No parsing, no masking, no limits, no retries: what any middleware has to do at least.
    """

    name = "captures and sends"
    requirements = ("orjson", "isal")
    captures = "headers, both bodies to 100 kB each, nothing masked"

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        self._url = f"{url}/v1/events/batch"
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._taken = self._sent = 0
        self._end = threading.Event()
        try:
            self._deflate = importlib.import_module("isal.isal_zlib")
        except ImportError:  # no wheel for this platform
            self._deflate = importlib.import_module("zlib")
        self._orjson = importlib.import_module("orjson")
        FloorMiddleware.floor = self
        threading.Thread(target=self._work, daemon=True).start()

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application."""
        return self._asgi(app) if self._kind == "ASGI" else self._wsgi(app)

    def put(self, *record: Any) -> None:
        """Take one exchange: times, method, address, headers, bodies, status."""
        self._taken += 1
        self._queue.put(record)

    def _asgi(self, app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun, request, response, start = time.time(), [], [], {}

            async def taking() -> Any:
                message = await receive()
                request.append(message.get("body"))
                return message

            async def sending(message: Any) -> None:
                if message["type"] == "http.response.start":
                    start.update(message)
                else:
                    response.append(message.get("body"))
                await send(message)

            await app(scope, taking, sending)
            uri = scope["path"] + "?" + scope["query_string"].decode()
            head = (scope["method"], uri, scope["headers"])
            self.put(begun, time.time(), head, request, start["status"], start["headers"], response)

        return wrapped

    def _wsgi(self, app: Any) -> Any:
        def wrapped(environ: Any, start_response: Any) -> Any:
            begun = time.time()
            start: list[Any] = []

            def starting(status: str, headers: Any, *rest: Any) -> Any:
                start[:] = status, headers
                return start_response(status, headers, *rest)

            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            chunks = list(app(environ, starting))
            headers = [(name[5:], value) for name, value in environ.items() if name.startswith("HTTP_")]
            headers.append(("CONTENT_TYPE", environ.get("CONTENT_TYPE", "")))
            head = (environ["REQUEST_METHOD"], environ["RAW_URI"], headers)
            self.put(begun, time.time(), head, [body], int(start[0][:3]), start[1], chunks)
            return chunks

        return wrapped

    def _work(self) -> None:
        while not self._end.is_set():
            records = [self._queue.get()]
            while len(records) < 100 and not self._queue.empty():
                records.append(self._queue.get())
            events = [self._event(*record) for record in records if record]
            if events:
                self._send(events)
            self._sent += len(events)

    def _event(self, begun: float, ended: float, head: Any, sent: Any, status: int, headers: Any, got: Any) -> Any:
        verb, uri, names = head
        request = {"time": begun, "verb": verb, "uri": uri, "headers": _texts(names), "body": self._body(sent)}
        response = {"time": ended, "status": status, "headers": _texts(headers), "body": self._body(got)}
        return self._orjson.dumps({"request": request, "response": response})

    def _body(self, chunks: Any) -> Any:
        body = b"".join(chunks)[:100_000]
        return self._orjson.Fragment(body) if body[:1] == b"{" else body.decode("latin-1")

    def _send(self, events: list[bytes]) -> None:
        packer = self._deflate.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(b"[" + b",".join(events) + b"]") + packer.flush()
        request = urllib.request.Request(self._url, body, {"Content-Encoding": "gzip"}, method="POST")
        # No retries: what a collector that is down does not take is gone.
        with suppress(OSError), urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def middleware(self) -> Sequence[str]:
        """Return the one."""
        return [f"{FloorMiddleware.__module__}.{FloorMiddleware.__name__}"]

    def flush(self) -> None:
        """Wait until as many are sent as were taken."""
        while self._sent < self._taken:
            time.sleep(0.002)

    def close(self) -> None:
        """Send the rest and end the thread."""
        self.flush()
        self._end.set()
        self._queue.put(None)


class FloorMiddleware:
    """The floor under Django."""

    floor: ClassVar[Floor]

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """Capture one request."""
        begun = time.time()
        body = request.body
        response = self.get_response(request)
        chunks = [response.content] if not response.streaming else []
        head = (request.method, request.get_full_path(), list(request.headers.items()))
        headers = list(response.headers.items())
        self.floor.put(begun, time.time(), head, [body], response.status_code, headers, chunks)
        return response


def _texts(pairs: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
