"""The ASGI middleware: what passes is untouched, what is recorded is right."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from moesif_middleware import Hooks, Moesif, add_metadata, identify, skip
from moesif_middleware.asgi import MoesifMiddleware
from moesif_middleware.runtime.sinks import MemorySink
from moesif_middleware.testing import Recorder, recording

Messages = list[dict[str, Any]]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records."""
    with recording() as made:
        yield made


async def drive(app: Any, incoming: Messages, **scope: Any) -> Messages:
    """Run an application over given messages and return what it sent."""
    sent: Messages = []
    queue = list(incoming)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.sleep(0)
            return {"type": "http.disconnect"}
        return queue.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    base = {
        "type": "http", "method": "POST", "path": "/things", "raw_path": b"/things", "query_string": b"a=1",
        "scheme": "https", "headers": [(b"host", b"api.example.com"), (b"content-type", b"application/json")],
        "client": ("10.1.2.3", 5000), "server": ("127.0.0.1", 80), "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    await app({**base, **scope}, receive, send)
    return sent


def answers(
    chunks: list[bytes], status: int = 200, headers: Any = ((b"content-type", b"application/json"),)
) -> Callable[..., Any]:
    """Make an application that reads its body and answers these chunks."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


BODY: Messages = [
    {"type": "http.request", "body": b'{"question": ', "more_body": True},
    {"type": "http.request", "body": b'"why"}', "more_body": False},
]


async def test_messages_pass_as_they_are_apart_from_the_transaction_header(recorder: Recorder) -> None:
    """Bytes, chunk boundaries and order are the application's."""
    app = answers([b'{"an', b'swer": 1}'])
    bare = await drive(app, BODY)
    seen = await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    assert seen[1:] == bare[1:]
    extra = [pair for pair in seen[0]["headers"] if pair not in bare[0]["headers"]]
    assert [name for name, _ in extra] == [b"x-moesif-transaction-id"]


async def test_the_event_is_what_happened(recorder: Recorder) -> None:
    """Fields, address, joined headers, bodies, ids."""
    headers = ((b"Content-Type", b"application/json"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2"))
    sent = await drive(
        MoesifMiddleware(answers([b'{"answer": [1, 2]}'], 201, headers), recorder.moesif),
        BODY,
        headers=[
            (b"host", b"api.example.com"), (b"content-type", b"application/json"), (b"x-forwarded-for", b"1.2.3.4"),
            (b"accept", b"a/b"), (b"accept", b"c/d"), (b"authorization", b"Basic YW5uOnNlY3JldA=="),
        ],
    )  # fmt: skip
    (event,) = recorder.events
    request, response = event["request"], event["response"]
    assert request["uri"] == "https://api.example.com/things?a=1"
    assert request["verb"] == "POST"
    assert request["ip_address"] == "1.2.3.4"
    assert request["headers"]["accept"] == "a/b, c/d"
    assert (request["body"], request["transfer_encoding"]) == ({"question": "why"}, "json")
    assert response["status"] == 201
    assert (response["body"], response["transfer_encoding"]) == ({"answer": [1, 2]}, "json")
    assert response["headers"]["set-cookie"].count("=") == 2
    assert (event["user_id"], event["direction"], event["weight"]) == ("ann", "Incoming", 1)
    assert len(event["transaction_id"]) == 36
    assert request["time"] <= response["time"]
    header = dict(sent[0]["headers"])[b"x-moesif-transaction-id"].decode()
    assert header == request["headers"]["x-moesif-transaction-id"] == response["headers"]["x-moesif-transaction-id"]
    assert header != event["transaction_id"]


async def test_a_transaction_header_of_the_request_is_kept_when_it_is_sane(recorder: Recorder) -> None:
    """Callers correlate by it; what could break a header is replaced."""
    app = MoesifMiddleware(answers([]), recorder.moesif)
    for given, kept in ((b"abc-123", True), (b"a b", False), (b"x" * 500, False), (b"\r\nSet-Cookie: x", False)):
        sent = await drive(app, BODY, headers=[(b"x-moesif-transaction-id", given)])
        assert (dict(sent[0]["headers"])[b"x-moesif-transaction-id"] == given) is kept


async def test_an_exception_passes_through_and_is_recorded(recorder: Recorder) -> None:
    """Before the response starts it is a 500 with the type of the exception; after it, the status that was sent."""

    async def before(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("a message that may hold a secret")

    async def after(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    for app in (before, after):
        with pytest.raises(ZeroDivisionError):
            await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    one, two = recorder.events
    assert one["response"]["status"] == 500
    assert two["response"]["status"] == 200
    assert "ZeroDivisionError" in str(one["metadata"])
    assert "ZeroDivisionError" in str(two["metadata"])
    assert "secret" not in str(one)


async def cancelled(moesif: Moesif, first: Callable[..., Any] | None = None) -> None:
    """Cancel a request while its application waits for something, after ``first`` has answered it if that is given."""
    waits = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if first is not None:
            await first(scope, receive, send)
        waits.set()
        await asyncio.sleep(30)

    task = asyncio.create_task(drive(MoesifMiddleware(app, moesif), BODY))
    await asyncio.wait_for(waits.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_request_has_no_response_and_is_recorded(recorder: Recorder) -> None:
    """The client has gone: the reference allows an event without a response."""
    await cancelled(recorder.moesif)
    (event,) = recorder.events
    assert "response" not in event


async def test_a_task_that_is_cancelled_after_the_last_byte_is_one_event(recorder: Recorder) -> None:
    """What runs after the response may be cancelled when the server stops; the event is there already."""
    await cancelled(recorder.moesif, answers([b"1"]))
    assert len(recorder.events) == 1
    assert recorder.moesif.stats()["captured"] == 1


async def test_other_scopes_are_untouched(recorder: Recorder) -> None:
    """Websockets and the lifespan get the very objects, and make no event."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    middleware = MoesifMiddleware(app, recorder.moesif)
    scope = {"type": "websocket"}
    await middleware(scope, 1, 2)  # type: ignore[arg-type]
    assert seen == [(scope, 1, 2)]
    assert recorder.events == []


async def test_the_lifespan_starts_the_feed_and_flushes_before_the_end(recorder: Recorder) -> None:
    """The server is told of the end only when the events are out."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    middleware = MoesifMiddleware(app, recorder.moesif)
    await drive(MoesifMiddleware(answers([]), recorder.moesif), BODY)

    async def send(message: Any) -> None:
        order.append(f"{message['type']} {recorder.moesif.stats()['delivered']}")

    await middleware({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    assert order == ["lifespan.startup.complete 0", "lifespan.shutdown.complete 1"]


async def test_what_an_application_raises_at_a_lifespan_is_the_servers(recorder: Recorder) -> None:
    """It may be a start that fails, such as that of Starlette's middleware, and no missing lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("cannot start")

    with pytest.raises(RuntimeError, match="cannot start"):
        await drive(MoesifMiddleware(app, recorder.moesif), [{"type": "lifespan.startup"}], type="lifespan")


async def test_an_application_that_fails_at_its_start_fails(recorder: Recorder) -> None:
    """It has a lifespan, and what is wrong is for the server to know."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError("no database")

    with pytest.raises(ValueError, match="no database"):
        await drive(MoesifMiddleware(app, recorder.moesif), [{"type": "lifespan.startup"}], type="lifespan")


class Sluggish(MemorySink):
    """Takes its time, counted by a clock that nobody stops."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, batch: Any, timeout: float) -> Any:
        threading.Event().wait(self._seconds)
        return super().send(batch, timeout)


@pytest.mark.parametrize(("seconds", "timeout", "delivered"), [(0.1, 20.0, 1), (2.0, 0.2, 0)])
def test_the_lifespan_ends_where_a_test_has_frozen_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, timeout: float, delivered: int
) -> None:
    """As freezegun and time-machine do it: no timer of the event loop rings, and no deadline by that clock passes."""
    moesif = Moesif(sink=Sluggish(seconds), application_id="frozen", strict=True, shutdown_timeout=timeout)
    at_the_end: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Any) -> None:
        at_the_end.append(moesif.stats()["delivered"])

    async def run() -> None:
        await drive(MoesifMiddleware(answers([]), moesif), BODY)
        monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
        await MoesifMiddleware(app, moesif)({"type": "lifespan"}, None, send)  # type: ignore[arg-type]

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    thread.join(30.0)
    monkeypatch.undo()
    assert at_the_end == [delivered]
    moesif.close(10.0)


async def test_headers_may_be_a_one_shot_iterator_or_absent(recorder: Recorder) -> None:
    """Read once; the application gets what was read."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(list(scope.get("headers", ())))
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"x-one", b"1")])})
        await send({"type": "http.response.body"})

    pairs = [(b"host", b"h")]
    sent = await drive(MoesifMiddleware(app, recorder.moesif), BODY, headers=iter(pairs))
    assert got == [pairs]
    assert (b"x-one", b"1") in sent[0]["headers"]
    assert recorder.events[0]["response"]["headers"]["x-one"] == "1"


async def test_whatever_can_be_read_once_only_is_read_once(recorder: Recorder) -> None:
    """ASGI asks for iterables of iterables; the application gets what was read, in this case by Falcon's own tests."""
    got: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.update({key: list(scope[key]) for key in ("client", "server", "headers")})
        await send({"type": "http.response.start", "status": 200, "headers": iter([iter((b"x-one", b"1"))])})
        await send({"type": "http.response.body"})

    once = {"client": iter(("10.9.8.7", 1)), "server": iter(("h", 81)), "headers": iter([iter((b"x-a", b"b"))])}
    sent = await drive(MoesifMiddleware(app, recorder.moesif), BODY, **once)
    assert got == {"client": ["10.9.8.7", 1], "server": ["h", 81], "headers": [(b"x-a", b"b")]}
    assert (b"x-one", b"1") in sent[0]["headers"]
    (event,) = recorder.events
    assert event["request"]["headers"]["x-a"] == "b"
    assert event["request"]["ip_address"] == "10.9.8.7"
    assert event["request"]["uri"].startswith("https://h:81/")
    assert event["response"]["headers"]["x-one"] == "1"


@pytest.mark.parametrize("query", [b"a=1", "a=1"])
async def test_the_query_may_be_text_as_django_reads_it(recorder: Recorder, query: bytes | str) -> None:
    """An event is built of what Django's own tests put into a scope."""
    await drive(MoesifMiddleware(answers([b"{}"]), recorder.moesif), [{"type": "http.request"}], query_string=query)
    (event,) = recorder.events
    assert event["request"]["uri"].endswith("/things?a=1")


async def test_unknown_messages_are_forwarded_as_the_same_objects(recorder: Recorder) -> None:
    """Trailers, early hints, push: none of our business."""
    strange = {"type": "http.response.early_hint", "links": [b"x"]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(strange)
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})

    sent = await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    assert sent[0] is strange
    assert [message["type"][14:] for message in sent] == ["early_hint", "start", "body", "trailers"]
    assert len(recorder.events) == 1


async def test_mutable_chunks_are_copied(recorder: Recorder) -> None:
    """A server or application may reuse its buffer."""
    buffer = bytearray(b'{"a": 1}')

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": memoryview(buffer), "more_body": True})
        buffer[:] = b"XXXXXXXX"
        await send({"type": "http.response.body", "body": b""})

    await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    assert recorder.events[0]["response"]["body"] == {"a": 1}


async def test_the_event_is_there_before_background_tasks_end(recorder: Recorder) -> None:
    """What runs after the last byte is not counted as latency."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answers([b"1"])(scope, receive, send)
        await asyncio.sleep(0.2)

    await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    (event,) = recorder.events
    assert event["request"]["time"][:-5] <= event["response"]["time"]
    from datetime import datetime

    took = datetime.fromisoformat(event["response"]["time"]) - datetime.fromisoformat(event["request"]["time"])
    assert took.total_seconds() < 0.15


async def test_what_runs_inside_a_request_can_say_about_it(recorder: Recorder) -> None:
    """identify, add_metadata and skip, from anywhere below; outside a request they say False."""
    assert (identify(user_id="x"), add_metadata(a=1), skip()) == (False, False, False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert identify(user_id=7, company_id="acme", session_token="t")
        assert add_metadata({"a": 1}, b=2)
        if scope["path"] == "/skipped":
            assert skip()
        await answers([b"1"])(scope, receive, send)

    middleware = MoesifMiddleware(app, recorder.moesif)
    await drive(middleware, BODY)
    await drive(middleware, BODY, path="/skipped", raw_path=b"/skipped")
    (event,) = recorder.events
    assert (event["user_id"], event["company_id"]) == ("7", "acme")
    assert event["metadata"]["a"] == 1
    assert event["metadata"]["b"] == 2
    assert recorder.moesif.stats()["skipped"] == 1


HOOKS: dict[str, Any] = {
    "identify_user": lambda request: request.headers["x-user"],
    "identify_company": lambda request: 42,
    "get_session_token": lambda request: "token",
    "get_metadata": lambda request, response: {"status": response.status_code, "path": request.url.path},
    "skip": lambda request, response: response.headers.get("X-Skip") == "1",
}


def as_async(hook: Any) -> Any:
    """Return the hook as a coroutine function."""

    async def run(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        return hook(*arguments)

    return run


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_hooks_see_what_their_users_know(kind: str) -> None:
    """Starlette's Request, a response with status, headers and body; ids become strings."""
    hooks = {name: as_async(hook) if kind == "async" else hook for name, hook in HOOKS.items()}
    with recording(hooks=Hooks(**hooks)) as recorder:
        for headers in ([(b"x-skip", b"0")], [(b"x-skip", b"1")]):
            app = MoesifMiddleware(answers([b"{}"], headers=headers), recorder.moesif)
            await drive(app, BODY, headers=[(b"x-user", b"u-1"), (b"host", b"h")])
        (event,) = recorder.events
        assert (event["user_id"], event["company_id"]) == ("u-1", "42")
        assert event["metadata"]["status"] == 200
        assert event["metadata"]["path"] == "/things"
        assert recorder.moesif.stats()["skipped"] == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_mask_event_gets_the_finished_event_with_the_response_body(kind: str) -> None:
    """It may assign into it, or return another; what it wrote is what leaves."""

    def mask(event: Any) -> Any:
        event.response.body["answer"] = "hidden"
        event.request.headers["x-masked"] = "yes"
        return event

    with recording(hooks=Hooks(mask_event=as_async(mask) if kind == "async" else mask)) as recorder:
        await drive(MoesifMiddleware(answers([b'{"answer": 42}']), recorder.moesif), BODY)
        (event,) = recorder.events
        assert event["response"]["body"] == {"answer": "hidden"}
        assert event["request"]["headers"]["x-masked"] == "yes"


async def test_the_text_of_a_contained_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It may quote the very value that the mask was to take out."""

    def mask(event: Any) -> None:
        raise ValueError(f"cannot mask {event.response.body}")

    with recording(hooks=Hooks(mask_event=mask)) as recorder:
        await drive(MoesifMiddleware(answers([b'{"note": "canary-7f3a"}']), recorder.moesif), BODY)
        assert recorder.events == []
    assert "ValueError" in caplog.text
    assert "canary-7f3a" not in caplog.text


async def test_skipped_paths_make_no_event_and_cost_no_copy(recorder: Recorder) -> None:
    """Health checks and static files, by default."""
    middleware = MoesifMiddleware(answers([b"1"]), recorder.moesif)
    for path in ("/health", "/static/app.css", "/a/b.js", "/healthy"):
        await drive(middleware, BODY, path=path, raw_path=path.encode())
    assert [event["request"]["uri"] for event in recorder.events] == ["https://api.example.com/healthy?a=1"]
    assert recorder.moesif.stats()["skipped"] == 3


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"capture_body": False}, (False, False)),
        ({"body_bytes": 0}, (False, False)),
        ({"capture_statuses": ["5xx"]}, (False, False)),
        ({"capture_statuses": ["2xx", "404"]}, (True, True)),
        ({"capture_content_types": ["text/*"]}, (False, False)),
        ({"capture_content_types": ["application/json"]}, (True, True)),
    ],
)
async def test_bodies_are_kept_by_policy(settings: dict[str, Any], kept: tuple[bool, bool]) -> None:
    """By switch, by status and by media type."""
    with recording(**settings) as recorder:
        await drive(MoesifMiddleware(answers([b'{"a": 1}']), recorder.moesif), BODY)
        (event,) = recorder.events
        assert ("body" in event["request"], "body" in event["response"]) == kept


async def test_a_rate_of_zero_captures_nothing(recorder: Recorder) -> None:
    """When the rate is known to be 0 before the application runs, it gets the server's own receive and send."""
    recorder.use(config=b'{"sample_rate": 0}')
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(send)
        await answers([b"1"])(scope, receive, send)

    await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    assert "MoesifMiddleware" not in repr(got[0])
    assert "_Call" not in repr(got[0])
    assert recorder.events == []
    assert recorder.moesif.stats()["sampled_out"] == 1


async def test_sampled_events_carry_their_weight(recorder: Recorder) -> None:
    """About one in four, each standing for four."""
    recorder.use(config=b'{"sample_rate": 25}')
    recorder.moesif._draw.seed(7)
    middleware = MoesifMiddleware(answers([b"1"]), recorder.moesif)
    for _ in range(200):
        await drive(middleware, BODY)
    assert 25 <= len(recorder.events) <= 80
    assert {event["weight"] for event in recorder.events} == {4}
    assert recorder.moesif.stats()["sampled_out"] == 200 - len(recorder.events)


@pytest.mark.parametrize("fault", ["scope", "headers"])
async def test_an_error_of_ours_does_not_keep_the_request_from_the_application(recorder: Recorder, fault: str) -> None:
    """The middleware fails open, and counts."""
    ran: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(True)

    broken = {"scope": {"client": 5}, "headers": {"headers": 5}}[fault]
    await drive(MoesifMiddleware(app, recorder.moesif), BODY, **broken)
    assert ran == [True]
    assert recorder.moesif.stats()["errors"] == {"begin": 1}


@pytest.mark.parametrize("message", [{"status": 200, "headers": [(1, 2, 3)]}, {"headers": []}])
async def test_a_message_that_makes_no_sense_is_forwarded_as_it_is(recorder: Recorder, message: Any) -> None:
    """It is the server's to refuse."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", **message})
        await send({"type": "http.response.body", "body": "text"})

    sent = await drive(MoesifMiddleware(app, recorder.moesif), BODY)
    assert sent == [{"type": "http.response.start", **message}, {"type": "http.response.body", "body": "text"}]
    assert recorder.moesif.stats()["errors"] == {"response": 1}


async def test_what_comes_after_the_answer_is_not_the_events(recorder: Recorder) -> None:
    """A second response, and a body that is read too late, would change an event that is on its way, and its cost."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for status in (201, 500):
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"%d" % status})
        assert (await receive())["body"] == b"late"

    incoming = [{"type": "http.request", "body": b"late", "more_body": False}]
    sent = await drive(MoesifMiddleware(app, recorder.moesif), incoming)
    assert [message.get("status") for message in sent] == [201, None, 500, None]
    (event,) = recorder.events
    assert (event["response"]["status"], event["response"]["body"]) == (201, 201)
    assert "body" not in event["request"]


