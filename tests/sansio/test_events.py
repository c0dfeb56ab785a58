"""Events: what an exchange becomes, and that it always fits and reads."""

import dataclasses
import datetime
import enum
import itertools
import json
from pathlib import Path
from typing import Any

import jiter
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.models import Event, EventRequest, EventResponse
from moesif_middleware.sansio import events, fitting
from moesif_middleware.sansio.bodies import Body
from moesif_middleware.sansio.exchange import BodyBuffer, EnvironHead, Exchange, ScopeHead, target_head
from scripts import fuzz_bodies


def exchange(
    *,
    verb: str = "post",
    query: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Host", b"api.example"),),
    request: bytes | None = None,
    response: bytes | None = None,
    status: int | None = 200,
    limit: int = 100_000,
) -> Exchange:
    scope = {"method": verb, "path": "/items", "query_string": query, "client": ("192.0.2.7", 4242)}
    made = Exchange(ScopeHead(scope, list(headers)), 1700000000.1234)
    made.ended, made.status = 1700000000.9996, status
    for name, data in (("request_body", request), ("response_body", response)):
        if data is not None:
            buffer = BodyBuffer(limit)
            buffer.feed(data)
            setattr(made, name, buffer)
    return made


def wire(made: Exchange, **options: Any) -> dict[str, Any]:
    built = events.build(made, events.BuildOptions(**options), transaction_id="t-1")
    return read(events.encode(events.finish(built)))


def read(encoded: bytes) -> dict[str, Any]:
    """Read an event with three parsers, which must agree that it is JSON of less than 1 MB with bounded bodies."""
    assert len(encoded) <= 1_000_000
    found = json.loads(encoded, parse_constant=pytest.fail)
    orjson.loads(encoded)
    jiter.from_json(encoded, allow_inf_nan=False, catch_duplicate_keys=True)
    return found


def test_an_exchange_becomes_an_event():
    made = exchange(query=b"a=1", request=b'{"b": 1.10}', response=b"hello")
    made.response_headers = [(b"Set-Cookie", b"a=1"), ("set-cookie", "b=2"), (b"X", b"\xff")]
    made.user_id, made.company_id, made.session_token = "u", "c", "s"
    made.weight, made.metadata, made.route, made.transaction_header = 4, {"plan": "pro"}, "/items", "h-1"
    assert wire(made, api_version="v2") == {
        "request": {
            "time": "2023-11-14T22:13:20.123Z",
            "uri": "http://api.example/items?a=1",
            "verb": "POST",
            "headers": {"host": "api.example", "x-moesif-transaction-id": "h-1"},
            "ip_address": "192.0.2.7",
            "api_version": "v2",
            "body": {"b": 1.1},
            "transfer_encoding": "json",
        },
        "response": {
            "time": "2023-11-14T22:13:21.000Z",
            "status": 200,
            "headers": {"set-cookie": "a=1, b=2", "x": "\u00ff", "x-moesif-transaction-id": "h-1"},
            "body": "aGVsbG8=",
            "transfer_encoding": "base64",
        },
        "user_id": "u",
        "company_id": "c",
        "session_token": "s",
        "transaction_id": "t-1",
        "direction": "Incoming",
        "weight": 4,
        "metadata": {"route": "/items", "plan": "pro"},
    }


def test_json_that_nothing_changed_leaves_as_it_passed():
    made = exchange(request=b'{ "price": 1.10, "n": 123456789012345678901234567890 }')
    encoded = events.encode(events.finish(events.build(made)))
    assert b'{ "price": 1.10, "n": 123456789012345678901234567890 }' in encoded


def test_an_application_that_raised_before_its_response_answers_500():
    made = exchange(status=None)
    made.error = "KeyError"
    found = wire(made)
    assert found["response"]["status"] == 500
    assert found["metadata"] == {"exception": "KeyError"}


def test_a_response_that_never_started_is_left_out():
    assert "response" not in wire(exchange(status=None))


