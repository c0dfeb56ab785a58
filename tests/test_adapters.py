"""The same questions asked of every adapter, each around the same small shop in its own framework.

What the client and the application see is compared with the bare application; what is recorded is the same everywhere.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from moesif_middleware import Hooks, Moesif
from moesif_middleware.testing import Recorder, recording
from tests.waiting import until

from .frameworks.doors import Answer, Door, Stage
from .frameworks.shops import ADAPTERS, THING, Adapter

BLOCK = b"""[{"_id": "b", "type": "regex", "block": true, "regex_config": [],
  "response": {"status": 429, "headers": {"X-Why": "quota"}, "body": {"error": "too many"}}}]"""
BLOCKS_A_BODY = b"""[{"_id": "b", "type": "regex", "block": true, "response": {"status": 403, "body": {}},
  "regex_config": [{"conditions": [{"path": "request.body.kind", "value": "bad"}]}]}]"""
OURS = "x-moesif-transaction-id"

# WebOb and Django leave a large body's temporary file to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(_io.FileIO|function SpooledTemporaryFile):pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each of them."""
    return ADAPTERS[request.param]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Frameworks log what fails on purpose; some change the logging of all."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def bare(adapter: Adapter) -> Iterator[tuple[Door, Stage]]:
    """Serve the shop without the middleware."""
    stage = Stage()
    stage.log.append("bare")
    with adapter.serve(stage, []) as door:
        yield door, stage
    stage.log.remove("bare")


@contextmanager
def watched(adapter: Adapter, *more: Moesif, **settings: Any) -> Iterator[tuple[Door, Stage, Recorder]]:
    """Serve the shop with the middleware."""
    stage = Stage()
    with recording(**settings) as recorder, adapter.serve(stage, [recorder.moesif, *more]) as door:
        yield door, stage, recorder


def same(seen: Answer, plain: Answer) -> None:
    """Assert that a client sees what it sees without the middleware, our header apart."""
    assert (seen.status, seen.chunks, seen.error) == (plain.status, plain.chunks, plain.error)
    volatile = {OURS, "date", "x-request-id"}
    pairs = [
        [(key.lower(), value) for key, value in answer.headers if key.lower() not in volatile]
        for answer in (seen, plain)
    ]
    assert pairs[0] == pairs[1]
    assert seen.error or seen.header(OURS)


REQUESTS = [
    ("POST", "/echo", b'{"a": 1}'), ("GET", "/things/5", b""), ("GET", "/stream", b""), ("GET", "/fail", b""),
    ("GET", "/who/ann", b""), ("GET", "/nowhere", b""), ("HEAD", "/things/5", b""),
]  # fmt: skip


def test_status_headers_bytes_and_chunks_are_the_applications(adapter: Adapter) -> None:
    """Request for request as without the middleware, failures included; and each is one event."""
    with bare(adapter) as (door, _):
        plain = [door.ask(*request) for request in REQUESTS]
    with watched(adapter) as (door, _, recorder):
        for request, answer in zip(REQUESTS, plain, strict=True):
            same(door.ask(*request), answer)
        events = {(event["request"]["verb"], event["request"]["uri"][19:]): event for event in recorder.events}
        assert len(events) == len(REQUESTS)
        statuses = {key: event["response"]["status"] for key, event in events.items()}
        assert statuses == {
            (verb, path): answer.status for (verb, path, _), answer in zip(REQUESTS, plain, strict=True)
        }
        assert events["POST", "/echo"]["request"]["body"] == events["POST", "/echo"]["response"]["body"] == {"a": 1}
        assert events["GET", "/things/5"]["response"]["body"] == THING
        assert events["GET", "/who/ann"]["user_id"] == "ann"
        assert recorder.moesif.stats()["errors"] == {}


def test_the_route_template_is_in_the_metadata(adapter: Adapter) -> None:
    """As the framework writes it; none where there is no router."""
    with watched(adapter) as (door, _, recorder):
        door.ask("GET", "/things/5")
        assert (recorder.events[0].get("metadata") or {}).get("route") == adapter.template


def test_a_stream_is_passed_on_as_it_is_made(adapter: Adapter) -> None:
    """The second chunk is made only after the client has the first one; the event has both."""
    with watched(adapter) as (door, stage, recorder):
        answer = door.ask("GET", "/stream")
        assert answer.body == b"onetwo"
        assert stage.log == ["closed"]
        assert recorder.events[0]["response"]["body"] == "b25ldHdv"


