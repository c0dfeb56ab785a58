"""Events and actions: what is posted is stored once, with what the server adds, and within the limits."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import brotli
import pytest
import zstandard

from moesif_middleware.collector.routes import events

from .conftest import Running, action, event, moment


def test_an_event_is_stored_with_what_the_server_adds(fresh: Running) -> None:
    """The document is what was sent and the derived fields; the narrow row has the same values."""
    sent = event(
        request={"verb": "post", "time": moment(2)},
        response=None,
        user_id="u1",
        company_id="c1",
        transaction_id="t1",
        metadata={"a": 1},
    )
    assert fresh.collector.post("/v1/events", json=sent).json() == {"stored": 1, "duplicates": 0}
    (stored,) = fresh.events()
    assert stored["request"] == {
        **sent["request"],
        "verb": "POST",
        "route": "/items/7",
        "ip_address": "127.0.0.1",
    }
    assert stored["metadata"] == {"a": 1}
    assert (stored["weight"], stored["direction"], stored["event_type"]) == (1, "Incoming", "api_call")
    assert "late" not in stored
    assert "response" not in stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("{today}T01:02:03+01:00", "{today}T00:02:03.000Z"),
        ("{today}T00:02:03", "{today}T00:02:03.000Z"),
        ("{today}T00:02:03.9999Z", "{today}T00:02:03.999Z"),
        ("{today}T00:02:03.120Z", "{today}T00:02:03.120Z"),
    ],
)
def test_times_are_stored_as_utc_with_milliseconds(fresh: Running, sent: str, stored: str) -> None:
    """Any ISO 8601 time is taken; without an offset it is UTC."""
    today = moment()[:10]
    when = sent.format(today=today)
    assert fresh.collector.post("/v1/events", json=event(request={"time": when})).status_code == 201
    assert fresh.events()[0]["request"]["time"] == stored.format(today=today)


def test_the_duration_is_the_response_time_less_the_request_time(fresh: Running) -> None:
    """In whole milliseconds, in the document and in the row."""
    base = moment(5)[:20]
    sent = event(request={"time": f"{base}100Z"}, response={"time": f"{base}142Z"})
    fresh.collector.post("/v1/events", json=sent)
    assert fresh.events()[0]["duration_ms"] == 42


@pytest.mark.parametrize(
    ("uri", "route"),
    [
        ("https://h/a/b?c=/d", "/a/b"),
        ("https://h", "/"),
        ("https://h?x=1", "/"),
        ("/a/b#c?d", "/a/b"),
        ("http://h:80/%2Fa/", "/%2Fa/"),
    ],
)
def test_the_route_is_the_path_when_none_was_sent(fresh: Running, uri: str, route: str) -> None:
    """The path as on the wire, without query and fragment; first the template that the middleware noted in metadata."""
    fresh.collector.post("/v1/events", json=event(request={"uri": uri}))
    fresh.collector.post("/v1/events", json=event(request={"uri": uri, "route": "/sent/{id}"}))
    fresh.collector.post("/v1/events", json=event(request={"uri": uri}, metadata={"route": "/noted/{id}"}))
    fresh.collector.post("/v1/events", json=event(request={"uri": uri}, metadata={"route": 5}))
    routes = [found["request"]["route"] for found in fresh.events()]
    assert routes == [route, "/sent/{id}", "/noted/{id}", route]


def test_batches_of_any_shape_are_deduplicated(fresh: Running) -> None:
    """The reference's example: A, B, then C, then A, C, D leave A, B, C, D."""
    answers = [
        fresh.collector.post("/v1/events/batch", json=[event(transaction_id=key) for key in keys]).json()
        for keys in (["A", "B"], ["C"], ["A", "C", "D"], ["E", "E"])
    ]
    assert answers == [
        {"stored": 2, "duplicates": 0},
        {"stored": 1, "duplicates": 0},
        {"stored": 1, "duplicates": 2},
        {"stored": 1, "duplicates": 1},
    ]
    assert [found["transaction_id"] for found in fresh.events()] == ["A", "B", "C", "D", "E"]


def test_applications_do_not_share_events(fresh: Running) -> None:
    """One transaction id in two applications is two events."""
    fresh.collector.post("/v1/events", json=event(transaction_id="A"))
    fresh.anonymous.post("/v1/events", json=event(transaction_id="A"), headers={"X-Moesif-Application-Id": "app-499"})
    assert [len(fresh.events(app)) for app in (fresh.app, "app-499")] == [1, 1]


def test_an_event_without_an_id_gets_one(fresh: Running) -> None:
    """Two equal events without ids are two events."""
    fresh.collector.post("/v1/events/batch", json=[event(), event()])
    first, second = (UUID(found["transaction_id"]) for found in fresh.events())
    assert first != second


def test_an_empty_batch_is_nothing(fresh: Running) -> None:
    """It is answered as any other."""
    assert fresh.collector.post("/v1/events/batch", json=[]).json() == {"stored": 0, "duplicates": 0}