@pytest.mark.parametrize(("verb", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_that_has_no_body_on_the_wire_has_none_in_the_event(verb, status):
    assert "body" not in wire(exchange(verb=verb, status=status, response=b"ignored"))["response"]


def test_null_is_a_body():
    assert wire(exchange(request=b"null"))["request"] | {"body": 0} == wire(exchange(request=b"0"))["request"]


def test_a_cut_body_is_noted_with_its_original_size():
    found = wire(exchange(request=b"[1,2,3,4]", response=b"x" * 900, limit=6))
    assert found["request"]["body"] == [1, 2]
    assert found["metadata"] == {"request_body_truncated": 9, "response_body_truncated": 900}


@pytest.mark.parametrize(
    ("query", "notes"),
    [
        (b"query=query+Ships%20%7Bships%7D", {"name": "Ships", "type": "query"}),
        (b"a=1&operationName=Two&query=query+One{a}query+Two{b}", {"name": "Two", "type": "query"}),
        (b"query={ships}", {"type": "query"}),
        (b"operationName=Ships&extensions=%7B%22persistedQuery%22%3A1%7D", {"name": "Ships"}),
        (b"query=query+letters", {}),
        (b"query=words&page={2}", {}),
        (b"jquery={a}", {}),
    ],
)
def test_a_graphql_operation_in_the_query_string_is_named(query, notes):
    found = wire(exchange(query=query))
    assert found.get("metadata", {}) == {f"graphql_operation_{key}": value for key, value in notes.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"name=J\xc3\xbcrgen&x=%C3%BC", "name=J%C3%BCrgen&x=%C3%BC"),
        (b"a=\xff", "a=%FF"),
        (b"a=%zz&b=[1]&c='\"`{}|^", "a=%zz&b=[1]&c='\"`{}|^"),
    ],
)
def test_raw_bytes_in_a_query_string_are_percent_encoded(query, expected):
    """A URI is ASCII; what the client spelt so stays as it was spelt."""
    for head in (
        ScopeHead({"method": "GET", "path": "/", "query_string": query}, []),
        EnvironHead({"QUERY_STRING": query.decode("latin-1"), "PATH_INFO": "/"}),
    ):
        assert head.uri == f"http://localhost/?{expected}"


def test_raw_bytes_in_a_path_are_percent_encoded():
    head = ScopeHead({"method": "GET", "path": "/Jürgen", "raw_path": "/Jürgen".encode()}, [])
    assert head.uri == "http://localhost/J%C3%BCrgen"


@pytest.mark.parametrize("path", ["/caf\ufffd", b"/caf\xe9".decode("utf-8", "surrogateescape")])
def test_a_path_that_is_no_utf_8_stays_as_it_stood_on_the_wire(path):
    """However the server shows it to the application."""
    assert ScopeHead({"path": path, "raw_path": b"/caf%E9"}, []).uri == "http://localhost/caf%E9"


@pytest.mark.parametrize("path", ["/http://other/health", "/a://b/c", "//other/x"])
def test_a_path_that_looks_like_a_uri_is_a_path(path):
    """It must not pass for another one, that is skipped or that no rule is about."""
    for head in (
        target_head("GET", f"{path}?a=1".encode(), "http", None, []),
        EnvironHead({"PATH_INFO": path, "RAW_URI": f"{path}?a=1", "QUERY_STRING": "a=1"}),
    ):
        assert (head.path, head.uri) == (path, f"http://localhost{path}?a=1")


@pytest.mark.parametrize("head", [ScopeHead({"path": "*", "raw_path": b"*"}, []), EnvironHead({"PATH_INFO": "*"})])
def test_a_request_for_the_server_itself_has_a_uri_without_a_path(head):
    assert head.uri == "http://localhost"


def test_the_first_500_query_parameters_are_kept():
    query = "&".join(f"p{number}={number}" for number in range(501))
    found = wire(exchange(query=query.encode()))
    assert found["request"]["uri"].endswith("p499=499")
    assert found["metadata"] == {"query_parameters_truncated": 501}
    assert "metadata" not in wire(exchange(query=query.rpartition("&")[0].encode()))


def test_the_client_address_is_asked_for():
    assert wire(exchange(), client_address=lambda head: f"via {head.peer}")["request"]["ip_address"] == "via 192.0.2.7"


