"""Tornado beyond the common questions: streamed request bodies, websockets, routers in routers, asynchronous hooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.testing import bind_unused_port
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body
from tornado.websocket import WebSocketHandler, websocket_connect

from moesif_middleware import Hooks, identify
from moesif_middleware.testing import Recorder, recording
from moesif_middleware.tornado import MoesifMiddleware
from tests.test_wsgi import RULES_THAT_READ_THE_BODY

OURS = "x-moesif-transaction-id"
BODY = b'{"kind": "x", "text": "' + b"y" * 300_000 + b'"}'


@stream_request_body
class Streamed(RequestHandler):
    """Counts what it is sent, chunk by chunk."""

    received = gone = 0

    async def prepare(self) -> None:
        await asyncio.sleep(0.001)
        self.got = b""

    async def data_received(self, chunk: bytes) -> None:
        await asyncio.sleep(0)
        self.got += chunk
        Streamed.received += len(chunk)

    def on_connection_close(self) -> None:
        Streamed.gone += 1

    def post(self) -> None:
        assert identify(user_id="ann")
        self.write(str(len(self.got)))


class Echo(WebSocketHandler):
    """Says everything again."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


class Missing(RequestHandler):
    """Is not there."""

    def get(self, number: str) -> None:
        raise HTTPError(404)


def application() -> Application:
    inner: Any = [("/inner/missing/([0-9]+)", Missing), ("/inner/socket", Echo)]
    return Application([("/streamed", Streamed), ("/inner/.*", inner)])


@asynccontextmanager
async def serving(
    served: HTTPServerConnectionDelegate | None = None, **settings: Any
) -> AsyncIterator[tuple[str, Recorder]]:
    """Serve an application with the middleware by Tornado's own server."""
    with recording(**settings) as recorder:
        app: HTTPServerConnectionDelegate = MoesifMiddleware(served or application(), recorder.moesif)
        server = HTTPServer(app)
        listener, port = bind_unused_port()
        server.add_sockets([listener])
        yield f"127.0.0.1:{port}", recorder
        server.stop()
        await server.close_all_connections()


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_handler_that_takes_its_body_in_pieces_gets_all_of_it(ahead: bool) -> None:
    """Also after a rule had the beginning of it held back."""
    async with serving() as (where, recorder), httpx.AsyncClient(trust_env=False) as client:
        if ahead:
            recorder.use(rules=RULES_THAT_READ_THE_BODY)
        assert (await client.post(f"http://{where}/streamed", content=BODY)).text == str(len(BODY))
        (event,) = recorder.events
        assert event["metadata"]["request_body_truncated"] == len(BODY)
        assert (event["user_id"], event["metadata"]["route"]) == ("ann", "/streamed")


async def test_routers_in_routers_errors_of_http_and_websockets() -> None:
    """The pattern of the inner rule, a 404 that is no exception, and no event of a websocket."""
    async with serving() as (where, recorder), httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{where}/inner/missing/5")).status_code == 404
        connection = await websocket_connect(f"ws://{where}/inner/socket")
        await connection.write_message("hello")
        assert await connection.read_message() == "hello"
        connection.close()
        (event,) = recorder.events
    assert event["metadata"] == {"route": "/inner/missing/([0-9]+)"}
    assert event["response"]["status"] == 404


async def test_a_target_in_absolute_form_is_one_uri_and_its_path_meets_skip_paths() -> None:
    """As a proxy is sent it."""
    async with serving(skip_paths=["/health"]) as (where, recorder):
        async with httpx.AsyncClient(proxy=f"http://{where}") as client:
            for path in ("/inner/m%C3%BCll?a=1", "/health"):
                assert (await client.get(f"http://shop.test{path}")).status_code == 404
        (event,) = recorder.events
        assert event["request"]["uri"] == "http://shop.test/inner/m%C3%BCll?a=1"
        assert recorder.moesif.stats()["skipped"] == 1


