"""A collector with faults, and handles that send to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from moesif_middleware import Moesif, Settings
from moesif_middleware.runtime.ledger import balance
from tests.faults import FaultServer


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Run several processes at a time: they mostly wait."""
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A collector that accepts everything until a test says otherwise."""
    made = FaultServer().start()
    yield made
    made.stop()


@pytest.fixture
def make(server: FaultServer) -> Iterator[Callable[..., Moesif]]:
    """Make handles for the server; quick to send, and closed at the end with the sum checked."""
    handles: list[Moesif] = []

    def build(**options: Any) -> Moesif:
        quick = {
            "base_uri": server.url,
            "flush_interval": 0.02,
            "shutdown_timeout": 3.0,
            "read_timeout": 0.5,
            "request_timeout": 1.0,
        }
        handle = Moesif(Settings(application_id="test-app", **{**quick, **options}))
        # Back-offs of a test take a tenth of what the dice say.
        handle.worker._draw = lambda: 0.02
        handles.append(handle)
        return handle

    yield build
    for handle in handles:
        handle.close(0.2)
        assert balance(handle.stats()) == 0
        assert handle.stats()["queued"] == 0
