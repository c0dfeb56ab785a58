"""A contestant's application under a real server: uvicorn for ASGI, gunicorn with four threads for WSGI and Django.

``BENCHMARK`` tells the server's process, as JSON, what to serve. Its path ``/-/served`` is answered outside of the
contestant: how many requests came, the most memory that the process has had, and the CPU it has used.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import workloads
from .contestants import CONTESTANTS
from .memory import peak
from .plan import ROOT, Failed, Subject, last_line
from .streams import asgi_stream, django_stream, wsgi_stream

STREAM = "stream"
"""The case that is no workload but a stream, down and up."""
SERVED = "/-/served"
STARTING, ENDING = 30.0, 15.0
"""Seconds that a server has to start, and to end in order."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server tells of itself. ``memory`` is its peak in bytes, ``cpu`` the seconds it has used."""

    requests: int
    memory: int
    cpu: float


def application() -> Any:
    """Return what ``BENCHMARK`` asks for: the factory that both servers call, each in the process that serves."""
    asked = json.loads(os.environ["BENCHMARK"])
    contestant = CONTESTANTS[asked["contestant"]](asked["kind"], asked["url"])
    stream = asked["stream"] if asked["case"] == STREAM else 0
    load = workloads.workload("a" if stream else asked["case"])
    if asked["kind"] == "ASGI":
        app = asgi_stream(stream) if stream else workloads.asgi_app(load)
        return _counted_asgi(contestant.wrap(contestant.host(_with_lifespan(app))))
    if asked["kind"] == "WSGI":
        app = wsgi_stream(stream) if stream else workloads.wsgi_app(load)
        return _counted_wsgi(contestant.wrap(contestant.host(app)))
    settings = {**contestant.settings, "DATA_UPLOAD_MAX_MEMORY_SIZE": None}
    view = django_stream(stream) if stream else None
    # Some put their middleware into settings that are there already.
    workloads.django_app(load, (), settings, view)
    return _counted_wsgi(workloads.django_app(load, contestant.middleware(), settings, view))


def _with_lifespan(app: Any) -> Any:
    """Return an ASGI application that is told of its start and end: at the end contestants send what is left."""

    async def living(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    return living


def _counted_asgi(app: Any) -> Any:
    requests = itertools.count()

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if scope["path"] == SERVED:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": _served(next(requests))})
                return
            next(requests)
        await app(scope, receive, send)

    return counted


def _counted_wsgi(app: Any) -> Any:
    requests = itertools.count()

    def counted(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == SERVED:
            start_response("200 OK", [])
            return [_served(next(requests))]
        next(requests)
        return app(environ, start_response)

    return counted


def _served(requests: int) -> bytes:
    used = time.process_time()
    return json.dumps({"requests": requests, "memory": peak(), "cpu": used}).encode()


class Server:
    """One that runs; ``url`` is where."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"
        self._asked = 0

    def served(self) -> Served:
        """Return what it tells of itself, its own answers to this not counted."""
        with urllib.request.urlopen(f"{self.url}{SERVED}", timeout=30) as answer:
            found = json.loads(answer.read())
        self._asked += 1
        return Served(**{**found, "requests": found["requests"] - self._asked + 1})

    def end(self) -> None:
        """Ask it to end and wait; kill it when it does not."""
        self._process.terminate()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until_up(self, log: Path) -> None:
        """Wait until it answers. Raises Failed with the last line it wrote."""
        until = time.monotonic() + STARTING
        while True:
            try:
                self.served()
                return
            except OSError:
                time.sleep(0.05)
            if self._process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the server did not start: {last_line(log.read_text(errors='replace'))}")


@contextmanager
def serving(subject: Subject, url: str, stream: int = 0) -> Iterator[Server]:
    """Run a server with a contestant that sends to ``url``; its end is in order when the block ends it."""
    asked = {
        "contestant": subject.contestant.name, "kind": subject.kind, "case": subject.case, "url": url,
        "stream": stream,
    }  # fmt: skip
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(subject, port), cwd=ROOT, stdout=output, stderr=output,
                env={**os.environ, "BENCHMARK": json.dumps(asked)},
            )  # fmt: skip
        server = Server(process, port)
        try:
            server.wait_until_up(log)
            yield server
        finally:
            server.end()


def command(subject: Subject, port: int) -> list[str]:
    """Return how the server of a kind is started."""
    if subject.kind == "ASGI":
        loop = "uvloop" if subject.variant == "uvloop" else "asyncio"
        return [
            subject.python, "-m", "uvicorn", "--factory", "benchmarks.serving:application", "--port", str(port),
            "--loop", loop, "--http", "h11", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip
    return [
        subject.python, "-m", "gunicorn", "benchmarks.serving:application()", "--bind", f"127.0.0.1:{port}",
        "--worker-class", "gthread", "--threads", "4", "--keep-alive", "60", "--log-level", "warning",
    ]  # fmt: skip


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