class Raising(HTTPServerConnectionDelegate, HTTPMessageDelegate):
    """Raises at one of its steps."""

    def __init__(self, step: str) -> None:
        self.step = step

    def reach(self, step: str) -> None:
        assert identify(user_id="ann")
        if step == self.step:
            raise ZeroDivisionError

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        self.reach("start")
        return self

    def headers_received(self, start_line: Any, headers: Any) -> None:
        self.reach("headers")

    async def data_received(self, chunk: bytes) -> None:
        await asyncio.sleep(0)
        self.reach("data")

    def finish(self) -> None:
        self.reach("finish")


@pytest.mark.parametrize("rules", [b"[]", RULES_THAT_READ_THE_BODY], ids=["", "the body is held back"])
@pytest.mark.parametrize("step", ["start", "headers", "data", "finish"])
async def test_where_the_application_raises_the_connection_is_closed_and_the_event_says_so(
    step: str, rules: bytes
) -> None:
    """What it calls is inside of the request, also when it waits."""
    async with serving(Raising(step)) as (where, recorder):
        recorder.use(rules=rules)
        async with connected(where, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}") as (reader, _):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        (event,) = recorder.events
    assert (event["metadata"], event["user_id"]) == ({"exception": "ZeroDivisionError"}, "ann")
    assert "response" not in event


async def test_bytes_beyond_ascii_are_those_on_the_wire() -> None:
    """Tornado shows each as a Latin-1 character."""
    request = b"GET /caf\xc3\xa9/\xe9?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX-A: Zo\xc3\xab\r\nX-B: Zo\xeb\r\n\r\n"
    async with serving() as (where, recorder):
        async with connected(where, request):
            await until(lambda: recorder.moesif.stats()["captured"])
        (event,) = recorder.events
    assert event["request"]["uri"] == "http://x/caf%C3%A9/%E9?q=%C3%A9"
    assert event["request"]["headers"] == {
        "host": "x",
        "x-a": "Zoë",
        "x-b": "Zoë",
        OURS: event["request"]["headers"][OURS],
    }


async def test_hooks_may_be_asynchronous_and_get_tornados_request() -> None:
    """Before the handler and after the response."""

    async def identify_user(request: Any) -> str:
        await asyncio.sleep(0)
        return str(request.headers["X-User"])

    async def get_metadata(request: Any, response: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"path": request.path, "status": response.status_code}

    hooks = Hooks(identify_user=identify_user, get_metadata=get_metadata)
    async with serving(hooks=hooks) as (where, recorder), httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"http://{where}/nowhere", headers={"X-User": "ann"})
        for _ in range(1000):
            if recorder.moesif.stats()["captured"]:
                break
            await asyncio.sleep(0.005)
        (event,) = recorder.events
    assert (event["user_id"], event["metadata"]) == ("ann", {"path": "/nowhere", "status": 404})


async def until(come: Callable[[], Any]) -> None:
    """Wait for what happens on the server's side of this event loop."""
    async with asyncio.timeout(20):
        while not come():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def connected(where: str, request: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send some bytes on a connection of their own, which ends with the context."""
    host, _, port = where.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    yield reader, writer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_client_that_goes_in_the_middle_of_its_upload_is_one_event() -> None:
    """And the handler hears of it."""
    Streamed.received = Streamed.gone = 0
    async with serving() as (where, recorder):
        async with connected(where, b"POST /streamed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nten bytes."):
            await until(lambda: Streamed.received >= 10)
        await until(lambda: Streamed.gone and recorder.moesif.stats()["captured"])
        assert len(recorder.events) == 1


async def test_of_an_upload_no_more_than_the_limit_is_held_back_for_a_rule() -> None:
    """The handler has the beginning before the end is sent."""
    Streamed.received = 0
    async with serving(body_bytes=1_000) as (where, recorder):
        recorder.use(rules=RULES_THAT_READ_THE_BODY)
        head = b"POST /streamed HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        async with connected(where, head + b"x" * 150_000) as (_, writer):
            await until(lambda: Streamed.received >= 1_000)
            writer.write(b"x" * 50_000)
            await until(lambda: recorder.moesif.stats()["captured"])
        assert Streamed.received == 200_000
