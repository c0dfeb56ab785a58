"""A collector that takes everything and counts it, in a process of its own so that its work is not measured.

``python -m benchmarks.sinkhole`` prints its port, and serves until its input ends.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent


class Handler(BaseHTTPRequestHandler):
    """Answers as a collector without config and rules does; ``/count`` tells how many events came."""

    protocol_version = "HTTP/1.1"
    events = 0

    def do_GET(self) -> None:
        """Answer the config, the rules, or the count."""
        answers = {"/count": str(Handler.events), "/v1/config": "{}", "/v1/rules": "[]"}
        self._answer(200, answers.get(self.path.partition("?")[0], "{}").encode())

    def do_POST(self) -> None:
        """Take events."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        found = json.loads(body)
        Handler.events += len(found) if isinstance(found, list) else 1
        self._answer(201, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base's signature
        """Say nothing."""


class Sinkhole:
    """The collector, for as long as a ``with`` lasts; ``url`` is where it is."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.sinkhole"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    @property
    def events(self) -> int:
        """Return how many events have come."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=30) as answer:
            return int(answer.read())


def main() -> None:
    """Serve until the input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
