"""Several requests in flight: what waits costs no processor, what is in order stays so, and every end ends both."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware import Event, Hooks, Moesif, Settings
from moesif_middleware.errors import SpoolError
from moesif_middleware.runtime.ledger import balance
from moesif_middleware.runtime.spool import Spool
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.protocol import Answer
from tests.exchanges import submit
from tests.faults import FaultServer, Reply, Request
from tests.waiting import until

EVENTS, USERS = "/v1/events/batch", "/v1/users/batch"


class Gate:
    """The script of a collector that keeps requests of a path until they are let go."""

    def __init__(self, path: str, *replies: Reply) -> None:
        self._path, self._replies = path, iter(replies)
        self._open = threading.Event()
        self.held = 0

    def __call__(self, request: Request) -> Reply:
        if request.path != self._path:
            return Reply()
        reply = next(self._replies, Reply())
        self.held += 1
        self._open.wait(30)
        return reply

    def open(self) -> None:
        """Let all go, those that come later too."""
        self._open.set()


@contextmanager
def counted(moesif: Moesif) -> Iterator[list[int]]:
    """Count the steps of the delivery."""
    steps, step = [0], moesif.worker._step

    def counting() -> bool:
        steps[0] += 1
        return step()

    moesif.worker._step = counting  # type: ignore[method-assign]
    yield steps


def user(moesif: Moesif, number: int) -> None:
    moesif.update_user({"user_id": "one", "metadata": {"number": number}})


def told(server: FaultServer) -> list[int]:
    """Return the numbers of the users in the order in which they came."""
    return [one["metadata"]["number"] for post in server.posts if post.path == USERS for one in post.json]


def test_a_batch_of_the_spool_that_waits_for_its_turn_is_waited_for(
    make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """Users are on their way on one thread, and the other has the next ones of the spool in hand: it may sleep."""
    moesif = make(spool_path=str(tmp_path / "spool"), batch_events=2)
    outbox = moesif.worker.outbox
    former = Spool(str(tmp_path / "spool"), "test-app", most_bytes=1 << 24, age=60.0, lease=60.0)
    former.release([former.put(Batch("users", (b"%d" % number,)), 0.0)[0] for number in range(4)])
    former.close()
    first = outbox.next()
    assert first is not None
    assert moesif.worker._patience() == 0
    assert outbox.next() is None
    assert moesif.worker._patience() is None
    outbox.settle(first, "delivered")
    assert moesif.worker._patience() == 0
    second = outbox.next()
    assert second is not None
    assert (first.batch.items, second.batch.items) == ((b"0", b"1"), (b"2", b"3"))
    outbox.land(second, exhausted=False)


def test_a_spool_that_cannot_be_written_while_the_collector_is_ill_costs_no_processor(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is tried again with each batch, not all the time."""
    server.script = lambda request: Reply(401)
    moesif = make(spool_path=str(tmp_path / "spool"))

    def full(*arguments: Any) -> Any:
        raise SpoolError("full")

    monkeypatch.setattr(moesif.worker._spool, "put", full)
    submit(moesif, 3)
    until(lambda: moesif.worker.health.ill)
    submit(moesif, 3)
    time.sleep(0.2)
    submit(moesif, 3)
    with counted(moesif) as steps:
        time.sleep(1.0)
    assert steps[0] < 50
    monkeypatch.undo()
    server.script = lambda request: Reply()
    until(lambda: moesif.flush(1))
    assert len(server.stored) == 9


@pytest.mark.parametrize("status", [503, 401])
def test_what_was_in_flight_goes_into_the_spool_before_what_comes_after_it(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path, status: int
) -> None:
    """Or the older user would come out last, and win."""
    moesif = make(
        spool_path=str(tmp_path / "spool"), batch_events=2, flush_interval=0.1, read_timeout=20.0, request_timeout=20.0
    )
    server.script = gate = Gate(USERS, Reply(status))
    for number in range(2):
        user(moesif, number)
    until(lambda: gate.held)
    for number in range(2, 7):
        user(moesif, number)
        submit(moesif, 1)
    until(lambda: moesif.stats()["updates"]["spooled"] == 7)
    gate.open()
    until(lambda: moesif.flush(1))
    assert told(server) == [0, 1, *range(7)]


def test_a_new_user_does_not_overtake_an_older_one_in_the_spool(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """What waits on disk since the outage goes first."""
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(tmp_path / "spool"), batch_events=5)
    submit(moesif, 60)
    until(lambda: moesif.stats()["spooled"] == 60)
    for number in range(5):
        user(moesif, number)
    until(lambda: moesif.stats()["updates"]["spooled"] == 5)
    server.requests.clear()
    server.script = lambda request: Reply(delay=0.05)
    until(lambda: moesif.stats()["delivered"] > 0)
    for number in range(5, 30):
        user(moesif, number)
    assert moesif.flush(20)
    assert told(server) == list(range(30))