@pytest.mark.parametrize(
    ("scope", "headers"),
    [
        ({"path": "/caf\udce9"}, []),
        ({"path": "/\ud800"}, []),
        ({"path": "/\x00\r\n"}, []),
        ({"path": "/\u20ac", "raw_path": b"/\xe2\x82\xac"}, []),
        ({"path": "/", "query_string": b"a=\xff\x00&&=&;"}, []),
        ({"path": "/"}, [(b"Host", b"\xff"), (b"x-\xe9", b"\xe9\x00")]),
        ({"path": "/"}, [(b"cookie", b'a=1; b="x; y"'), (b"cookie", b"c=\xff"), (b"content-length", b"-5")]),
        ({"path": "/"}, [(b"content-encoding", b"\xff, ,gzip"), (b"content-type", b"\x00; charset")]),
        ({"path": "/", "scheme": "", "client": None, "server": ("::1", 8000)}, []),
    ],
)
def test_odd_heads_become_events(scope, headers):
    made = Exchange(ScopeHead({"method": "GET", **scope}, headers), 1.0)
    made.ended, made.status, made.response_headers = 2.0, 200, [(b"\xff", b"\xff"), ("\ud800", "\udcff"), ("n", 1)]
    made.request_body = BodyBuffer(10)
    made.request_body.feed(b"{}")
    found = wire(made)
    assert found["request"]["uri"].startswith("http://")
    assert "body" in found["request"]


def cycle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


def doubled(times: int) -> Any:
    made: Any = ()
    for _ in range(times):
        made = (made, made)
    return made


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


@dataclasses.dataclass
class Point:
    x: int = 1


class Color(enum.Enum):
    RED = 1


class Unruly(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no")

    def values(self) -> Any:
        raise RuntimeError("no")


STRANGE = [
    float("nan"),
    float("inf"),
    "\ud800",
    {"\ud800": 1},
    2**64,
    2**5000,
    10**5000,
    -(2**70),
    object(),
    Rude(),
    Point(),
    b"\xff\x00",
    {1: 2, None: 3, (1, 2): 4, False: 5, 1.5: 6},
    {1, 2},
    cycle(),
    nested(70),
    nested(220),
    nested(5000),
    doubled(40),
    1j,
    type,
    10**400,
    Color.RED,
    datetime.datetime(2024, 2, 6, tzinfo=datetime.UTC),
    datetime.date(2024, 2, 6),
    {"when": datetime.date(2024, 2, 6), "color": Color.RED, "big": 2**64},
    Unruly(),
    range(10**12),
    "x" * 2_000_000,
    ["\x01" * 1000] * 1000,
    {str(number): "y" * 100 for number in range(20_000)},
]


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "place", ["metadata", "metadata value", "body", "header", "user_id", "time", "uri", "status", "tags"]
)
def test_whatever_a_hook_puts_in_the_event_is_json_that_fits(place, value):
    event = events.finish(events.build(exchange(request=b"{}", response=b"{}")), parsed=True)
    assert event.response is not None
    match place:
        case "metadata":
            event.metadata = value
        case "metadata value":
            event.metadata = {"k": value}
        case "body":
            event.request.body = event.response.body = value
        case "header":
            event.request.headers = event.response.headers = {"h": value}
        case "user_id":
            event.user_id = value
        case "time":
            event.request.time = value
        case "uri":
            event.request.uri = value
        case "status":
            event.response.status = value
        case "tags":
            event.tags = [value]
    found = read(events.encode(event))
    for side in ("request", "response"):
        body = json.dumps(found[side].get("body"), ensure_ascii=False, separators=(",", ":"))
        assert len(body.encode()) <= 460_800


@pytest.mark.parametrize(
    "request_",
    [
        None,
        "text",
        {f"k{number}": "v" * 2000 for number in range(2000)},
        {f"k{number}": number for number in range(200_000)},
        ["x"] * 300_000,
        {"time": 1, "body": "x" * 900_000, "transfer_encoding": "json"},
    ],
)
def test_what_is_no_request_any_more_is_json_that_fits(request_):
    event = events.finish(events.build(exchange(response=b"{}")), parsed=True)
    event.request = request_
    event.tags = ["t" * 900] * 900
    assert read(events.encode(event))["response"]["body"] == {}


