"""``moesif-middleware replay FILE``: send the events of a spool, or of a file with one JSON event on each line.

Settings are read from the environment, as the middleware reads them. What is sent twice is stored once: an event keeps
its transaction id, and one that has none gets an id of what it says and where it stands. Exit status: 0 everything was
delivered, 1 something was not, 2 it was asked for wrongly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from ..errors import ConfigurationError, InvalidModel, SpoolError
from ..models import Event
from ..runtime.client import compiled_masking
from ..runtime.ledger import Ledger
from ..runtime.queue import VITAL, Entry
from ..runtime.sinks import CollectorSink
from ..runtime.spool import Spool
from ..runtime.worker import Worker
from ..sansio import events as wire
from ..sansio.protocol import Answer
from ..settings import Settings
from .progress import Progress

_MONTH = 2_592_000.0
"""Seconds; the collector takes nothing that is older (reference, "Collector API v1")."""
_CHUNK, _CHUNK_BYTES = 1_000, 4_194_304
"""Lines and bytes that are sent before the next ones are read."""
_SAID = 5
"""Lines that cannot be sent and are named, of all of them."""


class _Unsendable(Exception):  # told to the user, and never leaves the worker
    """A line is no event; ``reason`` is its key in the ledger."""

    reason = "invalid"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("file", metavar="FILE", help="a spool, or JSON events line by line; - reads them from standard input")
    add("--url", help="the collector (default: MOESIF_BASE_URI, or the vendor's)")
    add("--app-id", help="the application id (default: MOESIF_APPLICATION_ID)")
    add("--from-line", type=int, default=1, metavar="N", help="begin here, where an earlier run was broken off")
    add("--patience", type=float, default=120.0, metavar="SECONDS", help="end when so long nothing was settled")
    add("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    """Send, and print the ledger. Raises ConfigurationError for a file or a setting that cannot be used."""
    path = Path(arguments.file)
    if arguments.file != "-" and not path.is_file():
        raise ConfigurationError("FILE", f"there is no file {path}")
    replay = Replay(_settings(arguments, path), arguments.patience, quiet=arguments.quiet)
    try:
        if replay.spool is not None:
            replay.send_spool()
        elif arguments.file == "-":
            replay.send_lines(sys.stdin.buffer, arguments.from_line)
        else:
            with path.open("rb") as lines:
                replay.send_lines(lines, arguments.from_line)
    finally:
        replay.end(arguments.file)
    return replay.status


def _settings(arguments: argparse.Namespace, path: Path) -> Settings:
    options: dict[str, Any] = {"flush_interval": 0.05, "retry_seconds": 86_400.0, "strict": True, "spool_path": None}
    given = {"base_uri": arguments.url, "application_id": arguments.app_id}
    options |= {name: value for name, value in given.items() if value}
    if arguments.file != "-" and _is_database(path):
        options |= {"spool_path": str(path), "spool_age": _MONTH}
    return Settings.load(options)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


class Replay:
    """One run: a worker as the middleware has it, and a ledger of what becomes of each event."""

    def __init__(self, settings: Settings, patience: float, *, quiet: bool) -> None:
        self._patience, self._progress = patience, Progress(None, "events", quiet=quiet)
        self._ledger, self._sink = Ledger(), CollectorSink(settings)
        self._worker = Worker(
            settings, self._sink, self._encode, lambda _: self._ledger, notice=_ignore, dropped=_ignore_drop
        )
        self._masker = compiled_masking(settings.masking)
        self.spool: Spool | None = None
        if settings.spool_path:
            self.spool = Spool(
                settings.spool_path, settings.application_id, most_bytes=settings.spool_bytes, age=_MONTH, lease=1.0
            )
        self._next_line: int | None = None
        self._left, self._invalid = 0, 0
        self.problem = ""
        """Why it ended before everything was settled."""

    def send_spool(self) -> None:
        """Send what lies in the spool, and what other processes hold there as soon as their leases end."""
        self._progress.total, others = self._waiting()
        if others:
            print(f"{others} events of other application ids stay where they are", file=sys.stderr)
        self._worker.start()
        self._wait(lambda: self._waiting()[0])

    def _waiting(self) -> tuple[int, int]:
        try:
            return self.spool.waiting() if self.spool is not None else (0, 0)
        except SpoolError as error:
            raise ConfigurationError("FILE", f"is no spool that can be used: {error}") from None

    def send_lines(self, lines: IO[bytes], first: int) -> None:
        """Send lines from number ``first`` on, some at a time, each of them settled before the next are read."""
        for number, chunk in _chunks(lines, first):
            self._next_line = number
            for place, line in enumerate(chunk, number):
                if line.strip():
                    self._worker.put("events", (place, line), len(line), VITAL)
            self._worker.request_flush()
            if not self._wait(lambda: self._ledger.count("queued")):
                return
        self._next_line = None

    def _wait(self, left: Callable[[], int]) -> bool:
        """Wait until ``left()`` is 0; return False when that does not come."""
        settled, since = -1, time.monotonic()
        while left() or not self._worker.drained:
            done = self._settled()
            if done != settled:
                settled, since = done, time.monotonic()
            health = self._worker.health
            if health.paused or time.monotonic() - since > self._patience:
                self.problem = health.reason or f"nothing was settled for {self._patience:.0f} s"
                return False
            self._progress.show(done)
            self._worker.hurry()
            time.sleep(0.05)
        return True

    def _settled(self) -> int:
        counts = self._ledger.snapshot()
        return int(counts["delivered"] + sum(counts["dropped"].values()))

    def _encode(self, entry: Entry) -> bytes:
        number, line = entry.payload
        try:
            event = Event.from_wire(orjson.loads(line))
            event = wire.finish(self._masker.event(event))
        except (orjson.JSONDecodeError, InvalidModel, TypeError, AttributeError) as error:
            self._invalid += 1
            if self._invalid <= _SAID:
                # Not the error's text when it may quote the line, which was not masked.
                why = str(error) if isinstance(error, InvalidModel) else "it is no JSON object of an event"
                print(f"line {number} is left out: {why}", file=sys.stderr)
            raise _Unsendable from error
        if not event.transaction_id:
            event.transaction_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}:{line.strip()!r}"))
        return wire.encode(event)

    def end(self, name: str) -> None:
        """Leave the rest where it is, and print what became of the others."""
        counts = self._ledger.snapshot()
        self._left = counts["queued"]
        if self.spool is not None and not self.spool.broken:
            self._left = self._waiting()[0]
            self.spool.close()
        self._worker.close(0.2)
        dropped = [f"{count} dropped ({reason})" for reason, count in sorted(counts["dropped"].items())]
        parts = [f"{counts['delivered']} delivered", *dropped, f"{self._left} left"]
        self._progress.end(self._settled())
        print(f"{name}: {', '.join(parts)}")
        if self.problem:
            print(f"broken off: {self.problem}", file=sys.stderr)
        if self._left and self._next_line is not None:
            print(f"to go on: --from-line {self._next_line}", file=sys.stderr)

    @property
    def status(self) -> int:
        """Return the exit status."""
        return 1 if self._left or self.problem or any(self._ledger.snapshot()["dropped"].values()) else 0


def _chunks(lines: IO[bytes], first: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number of a first line and some lines from it on."""
    chunk: list[bytes] = []
    start, size = first, 0
    for number, line in enumerate(lines, 1):
        if number < first:
            continue
        chunk.append(line)
        size += len(line)
        if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
            yield start, chunk
            chunk, start, size = [], number + 1, 0
    if chunk:
        yield start, chunk


def _ignore(answer: Answer) -> None:
    """Config and rules are no business of a replay."""


def _ignore_drop(reason: str, count: int) -> None:
    """The ledger has it."""
