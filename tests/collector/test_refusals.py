"""The error table: each status, and the sentence that names what was wrong."""

from __future__ import annotations

import gzip
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from moesif_middleware.collector import payload

from .conftest import APP, KEY, Running, action, event


def _without(path: str, sent: dict[str, Any]) -> dict[str, Any]:
    *outer, last = path.split(".")
    holder = sent
    for name in outer:
        holder = holder[name]
    del holder[last]
    return sent


def _with(path: str, value: object) -> dict[str, Any]:
    *outer, last = path.split(".")
    sent = event()
    holder = sent
    for name in outer:
        holder = holder[name]
    holder[last] = value
    return sent


BAD_EVENTS = [
    ([], "body: must be an object"),
    (5, "body: must be an object"),
    ("text", "body: must be an object"),
    *[
        (_without(path, event()), f"{path}: is required")
        for path in (
            "request",
            "request.time",
            "request.uri",
            "request.verb",
            "request.headers",
            "response.time",
            "response.status",
            "response.headers",
        )
    ],
    (_with("request.time", None), "request.time: is required"),
    (_with("request", [1]), "request: must be an object"),
    (_with("request.time", "yesterday"), "request.time: must be a time in ISO 8601"),
    (_with("request.time", 1700000000), "request.time: must be a time in ISO 8601"),
    (_with("response.time", "2024-13-01T00:00:00Z"), "response.time: must be a time in ISO 8601"),
    (_with("request.time", "2024-01-01T00:00:00Z"), "request.time: is over 30 days in the past"),
    (_with("request.time", "0001-01-01T00:00:00+14:00"), "request.time: must be a time from 1970 to 9999"),
    (_with("response.time", "9999-12-31T23:59:59-14:00"), "response.time: must be a time from 1970 to 9999"),
    (_with("request.uri", ""), "request.uri: must not be empty"),
    (_with("request.uri", 5), "request.uri: must be a string"),
    (_with("request.headers", ["a"]), "request.headers: must be an object of strings"),
    (_with("request.headers", {"A": ["b"]}), "request.headers.A: must be a string"),
    (_with("response.status", "200"), "response.status: must be an integer from 100 to 999"),
    (_with("response.status", True), "response.status: must be an integer from 100 to 999"),
    (_with("response.status", 99), "response.status: must be an integer from 100 to 999"),
    (_with("response.status", 200.5), "response.status: must be an integer from 100 to 999"),
    (_with("request.transfer_encoding", "chunked"), "request.transfer_encoding: must be one of json, base64"),
    (
        event(response={"transfer_encoding": "base64", "body": "not base64!"}),
        "response.body: must be base64, as transfer_encoding says",
    ),
    (event(request={"transfer_encoding": "base64", "body": {"a": 1}}), "request.body: must be a string"),
    (_with("user_id", 5), "user_id: must be a string"),
    (_with("company_id", ["c"]), "company_id: must be a string"),
    (_with("transaction_id", ""), "transaction_id: must not be empty"),
    (_with("transaction_id", "x" * 1025), "transaction_id: must have at most 1024 characters"),
    (_with("direction", "Sideways"), "direction: must be one of Incoming, Outgoing"),
    (_with("weight", 0), "weight: must be an integer from 1 to 1000000000"),
    (_with("weight", 2**63), "weight: must be an integer from 1 to 1000000000"),
    (_with("metadata", "text"), "metadata: must be an object"),
    (_with("tags", [1]), "tags[0]: must be a string"),
]


@pytest.mark.parametrize(("sent", "sentence"), BAD_EVENTS, ids=[sentence for _, sentence in BAD_EVENTS])
def test_a_bad_event_is_refused_with_the_field_s_path(shared: Running, sent: Any, sentence: str) -> None:
    """Alone by its path; in a batch with its place in front, and nothing of that batch is stored."""
    alone = shared.collector.post("/v1/events", json=sent)
    assert (alone.status_code, alone.json()["error"][: len(sentence)]) == (400, sentence)
    batch = shared.collector.post("/v1/events/batch", json=[event(), sent])
    sentence = "[1]: " + sentence.removeprefix("body: ") if sentence.startswith("body: ") else f"[1].{sentence}"
    assert (batch.status_code, batch.json()["error"][: len(sentence)]) == (400, sentence)
    assert shared.events() == []


@pytest.mark.parametrize(
    ("path", "sent", "sentence"),
    [
        ("actions", {"request": {"uri": "u"}}, "action_name: is required"),
        ("actions", action(request={}), "request.uri: is required"),
        ("actions", action(request={"uri": "u", "time": "x"}), "request.time: must be a time"),
        ("actions/batch", [action(), action(user_id=1)], "[1].user_id: must be a string"),
        ("actions/batch", {}, "body: must be an array"),
        ("events/batch", event(), "body: must be an array"),
        ("users", {"company_id": "c"}, "user_id: is required"),
        ("users", {"user_id": 1}, "user_id: must be a string"),
        ("users", {"user_id": "u", "campaign": {"utm_source": 1}}, "campaign.utm_source: must be a string"),
        ("users/batch", [{"user_id": "u"}, {"user_id": "u", "metadata": 1}], "[1].metadata: must be an object"),
        ("users/batch", {"user_id": "u"}, "body: must be an array"),
        ("companies", {}, "company_id: is required"),
        ("companies/batch", [{}], "[0].company_id: is required"),
        ("subscriptions", {"subscription_id": "s"}, "company_id: is required"),
        ("subscriptions", {"company_id": "c"}, "subscription_id: is required"),
        (
            "subscriptions",
            {"subscription_id": "s", "company_id": "c", "status": "dead"},
            "status: must be one of active, cancelled, paused, trialing, pending, draft, future",
        ),
        (
            "subscriptions/batch",
            [{"subscription_id": "s", "company_id": "c", "current_period_end": 1}],
            "[0].current_period_end: must be a time",
        ),
    ],
)
def test_other_bad_entities_are_refused_with_the_field_s_path(
    shared: Running, path: str, sent: Any, sentence: str
) -> None:
    """Every entity of the reference, alone and in a batch."""
    answer = shared.collector.post(f"/v1/{path}", json=sent)
    assert (answer.status_code, answer.json()["error"][: len(sentence)]) == (400, sentence)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b'"\\ud800"', b"[" * 5000])