def test_a_large_upload_arrives_whole(adapter: Adapter) -> None:
    """2 MB out and back; of the copy the first 100 000 bytes are kept."""
    body = b'"' + b"0123456789abcdef" * 125_000 + b'"'
    with watched(adapter) as (door, _, recorder):
        answer = door.ask("POST", "/echo", body)
        assert answer.body == body
        event = recorder.events[0]
        assert event["metadata"]["request_body_truncated"] == event["metadata"]["response_body_truncated"] == len(body)


def test_what_the_application_raises_is_recorded_and_passes_through(adapter: Adapter) -> None:
    """A 500 by whoever answers it, and never the message."""
    with watched(adapter) as (door, _, recorder):
        assert door.ask("GET", "/fail").status == 500
        (event,) = recorder.events
        assert event["response"]["status"] == 500
        assert (event.get("metadata") or {}).get("exception") == (
            "ZeroDivisionError" if adapter.sees_exceptions else None
        )
        assert "a message" not in str(event)


def test_a_blocked_request_never_reaches_the_application(adapter: Adapter) -> None:
    """The client gets the rule's answer, and the event says who blocked."""
    with watched(adapter) as (door, stage, recorder):
        recorder.use(rules=BLOCK)
        answer = door.ask("GET", "/things/5")
        assert (answer.status, answer.body) == (429, b'{"error":"too many"}')
        assert (answer.header("x-why"), answer.header("content-type")) == ("quota", "application/json")
        head = door.ask("HEAD", "/fail")
        assert (head.status, head.body, head.header("content-length")) == (429, b"", "20")
        assert stage.log == []
        assert {(event["blocked_by"], event["response"]["status"]) for event in recorder.events} == {("b", 429)}
        ids = [event["response"]["headers"].get(OURS) for event in recorder.events]
        assert sorted(map(str, ids)) == sorted(str(seen.header(OURS)) for seen in (answer, head))
        assert None not in ids


def test_a_rule_that_reads_the_body_takes_nothing_from_the_application(adapter: Adapter) -> None:
    """One body is blocked, another arrives whole."""
    with watched(adapter) as (door, _, recorder):
        recorder.use(rules=BLOCKS_A_BODY)
        good = b'{"kind": "good", "more": "' + b"x" * 150_000 + b'"}'
        assert door.ask("POST", "/echo", b'{"kind": "bad"}').status == 403
        assert door.ask("POST", "/echo", good).body == good
        assert len(recorder.events) == 2


@pytest.mark.parametrize(
    "settings", [{"capture_body": False}, {"skip_paths": ["/echo"]}, {"capture_content_types": ["text/plain"]}]
)
def test_a_rule_reads_the_body_whatever_the_event_keeps_of_it(adapter: Adapter, settings: dict[str, Any]) -> None:
    """Or a setting about events would switch rules off."""
    with watched(adapter, **settings) as (door, _, recorder):
        recorder.use(rules=BLOCKS_A_BODY)
        good = b'{"kind": "good", "more": "' + b"x" * 150_000 + b'"}'
        assert door.ask("POST", "/echo", b'{"kind": "bad"}').status == 403
        assert door.ask("POST", "/echo", good).body == good
        assert not [event for event in recorder.events if "body" in event["request"]]


def test_bodies_of_the_captured_content_types_are_in_the_event(adapter: Adapter) -> None:
    """And no others."""
    for types, seen in ((["application/json"], True), (["text/plain"], False)):
        with watched(adapter, capture_content_types=types) as (door, _, recorder):
            assert door.ask("POST", "/echo", b'{"a": 1}').body == b'{"a": 1}'
            (event,) = recorder.events
            assert (event["request"].get("body") == {"a": 1}) is seen


def test_an_answer_without_content_has_no_content_length(adapter: Adapter) -> None:
    """Nor a body (RFC 9110, 8.6 and 15.3.5)."""
    with watched(adapter) as (door, stage, recorder):
        recorder.use(rules=BLOCK.replace(b"429", b"204"))
        answer = door.ask("GET", "/things/5")
        assert (answer.status, answer.body, answer.header("content-length")) == (204, b"", None)
        assert stage.log == []


