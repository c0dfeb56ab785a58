"""For users' own test suites: record what would be sent, in memory, with no collector and no network."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from .models import Event
from .runtime.client import Moesif
from .runtime.sinks import MemorySink
from .sansio.events import encode
from .sansio.governance import Snapshot, compile_config, compile_rules

# Shorter ones occur in ordinary text, and hide no canary worth the name.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{6,}={0,2}")
_ROUNDS = 3


class Recorder:
    """What was recorded. ``moesif`` is the handle to give to a middleware."""

    def __init__(self, moesif: Moesif, sink: MemorySink) -> None:
        self.moesif = moesif
        self._sink = sink

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events so far as they would have left: built, masked and encoded. Waits for the last one."""
        self.moesif.flush(10.0)
        return self._sink.events

    @property
    def sent(self) -> dict[str, list[Any]]:
        """Return everything so far by kind: events, users, companies, subscriptions, actions."""
        self.moesif.flush(10.0)
        return self._sink.sent

    def use(self, *, config: bytes = b"{}", rules: bytes = b"[]") -> None:
        """Govern and sample by these documents, as /v1/config and /v1/rules would give them."""
        self.moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(rules)))


@contextmanager
def recording(moesif: Moesif | None = None, **settings: Any) -> Iterator[Recorder]:
    """Record instead of sending, for as long as the context lasts.

    With a handle, what it would send is kept in memory; without one, ``recorder.moesif`` is a new handle with
    ``settings``:

    >>> with recording() as recorder:
    ...     client = TestClient(MoesifMiddleware(app, recorder.moesif))
    ...     client.get("/items/1")
    ...     assert recorder.events[0]["request"]["verb"] == "GET"
    """
    sink = MemorySink()
    if moesif is None:
        handle = Moesif(sink=sink, **{"application_id": "recording", "strict": True, **settings})
        try:
            yield Recorder(handle, sink)
        finally:
            handle.close(10.0)
        return
    moesif.flush()
    with moesif.redirected(sink):
        recorder = Recorder(moesif, sink)
        yield recorder
        moesif.flush(10.0)


def assert_no_secrets(events: Iterable[Event | dict[str, Any] | bytes], canaries: Iterable[str | bytes]) -> None:
    """Assert that no canary is in any event: in no name, text or number, in base64 or percent-encoded as well.

    ``events`` are models, wire objects or encoded events; ``canaries`` the secrets that the test put into its requests.
    Raises AssertionError that names the event, the path and the canary, ValueError when there is nothing to look for.
    """
    wanted = [canaries] if isinstance(canaries, str | bytes) else list(canaries)
    needles = {needle: canary for canary in wanted for needle in _spellings(canary)}
    if not needles or b"" in needles:
        raise ValueError("give at least one canary, none of them empty")
    found = [
        f"event {number}, {path}: {canary!r}"
        for number, event in enumerate(events)
        for path, text in _texts(_document(event))
        for canary in _hits(text, needles)
    ]
    if found:
        raise AssertionError("secrets left the process:\n  " + "\n  ".join(dict.fromkeys(found)))


def _spellings(canary: str | bytes) -> list[bytes]:
    if isinstance(canary, bytes):
        return [canary]
    return [canary.encode(codec, "surrogatepass") for codec in ("utf-8", "utf-16-le", "utf-16-be")]


def _document(event: Event | dict[str, Any] | bytes) -> Any:
    if isinstance(event, Event):
        event = encode(event)
    return orjson.loads(event) if isinstance(event, bytes) else orjson.loads(orjson.dumps(event, default=str))


def _texts(document: Any) -> Iterator[tuple[str, bytes]]:
    """Yield every name and scalar with its path."""
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                yield f"{path}.{name} (name)".lstrip("."), name.encode()
                todo.append((f"{path}.{name}".lstrip("."), inner))
        elif isinstance(value, list):
            todo += ((f"{path}[{index}]", inner) for index, inner in enumerate(value))
        else:
            yield path, str(value).encode("utf-8", "surrogatepass")


def _hits(text: bytes, needles: dict[bytes, str | bytes]) -> set[str | bytes]:
    return {canary for reading in _readings(text) for needle, canary in needles.items() if needle in reading}


def _readings(text: bytes) -> Iterator[bytes]:
    """Yield the text as it is, percent-decoded, and with what is base64 in it decoded, a few rounds deep."""
    level = [text]
    for _ in range(_ROUNDS):
        yield from level
        following: list[bytes] = []
        for reading in level:
            plain = unquote_to_bytes(reading.replace(b"+", b" "))
            if plain != reading:
                following.append(plain)
            following += (decoded for piece in _BASE64.findall(reading) if (decoded := _decoded(piece)))
        level = following


def _decoded(piece: bytes) -> bytes:
    bare = piece.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    # One character over is what a cut left of four.
    bare = bare[:-1] if len(bare) % 4 == 1 else bare
    return b64decode(bare + b"=" * (-len(bare) % 4))