def _brotli(data: bytes) -> bytes:
    compressed: bytes = brotli.compress(data, quality=1)
    return compressed


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", _brotli), ("zstd", _zstd)],
)
def test_compressed_batches_are_taken(fresh: Running, coding: str, compress: Callable[[bytes], bytes]) -> None:
    """gzip, deflate, br and zstd; a body that decodes to over the limit is 413 and a broken one 400."""
    body = compress(json.dumps([event(), event()]).encode())
    bomb = compress(b'[{"request": "' + b"0" * (51 * 1024 * 1024) + b'"}]')
    answers = [
        fresh.collector.post("/v1/events/batch", content=content, headers={"Content-Encoding": coding})
        for content in (body, bomb, body[: len(body) // 2], b"not compressed")
    ]
    assert [answer.status_code for answer in answers] == [201, 413, 400, 400]
    assert len(fresh.events()) == 2


def test_a_body_of_too_many_parts_is_refused(fresh: Running) -> None:
    """Fifty megabytes of empty objects would take a gigabyte as objects."""
    body = gzip.compress(b"[" + b"{}," * 3_000_000 + b"{}]", 1)
    answer = fresh.collector.post("/v1/events/batch", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("seconds_ago", "status", "late"),
    [(60, 201, None), (6 * 60, 201, True), (29.9 * 86400, 201, True), (30.1 * 86400, 400, None), (-3600, 201, None)],
)
def test_old_events_are_late_and_very_old_ones_rejected(
    fresh: Running, seconds_ago: float, status: int, late: bool | None
) -> None:
    """Over five minutes is late, over thirty days is a 400 that names the field; nothing of its batch is stored."""
    old = event(request={"time": moment(seconds_ago)})
    answer = fresh.collector.post("/v1/events/batch", json=[event(), old])
    assert answer.status_code == status
    if status == 400:
        assert answer.json() == {"error": "[1].request.time: is over 30 days in the past"}
        assert fresh.events() == []
    else:
        assert fresh.events()[1].get("late") is late


def test_a_large_body_is_cut_to_base64(fresh: Running) -> None:
    """What is over 450 KB of a body is cut: its beginning stays as base64, with the original size in metadata."""
    text = "x" * 700_000
    fresh.collector.post("/v1/events", json=event(response={"body": {"text": text}}))
    stored = fresh.events()[0]
    kept = base64.b64decode(stored["response"]["body"])
    assert kept == json.dumps({"text": text}, separators=(",", ":")).encode()[: 450 * 1024]
    assert stored["response"]["transfer_encoding"] == "base64"
    assert stored["metadata"] == {"response_body_truncated": 700_011}


def test_a_body_of_the_limit_is_kept(fresh: Running) -> None:
    """A client that cuts at 450 KB first loses nothing more."""
    data = bytes(450 * 1024)
    encoded = {"body": base64.b64encode(data).decode(), "transfer_encoding": "base64"}
    assert fresh.collector.post("/v1/events", json=event(request=encoded, response=encoded)).status_code == 201
    assert fresh.events()[0]["request"]["body"] == encoded["body"]


def test_an_event_too_large_beside_its_bodies_is_refused(fresh: Running) -> None:
    """Nothing can be cut of headers and metadata; in a batch the answer names the one."""
    large = event(metadata={"text": "x" * 1_200_000})
    answer = fresh.collector.post("/v1/events/batch", json=[event(), large])
    assert (answer.status_code, answer.json()) == (413, {"error": "[1]: has over 1048576 bytes beside its bodies"})


@pytest.mark.parametrize("body", [None, 0, False, "", [], [1, {"a": None}], {"a": {"b": "é\u0000"}}, 1e300])
def test_any_json_value_is_a_body(fresh: Running, body: object) -> None:
    """Also null, which is a body when the transfer encoding says so."""
    sent = event(response={"transfer_encoding": "json"})
    sent["response"]["body"] = body
    assert fresh.collector.post("/v1/events", json=sent).status_code == 201
    assert fresh.events()[0]["response"]["body"] == body


def test_actions_are_stored_as_user_actions(fresh: Running) -> None:
    """The server sets the time and the address; actions are deduplicated as events are."""
    sent = action(user_id="u1", transaction_id="A", metadata={"plan": "pro"})
    assert fresh.collector.post("/v1/actions", json=sent).status_code == 201
    assert fresh.collector.post("/v1/actions/batch", json=[sent, action()]).json() == {"stored": 1, "duplicates": 1}
    first = fresh.events()[0]
    assert (first["action_name"], first["event_type"], first["weight"]) == ("Signed Up", "user_action", 1)
    assert first["request"]["time"][:10] == moment()[:10]
    assert first["request"]["ip_address"] == "127.0.0.1"


def test_a_batch_of_actions_has_a_limit_of_its_own(fresh: Running) -> None:
    """Over 12 MB is 413, and the answer arrives though the body was not taken."""
    large = json.dumps([action(metadata={"text": "x" * (13 * 1024 * 1024)})]).encode()
    assert fresh.collector.post("/v1/actions/batch", content=large).status_code == 413


def test_the_secure_proxy_s_prefix_is_served(fresh: Running) -> None:
    """``/collector/v1`` is the same API."""
    assert fresh.collector.post("/collector/v1/events", json=event()).status_code == 201
    assert fresh.collector.get("/collector/v1/config").status_code == 200


def test_no_other_client_waits_for_what_a_few_bytes_decode_to(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decoded and parsed by a thread; what is small both ways is prepared on the event loop."""
    prepare, on_the_loop = events._prepare, []

    def watched(*arguments: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_the_loop.append(False)
        else:
            on_the_loop.append(True)
        return prepare(*arguments)

    monkeypatch.setattr(events, "_prepare", watched)
    large = json.dumps([event(metadata={"text": "x" * 900_000}) for _ in range(3)]).encode()
    for raw, coding in (
        (json.dumps([event()]).encode(), ""),
        (gzip.compress(json.dumps([event()]).encode()), "gzip"),
        (brotli.compress(large, quality=4), "br"),
        (large[: 64 * 1024 + 1], ""),
        (gzip.compress(large)[:-9], "gzip"),
        (b"junk", "gzip"),
    ):
        running.collector.post("/v1/events/batch", content=raw, headers={"Content-Encoding": coding} if coding else {})
    assert on_the_loop == [True, True, False, False, False, False]
    assert len(running.events()) == 5
