"""The bounded queue: what is given up when memory runs out, and what is not given up for nothing."""

from __future__ import annotations

import pytest

from moesif_middleware import MemorySink, Moesif
from moesif_middleware.errors import TransportError
from moesif_middleware.runtime.queue import NOTABLE, ORDINARY, VITAL, BoundedQueue, Entry
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.exchange import BodyBuffer, EnvironHead, Exchange, RequestHead, ScopeHead, UrlHead
from moesif_middleware.sansio.protocol import Answer

KIB = 1024
MOST = 2 * KIB * KIB


class Failing(MemorySink):
    """A collector that is away."""

    def send(self, batch: Batch, timeout: float) -> Answer:
        raise TransportError("away")


def entry(name: str, body: bytes = b"", pieces: int = 1, born: float = 0.0) -> Entry:
    exchange = Exchange(ScopeHead({"path": name}, []), 0.0)
    if body:
        exchange.response_body = BodyBuffer(1 << 20)
        for piece in range(pieces):
            exchange.response_body.feed(body[piece::pieces])
    return Entry("events", exchange, exchange.cost, born)


class Kept:
    """A queue, and the names of what it lost."""

    def __init__(self, most: int = 1000, most_bytes: int = 1 << 30) -> None:
        self.lost: list[str] = []
        self.queue = BoundedQueue(most, most_bytes, lambda entry, reason: self.lost.append(entry.payload.head.path))

    def put(self, name: str, worth: int = ORDINARY, body: bytes = b"", pieces: int = 1) -> None:
        self.queue.put(entry(name, body, pieces), worth)

    def take(self) -> dict[str, bool]:
        """Return the names in order, and whether each still has its body."""
        found = self.queue.take(1000, 1 << 30)
        self.queue.release(sum(item.cost for item in found))
        return {item.payload.head.path: item.payload.response_body is not None for item in found}


def test_one_that_can_never_fit_loses_its_body_and_costs_nobody_else_anything() -> None:
    """A body in a great many small pieces costs more memory than all that may be queued."""
    kept = Kept(most_bytes=64 * KIB)
    kept.put("/before", body=b"a" * KIB)
    kept.put("/failed", VITAL, body=b"b" * KIB)
    kept.put("/pieces", VITAL, body=b"c" * 2 * KIB, pieces=2 * KIB)
    assert kept.lost == []
    assert kept.take() == {"/failed": True, "/pieces": False, "/before": True}
    assert (kept.queue.count, kept.queue.bytes) == (0, 0)


def test_bodies_of_ordinary_answers_go_first_then_answers_then_errors() -> None:
    """In the order of what somebody who looks for a fault would miss least."""
    kept = Kept(most_bytes=40 * KIB)
    kept.put("/fine", ORDINARY, b"a" * 10 * KIB)
    kept.put("/missing", NOTABLE, b"b" * 10 * KIB)
    kept.put("/failed", VITAL, b"c" * 10 * KIB)
    kept.put("/failed2", VITAL, b"d" * 10 * KIB)
    assert kept.lost == []
    kept.put("/failed3", VITAL, b"e" * 10 * KIB)
    assert kept.lost == ["/fine", "/missing"]
    assert kept.take() == {"/failed": True, "/failed2": True, "/failed3": True}
    kept.put("/fine", ORDINARY, b"a" * 30 * KIB)
    kept.put("/fine2", ORDINARY, b"b" * 30 * KIB)
    assert kept.take() == {"/fine": False, "/fine2": True}


def test_what_is_worth_less_than_all_that_waits_is_lost_itself() -> None:
    """A flood of good answers does not wash the failures out."""
    kept = Kept(most=3)
    for name in ("/a", "/b", "/c"):
        kept.put(name, VITAL)
    kept.put("/fine", ORDINARY)
    assert kept.lost == ["/fine"]
    assert list(kept.take()) == ["/a", "/b", "/c"]


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1 << 30), (1000, 5 * KIB)])
def test_the_bounds_hold_and_the_newest_stay(most: int, most_bytes: int) -> None:
    """Of the same worth the oldest goes."""
    kept = Kept(most, most_bytes)
    for number in range(6):
        kept.put(f"/{number}")
        assert kept.queue.count <= most
        assert kept.queue.bytes <= most_bytes
    assert kept.lost == ["/0", "/1", "/2", "/3"]
    assert list(kept.take()) == ["/4", "/5"]


def test_what_is_taken_stays_reserved_until_it_is_released() -> None:
    """What the delivery thread has in hand is in the memory still."""
    kept = Kept(most_bytes=5 * KIB)
    kept.put("/a")
    kept.put("/b")
    found = kept.queue.take(10, 1 << 30)
    assert (kept.queue.count, kept.queue.bytes) == (0, sum(item.cost for item in found))
    kept.put("/c")
    assert kept.lost == ["/c"]
    kept.queue.release(found[0].cost)
    kept.put("/d")
    assert kept.lost == ["/c"]


def test_take_is_bounded_and_oldest_is_the_oldest_of_all() -> None:
    """A batch has a size; its age is that of the oldest entry, whatever its worth."""
    queue = BoundedQueue(1000, 1 << 30, lambda entry, reason: None)
    assert queue.oldest() is None
    queue.put(entry("/old", born=1.0), ORDINARY)
    queue.put(entry("/new", born=2.0), VITAL)
    assert queue.oldest() == 1.0
    assert [item.payload.head.path for item in queue.take(1, 1 << 30)] == ["/new"]
    queue.put(entry("/newer", born=3.0), ORDINARY)
    assert len(queue.take(10, 1)) == 1
    assert queue.oldest() == 3.0


@pytest.mark.parametrize(
    "head",
    [
        ScopeHead({"path": "/"}, [(b"cookie", b"c" * 50 * KIB)]),
        ScopeHead({"path": "/" + "p" * 50 * KIB}, []),
        ScopeHead({"path": "/", "query_string": b"q" * 50 * KIB}, []),
        ScopeHead({"path": "/"}, [(b"x-%d" % number, b"") for number in range(500)]),
        EnvironHead({"PATH_INFO": "/", "HTTP_COOKIE": "c" * 50 * KIB}),
        EnvironHead({"PATH_INFO": "/", "QUERY_STRING": "q" * 50 * KIB}),
        UrlHead("GET", "http://h/?" + "q" * 50 * KIB, []),
    ],
    ids=lambda head: type(head).__name__,
)
def test_what_a_head_holds_is_counted_once_a_batch_waits(head: RequestHead) -> None:
    """Requests with 60 KB of headers each, and a collector that is away: the budget of bytes is kept all the same."""
    moesif = Moesif(application_id="x", sink=Failing(), batch_events=10, queue_bytes=MOST)
    try:
        for _ in range(10 + 3 * MOST // (50 * KIB)):
            exchange = Exchange(head, 0.0)
            exchange.status = 200
            moesif.submit(exchange)
        assert moesif.worker.queue.count < 10 + MOST // (50 * KIB) + 10
        assert moesif.stats()["dropped"]["queue_full"] > 0
    finally:
        moesif.close(0)


def test_an_odd_head_or_metadata_does_not_cost_the_event() -> None:
    """What cannot be measured is taken for usual."""
    exchange = Exchange(ScopeHead({"path": "/"}, [(b"a", None)]), 0.0)  # type: ignore[list-item]
    assert exchange.whole_cost == exchange.cost
    exchange = Exchange(ScopeHead({"path": "/"}, []), 0.0)
    exchange.metadata = {"note": "n" * 10 * KIB, "number": 7}
    assert exchange.whole_cost >= exchange.cost + 8 * KIB