def test_what_goes_behind_something_in_the_spool_goes_behind_what_is_in_flight_too(
    make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """An action that another process left there is a reason to put the second user there, but not before the first."""
    moesif = make(spool_path=str(tmp_path / "spool"))
    outbox = moesif.worker.outbox
    former = Spool(str(tmp_path / "spool"), "test-app", most_bytes=1 << 24, age=60.0, lease=60.0)
    former.release([former.put(Batch("actions", (b"{}",)), 0.0)[0]])
    former.close()
    for _ in range(2):
        moesif.updates.capture("queued")
    moesif.worker.queue.release(-2)
    outbox.add([Batch("users", (b"1",), moesif.worker._clock())])
    outbox._next_look = float("inf")
    first = outbox.next()
    outbox._next_look = 0.0
    action = outbox.next()
    assert first is not None
    assert action is not None
    assert (first.batch.kind, action.batch.kind) == ("users", "actions")
    outbox.add([Batch("users", (b"2",), moesif.worker._clock())])
    assert outbox.next() is None
    outbox.settle(action, "delivered")
    outbox.land(first, exhausted=False)
    again = outbox.next()
    assert again is not None
    assert again.batch.items == (b"1", b"2")
    outbox.settle(again, "delivered")
    assert balance(moesif.stats()["updates"]) == 0
    assert moesif.stats()["updates"]["delivered"] == 3


def test_a_hook_that_waits_for_all_to_be_delivered_does_not_wait_for_itself(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    """On whichever thread it runs, and whether it is async."""
    server.script = lambda request: Reply(delay=0.05)
    took: dict[str, float] = {}

    def mask(event: Event) -> None:
        started = time.monotonic()
        moesif.flush(2.0)
        name = threading.current_thread().name
        took[name] = max(time.monotonic() - started, took.get(name, 0.0))

    moesif = make(hooks=Hooks(mask_event=mask), batch_events=3, flush_interval=60.0)
    submit(moesif, 60)
    assert moesif.flush(20)
    assert len(took) >= 2
    assert max(took.values()) < 0.5


def test_an_async_hook_that_waits_for_all_to_be_delivered_does_not_wait_for_itself(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    took: list[float] = []

    async def mask(event: Event) -> None:
        started = time.monotonic()
        await moesif.aflush(2.0)
        took.append(time.monotonic() - started)

    moesif = make(hooks=Hooks(mask_event=mask))
    submit(moesif, 2)
    until(lambda: len(server.stored) == 2)
    assert max(took) < 0.5


@pytest.mark.parametrize("spooled", [False, True])
def test_what_the_other_thread_encodes_as_the_handle_closes_is_accounted_for(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path, spooled: bool
) -> None:
    """A slow hook ends after close(), and after the delivery thread: nothing stays queued."""
    go = threading.Event()
    inside = threading.Event()

    def mask(event: Event) -> None:
        if threading.current_thread().name.startswith("moesif-beside"):
            inside.set()
            go.wait(20)

    server.script = lambda request: Reply(delay=1.0)
    options = {"spool_path": str(tmp_path / "spool")} if spooled else {}
    moesif = make(hooks=Hooks(mask_event=mask), batch_events=5, read_timeout=9.0, request_timeout=9.0, **options)
    submit(moesif, 15)
    assert inside.wait(10)
    moesif.close(0.3)
    until(lambda: not moesif.worker._thread.is_alive())  # type: ignore[union-attr]
    go.set()
    until(lambda: moesif.stats()["queued"] == 0, 5)
    counts = moesif.stats()
    assert balance(counts) == 0
    assert counts["dropped"].keys() <= {"shutdown"}
    assert not spooled or counts["spooled"] >= 5, "what it had in hand is in the spool"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_spool_takes_what_waits_for_long_after_a_fork_in_the_middle_of_a_request(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """The fork ended the thread that does so, and the one that sends went on."""
    moesif = make(spool_path=str(tmp_path / "spool"), read_timeout=20.0, request_timeout=20.0)
    server.script = gate = Gate(EVENTS)
    submit(moesif, 3)
    until(lambda: gate.held == 1)
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    submit(moesif, 4)
    until(lambda: moesif.stats()["spooled"] == 7, 5)
    gate.open()
    assert moesif.flush(10)


def test_a_sink_that_ends_its_thread_each_time_is_asked_no_more_often_than_an_ill_collector() -> None:
    """No storm of threads."""

    class Ends:
        calls = 0

        def send(self, batch: Any, timeout: float) -> Answer:
            self.calls += 1
            raise SystemExit

        def close(self) -> None:
            pass

    sink = Ends()
    moesif = Moesif(Settings(application_id="x", flush_interval=0.01), sink=sink)
    submit(moesif, 2)
    until(lambda: sink.calls)
    time.sleep(0.5)
    calls = sink.calls
    moesif.close(0.2)
    assert calls < 10
    assert balance(moesif.stats()) == 0


def test_the_last_thread_closes_the_sink_when_a_request_outlives_the_handle() -> None:
    """Once, and only then; an exception of it is nobody's to mend."""

    class Slow:
        concurrent = True

        def __init__(self) -> None:
            self.inside, self.closings = 0, [0]
            self.go = threading.Event()

        def send(self, batch: Any, timeout: float) -> Answer:
            self.inside += 1
            self.go.wait(20)
            self.inside -= 1
            return Answer(201)

        def close(self) -> None:
            self.closings.append(self.inside)
            raise OSError

    sink = Slow()
    moesif = Moesif(Settings(application_id="x", batch_events=2, flush_interval=60.0), sink=sink)
    submit(moesif, 8)
    until(lambda: sink.inside >= 2)
    moesif.close(0.1)
    assert sink.closings == [0]
    sink.go.set()
    until(lambda: len(sink.closings) == 2)
    for thread in moesif.worker._threads():
        thread.join(10)
    assert sink.closings == [0, 0]
    assert balance(moesif.stats()) == 0