def test_what_cannot_be_masked_is_not_sent(adapter: Adapter) -> None:
    """The mask fails: the client notices nothing, nothing leaves, and it is counted."""

    def mask(event: Any) -> Any:
        raise ZeroDivisionError

    with watched(adapter, hooks=Hooks(mask_event=mask)) as (door, _, recorder):
        assert door.ask("GET", "/things/5").status == 200
        assert recorder.events == []
        assert recorder.moesif.stats()["dropped"] == {"mask_failed": 1}


def test_the_mask_sees_the_response_body(adapter: Adapter) -> None:
    """It may assign into the finished event."""

    def mask(event: Any) -> Any:
        event.response.body["note"] = "hidden"
        return event

    with watched(adapter, hooks=Hooks(mask_event=mask)) as (door, _, recorder):
        assert door.ask("GET", "/things/5").status == 200
        assert recorder.events[0]["response"]["body"] == {"id": 5, "note": "hidden"}


@pytest.mark.parametrize("name", ["identify_user", "identify_company", "get_session_token", "get_metadata", "skip"])
def test_a_hook_that_raises_costs_what_it_would_say(adapter: Adapter, name: str) -> None:
    """Not the answer, and not the event."""

    def hook(*arguments: Any) -> Any:
        raise ZeroDivisionError

    with watched(adapter, hooks=Hooks(**{name: hook})) as (door, _, recorder):
        assert door.ask("GET", "/things/5").status == 200
        assert len(recorder.events) == 1
        assert recorder.moesif.stats()["errors"] == {name: 1}


class Unreadable(Mapping[str, Any]):
    """An answer of a hook that raises when it is looked at."""

    def __getitem__(self, key: str) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Iterator[str]:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["get_metadata", "skip"])
def test_what_a_hook_returns_may_raise_when_it_is_looked_at(adapter: Adapter, name: str) -> None:
    """That is the hook's failure: the client has its answer, and the event leaves."""
    with watched(adapter, hooks=Hooks(**{name: lambda *_: Unreadable()})) as (door, _, recorder):
        assert door.ask("GET", "/things/5").body == json.dumps(THING).encode()
        assert len(recorder.events) == 1
        assert recorder.moesif.stats()["errors"] == {name: 1}


STEPS = {
    "begin": "begin", "governance": "subject", "correlate": "new_transaction_id", "request": "request_buffer",
    "response": "response_buffer", "finish": "view", "submit": "_wanted",
}  # fmt: skip
"""The name under which a failure is counted, and what is made to fail."""


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_ours_that_fails_is_counted_and_the_client_is_answered(
    monkeypatch: pytest.MonkeyPatch, adapter: Adapter, name: str
) -> None:
    """As if there were no middleware, and the request is in the ledger all the same."""

    def failing(*arguments: Any) -> Any:
        raise ZeroDivisionError

    body = b'{"a": 1}'
    with watched(adapter, hooks=Hooks(skip=lambda request, response: False)) as (door, _, recorder):
        recorder.use(rules=BLOCKS_A_BODY.replace(b"request.body.kind", b"request.verb"))
        with monkeypatch.context() as patch:
            patch.setattr(recorder.moesif, STEPS[name], failing)
            assert door.ask("POST", "/echo", body).body == body
            until(lambda: recorder.moesif.stats()["captured"])
        lost = name in {"begin", "submit"}
        assert len(recorder.events) == (0 if lost else 1)
        stats = recorder.moesif.stats()
        assert stats["errors"].keys() == {name}
        assert stats["dropped"] == ({"internal_error": 1} if lost else {})


def test_hooks_are_asked_about_a_request_that_raised(adapter: Adapter) -> None:
    """Or one that is to be skipped would leave just then."""
    with watched(adapter, hooks=Hooks(skip=lambda *_: True)) as (door, _, recorder):
        door.ask("GET", "/fail")
        until(lambda: recorder.moesif.stats()["captured"])
        assert recorder.events == []
        assert recorder.moesif.stats()["skipped"] == 1


def test_hooks_are_asked_about_a_stream_whose_client_goes_away(adapter: Adapter) -> None:
    """As above, however the framework ends it."""
    with watched(adapter, hooks=Hooks(skip=lambda *_: True)) as (door, _, recorder):
        door.ask("GET", "/stream", leave=True)
        until(lambda: recorder.moesif.stats()["captured"])
        assert recorder.events == []
        assert recorder.moesif.stats()["skipped"] == 1


