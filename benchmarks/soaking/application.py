"""The application of the soak: a WSGI application with the middleware, which leaves a trace that survives SIGKILL.

``SOAK_DIRECTORY/trace-PID`` has the number of each event that reached the spool (S) or was taken by the collector (W),
``ledger-PID.json`` the ledger at an orderly end.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from moesif_middleware import Moesif
from moesif_middleware.runtime.sinks import Sink
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.protocol import Answer
from moesif_middleware.wsgi import MoesifMiddleware

NUMBER = re.compile(rb"/items/(\d+)")


class Trace:
    """Lines in a file of this process, written at once: the kernel keeps them when the process is killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pid, self._file = 0, -1

    def write(self, letter: str, items: Iterable[bytes]) -> None:
        """Note that these events have come so far."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            path = self._directory / f"trace-{self._pid}"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        numbers = [found[1].decode() for item in items if (found := NUMBER.search(item))]
        os.write(self._file, "".join(f"{letter}{number}\n" for number in numbers).encode())


class TracedSink:
    """A sink that notes what the collector took."""

    def __init__(self, sink: Any, trace: Trace) -> None:
        self._sink: Sink = sink
        self._trace = trace
        self.abandon: Callable[[], None] = sink.abandon

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Pass the batch on."""
        answer = self._sink.send(batch, timeout)
        if 200 <= answer.status < 300 and batch.kind == "events":
            self._trace.write("W", batch.items)
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._sink.close()


def _trace_spool(spool: Any, trace: Trace) -> None:
    put = spool.put

    def traced(batch: Batch, age: float) -> Any:
        found = put(batch, age)
        trace.write("S", batch.items)
        return found

    spool.put = traced


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with about 1 KB of JSON and the process id."""
    body = orjson.dumps({"path": environ["PATH_INFO"], "text": "x" * 1_000})
    length = ("Content-Length", str(len(body)))
    start_response("200 OK", [("Content-Type", "application/json"), length, ("X-Pid", str(os.getpid()))])
    return [body]


def wrapped() -> Any:
    """Return the application in the middleware, with the traces in SOAK_DIRECTORY."""
    directory = Path(os.environ["SOAK_DIRECTORY"])
    moesif = Moesif()

    def leave() -> None:
        moesif.close()
        (directory / f"ledger-{os.getpid()}.json").write_bytes(orjson.dumps(moesif.stats()))

    atexit.register(leave)
    trace = Trace(directory)
    moesif.worker.sink = TracedSink(moesif.worker.sink, trace)
    _trace_spool(moesif.worker._spool, trace)  # noqa: SLF001  # the benchmark looks behind the curtain
    return MoesifMiddleware(application, moesif)
