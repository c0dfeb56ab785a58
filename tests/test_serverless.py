"""``flush_each_request``: what a request captured is delivered when the request is over, under every adapter."""

from __future__ import annotations

import threading
import time

import pytest

from moesif_middleware import MemorySink, Moesif
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.protocol import Answer
from moesif_middleware.wsgi import MoesifMiddleware
from tests import test_wsgi as wsgi
from tests.faults import FaultServer, Reply
from tests.waiting import until

from .frameworks.doors import Stage
from .frameworks.shops import ADAPTERS

# WebOb and Django leave a large body's temporary file to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(_io.FileIO|function SpooledTemporaryFile):pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_event_is_delivered_with_the_request(name: str) -> None:
    """Nobody asks for a flush, and the interval is an hour."""
    sink = MemorySink()
    moesif = Moesif(application_id="app", sink=sink, strict=True, flush_each_request=True, flush_interval=3600.0)
    with ADAPTERS[name].serve(Stage(), [moesif]) as door:
        for count in (1, 2):
            assert door.ask("GET", "/things/5").status == 200
            # Some servers let the client have the answer before the request is over.
            until(lambda wanted=count: len(sink.events) >= wanted)
            assert len(sink.events) == count
    moesif.close(5)


def test_the_request_is_not_over_before_the_delivery() -> None:
    """A frozen process would not go on: the call returns when the sink has answered."""
    answered = threading.Event()

    class Slow(MemorySink):
        def send(self, batch: Batch, timeout: float) -> Answer:
            time.sleep(0.2)
            answered.set()
            return super().send(batch, timeout)

    moesif = Moesif(application_id="app", sink=Slow(), flush_each_request=True, flush_interval=3600.0)
    wsgi.call(MoesifMiddleware(wsgi.answers([b"{}"]), moesif))
    assert answered.is_set()
    assert moesif.stats()["delivered"] == 1
    moesif.close(5)


def test_an_outage_does_not_hold_up_every_request() -> None:
    """One request pays for the attempt; those that come during the back-off do not try, and nothing is lost."""
    with FaultServer().start() as server:
        server.script = lambda request: Reply(503, {"Retry-After": "120"})
        moesif = Moesif(application_id="app", base_uri=server.url, flush_each_request=True)
        app = MoesifMiddleware(wsgi.answers([b"{}"]), moesif)
        for _ in range(20):
            wsgi.call(app)
        assert len(server.posts) == 1
        assert moesif.stats()["queued"] == 20
        moesif.close(0.1)
