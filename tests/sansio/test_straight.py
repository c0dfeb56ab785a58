"""The straight way to the bytes of an event: the same bytes as by way of the event, for whatever passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.sansio import events, straight
from moesif_middleware.sansio.events import BuildOptions
from moesif_middleware.sansio.exchange import BodyBuffer, EnvironHead, Exchange, RequestHead, ScopeHead, UrlHead
from moesif_middleware.sansio.masking import Masker, compile_masking

SECRETS = (
    "Bearer abcdefghijklmnop1234", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2huIn0.abcDEF123", "4111 1111 1111 1111",
    "password=hunter2", "https://u:p@host/x?token=1", "sk_live_abcdef123456", "token%3Dabc",
)  # fmt: skip
PLAIN = (
    "application/json", "*/*", "", "a=b; c=d", "öä€", "text/html; charset=utf-8", "https://x/y?a=1&b=2", 'a"b\\c\td',
    "text/event-stream", "gzip", "application/x-www-form-urlencoded", "4fa9b2c7", "10.0.0.1",
)  # fmt: skip
NAMES = (
    "host", "accept", "content-type", "content-type", "content-encoding", "x-request-id", "referer", "location",
    "cookie", "set-cookie", "authorization", "X-Api-Key", "X-Thing", "x-forwarded-for", "x-moesif-transaction-id",
)  # fmt: skip
BODIES = (
    b"", b"{}", b'{"name": "a", "n": [1, 2.5, null]}', b'{"password": "x"}', b'{"a": 1, "a": 2, "e": 1e400}', b"text",
    b'{"query": "mutation Login { login }"}', b"a=1&pin=1234", b"data: 1\n\n", b"\x1f\x8b\x08\xff\xfe", b"[" * 70,
    b'"' + b"x" * 500_000 + b'"', b'{"cut": "' + b"y" * 900,
)  # fmt: skip
MASKERS = {
    "defaults": compile_masking(),
    "more names": compile_masking(extra_names=["route", "thing"], headers=["x-thing"], off=["card", "cookie"]),
    "paths": compile_masking(body_paths=["$.name"]),
    "values": compile_masking(values=["fa9"]),
    "query": compile_masking(query=["page"]),
}
"""Each is used for all examples, so that what it remembers of one is there for the next."""
TRANSACTION = "00000000-0000-4000-8000-000000000000"

texts = st.sampled_from(PLAIN + SECRETS) | st.text(max_size=8)
pairs = st.lists(st.tuples(st.sampled_from(NAMES), texts), max_size=6)


def raw(found: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("utf-8", "replace")) for name, value in found]


def scope_head(headers: list[tuple[str, str]], path: str, query: str, verb: str) -> RequestHead:
    scope = {"method": verb, "path": f"/{path}", "query_string": query.encode("latin-1", "replace")}
    return ScopeHead({**scope, "client": ("192.0.2.7", 4242)}, raw(headers))


def environ_head(headers: list[tuple[str, str]], path: str, query: str, verb: str) -> RequestHead:
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
    return EnvironHead({"REQUEST_METHOD": verb, "PATH_INFO": f"/{path}", "QUERY_STRING": query, **named})


def url_head(headers: list[tuple[str, str]], path: str, query: str, verb: str) -> RequestHead:
    del path
    return UrlHead(verb, f"https://api.example.com/x?{query}", raw(headers))


heads: st.SearchStrategy[RequestHead] = st.builds(
    lambda make, *parts: make(*parts),
    st.sampled_from((scope_head, environ_head, url_head)),
    pairs,
    st.sampled_from(("", "items/1", "a b", "ü", "p%41", "x;token=1")),
    st.sampled_from(("", "page=1", "q=a%20b+c", "token=abc", "query={me}", "&".join(["a=1"] * 501))),
    st.sampled_from(("get", "POST", "HEAD")),
)


def buffer(data: bytes, limit: int) -> BodyBuffer:
    found = BodyBuffer(limit)
    found.feed(data)
    return found


buffers = st.none() | st.builds(buffer, st.sampled_from(BODIES), st.sampled_from((800, 100_000, 600_000)))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    made = Exchange(draw(heads), draw(st.sampled_from((1700000000.0, 1700000000.99961))))
    made.ended = draw(st.none() | st.just(1700000001.5))
    made.status = draw(st.sampled_from((200, 200, 201, 204, 304, 500, None)))
    found = draw(pairs)
    made.response_headers = raw(found) if draw(st.booleans()) else found
    made.request_body, made.response_body = draw(buffers), draw(buffers)
    made.route = draw(st.sampled_from((None, "/items/{id}", "/ü", "/password=1", "")))
    made.transaction_header = draw(st.sampled_from((None, "4fa9b2c7", "sk_live_abcdef123456")))
    made.weight = draw(st.sampled_from((None, 1, 20)))
    for name, values in (
        ("user_id", ("u1", 5, object())), ("company_id", ("c1",)), ("blocked_by", ("rule",)), ("error", ("E", "")),
        ("session_token", ("plain", "", SECRETS[0])), ("shadow", ({"status": 403},)), ("direction", ("Outgoing",)),
        ("metadata", ({}, {"a": 1}, {"pin": 2}, [1], {"route": "pin=1234"})),
    ):  # fmt: skip
        if draw(st.integers(0, 9)) == 0:
            setattr(made, name, draw(st.sampled_from(values)))
    return made


def by_way_of_the_event(made: Exchange, options: BuildOptions, masker: Masker) -> bytes:
    event = events.build(made, options, transaction_id=TRANSACTION)
    return events.encode(events.finish(masker.event(event)), own=True)


@pytest.mark.parametrize("name", MASKERS)
@given(made=exchanges(), version=st.sampled_from((None, "v1")), limit=st.sampled_from((500, 600_000)))
def test_both_ways_end_in_the_same_bytes(name: str, made: Exchange, version: str | None, limit: int):
    options = BuildOptions(api_version=version, body_bytes=limit)
    encoded = straight.encode(made, options, MASKERS[name], TRANSACTION)
    assert encoded is None or encoded == by_way_of_the_event(made, options, MASKERS[name])


def ordinary(**attributes: Any) -> Exchange:
    headers = [("host", "api.example.com"), ("authorization", "Bearer secret-of-mine"), ("cookie", "sid=1")]
    made = Exchange(scope_head(headers, "items/1", "page=2", "POST"), 1700000000.1)
    made.status, made.response_headers = 200, [(b"content-type", b"application/json"), (b"set-cookie", b"sid=2")]
    made.request_body, made.response_body = buffer(b'{"pin": "1234"}', 1000), buffer(b'{"a": 1}', 1000)
    made.route, made.transaction_header = "/items/{id}", "4fa9b2c7"
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "said",
    [
        {}, {"metadata": {"team": "a", "pin": "1234"}}, {"metadata": {"route": "pin=1234"}, "route": None},
        {"session_token": "Bearer secret-of-mine"},
        {"error": "ValueError"}, {"shadow": {"status": 403}, "blocked_by": "rule"}, {"route": "/pin=1234"},
        {"response_headers": [("x-thing", "token=secret-of-mine")]}, {"transaction_header": "sk_live_abcdef123456"},
        {"head": scope_head([("x-thing", "a")], "items/1", "token=secret-of-mine", "GET")},
    ],
)  # fmt: skip
def test_an_ordinary_exchange_goes_the_straight_way(said: dict[str, Any]):
    made, masker = ordinary(**said), compile_masking()
    encoded = straight.encode(made, BuildOptions(), masker, TRANSACTION)
    assert encoded is not None
    assert encoded == by_way_of_the_event(made, BuildOptions(), masker)
    for secret in (b"secret-of-mine", b"1234", b"sid=1", b"sid=2"):
        assert secret not in encoded


@pytest.mark.parametrize(
    "said", [{}, {"metadata": {"team": "a"}}, {"metadata": {"request_body_truncated": 7, "pin": "1234"}}]
)
def test_bodies_that_have_to_be_cut_are_masked_once(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    large, masked = b'{"pin": "1234", "x": "%b", "sid": "sid=1"}' % (b"x" * 470_000), []
    options, masker = BuildOptions(body_bytes=600_000), compile_masking()
    made = ordinary(request_body=buffer(large, 600_000), response_body=buffer(large, 600_000), **said)
    expected, mask = by_way_of_the_event(made, options, masker), Masker.body
    monkeypatch.setattr(Masker, "body", lambda *arguments: masked.append(arguments[1]) or mask(*arguments))
    assert straight.encode(made, options, masker, TRANSACTION) == expected
    assert len(masked) == 2
    assert b"1234" not in expected
    assert b'"response_body_truncated":' in expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"status": None}, {"status": None, "error": "ValueError"}, {"metadata": {"much": "x" * 1_000_000}},
        {"head": scope_head([], "items", "query={me}", "GET")},
        {"user_id": {1, 2}},
    ],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_does_not(attributes: dict[str, Any]):
    options = BuildOptions(body_bytes=600_000)
    assert straight.encode(ordinary(**attributes), options, compile_masking(), TRANSACTION) is None
