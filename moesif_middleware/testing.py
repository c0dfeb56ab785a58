"""For users' own test suites: record what would be sent, in memory, with no collector and no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .runtime.client import Moesif
from .runtime.sinks import MemorySink
from .sansio.governance import Snapshot, compile_config, compile_rules


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
