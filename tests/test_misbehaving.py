"""Hooks and requests that misbehave: the application and its client notice nothing, and the event is there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from moesif_middleware import Hooks, Moesif
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.testing import recording
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware
from tests import test_asgi as asgi
from tests import test_wsgi as wsgi
from tests.faults import FaultServer
from tests.processes import running, settings

Seen = tuple[Any, Any, Any]
"""Status, headers without ours, and body, as a client gets them."""

OURS = "x-moesif-transaction-id"


async def by_asgi(moesif: Moesif | None, headers: dict[str, str], answered: dict[str, str]) -> Seen:
    """Send one request to an ASGI application, bare without a handle."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    app = asgi.answers([b'{"a"', b": 1}"], headers=[(k.encode(), v.encode("latin-1")) for k, v in answered.items()])
    sent = await asgi.drive(AsgiMiddleware(app, moesif) if moesif else app, asgi.BODY, headers=raw)
    start, *rest = sent
    return (
        start["status"],
        [pair for pair in start["headers"] if pair[0].decode().lower() != OURS],
        [message["body"] for message in rest],
    )


async def by_wsgi(moesif: Moesif | None, headers: dict[str, str], answered: dict[str, str]) -> Seen:
    """Send one request to a WSGI application, bare without a handle."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", list(answered.items()))
        return [b'{"a"', b": 1}"]

    names = {name.upper().replace("-", "_"): value for name, value in headers.items()}
    extra = {name if name.startswith("CONTENT_") else f"HTTP_{name}": value for name, value in names.items()}
    answer, _ = wsgi.call(WsgiMiddleware(app, moesif) if moesif else app, **extra)
    return answer.status, [pair for pair in answer.headers if pair[0].lower() != OURS], answer.written


VIA: dict[str, Callable[..., Any]] = {"asgi": by_asgi, "wsgi": by_wsgi}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=VIA)
def via(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Each of the two interfaces."""
    return VIA[request.param]


