"""Delivery against a real HTTP server with faults: what is kept, what is dropped, and a ledger that always adds up."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from moesif_middleware import Event, Hooks, Masking, MemorySink, Moesif, Settings
from moesif_middleware.runtime import worker as worker_module
from moesif_middleware.runtime.ledger import balance
from moesif_middleware.runtime.transport import environment_proxy
from moesif_middleware.runtime.worker import Worker
from tests.exchanges import exchange, submit
from tests.faults import FaultServer, Reply, Request, drip, endless, garbage, hang, reset
from tests.waiting import until


def test_an_event_arrives_with_the_application_id_and_gzip(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """The wire: path, headers and an array of events."""
    moesif = make(flush_interval=60.0)
    submit(moesif, 30)
    assert moesif.flush(5)
    post = server.posts[0]
    assert post.path == "/v1/events/batch"
    assert post.headers["x-moesif-application-id"] == "test-app"
    assert post.headers["content-encoding"] == "gzip"
    assert {event["request"]["uri"] for event in post.json} == {"http://api.example.com/items/1"}
    assert moesif.stats()["delivered"] == 30
    assert len(server.stored) == 30


def test_what_the_first_event_needs_is_there_before_it(make: Callable[..., Moesif]) -> None:
    """The patterns take 15 ms to compile, for which a request would wait."""
    moesif = make(masking=Masking(extra_names=["something of this test"]))
    assert moesif._masker._joint is None
    moesif.start()
    until(lambda: moesif.feed is not None and moesif.feed.fetches)
    assert moesif._masker._joint is not None


def test_nothing_is_made_on_a_thread_in_the_master_of_uwsgi(
    make: Callable[..., Moesif], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forks its workers while the thread is at work, and they would wait for the interpreter for ever."""
    moesif = make(masking=Masking(extra_names=["another of this test"]))
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))
    moesif._warm_up()
    assert moesif._masker._joint is None


def test_handles_with_the_same_masking_share_what_masks(make: Callable[..., Moesif]) -> None:
    """It takes 50 ms and some megabytes."""
    names = Masking(extra_names=["national id"])
    assert make(masking=names)._masker is make(masking=Masking(extra_names=["national id"]))._masker
    assert make(masking=names)._masker is not make()._masker