def test_skipped_is_counted_and_not_sent(adapter: Adapter) -> None:
    """By the hook, which sees the response, and by path."""
    hooks = Hooks(skip=lambda request, response: response.status_code == 404)
    with watched(adapter, hooks=hooks, skip_paths=["/things/*"]) as (door, _, recorder):
        assert [door.ask("GET", path).status for path in ("/things/5", "/nowhere", "/who/ann")] == [200, 404, 200]
        assert [event["user_id"] for event in recorder.events] == ["ann"]
        assert recorder.moesif.stats()["skipped"] == 2


def test_concurrent_requests_never_mix(adapter: Adapter) -> None:
    """Each is one event with its own identity."""
    with watched(adapter) as (door, _, recorder):

        def run(name: str) -> None:
            for _ in range(5):
                door.ask("GET", f"/who/{name}")

        threads = [threading.Thread(target=run, args=(f"u{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = recorder.events
        assert len(events) == 20
        assert all(event["user_id"] == event["response"]["body"] for event in events)
        assert all(event["request"]["uri"].endswith(f"/who/{event['user_id']}") for event in events)


def test_a_client_that_goes_away_is_one_event_with_what_it_got(adapter: Adapter) -> None:
    """And the application notices as much of it as without the middleware."""
    with bare(adapter) as (door, plain_stage):
        plain = door.ask("GET", "/stream", leave=True)
    with watched(adapter) as (door, stage, recorder):
        seen = door.ask("GET", "/stream", leave=True)
        assert (seen.status, seen.chunks, seen.error) == (plain.status, [b"one"], plain.error)
        until(lambda: recorder.moesif.stats()["captured"])
        (event,) = recorder.events
        assert event["response"]["status"] == 200
        assert event["response"]["body"].startswith("b25l")
    assert set(stage.log) == set(plain_stage.log)


def test_wrapped_twice_is_captured_once(adapter: Adapter) -> None:
    """By mistake."""
    stage = Stage()
    with recording() as recorder, adapter.serve(stage, [recorder.moesif, recorder.moesif]) as door:
        assert door.ask("GET", "/who/ann").status == 200
        assert [(event["user_id"], event["response"]["body"]) for event in recorder.events] == [("ann", "ann")]
        assert recorder.moesif.stats()["captured"] == 1


def test_what_nobody_keeps_is_counted_once(adapter: Adapter) -> None:
    """At a rate of 0, wrapped twice: the application runs, no event is made, and the sum holds."""
    stage = Stage()
    with recording() as recorder, adapter.serve(stage, [recorder.moesif, recorder.moesif]) as door:
        recorder.use(config=b'{"sample_rate": 0}')
        assert (door.ask("GET", "/things/5").status, stage.log) == (200, ["thing"])
        assert recorder.events == []
        assert (recorder.moesif.stats()["captured"], recorder.moesif.stats()["sampled_out"]) == (1, 1)


def test_what_nobody_keeps_needs_no_look(monkeypatch: pytest.MonkeyPatch, adapter: Adapter) -> None:
    """At a rate of 0 without rules nothing of the request is read, in no framework."""
    with watched(adapter) as (door, _, recorder):
        recorder.use(config=b'{"sample_rate": 0}')
        monkeypatch.delattr(Moesif, "begin")
        assert door.ask("GET", "/things/5").body == json.dumps(THING).encode()
        assert (recorder.moesif.stats()["sampled_out"], recorder.moesif.stats()["errors"]) == (1, {})


def test_two_handles_of_two_applications_live_side_by_side(adapter: Adapter) -> None:
    """Each has its event, and what the request says of itself goes to both."""
    with recording(application_id="another") as other, watched(adapter, other.moesif) as (door, _, recorder):
        answer = door.ask("GET", "/who/ann")
        assert answer.body == b'"ann"'
        assert [event["user_id"] for event in (*recorder.events, *other.events)] == ["ann", "ann"]
        assert len([key for key, _ in answer.headers if key.lower() == OURS]) == 1
        assert [event["response"]["body"] for event in (*recorder.events, *other.events)] == ["ann", "ann"]


def test_each_request_is_delivered_at_its_end_when_that_is_asked_for(adapter: Adapter) -> None:
    """Without waiting for a batch, where a process may be frozen between two requests."""
    with watched(adapter, flush_each_request=True, flush_interval=60.0) as (door, _, recorder):
        assert door.ask("GET", "/things/5").status == 200
        until(lambda: recorder.moesif.stats()["delivered"] == 1)