WRONG: dict[str, tuple[Any, dict[str, int]]] = {
    "identify_user": ({"id": 1}, {}),
    "identify_company": (["acme"], {}),
    "get_session_token": (True, {}),
    "get_metadata": (["no", "mapping"], {"get_metadata": 1}),
    "skip": ("", {}),
    "mask_event": (5, {"mask_event": 1}),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_hook_that_returns_the_wrong_type_costs_what_it_would_say(via: Callable[..., Any], name: str) -> None:
    """What can be read as text is; what cannot is counted. An event whose mask failed does not leave."""
    value, errors = WRONG[name]
    with recording(hooks=Hooks(**{name: lambda *arguments: value})) as recorder:
        assert await via(recorder.moesif, JSON, JSON) == await via(None, JSON, JSON)
        assert len(recorder.events) == (0 if name == "mask_event" else 1)
        assert recorder.moesif.stats()["errors"] == errors


async def test_a_slow_mask_does_not_hold_up_the_request(via: Callable[..., Any]) -> None:
    """It runs on the delivery thread: the answer is there while the hook still waits."""
    answered = threading.Event()
    waited: list[bool] = []
    hook = Hooks(mask_event=lambda event: waited.append(answered.wait(30)))
    with recording(hooks=hook) as recorder:
        await via(recorder.moesif, JSON, JSON)
        answered.set()
        assert len(recorder.events) == 1
    assert waited == [True]


def _mutate_request(request: Any) -> str:
    for place in ("scope", "environ"):
        getattr(request, place, {})["path"] = "/elsewhere"
    return "u"


async def test_a_hook_that_changes_what_it_is_given_changes_no_answer(via: Callable[..., Any]) -> None:
    """The response that hooks see is a view."""

    def spoil(request: Any, response: Any) -> dict[str, Any]:
        response.status_code, response.body, response.headers = 500, b"spoiled", {}
        return {"seen": True}

    with recording(hooks=Hooks(identify_user=_mutate_request, get_metadata=spoil)) as recorder:
        assert await via(recorder.moesif, JSON, JSON) == await via(None, JSON, JSON)
        (event,) = recorder.events
    assert event["response"]["status"] == 200
    assert event["response"]["body"] == {"a": 1}
    assert event["metadata"]["seen"] is True


@pytest.mark.parametrize("name", ["identify_user", "get_metadata", "skip", "mask_event"])
async def test_a_hook_may_call_the_middlewares_own_api(via: Callable[..., Any], name: str) -> None:
    """No lock is held and no thread waits for itself: updates, actions, stats and even a flush work there."""
    with recording() as recorder:
        moesif = recorder.moesif

        def hook(*arguments: Any) -> None:
            moesif.update_user({"user_id": "from-a-hook"})
            moesif.track("Asked", user_id="u")
            moesif.stats()
            moesif.flush(0.05)

        moesif.hooks = Hooks(**{name: hook})
        moesif.hooks_before, moesif.hooks_after = name == "identify_user", name in {"get_metadata", "skip"}
        await via(moesif, JSON, JSON)
        assert moesif.flush(20)
        assert len(recorder.events) == 1
        assert moesif.stats()["updates"]["delivered"] == 2
        assert moesif.stats()["errors"] == {}


LENGTHS = {"too short": "3", "too long": "1000", "negative": "-5", "no number": "abc", "two numbers": "5, 5"}


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
async def test_a_wrong_content_length_is_nobodys_but_the_servers(via: Callable[..., Any], length: str) -> None:
    """Of the request and of the answer: it passes as it is, and the event has what passed."""
    wrong = {**JSON, "Content-Length": length}
    with recording() as recorder:
        assert await via(recorder.moesif, wrong, wrong) == await via(None, wrong, wrong)
        (event,) = recorder.events
    assert event["response"]["body"] == {"a": 1}


HEADERS = {
    "not UTF-8": {"X-Name": "caf\xe9\xff"},
    "cookies with separators": {"Cookie": 'a="x; y, z"; b=1; =; ;;c'},
    "empty": {"X-Empty": ""},
    "long": {"X-Long": "x" * 60_000},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_odd_headers_pass_as_they_are(via: Callable[..., Any], headers: dict[str, str]) -> None:
    """Both ways, and make an event."""
    with recording() as recorder:
        assert await via(recorder.moesif, headers, headers) == await via(None, headers, headers)
        assert len(recorder.events) == 1


@pytest.mark.parametrize("kind", VIA)
def test_an_endless_stream_is_passed_on_and_held_to_the_limit(kind: str) -> None:
    """Server-sent events until the client goes: each is there at once, and memory has the first of them only."""
    with recording(body_bytes=1_000) as recorder:
        count = 0

        def record() -> bytes:
            nonlocal count
            count += 1
            return b"data: %06d\n\n" % count

        {"asgi": _stream_by_asgi, "wsgi": _stream_by_wsgi}[kind](recorder.moesif, record, 50_000)
        (event,) = recorder.events
    assert count == 50_000
    assert event["response"]["body"][0] == {"data": "000001"}
    assert event["metadata"]["response_body_stream"] == {"chunks": 50_000, "bytes": 700_000, "records": 71}


def _stream_by_asgi(moesif: Moesif, record: Callable[[], bytes], most: int) -> None:
    import asyncio

    passed = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while True:
            await send({"type": "http.response.body", "body": record(), "more_body": True})

    async def send(message: Any) -> None:
        nonlocal passed
        passed += message["type"] == "http.response.body"
        if passed == most:
            raise OSError("the client is gone")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    with pytest.raises(OSError, match="gone"):
        asyncio.run(AsgiMiddleware(app, moesif)(scope, receive, send))


def _stream_by_wsgi(moesif: Moesif, record: Callable[[], bytes], most: int) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        while True:
            yield record()

    result = WsgiMiddleware(app, moesif)(wsgi.environ(), lambda *arguments: lambda data: None)
    for number, chunk in enumerate(result, 1):
        assert chunk == b"data: %06d\n\n" % number
        if number == most:
            break
    result.close()


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_a_chunked_upload_arrives_whole_under_a_real_server(kind: str) -> None:
    """Without a Content-Length; the event has the first of it."""
    pieces = [b"%05d" % number * 200 for number in range(300)]
    with FaultServer().start() as collecting:
        with running(kind, settings(collecting.url)) as server:
            answer = httpx.post(f"{server.url}/upload", content=iter(pieces), timeout=60).json()
        assert answer == {"sha256": hashlib.sha256(b"".join(pieces)).hexdigest(), "size": 300_000}
        (event,) = collecting.stored.values()
    assert event["request"]["headers"]["transfer-encoding"] == "chunked"
    assert event["request"]["transfer_encoding"] == "base64"
