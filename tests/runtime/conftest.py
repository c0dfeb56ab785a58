"""A collector with faults, and handles that send to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware import Moesif, Settings
from moesif_middleware.runtime.ledger import balance
from tests.faults import FaultServer
from tests.processes import RunningServer


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


Launch = Callable[[list[str], dict[str, str]], RunningServer]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start servers by their words and environment, open when they are returned and gone after the test."""
    started: list[RunningServer] = []

    def start(arguments: list[str], environ: dict[str, str]) -> RunningServer:
        started.append(RunningServer(arguments, environ, tmp_path / "output"))
        started[-1].wait_until_open()
        return started[-1]

    yield start
    for one in started:
        one.kill()