def test_batches_are_bounded_by_count_and_bytes(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """No request to the collector is larger than the settings say."""
    moesif = make(batch_events=10, batch_bytes=65_536, flush_interval=0.3)
    submit(moesif, 25)
    submit(moesif, 4, body=b'"' + b"x" * 40_000 + b'"')
    assert moesif.flush(5)
    assert max(len(post.json) for post in server.posts) <= 10
    assert len(server.stored) == 29


def test_events_that_wait_are_sent_after_the_interval(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Nobody has to flush."""
    moesif = make(flush_interval=0.05)
    submit(moesif)
    until(lambda: server.stored)
    assert len(server.stored) == 1


def test_a_kept_connection_is_used_again(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Many batches, one connection."""
    moesif = make()
    for _ in range(5):
        submit(moesif)
        assert moesif.flush(5)
    (transport,) = moesif.worker.sink._transports  # type: ignore[attr-defined]
    assert len(server.posts) == 5
    assert transport.made._connection is not None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_answers_are_retried_until_they_clear(
    server: FaultServer, make: Callable[..., Moesif], status: int
) -> None:
    """Every event arrives once in the end, with the id that it had in the first try."""
    answers = iter([Reply(status), Reply(status)])
    server.script = lambda request: next(answers, Reply())
    moesif = make(flush_interval=60.0)
    submit(moesif, 3)
    assert moesif.flush(5)
    assert len(server.posts) == 3
    ids = [[event["transaction_id"] for event in post.json] for post in server.posts]
    assert ids[0] == ids[1] == ids[2]
    assert (len(server.stored), server.accepted) == (3, 3)


FAULTS: dict[str, Callable[[], Reply]] = {
    "hangs": lambda: Reply(raw=hang(3)),
    "drips": lambda: Reply(raw=drip(3)),
    "drips headers": lambda: Reply(raw=drip(3, b"HTTP/1.1 201 Created\r\nX-Long: ")),
    "never ends": lambda: Reply(raw=endless),
    "resets": lambda: Reply(raw=reset),
    "sends garbage": lambda: Reply(raw=garbage),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_answer_costs_a_retry_and_no_event(
    server: FaultServer, make: Callable[..., Moesif], fault: str
) -> None:
    """Time-outs hold for the whole request, an answer has a bound, and the batch goes again."""
    broken = iter([FAULTS[fault](), FAULTS[fault]()])
    server.script = lambda request: next(broken, Reply())
    moesif = make(read_timeout=0.3, request_timeout=0.5)
    submit(moesif, 3)
    started = time.monotonic()
    assert moesif.flush(8)
    assert time.monotonic() - started < 5
    assert len(server.stored) == 3


def test_a_collector_that_refuses_connections_gets_the_events_when_it_is_back(
    server: FaultServer, make: Callable[..., Moesif], caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log when it goes, one when it comes back."""
    moesif = make()
    server.stop()
    with caplog.at_level(logging.WARNING, logger="moesif_middleware"):
        submit(moesif, 5)
        assert not moesif.flush(0.4)
        assert moesif.stats()["queued"] == 5
        server.start()
        assert moesif.flush(5)
    assert len(server.stored) == 5
    words = [record.getMessage() for record in caplog.records if record.name.endswith("worker")]
    assert [word[:39] for word in words] == [
        "the collector does not take events now,",
        "the collector takes events again, after",
    ]


@pytest.mark.parametrize("status", [400, 413])
def test_one_poison_event_is_found_and_the_rest_is_delivered(
    server: FaultServer, make: Callable[..., Moesif], status: int
) -> None:
    """The batch is halved until the bad one is alone; it is dropped with the status as the reason."""

    def refuse(request: Request) -> Reply:
        bad = any("poison" in event["request"]["uri"] for event in request.json)
        return Reply(status) if bad else Reply()

    server.script = refuse
    moesif = make(flush_interval=0.5)
    submit(moesif, 20)
    submit(moesif, 1, path="/poison")
    submit(moesif, 20)
    assert moesif.flush(5)
    assert len(server.stored) == 40
    assert moesif.stats()["dropped"] == {f"rejected_{status}": 1}
    assert moesif.stats()["delivered"] == 40


def test_a_batch_of_nothing_but_poison_is_given_up(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """When more than a few are bad, the fault is not in single events: no storm of requests."""
    server.script = lambda request: Reply(400)
    moesif = make(flush_interval=0.5)
    submit(moesif, 100)
    assert moesif.flush(5)
    assert moesif.stats()["dropped"] == {"rejected_400": 100}
    assert len(server.posts) < 100


@pytest.mark.parametrize("status", [401, 402, 403, 404, 301])
def test_a_wrong_account_pauses_and_loses_nothing(
    server: FaultServer, make: Callable[..., Moesif], status: int
) -> None:
    """It is said once, the events stay within the bounds, and a later flush probes again."""
    server.script = lambda request: Reply(status, {"Location": "/elsewhere"})
    moesif = make()
    submit(moesif, 3)
    assert not moesif.flush(0.3)
    submit(moesif, 3)
    assert not moesif.flush(0.3)
    assert len(server.posts) <= 3
    assert moesif.worker.health.paused
    assert f"HTTP {status}" in moesif.stats()["collector"]["reason"]
    server.script = lambda request: Reply()
    assert moesif.flush(5)
    assert len(server.stored) == 6


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(server: FaultServer, make: Callable[..., Moesif], status: int, form: str) -> None:
    """The batch does not come back before the collector wants it."""
    times: list[float] = []

    def slow_down(request: Request) -> Reply:
        times.append(time.monotonic())
        # A date has whole seconds only: this one is one to two seconds away.
        wanted = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return Reply(status, {"Retry-After": wanted}) if len(times) == 1 else Reply()

    server.script = slow_down
    moesif = make()
    submit(moesif)
    assert moesif.flush(20)
    assert times[1] - times[0] >= 0.99


def test_memory_stays_in_the_budget_and_the_precious_stay_longest(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    """Bodies of good answers go first, then the events; failures and blocks stay. Every loss is counted."""
    server.stop()
    moesif = make(queue_bytes=1_048_576, queue_events=300, batch_events=100)
    submit(moesif, 5, path="/failed", status=500)
    for number in range(1000):
        submit(moesif, path=f"/{number}", body=b'"' + b"x" * 20_000 + b'"')
        assert moesif.worker.queue.bytes <= 1_048_576
    stats = moesif.stats()
    assert balance(stats) == 0
    # The queue, a batch in flight and one that was encoded meanwhile.
    assert stats["queued"] <= 500
    assert stats["dropped"]["queue_full"] >= 500
    server.start()
    assert moesif.flush(20)
    paths = [event["request"]["uri"].rpartition("/")[2] for event in server.stored.values()]
    assert paths.count("failed") == 5
    assert any(event.get("metadata", {}).get("bodies_dropped") == "memory" for event in server.stored.values())


def test_close_ends_within_its_timeout_while_the_collector_hangs(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    """What could not be delivered is counted as dropped at shutdown."""
    server.script = lambda request: Reply(raw=hang(5))
    moesif = make(read_timeout=10.0, request_timeout=30.0)
    submit(moesif, 3)
    time.sleep(0.1)
    started = time.monotonic()
    moesif.close(0.5)
    assert time.monotonic() - started < 1.2
    stats = moesif.stats()
    assert stats["dropped"] == {"shutdown": 3}
    submit(moesif)
    assert moesif.stats()["dropped"] == {"shutdown": 3, "closed": 1}


def test_an_event_that_cannot_be_encoded_costs_itself_and_nothing_else(make: Callable[..., Moesif]) -> None:
    """One bad event does not lose its batch."""
    moesif = make()
    bad = exchange()
    bad.head = None  # type: ignore[assignment]
    submit(moesif, 3)
    moesif.worker.put("events", bad, 10, 0)
    submit(moesif, 3)
    assert moesif.flush(5)
    stats = moesif.stats()
    assert stats["delivered"] == 6
    assert sum(stats["dropped"].values()) == 1


def test_a_sink_with_a_bug_does_not_end_the_delivery() -> None:
    """What was in hand is dropped and counted, the thread goes on."""

    class Broken(MemorySink):
        broken = True

        def send(self, batch: Any, timeout: float) -> Any:
            if self.broken:
                raise ZeroDivisionError
            return super().send(batch, timeout)

    sink = Broken()
    moesif = Moesif(Settings(application_id="x"), sink=sink)
    submit(moesif, 2)
    assert moesif.flush(5)
    sink.broken = False
    submit(moesif, 2)
    assert moesif.flush(5)
    assert moesif.stats()["dropped"] == {"internal_error": 2}
    assert len(sink.events) == 2
    moesif.close()


def test_the_thread_starts_with_the_first_event_and_not_before() -> None:
    """A handle that nobody uses costs nothing."""
    before = threading.active_count()
    moesif = Moesif(Settings(application_id="x"), sink=MemorySink())
    assert threading.active_count() == before
    submit(moesif)
    assert threading.active_count() == before + 1
    moesif.close()
    assert threading.active_count() == before


def test_where_no_thread_can_start_close_delivers_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """At interpreter exit no thread can be started any more."""
    sink = MemorySink()
    moesif = Moesif(Settings(application_id="x"), sink=sink)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(worker_module.threading.Thread, "start", refuse)
    submit(moesif, 3)
    moesif.close(2)
    assert len(sink.events) == 3


def test_a_server_in_a_thread_outlives_the_main_thread(server: FaultServer) -> None:
    """Events that a non-daemon thread captures after the main thread ended are delivered at the process's end."""
    code = f"""
import threading, time
from moesif_middleware import Hooks, Moesif
from tests.exchanges import exchange
moesif = Moesif(application_id="test-app", base_uri="{server.url}")
def serve():
    time.sleep(0.3)
    moesif.submit(exchange())
threading.Thread(target=serve).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    assert len(server.stored) == 1


def test_the_sum_holds_at_every_moment_under_many_threads(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """The ledger is looked at while eight threads submit and the collector fails every third request."""
    calls = iter(range(10**9))
    server.script = lambda request: Reply(503) if next(calls) % 3 == 0 else Reply()
    moesif = make(queue_events=200)
    threads = [threading.Thread(target=submit, args=(moesif, 250)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert balance(moesif.stats()) == 0
    assert moesif.flush(20)
    stats = moesif.stats()
    assert stats["captured"] == 2000
    assert stats["delivered"] == len(server.stored)
    assert stats["delivered"] + sum(stats["dropped"].values()) == 2000


def test_nothing_is_looked_over_for_events_that_a_hook_sees(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """They are masked on another way, which would make the look in vain."""
    moesif = make(hooks=Hooks(mask_event=lambda event: None))
    submit(moesif, 3)
    assert moesif.flush(5)
    assert moesif._joint is None


def test_updates_are_delivered_by_kind(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Users, companies, subscriptions and actions go to their own calls and have their own ledger."""
    moesif = make()
    moesif.update_user({"user_id": "u1", "company_id": "c1", "metadata": {"plan": "pro"}})
    moesif.update_company({"company_id": "c1"})
    moesif.update_subscription({"subscription_id": "s1", "company_id": "c1", "status": "active"})
    moesif.track("Signed Up", user_id="u1", metadata={"from": "page"})
    assert moesif.flush(5)
    assert {post.path for post in server.posts} == {
        f"/v1/{kind}/batch" for kind in ("users", "companies", "subscriptions", "actions")
    }
    assert moesif.stats()["updates"]["delivered"] == 4
    assert moesif.stats()["captured"] == 0


@pytest.mark.parametrize(
    "value", ["\ud800", float("nan"), 1 << 80, {1: {"a"}}, b"\xff", object()], ids=lambda value: type(value).__name__
)
def test_an_update_with_what_json_lacks_is_delivered(
    server: FaultServer, make: Callable[..., Moesif], value: Any
) -> None:
    """Whatever an application puts into the metadata of a user, the user arrives."""
    moesif = make()
    moesif.update_user({"user_id": "u1", "metadata": {"odd": value, "plan": "pro"}})
    assert moesif.flush(5)
    assert moesif.stats()["updates"]["delivered"] == 1
    (user,) = server.posts[-1].json
    assert user["metadata"]["plan"] == "pro"


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any other client on the machine; a proxy without a scheme is an HTTP one."""
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert environment_proxy("https://api.moesif.net") == "http://proxy.example:3128"
    assert environment_proxy("https://localhost:9500") is None
    monkeypatch.delenv("https_proxy")
    assert environment_proxy("https://api.moesif.net") is None


def test_events_go_through_the_proxy_of_the_environment(
    server: FaultServer, make: Callable[..., Moesif], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forward proxy gets the whole address and its own credentials."""
    monkeypatch.setenv("http_proxy", server.url.replace("://", "://user:pass%21@"))
    monkeypatch.delenv("no_proxy", raising=False)
    moesif = make(base_uri="http://collector.invalid/collector")
    submit(moesif)
    assert moesif.flush(5)
    (post,) = server.posts
    assert post.path == "http://collector.invalid/collector/v1/events/batch"
    assert post.headers["host"] == "collector.invalid"
    assert post.headers["proxy-authorization"] == "Basic dXNlcjpwYXNzIQ=="


def test_nothing_is_written_into_the_log_while_all_is_well(
    make: Callable[..., Moesif], caplog: pytest.LogCaptureFixture
) -> None:
    """Not by us and not by the HTTP library for our requests."""
    moesif = make()
    with caplog.at_level(logging.INFO):
        submit(moesif, 3)
        assert moesif.flush(5)
    assert caplog.records == []


def test_the_lost_are_told_to_on_drop(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """A hook of the user's own, contained when it raises."""
    told: list[tuple[str, int]] = []

    def on_drop(reason: str, count: int) -> None:
        told.append((reason, count))
        raise ValueError

    server.script = lambda request: Reply(400)
    moesif = make(hooks=Hooks(on_drop=on_drop))
    submit(moesif)
    assert moesif.flush(5)
    assert told == [("rejected_400", 1)]
    assert moesif.stats()["errors"] == {"on_drop": 1}


def test_a_flush_that_comes_as_the_last_one_ends_is_not_forgotten(
    server: FaultServer, make: Callable[..., Moesif], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery thread finds nothing left, and before it says so there is something, and a hurry."""
    moesif = make(flush_interval=600.0)
    worker, looks = moesif.worker, []

    def drained(self: Worker) -> bool:
        found = not (self.queue.count or self._busy or self.outbox.unsent)
        if found and self is worker and threading.current_thread() is self._thread and not looks:
            looks.append(found)
            submit(moesif, 1)
            worker.hurry()
        return found

    monkeypatch.setattr(Worker, "drained", property(drained))
    submit(moesif, 1)
    moesif.flush(10)
    until(lambda: len(server.stored) == 2)


def test_what_is_put_as_the_handle_closes_is_counted(make: Callable[..., Moesif]) -> None:
    """Between the question whether it is closed and the queue there is time for close() to end."""
    moesif = make()
    worker, put = moesif.worker, moesif.worker.queue.put

    def late(*arguments: Any) -> int:
        worker.close(1.0)
        return put(*arguments)

    worker.queue.put = late  # type: ignore[method-assign]
    submit(moesif, 1)
    counts = moesif.stats()
    assert (counts["queued"], counts["dropped"]) == (0, {"closed": 1})


async def test_what_is_left_at_the_lifespans_end_is_counted_as_lost(
    server: FaultServer, make: Callable[..., Moesif], caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn runs nothing afterwards: what only waits in memory is gone, and one line says so. It may go on too."""
    server.script = lambda request: Reply(503)
    moesif = make()
    submit(moesif, 4)
    with caplog.at_level(logging.WARNING, logger="moesif_middleware.runtime.client"):
        await moesif.apark(0.2)
    assert moesif.stats()["queued"] == 0
    assert moesif.stats()["dropped"] == {"shutdown": 4}
    assert "4 captured, 0 delivered, 0 spooled, 4 dropped (shutdown)" in caplog.text
    server.script = lambda request: Reply()
    submit(moesif, 2)
    assert moesif.flush(20)
    assert moesif.stats()["delivered"] == 2


async def test_what_is_left_at_the_lifespans_end_goes_to_the_spool(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """With a spool nothing is lost there."""
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(tmp_path / "spool"))
    submit(moesif, 4)
    await moesif.apark(0.2)
    assert (moesif.stats()["spooled"], moesif.stats()["queued"], moesif.stats()["dropped"]) == (4, 0, {})
    server.script = lambda request: Reply()
    assert moesif.flush(20)


def test_on_drop_is_told_of_what_the_end_costs(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Before close() returns, with the reason and the count."""
    told: list[tuple[str, int]] = []
    server.script = lambda request: Reply(503)
    moesif = make(hooks=Hooks(on_drop=lambda reason, count: told.append((reason, count))))
    submit(moesif, 3)
    moesif.close(0.2)
    assert told == [("shutdown", 3)]


class Crossing:
    """The script of a collector that takes a while, and notes which requests were there at the same time."""

    def __init__(self, seconds: float, *replies: Reply) -> None:
        self._seconds, self._replies = seconds, iter(replies)
        self._lock = threading.Lock()
        self._paths: list[str] = []
        self.together: list[tuple[str, ...]] = []
        """For each request the paths of all that were there, itself the last."""

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            self._paths.append(request.path)
            self.together.append(tuple(self._paths))
            reply = next(self._replies, Reply())
        time.sleep(self._seconds)
        with self._lock:
            self._paths.remove(request.path)
        return reply

    @property
    def most(self) -> int:
        """Return how many requests were there at once."""
        return max(map(len, self.together))


def test_three_batches_are_in_flight_when_much_is_due(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """The time that the collector takes is not lost, each event arrives once, and hooks run on one thread at a time."""
    server.script = crossing = Crossing(0.1)
    inside, overlaps = [0], []

    def mask(event: Event) -> None:
        inside[0] += 1
        time.sleep(0.001)
        overlaps.append(inside[0])
        inside[0] -= 1

    moesif = make(hooks=Hooks(mask_event=mask), batch_events=10, flush_interval=60.0, queue_events=100)
    submit(moesif, 60)
    assert moesif.flush(20)
    assert crossing.most == 3
    assert set(overlaps) == {1}
    assert (len(server.stored), server.accepted) == (60, 60)


def test_two_requests_at_a_time_while_the_queue_is_far_from_full(
    server: FaultServer, make: Callable[..., Moesif]
) -> None:
    """A third thread would take the interpreter from requests."""
    server.script = crossing = Crossing(0.05)
    moesif = make(batch_events=10, flush_interval=60.0, queue_events=1000)
    submit(moesif, 100)
    assert moesif.flush(20)
    assert crossing.most == 2


def test_one_request_at_a_time_while_little_is_due(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """A second thread and a second connection are for those who need them."""
    server.script = crossing = Crossing(0.05)
    moesif = make(batch_events=1000, flush_interval=0.01)
    for _ in range(5):
        submit(moesif, 3)
        assert moesif.flush(5)
    assert crossing.most == 1
    assert not moesif.worker._asides


def test_what_replaces_the_former_goes_in_order(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """Two batches of users are never in flight at once, or the older one might win; events go beside them."""
    server.script = crossing = Crossing(0.05)
    moesif = make(batch_events=5, flush_interval=60.0)
    for number in range(40):
        moesif.update_user({"user_id": "one", "metadata": {"number": number}})
        submit(moesif, 1)
    assert moesif.flush(20)
    assert crossing.most >= 2
    assert all(paths.count("/v1/users/batch") <= 1 for paths in crossing.together)
    told = [user["metadata"]["number"] for post in server.posts if "users" in post.path for user in post.json]
    assert told == list(range(40))
    assert len(server.stored) == 40


def test_failures_at_once_are_one_step_of_the_back_off(
    server: FaultServer, make: Callable[..., Moesif], caplog: pytest.LogCaptureFixture
) -> None:
    """What was begun before the collector fell ill says nothing new, and nothing is begun beside another until then."""
    server.script = crossing = Crossing(0.1, *[Reply(503)] * 4)
    moesif = make(batch_events=10, flush_interval=60.0, queue_events=100)
    moesif.worker._draw = lambda: 0.4
    submit(moesif, 60)
    until(lambda: moesif.worker.failures == 3)
    assert moesif.worker.health.failures == 1
    assert moesif.flush(20)
    assert [len(paths) for paths in crossing.together[:5]] == [1, 2, 3, 1, 1]
    assert len([record for record in caplog.records if "does not take events" in record.message]) == 1
    assert (len(server.stored), server.accepted) == (60, 60)


def test_a_late_success_does_not_end_an_illness(server: FaultServer, make: Callable[..., Moesif]) -> None:
    """The collector answered the one that began later, and asked for time."""
    delays = iter([0.3, 0.05, 0.3])
    first = iter([Reply(), Reply(429, {"Retry-After": "1"})])
    times: list[float] = []

    def script(request: Request) -> Reply:
        times.append(time.monotonic())
        reply = next(first, Reply())
        time.sleep(next(delays, 0.0))
        return reply

    server.script = script
    moesif = make(batch_events=10, flush_interval=60.0, queue_events=100)
    submit(moesif, 60)
    until(lambda: moesif.stats()["delivered"] == 20)
    assert moesif.worker.health.ill
    assert moesif.flush(20)
    assert times[3] - times[1] >= 0.99
    assert (len(server.stored), server.accepted) == (60, 60)


def test_a_sink_that_does_not_say_that_it_is_concurrent_is_called_by_one_thread(make: Callable[..., Moesif]) -> None:
    """Somebody's own sink need not think of threads."""

    class Slow(MemorySink):
        inside, most = 0, 0

        def send(self, batch: Any, timeout: float) -> Any:
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.02)
            self.inside -= 1
            return super().send(batch, timeout)

    sink = Slow()
    moesif = Moesif(Settings(application_id="x", batch_events=5, flush_interval=60.0), sink=sink)
    submit(moesif, 50)
    assert moesif.flush(20)
    moesif.close()
    assert sink.most == 1
    assert len(sink.events) == 50


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_a_hook_that_ends_the_delivery_thread_costs_one_event(
    server: FaultServer, make: Callable[..., Moesif], end: type[BaseException]
) -> None:
    """What is no Exception passes every guard but the last, which begins anew with what waits."""

    def mask(event: Event) -> None:
        if event.request.uri.endswith("/ends"):
            raise end

    moesif = make(hooks=Hooks(mask_event=mask))
    submit(moesif, 1, path="/ends")
    submit(moesif, 3)
    until(lambda: len(server.stored) == 3)
    submit(moesif, 2)
    # The collector has them before its answer is counted.
    until(lambda: moesif.stats()["delivered"] == 5)
    assert len(server.stored) == 5
    counts = moesif.stats()
    assert (counts["delivered"], counts["queued"], sum(counts["dropped"].values())) == (5, 0, 1)


def test_a_drop_hook_that_ends_the_delivery_thread_ends_nothing(
    server: FaultServer, make: Callable[..., Moesif], caplog: pytest.LogCaptureFixture
) -> None:
    """The thread begins anew, and says so."""

    def ends(reason: str, count: int) -> None:
        raise SystemExit(reason)

    refuse = iter([Reply(400)])
    server.script = lambda request: next(refuse, Reply())
    moesif = make(hooks=Hooks(on_drop=ends))
    submit(moesif, 1)
    until(lambda: moesif.stats()["dropped"] == {"rejected_400": 1})
    submit(moesif, 3)
    until(lambda: len(server.stored) == 3)
    assert "the delivery thread was ended by SystemExit and begins anew" in caplog.messages