def test_a_body_that_is_not_json_is_400(shared: Running, body: bytes) -> None:
    """Whatever the bytes are."""
    answer = shared.collector.post("/v1/events", content=body)
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]


def test_json_that_is_nested_too_deeply_to_store_is_400(shared: Running) -> None:
    """The parser takes it, the encoder does not."""
    body = b'{"a":' * 400 + b"1" + b"}" * 400
    deep = event()
    raw = shared.collector.build_request("POST", "/v1/events", json=deep).content[:-1] + b',"metadata":' + body + b"}"
    answer = shared.collector.post("/v1/events", content=raw)
    assert (answer.status_code, "cannot be stored as JSON" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "sentence"),
    [
        ("POST", "/v1/events", {"X-Moesif-Application-Id": "nobody"}, 401, "is not an application"),
        ("GET", "/v1/config", {"X-Moesif-Application-Id": ""}, 401, "is not an application"),
        ("GET", "/v1/nowhere", {}, 404, "Not Found"),
        ("GET", "/v1/config/", {}, 404, "Not Found"),
        ("GET", "/v1/../v1/config", {}, 200, ""),
        ("GET", "/v1/events", {}, 405, "Method Not Allowed"),
        ("DELETE", "/v1/users", {}, 405, "Method Not Allowed"),
        ("GET", "/v1/config", {"Accept": "text/html"}, 406, "application/json"),
        ("GET", "/v1/config", {"Accept": "application/json;q=0"}, 406, "application/json"),
        ("GET", "/v1/~/cohorts", {"Accept": "text/html"}, 406, "application/json"),
        ("GET", "/v1/config", {"Accept": "text/html, application/*;q=0.5"}, 200, ""),
        ("POST", "/v1/events", {"Content-Encoding": "rot13"}, 400, "rot13"),
        ("POST", "/v1/events", {"Content-Encoding": "gzip, gzip, gzip"}, 400, "content codings"),
    ],
)
def test_calls_are_refused_as_the_error_table_says(
    shared: Running, method: str, path: str, headers: dict[str, str], status: int, sentence: str
) -> None:
    """Each answer is ``{"error": sentence}``."""
    answer = shared.collector.request(method, path, headers=headers)
    assert answer.status_code == status
    if status >= 400:
        assert sentence in answer.json()["error"]
        assert list(answer.json()) == ["error"]


def test_a_missing_application_id_is_401(shared: Running) -> None:
    """On every call of the Collector API."""
    for path in ("events", "events/batch", "actions", "actions/batch", "users", "companies/batch", "subscriptions"):
        assert shared.anonymous.post(f"/v1/{path}", json=event()).status_code == 401
    for path in ("config", "rules"):
        assert shared.anonymous.get(f"/v1/{path}").status_code == 401


def test_a_batch_over_the_limit_is_413_by_its_announced_length(shared: Running) -> None:
    """The length alone refuses it; the answer comes after the body that was sent."""
    address = urlsplit(shared.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
        head = f"POST /v1/events/batch HTTP/1.1\r\nHost: {address.netloc}\r\nX-Moesif-Application-Id: app-one\r\n"
        connection.sendall(f"{head}Content-Length: {50 * 1024 * 1024 + 1}\r\n\r\n".encode())
        for _ in range(9):
            connection.sendall(b" " * 1024 * 1024)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_batch_of_events_may_have_fifty_megabytes(fresh: Running) -> None:
    """What the limit allows is taken."""
    large = event(metadata={"text": "x" * 1_000_000}, response=None)
    raw = gzip.compress(fresh.collector.build_request("POST", "/", json=[large] * 50).content, 1)
    answer = fresh.collector.post("/v1/events/batch", content=raw, headers={"Content-Encoding": "gzip"}, timeout=30)
    assert answer.json() == {"stored": 50, "duplicates": 0}


@pytest.mark.parametrize("path", ["/v1/events", "/v1/traces", "/v1/~/cohorts"])
def test_a_body_that_drips_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """408 within its time, and the connection ends: many that never end would keep others out."""
    monkeypatch.setattr(payload, "BODY_SECONDS", 0.5)
    address = urlsplit(running.url)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000\r\n"
    head += f"X-Moesif-Application-Id: {APP}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\r\n"
    received = b""
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=0.1) as connection:
        connection.sendall(head.encode())
        for _ in range(50):
            try:
                connection.sendall(b" ")
                piece = connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if not piece:
                break
            received += piece
        else:
            pytest.fail("the connection is still open")
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"the body took over 0.5 seconds"}' in received
