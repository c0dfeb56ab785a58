"""A real collector with faults: an HTTP/1.1 server on a loopback port whose answers a test scripts."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the decoded JSON body."""
        body = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return json.loads(body)


@dataclass
class Reply:
    """What goes out. ``raw`` takes the socket and may do anything to it."""

    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    delay: float = 0.0
    raw: Callable[[socket.socket], None] | None = None


class FaultServer:
    """Answers with ``script(request)`` for posts, with ``config`` and ``rules`` for the feed; records everything."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.script: Callable[[Request], Reply] = lambda request: Reply()
        self.config: Callable[[Request], Reply] = lambda request: Reply(200, body=b"{}")
        self.rules: Callable[[Request], Reply] = lambda request: Reply(200, body=b"[]")
        self.stored: dict[str, Any] = {}
        """Events of answers 2xx, by their transaction id, as the real collector deduplicates."""
        self.accepted = 0
        """Events of answers 2xx, repeats included."""
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Return the base URI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def posts(self) -> list[Request]:
        """Return the POST requests."""
        return [request for request in self.requests if request.method == "POST"]

    def start(self) -> FaultServer:
        """Listen, on the same port as before if it had one."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                reply = server.answer(request)
                if reply.delay:
                    time.sleep(reply.delay)
                if reply.raw is not None:
                    reply.raw(self.connection)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args: Any) -> None:
                """A client that goes away is part of the tests."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def answer(self, request: Request) -> Reply:
        """Record a request and return the reply to it."""
        with self._lock:
            self.requests.append(request)
        if request.path == "/v1/config":
            return self.config(request)
        if request.path == "/v1/rules":
            return self.rules(request)
        reply = self.script(request)
        if 200 <= reply.status < 300 and reply.raw is None and request.path.startswith("/v1/events"):
            with self._lock:
                for event in request.json:
                    self.accepted += 1
                    self.stored[event["transaction_id"]] = event
        return reply

    def stop(self) -> None:
        """Refuse from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def hang(seconds: float) -> Callable[[socket.socket], None]:
    """Answer nothing for a time, then close."""
    return lambda connection: time.sleep(seconds)


def drip(
    seconds: float, head: bytes = b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n"
) -> Callable[[socket.socket], None]:
    """Answer one byte now and then, for ever as far as a per-read time-out can see."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                connection.sendall(b"x")
            except OSError:
                return
            time.sleep(0.05)

    return send


def endless(connection: socket.socket) -> None:
    """Answer without an end."""
    try:
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"x" * 65_536)
    except OSError:
        return


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset, in the middle of an answer."""
    connection.sendall(b"HTTP/1.1 201 Cre")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def garbage(connection: socket.socket) -> None:
    """Answer something that is not HTTP."""
    connection.sendall(b"\x00\xff\x00 not http at all\r\n\r\n")
