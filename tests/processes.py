"""Real servers for the tests: uvicorn and gunicorn in processes of their own, and the collector."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from examples.processes import Process, free_port, wait_until_open


class Server:
    """A server process and its address."""

    def __init__(self, process: Process, port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def state(self) -> dict[str, Any]:
        """Return the ledger and the memory of the process."""
        found: dict[str, Any] = httpx.get(f"{self.url}/static/state", timeout=10).json()
        return found


class RunningServer:
    """A server process, perhaps with workers, with all its output in a file. PORT in ``arguments`` is its port."""

    def __init__(self, arguments: list[str], environ: dict[str, str], log: Path) -> None:
        self.port, self.log = free_port(), log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [word.replace("PORT", str(self.port)) for word in arguments], env={**os.environ, **environ},
                stdout=output, stderr=output, cwd=Path(__file__).parent.parent, start_new_session=True,
            )  # fmt: skip

    def wait_until_open(self) -> None:
        """Wait until it listens."""
        wait_until_open(self.port, 60)

    def get(self, path: str = "/json") -> httpx.Response:
        """Send one request on a connection of its own, so that any worker may take it."""
        # Without verify each of them would read the certificates of the system first.
        return httpx.get(
            f"http://127.0.0.1:{self.port}{path}", headers={"Connection": "close"}, timeout=20, verify=False
        )

    def end(self, number: int = signal.SIGTERM) -> float:
        """End the server and return how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(40)
        finally:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """End what is left of it, workers too."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def settings(base_uri: str, **options: object) -> dict[str, str]:
    """Return the environment of a middleware that sends to ``base_uri``, quickly."""
    quick = {"application_id": "test-app", "base_uri": base_uri, "flush_interval": 0.2, **options}
    return {f"MOESIF_{key.upper()}": str(value) for key, value in quick.items()}


@contextmanager
def running(kind: str, environ: dict[str, str], *more: str) -> Iterator[Server]:
    """Run the test application under ``uvicorn`` or ``gunicorn``."""
    port = free_port()
    arguments = {
        "uvicorn": ["-m", "uvicorn", "tests.apps:asgi_app", "--port", str(port), "--log-level", "warning", *more],
        "gunicorn": ["-m", "gunicorn", "tests.apps:wsgi_app", "--bind", f"127.0.0.1:{port}", "--threads", "8", *more],
    }[kind]
    process = Process(kind, arguments, environ)
    try:
        wait_until_open(port)
        yield Server(process, port)
    finally:
        process.stop()


@contextmanager
def collector(*more: str, app_id: str = "test-app") -> Iterator[Server]:
    """Run a collector with a temporary store."""
    process = Process(
        "collector", ["-m", "moesif_middleware", "collector", "--port", "0", "--app-id", app_id, *more], {}
    )
    try:
        url = process.wait_for(r"listening on (http://\S+)")[1]
        yield Server(process, int(url.rpartition(":")[2]))
    finally:
        process.stop()
