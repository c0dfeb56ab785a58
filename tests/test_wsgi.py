"""The WSGI middleware: what passes is untouched, what is recorded is right."""

from __future__ import annotations

import io
import sys
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from moesif_middleware import Hooks, Moesif, identify
from moesif_middleware.testing import Recorder, recording
from moesif_middleware.wsgi import MoesifMiddleware


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records."""
    with recording() as made:
        yield made


class Answer:
    """What a server saw."""

    status = ""
    headers: list[tuple[str, str]]
    written: list[bytes]

    def __init__(self) -> None:
        self.headers, self.written = [], []

    def start_response(self, status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], object]:
        """Note the answer."""
        self.status, self.headers = status, list(headers)
        return self.written.append


def environ(body: bytes = b"", **extra: Any) -> dict[str, Any]:
    """Return an environ for a POST to https://api.example.com/things?a=1."""
    found: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/things", "QUERY_STRING": "a=1", "HTTP_HOST": "api.example.com",
        "wsgi.url_scheme": "https", "wsgi.input": io.BytesIO(body), "REMOTE_ADDR": "10.1.2.3", "SCRIPT_NAME": "",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    setup_testing_defaults(found)
    return {**found, **extra}


def call(app: Any, body: bytes = b'{"question": "why"}', **extra: Any) -> tuple[Answer, Any]:
    """Run one request as a server does, and return what it saw and the object that the application returned."""
    answer = Answer()
    result = app(environ(body, **extra), answer.start_response)
    try:
        answer.written += list(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return answer, result


def answers(result: Any, status: str = "200 OK", read: bool = True) -> Callable[..., Any]:
    """Make an application that reads its body and returns ``result`` (or what it makes, when it is a function)."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if read:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return result() if callable(result) else result

    return app


def test_the_event_is_what_happened(recorder: Recorder) -> None:
    """Fields, address, joined headers, bodies, ids."""
    app = MoesifMiddleware(answers([b'{"answer"', b": 42}"], "201 Created"), recorder.moesif)
    answer, _ = call(app, HTTP_AUTHORIZATION="Basic YW5uOnNlY3JldA==", SCRIPT_NAME="/mounted", HTTP_X_REAL_IP="1.2.3.4")
    (event,) = recorder.events
    request, response = event["request"], event["response"]
    assert request["uri"] == "https://api.example.com/mounted/things?a=1"
    assert (request["verb"], request["ip_address"]) == ("POST", "1.2.3.4")
    assert request["headers"]["content-type"] == "application/json"
    assert (request["body"], request["transfer_encoding"]) == ({"question": "why"}, "json")
    assert (response["status"], response["body"]) == (201, {"answer": 42})
    assert response["headers"]["set-cookie"].count("=") == 2
    assert (event["user_id"], event["direction"], event["weight"]) == ("ann", "Incoming", 1)
    header = dict(answer.headers)["X-Moesif-Transaction-Id"]
    assert header == request["headers"]["x-moesif-transaction-id"] == response["headers"]["x-moesif-transaction-id"]


@pytest.mark.parametrize("result", [[b"one", b"two"], (b"one", b"two"), []])
def test_a_list_or_tuple_is_returned_as_the_object_that_it_was(recorder: Recorder, result: Any) -> None:
    """Servers infer Content-Length from it and write once."""
    _, returned = call(MoesifMiddleware(answers(result), recorder.moesif))
    assert returned is result
    assert len(recorder.events) == 1


@pytest.mark.parametrize("kind", ["class", "function"])
def test_a_file_wrapper_is_returned_untouched(recorder: Recorder, kind: str) -> None:
    """Servers keep sendfile; the event has no body, since nobody read it here."""
    made: list[Any] = []

    def make(*arguments: Any) -> Any:
        made.append(FileWrapper(*arguments))
        return made[-1]

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "image/png")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 100))

    wrapper = FileWrapper if kind == "class" else make
    answer, returned = call(MoesifMiddleware(app, recorder.moesif), **{"wsgi.file_wrapper": wrapper})
    assert type(returned) is FileWrapper
    assert answer.written == [b"x" * 100]
    assert "body" not in recorder.events[0]["response"]


class Closing:
    """An iterable that knows its length and whether it was closed."""

    closed = False

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def test_an_iterable_keeps_its_length_its_chunks_and_its_close(recorder: Recorder) -> None:
    """``__len__`` is there exactly when it was there."""
    inner = Closing([b"one", b"two"])
    answer, returned = call(MoesifMiddleware(answers(inner), recorder.moesif))
    assert (answer.written, len(returned), inner.closed) == ([b"one", b"two"], 2, True)
    _, returned = call(MoesifMiddleware(answers(lambda: iter([b"x"])), recorder.moesif))
    assert not hasattr(returned, "__len__")
    assert len(recorder.events) == 2


def test_what_is_no_bytes_is_the_servers_to_refuse(recorder: Recorder) -> None:
    """Whatever an iterable yields is handed on, and does not end the stream."""
    passed = [b'"one', None, "two", b"", b'three"']
    answer, _ = call(MoesifMiddleware(answers(lambda: iter(passed)), recorder.moesif))  # type: ignore[arg-type]
    assert answer.written == passed
    assert recorder.events[0]["response"]["body"] == "onethree"


def test_what_is_written_goes_to_the_servers_own_and_is_captured(recorder: Recorder) -> None:
    """PEP 3333's old way out comes before what is returned, on the wire and in the event."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b'{"written": ')
        write(b"1, ")
        return [b'"returned": 2}']

    answer, _ = call(MoesifMiddleware(app, recorder.moesif))
    assert answer.written == [b'{"written": ', b"1, ", b'"returned": 2}']
    assert recorder.events[0]["response"]["body"] == {"written": 1, "returned": 2}


def test_a_second_status_that_comes_too_late_is_not_the_events(recorder: Recorder) -> None:
    """A server that has sent its headers raises the error; its client saw the first status."""

    class Sent(Answer):
        def start_response(self, status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], object]:
            if exc_info:
                raise exc_info[0][1]
            return super().start_response(status, headers)

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"part"
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    answer = Sent()
    result = iter(MoesifMiddleware(app, recorder.moesif)(environ(), answer.start_response))
    assert next(result) == b"part"
    with pytest.raises(ValueError):
        next(result)
    (event,) = recorder.events
    assert event["response"]["status"] == 200
    assert event["response"]["headers"]["content-type"] == "text/plain"
    assert b64decode(event["response"]["body"]) == b"part"
    assert event["metadata"]["exception"] == "ValueError"


@pytest.mark.parametrize("scope", [None, {}, {"type": "http"}])
def test_a_bridge_may_leave_any_scope_or_none(recorder: Recorder, scope: Any) -> None:
    """What another program puts into the environ must not end the request."""
    call(MoesifMiddleware(answers([b"ok"]), recorder.moesif), **{"asgi.scope": scope})
    assert len(recorder.events) == 1


def test_exc_info_is_passed_only_when_it_was_given(recorder: Recorder) -> None:
    """A server may take two arguments only, or tell a missing third from None."""
    seen: list[int] = []

    def start_response(*arguments: Any) -> Any:
        seen.append(len(arguments))
        return lambda data: None

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        start("500 Oops", [], (None, None, None))
        return []

    MoesifMiddleware(app, recorder.moesif)(environ(), start_response)
    assert seen == [2, 3]
    assert recorder.events[0]["response"]["status"] == 500


@pytest.mark.parametrize("where", ["call", "iteration", "close"])
def test_an_exception_passes_through_and_is_recorded(recorder: Recorder, where: str) -> None:
    """Wherever the application raises, the server sees it, and the event says what it was."""

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            if where == "iteration":
                raise ZeroDivisionError

        def close(self) -> None:
            if where == "close":
                raise ZeroDivisionError

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if where == "call":
            raise ZeroDivisionError
        start_response("200 OK", [])
        return Result()

    with pytest.raises(ZeroDivisionError):
        call(MoesifMiddleware(app, recorder.moesif))
    (event,) = recorder.events
    assert event["response"]["status"] == (500 if where == "call" else 200)
    assert where == "close" or "ZeroDivisionError" in str(event["metadata"])


READS: dict[str, Callable[[Any], bytes]] = {
    "read()": lambda stream: stream.read(),
    "read(n)": lambda stream: b"".join(iter(lambda: stream.read(7), b"")),
    "read(all)": lambda stream: stream.read(67),
    "readline()": lambda stream: b"".join(iter(stream.readline, b"")),
    "readline(n)": lambda stream: b"".join(iter(lambda: stream.readline(5), b"")),
    "readlines()": lambda stream: b"".join(stream.readlines()),
    "readlines(hint)": lambda stream: b"".join(line for _ in range(9) for line in stream.readlines(10)),
    "iteration": lambda stream: b"".join(stream),
    # Beyond PEP 3333: Werkzeug's way, where the server's stream has it.
    "readinto()": lambda stream: _by_readinto(stream),
    "read1()": lambda stream: b"".join(iter(lambda: stream.read1(7), b"")),
}


def _by_readinto(stream: Any) -> bytes:
    found, buffer = b"", bytearray(7)
    while size := stream.readinto(buffer):
        found += buffer[:size]
    return found


RULES_THAT_READ_THE_BODY = b"""[{"_id": "r", "type": "regex", "block": false, "response": {"headers": {"X-Rule": "1"}},
  "regex_config": [{"conditions": [{"path": "request.body.kind", "value": "never"}]}]}]"""


class Pipe(io.BytesIO):
    """A body as servers hand it over: one that cannot go back."""

    def seekable(self) -> bool:
        """Say so."""
        return False


@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
@pytest.mark.parametrize("limit", [None, 20, 100_000])
@pytest.mark.parametrize("how", READS)
def test_the_application_reads_every_byte_however_it_reads(how: str, limit: int | None, stream: Any) -> None:
    """The four methods of PEP 3333, also after a rule had the body, or the first 20 bytes of it, read ahead."""
    body = b'{"kind": "x",\n' + b'"text": "' + b"y" * 40 + b'"\n}\n'
    seen: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(READS[how](environ["wsgi.input"]))
        start_response("200 OK", [])
        return []

    with recording(body_bytes=limit or 100_000) as recorder:
        if limit:
            recorder.use(rules=RULES_THAT_READ_THE_BODY)
        call(MoesifMiddleware(app, recorder.moesif), body, **{"wsgi.input": stream(body)})
        assert seen == [body]
        (event,) = recorder.events
        assert event.get("metadata", {}).get("request_body_truncated") == (len(body) if limit == 20 else None)
        assert limit == 20 or event["request"]["body"]["kind"] == "x"


@pytest.mark.parametrize("rules", [b"[]", RULES_THAT_READ_THE_BODY])
def test_a_stream_that_cannot_say_where_it_stands_is_read_forwards(recorder: Recorder, rules: bytes) -> None:
    """Whatever it raises when it is asked."""

    class Odd(io.BytesIO):
        def seekable(self) -> bool:
            raise RuntimeError

    recorder.use(rules=rules)
    answer, _ = call(MoesifMiddleware(answers([b"1"]), recorder.moesif), b"{}", **{"wsgi.input": Odd(b"{}")})
    assert answer.written == [b"1"]
    assert [event["request"]["body"] for event in recorder.events] == [{}]


@pytest.mark.parametrize("length", ["\xb2", "1" * 5_000, "-1", "five"])
def test_a_content_length_that_is_no_number_is_the_applications_to_refuse(recorder: Recorder, length: str) -> None:
    """Also where a rule reads the body."""
    recorder.use(rules=RULES_THAT_READ_THE_BODY)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert environ["CONTENT_LENGTH"] == length
        start_response("400 Bad Request", [])
        return []

    call(MoesifMiddleware(app, recorder.moesif), **{"CONTENT_LENGTH": length, "wsgi.input": Pipe(b"{}")})
    assert [event["response"]["status"] for event in recorder.events] == [400]


def test_what_is_read_again_is_no_news(recorder: Recorder) -> None:
    """Django seeks in bodies that can, and some applications read theirs twice: the event has it once."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        stream = environ["wsgi.input"]
        first = stream.read(5)
        stream.seek(0)
        assert stream.read()[:5] == first
        start_response("200 OK", [])
        return []

    call(MoesifMiddleware(app, recorder.moesif), b'{"once": true}')
    assert recorder.events[0]["request"]["body"] == {"once": True}


@pytest.mark.parametrize("size", [50, 99_999, 100_000, 100_001, 300_000])
def test_reading_ahead_stops_at_the_capture_limit(recorder: Recorder, size: int) -> None:
    """A body larger than the limit is not read whole before the application, which still gets all of it."""
    recorder.use(rules=RULES_THAT_READ_THE_BODY)
    body, positions, seen = b"z" * size, [], []
    stream = Pipe(body)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        positions.append(stream.tell())
        seen.append(b"".join(iter(lambda: environ["wsgi.input"].read(8_192), b"")))
        start_response("200 OK", [])
        return []

    call(MoesifMiddleware(app, recorder.moesif), body, **{"wsgi.input": stream})
    assert positions == [min(size, 100_000)]
    assert seen == [body]


class Asked(io.BytesIO):
    """A stream that keeps what it was asked."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.asked: list[Any] = []

    def read(self, *size: Any) -> bytes:
        self.asked.append(("read", *size))
        return super().read(*size)

    def readline(self, *size: Any) -> bytes:
        self.asked.append(("readline", *size))
        return super().readline(*size)


def test_a_stream_is_asked_as_the_application_asks_it(recorder: Recorder) -> None:
    """Servers' streams differ in what they take: wsgiref.validate's refuses read() and takes read(-1)."""
    asks = [("read", 2), ("readline",), ("readline", 3), ("readline", -1), ("read", -1), ("read", None), ("read",)]
    stream = Asked(b"first line\nsecond line\nthird")
    got: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.extend(getattr(environ["wsgi.input"], name)(*size) for name, *size in asks)
        start_response("200 OK", [])
        return []

    call(MoesifMiddleware(app, recorder.moesif), stream.getvalue(), **{"wsgi.input": stream})
    assert stream.asked == asks
    assert got == [b"fi", b"rst line\n", b"sec", b"ond line\n", b"third", b"", b""]
    assert b64decode(recorder.events[0]["request"]["body"]) == stream.getvalue()


@pytest.mark.parametrize("size", [3, -1])
def test_both_sides_satisfy_the_validator(recorder: Recorder, size: int) -> None:
    """wsgiref.validate around and below the middleware, for each kind of result."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(size)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one", b"two"])

    checked = validator(MoesifMiddleware(validator(app), recorder.moesif))
    found = environ(b"body", HTTP_X_ONE="1")
    del found["CONTENT_TYPE"]
    found["wsgi.input"], found["wsgi.errors"] = io.BytesIO(b"body"), io.StringIO()
    answer = Answer()
    result = checked(found, answer.start_response)
    assert b"".join(result) == b"onetwo"
    result.close()  # type: ignore[attr-defined]
    assert len(recorder.events) == 1


def test_generators_run_in_their_request(recorder: Recorder) -> None:
    """What a stream says with identify() while the server walks through it belongs to its request."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        assert identify(user_id="from-the-stream")
        yield b"x"

    call(MoesifMiddleware(app, recorder.moesif))
    assert not identify(user_id="outside")
    assert recorder.events[0]["user_id"] == "from-the-stream"


async def _identify_later(request: Any) -> str:
    return f"async-{request.headers['X-User']}"


def test_hooks_may_be_async_and_see_what_their_users_know() -> None:
    """Werkzeug's Request, without touching the body; an async hook gets a loop of its own."""
    hooks = Hooks(
        identify_user=_identify_later,
        get_metadata=lambda request, response: {"path": request.path, "type": response.headers["content-type"]},
        skip=lambda request, response: response.status_code == 404,
    )
    with recording(hooks=hooks) as recorder:
        call(MoesifMiddleware(answers([b"1"]), recorder.moesif), HTTP_X_USER="u")
        call(MoesifMiddleware(answers([b"1"], "404 Not Found"), recorder.moesif), HTTP_X_USER="u")
        (event,) = recorder.events
    assert event["user_id"] == "async-u"
    assert event["metadata"]["path"] == "/things"
    assert event["metadata"]["type"] == "application/json"


def test_environ_without_optional_keys_is_enough(recorder: Recorder) -> None:
    """Test clients leave REMOTE_ADDR and more out."""
    bare = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/x", "SERVER_NAME": "h", "SERVER_PORT": "8080",
        "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    answer = Answer()
    MoesifMiddleware(answers([b"1"]), recorder.moesif)(bare, answer.start_response)
    assert recorder.events[0]["request"]["uri"] == "http://h:8080/x"


def test_a_path_that_is_not_utf_8_is_as_on_the_wire(recorder: Recorder) -> None:
    """PEP 3333 wraps bytes in Latin-1; the URI has them percent-encoded."""
    call(MoesifMiddleware(answers([b"1"]), recorder.moesif), PATH_INFO="/caf\xc3\xa9/\xff")
    assert recorder.events[0]["request"]["uri"] == "https://api.example.com/caf%C3%A9/%FF?a=1"


def test_disabled_is_the_bare_application() -> None:
    """Off means off."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(start_response)
        return []

    answer = Answer()
    start = answer.start_response
    MoesifMiddleware(app, Moesif(enabled=False))(environ(), start)
    assert seen == [start]


@pytest.mark.parametrize(
    "extra",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"wsgi.input_terminated": True},
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        {"CONTENT_LENGTH": "12"},
    ],
)
def test_a_body_is_seen_however_its_length_is_told(recorder: Recorder, extra: dict[str, Any]) -> None:
    """gunicorn names the coding of a chunked one, uWSGI and Werkzeug say that the input ends by itself."""
    stream = io.BytesIO(b'{"some": 1}\n')

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    answer, _ = call(MoesifMiddleware(app, recorder.moesif), **{"wsgi.input": stream, "CONTENT_LENGTH": "", **extra})
    assert answer.written == [b'{"some": 1}\n']
    assert recorder.events[0]["request"]["body"] == {"some": 1}
