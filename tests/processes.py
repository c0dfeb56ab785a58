"""Real servers for the tests: uvicorn and gunicorn in processes of their own, and the collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