def test_a_text_that_no_parser_takes_is_cut_to_null():
    assert fitting.cut_body(b"[" * 200 + b"1" * 500_000, False, 460_800) == b"null"


def test_what_is_trimmed_is_named_and_the_notes_stay():
    made = exchange(headers=((b"host", b"h"), (b"x-long", b"y" * 700_000)), request=b"[1,2,3,4", limit=6)
    made.metadata = {"mine": "z" * 400_000, "short": 1}
    found = wire(made)
    assert found["request"]["headers"]["host"] == "h"
    assert found["metadata"].pop("mine") == "z" * (16_384 // 4 // 6)
    assert found["metadata"] == {
        "trimmed": ["request.headers", "metadata"],
        "request_body_truncated": 8,
        "short": 1,
    }


def test_parsed_bodies_are_values_for_a_hook():
    event = events.finish(events.build(exchange(request=b'{"a":1}', response=b"text")), parsed=True)
    assert event.request.body == {"a": 1}
    assert event.response is not None
    assert event.response.body == "dGV4dA=="


@pytest.mark.parametrize(
    ("body", "encoding"),
    [("dGV4dA==", "base64"), ("removed", "json"), ({"removed": True}, "json"), (None, "json"), (b"x", "json")],
)
def test_a_body_that_a_hook_put_in_says_what_it_is(body, encoding):
    event = events.finish(events.build(exchange(request=b"some text")), parsed=True)
    event.request.body = body
    found = read(events.encode(event))["request"]
    assert found["transfer_encoding"] == encoding
    assert found["body"] == (body.decode() if isinstance(body, bytes) else body)


@pytest.mark.parametrize(
    "body",
    [
        Body("json", ["x" * 100] * 9000),
        Body("json", {"k": "x" * 900_000}),
        Body("json", "x" * 900_000),
        Body("json", [1e15] * 200_000),
        Body("base64", "QUJD" * 300_000),
        Body("json", 0, raw=b"[" + b"1e15," * 92_000 + b"0]"),
    ],
    ids=["strings", "one string", "scalar", "floats", "base64", "raw"],
)
@pytest.mark.parametrize("parsed", [True, False])
def test_bodies_are_cut_so_that_the_event_fits(body, parsed):
    made = Event(
        EventRequest(1.0, "/", "GET", {"h": "v" * 80_000}, body=body),
        EventResponse(1.0, 200, {}, body=body),
        metadata={"mine": 1},
    )
    encoded = events.encode(events.finish(made, parsed=parsed))
    found = read(encoded)
    assert found["metadata"]["mine"] == 1
    if len(body.encoded()) > 460_800:
        assert found["metadata"]["request_body_truncated"] == found["metadata"]["response_body_truncated"] > 460_800
        assert type(found["request"]["body"]) is type(body.value)


CORPUS = sorted((Path(__file__).parent.parent / "corpus" / "bodies").iterdir())


def test_the_fuzzer_s_corpus_becomes_events_that_fit_and_read():
    assert CORPUS
    for path in CORPUS:
        fuzz_bodies.check(path.read_bytes())


@given(
    st.binary(max_size=400),
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(0, 500),
    st.sampled_from(fuzz_bodies.CONTENT_TYPES),
    st.sampled_from([coding for coding, _ in fuzz_bodies.CODINGS]),
)
def test_whatever_bytes_pass_in_any_chunking_the_event_is_json_that_fits(data, sizes, limit, content_type, coding):
    headers = ((b"content-type", content_type), (b"content-encoding", coding))
    made = exchange(headers=headers)
    made.response_headers = headers
    made.request_body = made.response_body = BodyBuffer(limit)
    rest = data
    for size in itertools.cycle(sizes):
        made.request_body.feed(rest[:size])
        rest = rest[size:]
        if not rest:
            break
    found = wire(made)
    assert ("body" in found["request"]) == bool(data)
    if len(data) > limit:
        assert found["metadata"]["request_body_truncated"] == len(data)
