"""A collector that takes everything and counts it, in a process of its own so that its work is not measured.

``python -m benchmarks.sinkhole FILE`` prints its port, keeps its counts in the file, and serves until its input ends.
It takes what every contestant sends (see ``protocols``). With ``--hanging`` it accepts connections and never answers.
"""

from __future__ import annotations

import argparse
import mmap
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from .protocols import requests_in, status_of, unpacked

ROOT = Path(__file__).parent.parent
STATES = ("up", "down", "hanging")
SENDING = 12.0
"""Seconds in which a contestant that is not asked to end has sent what it has: more than most of their timers."""
_COUNTS = struct.Struct("QQ")
_GLANCE = 0.002
"""Seconds between two looks at the counts."""


class Counts:
    """How many requests have been told of and in how many bytes, in a file that two processes map."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _COUNTS.size)
        self._lock = threading.Lock()

    def add(self, events: int, size: int) -> None:
        """Count what came in one request."""
        with self._lock:
            before = self.read()
            _COUNTS.pack_into(self._map, 0, before[0] + events, before[1] + size)

    def read(self) -> tuple[int, int]:
        """Return the events and the bytes of their bodies, unpacked."""
        events, size = _COUNTS.unpack_from(self._map)
        return int(events), int(size)

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()


class Handler(BaseHTTPRequestHandler):
    """Answers as a collector without config and rules does."""

    protocol_version = "HTTP/1.1"
    counts: ClassVar[Counts]

    def do_GET(self) -> None:
        """Answer the config or the rules."""
        answers = {"/v1/rules": b"[]"}
        self._answer(200, answers.get(self.path.partition("?")[0], b"{}"))

    def do_POST(self) -> None:
        """Take events."""
        body = unpacked(self._body(), self.headers.get("Content-Encoding", ""))
        path = self.path.partition("?")[0]
        if events := requests_in(path, body):
            self.counts.add(events, len(body))
        self._answer(status_of(path), b"")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base's signature
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing of connections that contestants break when they end."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what is wrong unless the connection broke."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Sinkhole:
    """The collector, for as long as a ``with`` lasts; ``url`` is where it is, or would be when it is down."""

    def __init__(self, state: str = "up") -> None:
        self._state = state

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "counts"
        path.write_bytes(bytes(_COUNTS.size))
        self._counts = Counts(path)
        # Bound and not listening: connections are refused, and nobody else takes the port.
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._refusing.getsockname()[1]}"
        self._process: subprocess.Popen[str] | None = None
        if self._state != "down":
            command = [sys.executable, "-m", "benchmarks.sinkhole", str(path)]
            command += ["--hanging"] if self._state == "hanging" else []
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert self._process.stdout is not None
            self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()
        self._refusing.close()
        self._counts.close()
        self._directory.cleanup()

    @property
    def events(self) -> int:
        """Return how many requests have been told of."""
        return self._counts.read()[0]

    @property
    def size(self) -> int:
        """Return how many bytes they were told in, unpacked."""
        return self._counts.read()[1]

    def wait_for(self, events: int, patience: float, limit: float = inf) -> int:
        """Wait until so many have come, none for ``patience`` seconds, or ``limit`` is over; return how many have."""
        begun = since = time.monotonic()
        seen = self.events
        while seen < events and time.monotonic() - since < patience and time.monotonic() - begun < limit:
            time.sleep(_GLANCE)
            if (now := self.events) != seen:
                seen, since = now, time.monotonic()
        return seen


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("counts", type=Path)
    parser.add_argument("--hanging", action="store_true", help="accept connections and never answer")
    arguments = parser.parse_args()
    if arguments.hanging:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            # The kernel completes the connections that nobody accepts.
            print(listener.getsockname()[1], flush=True)
            sys.stdin.read()
        return
    Handler.counts = Counts(arguments.counts)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