async def test_the_applications_own_transaction_id_is_replaced_in_any_case(recorder: Recorder) -> None:
    """Servers send header names as they are given, so that two of them would go out."""
    middleware = MoesifMiddleware(answers([b"{}"], headers=[(b"X-Moesif-Transaction-Id", b"own")]), recorder.moesif)
    sent = await drive(middleware, [{"type": "http.request"}])
    names = [name.lower() for name, _ in sent[0]["headers"]]
    assert names.count(b"x-moesif-transaction-id") == 1
    assert (b"X-Moesif-Transaction-Id", b"own") not in sent[0]["headers"]


@pytest.mark.parametrize(("left", "status"), [(True, None), (False, 500)])
async def test_what_is_raised_at_a_client_that_has_gone_is_no_answer(
    recorder: Recorder, left: bool, status: int | None
) -> None:
    """Frameworks raise when an upload breaks off; nobody is answered 500 then, and no error rate counts it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ConnectionError

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ConnectionError

    incoming = [{"type": "http.request", "body": b'{"part', "more_body": True}]
    with pytest.raises(ConnectionError):
        await drive(MoesifMiddleware(app if left else reading, recorder.moesif), incoming)
    (event,) = recorder.events
    assert event.get("response", {}).get("status") == status
    assert event["metadata"]["exception"] == "ConnectionError"


async def test_a_client_that_leaves_after_the_answer_has_begun_was_answered(recorder: Recorder) -> None:
    """The status that was sent stands."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 206, "headers": []})
        await receive()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await drive(MoesifMiddleware(app, recorder.moesif), [])
    assert recorder.events[0]["response"]["status"] == 206


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ([(bytearray(b"x-a"), memoryview(b"1"))], {"x-a": "1"}),
        ([(b"x-a", 1)], {}),
        ([(b"x-a", None)], {}),
    ],
)
async def test_odd_headers_reach_the_server_and_do_not_fail_in_a_hook(headers: Any, seen: dict[str, str]) -> None:
    """The application goes on, the event is counted, and the hook gets what can be read."""
    got: list[dict[str, str]] = []
    done: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answers([b"x"], headers=headers)(scope, receive, send)
        done.append(True)

    def skip_none(request: Any, response: Any) -> bool:
        got.append(dict(response.headers))
        return False

    with recording(skip=skip_none, transaction_header=False) as recorder:
        sent = await drive(MoesifMiddleware(app, recorder.moesif), [{"type": "http.request"}])
        assert sent[0]["headers"] == headers
        assert (got, done) == ([seen], [True])
        counts = recorder.moesif.stats()
        assert counts["captured"] == 1
