"""Starts and stops the processes of the demo: a collector and two applications under real servers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType

APPLICATION_ID = "demo-application"


class Process:
    """A child process whose output is kept, line by line."""

    def __init__(self, name: str, arguments: list[str], environ: dict[str, str]) -> None:
        self.name = name
        self.lines: list[str] = []
        self._child = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Return the first match in the output. Raises RuntimeError with the output when it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in tuple(self.lines):
                if found := re.search(pattern, line):
                    return found
            if self._child.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not say {pattern!r}; it said:\n" + "\n".join(self.lines))

    def stop(self) -> None:
        """Ask the process to end, and wait for it."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(15)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join(5)
        assert self._child.stdout is not None
        self._child.stdout.close()


class Stack:
    """The collector and the two applications, for as long as the context lasts."""

    collector: Process
    fastapi: Process
    flask: Process

    def __init__(self, port: int = 0, store: str | None = None) -> None:
        self._port, self._store = port, store
        self._started: list[Process] = []

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        arguments = ["-m", "moesif_middleware", "collector", "--port", str(self._port), "--app-id", APPLICATION_ID]
        if self._store:
            arguments += ["--store", self._store]
        self.collector = self._run("collector", arguments, {})
        self.url = self.collector.wait_for(r"listening on (http://\S+)")[1]
        settings = {
            "MOESIF_APPLICATION_ID": APPLICATION_ID,
            "MOESIF_BASE_URI": self.url,
            "MOESIF_FLUSH_INTERVAL": "0.2",
        }
        self.fastapi_url, self.flask_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        uvicorn = ["-m", "uvicorn", "examples.fastapi_app:app", "--port", self.fastapi_url.rpartition(":")[2]]
        self.fastapi = self._run("uvicorn", uvicorn, settings)
        gunicorn = ["-m", "gunicorn", "examples.flask_app:app", "--threads", "4", "--bind", self.flask_url[7:]]
        self.flask = self._run("gunicorn", gunicorn, settings)
        self.fastapi.wait_for("Application startup complete|running on")
        self.flask.wait_for("Listening at|Booting worker")
        for url in (self.fastapi_url, self.flask_url):
            wait_until_open(int(url.rpartition(":")[2]))

    def _run(self, name: str, arguments: list[str], environ: dict[str, str]) -> Process:
        process = Process(name, arguments, environ)
        self._started.append(process)
        return process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the applications first, so that they deliver what they have."""
        for process in reversed(self._started):
            process.stop()


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_open(port: int, seconds: float = 20.0) -> None:
    """Wait until somebody listens on the port."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
