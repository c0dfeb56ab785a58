"""aiohttp.web beyond the common questions: each way to read a body, files, websockets, sub-applications."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from moesif_middleware import MemorySink, Moesif
from moesif_middleware.aiohttp import init_app
from moesif_middleware.testing import Recorder, recording
from tests.test_wsgi import RULES_THAT_READ_THE_BODY

BODY = b'{"kind": "x",\n' + b'"text": "' + b"y" * 40 + b'"\n}\n'


async def joined(pieces: Any) -> bytes:
    return b"".join([piece async for piece in pieces])


async def repeated(read: Callable[[], Awaitable[bytes]]) -> bytes:
    found = b""
    while piece := await read():
        found += piece
    return found


READS: dict[str, Callable[[web.Request], Awaitable[bytes]]] = {
    "request.read()": lambda request: request.read(),
    "read()": lambda request: request.content.read(),
    "read(n)": lambda request: repeated(lambda: request.content.read(7)),
    "readany()": lambda request: repeated(request.content.readany),
    "readline()": lambda request: repeated(request.content.readline),
    "readuntil()": lambda request: repeated(lambda: request.content.readuntil(b'"\n')),
    "readexactly()": lambda request: request.content.readexactly(len(BODY)),
    "iter_chunked()": lambda request: joined(request.content.iter_chunked(7)),
    "iter_any()": lambda request: joined(request.content.iter_any()),
    "iter_chunks()": lambda request: joined(piece async for piece, _ in request.content.iter_chunks()),
    "iteration": lambda request: joined(request.content),
}


@asynccontextmanager
async def serving(app: web.Application, **settings: Any) -> AsyncIterator[tuple[TestClient[Any, Any], Recorder]]:
    """Serve an application with the middleware by aiohttp's own server."""
    with recording(**settings) as recorder:
        init_app(app, recorder.moesif)
        async with TestClient(TestServer(app)) as client:
            yield client, recorder


@pytest.mark.parametrize("limit", [None, 20, 100_000])
@pytest.mark.parametrize("how", READS)
async def test_the_handler_reads_every_byte_however_it_reads(how: str, limit: int | None) -> None:
    """Also after a rule had the body, or the first 20 bytes of it, read ahead."""

    async def echo(request: web.Request) -> web.Response:
        assert request.body_exists
        body = await READS[how](request)
        assert request.content.at_eof()
        return web.Response(body=body)

    app = web.Application()
    app.router.add_post("/", echo)
    async with serving(app, body_bytes=limit or 100_000) as (client, recorder):
        if limit:
            recorder.use(rules=RULES_THAT_READ_THE_BODY)
        async with client.post("/", data=BODY, headers={"Content-Type": "application/json"}) as answer:
            assert (answer.status, await answer.read()) == (200, BODY)
        (event,) = recorder.events
        assert event.get("metadata", {}).get("request_body_truncated") == (len(BODY) if limit == 20 else None)
        assert limit == 20 or event["request"]["body"]["kind"] == "x"


PARTS = {"a": b"1", "file": b"x" * 30_000, "b": b"two", "lines": b"\r\n--" * 100, "c": b"3" * 3_000}
FORM = b"".join(
    b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), part)
    for name, part in PARTS.items()
)


async def fields_of_post(request: web.Request) -> dict[str, Any]:
    return {name: str(value).encode() for name, value in (await request.post()).items()}


async def fields_of_multipart(request: web.Request) -> dict[str, Any]:
    found, parts = {}, await request.multipart()
    while (part := await parts.next()) is not None:
        found[part.name] = await part.read()
    return found


@pytest.mark.parametrize("limit", [None, 20, 10_000, 100_000])
@pytest.mark.parametrize("read", [fields_of_post, fields_of_multipart])
async def test_a_form_is_read_and_captured_whole(read: Callable[[web.Request], Any], limit: int | None) -> None:
    """aiohttp puts back what it reads beyond a part; a rule may have read ahead, within a part or all of it."""
    fields: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        fields.append(await read(request))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with serving(app, body_bytes=limit or 100_000) as (client, recorder):
        if limit:
            recorder.use(rules=RULES_THAT_READ_THE_BODY)
        content_type = {"Content-Type": "multipart/form-data; boundary=B"}
        async with client.post("/", data=FORM + b"--B--\r\n", headers=content_type) as answer:
            assert answer.status == 200
        assert fields == [PARTS]
        (event,) = recorder.events
    if limit in (None, 100_000):
        assert event["request"]["body"] == {name: part.decode() for name, part in PARTS.items()}
        assert event["metadata"] == {"route": "/"}
    else:
        assert event["metadata"]["request_body_truncated"] == len(FORM) + len(b"--B--\r\n")


async def test_a_compressed_request_is_seen_as_the_handler_reads_it() -> None:
    """By the event and by rules: aiohttp decompresses it before anybody reads."""

    async def echo(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    app = web.Application()
    app.router.add_post("/", echo)
    async with serving(app) as (client, recorder):
        headers = {"Content-Encoding": "GZIP", "Content-Type": "application/json"}
        for rules in (b"[]", RULES_THAT_READ_THE_BODY.replace(b"never", b"x")):
            recorder.use(rules=rules)
            async with client.post("/", data=gzip.compress(BODY), headers=headers) as answer:
                assert (answer.status, answer.headers.get("X-Rule")) == (200, None if rules == b"[]" else "1")
        for event in recorder.events:
            assert event["request"]["body"]["kind"] == "x"
            assert event["metadata"] == {"route": "/"}
        assert len(recorder.events) == 2


async def test_an_answer_that_nobody_waits_for_is_an_event() -> None:
    """The client has gone before it begins; the handler runs on, as aiohttp lets it."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await gone.wait()
        return web.Response(text="too late")

    app = web.Application()
    app.router.add_get("/slow", slow)
    async with serving(app) as (client, recorder):
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n")
        await arrived.wait()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        gone.set()
        for _ in range(1000):
            if recorder.moesif.stats()["captured"]:
                break
            await asyncio.sleep(0.005)
        (event,) = recorder.events
    assert event["metadata"]["route"] == "/slow"


async def test_files_websockets_sub_applications_and_raised_answers(tmp_path: Path) -> None:
    """A file without its body, no event of a websocket, the prefix in the route, and a 404 that is no exception."""
    (tmp_path / "file").write_bytes(b"x" * 100)

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(tmp_path / "file")

    async def socket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.send_str("hello")
        return response

    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="no such thing")

    async def packed(request: web.Request) -> web.Response:
        response = web.json_response({"a": 1})
        response.enable_compression()
        return response

    app, inner = web.Application(), web.Application()
    inner.router.add_get("/missing/{id}", missing)
    inner.router.add_get("/packed", packed)
    app.router.add_get("/file", file)
    app.router.add_get("/socket", socket)
    app.add_subapp("/inner", inner)
    async with serving(app) as (client, recorder):
        for path in ("/file", "/inner/missing/5", "/inner/packed"):
            async with client.get(path) as answer:
                await answer.read()
        async with client.ws_connect("/socket") as connection:
            assert await connection.receive_str() == "hello"
        events = {event["metadata"]["route"]: event for event in recorder.events}
        assert recorder.moesif.stats()["errors"] == {}
    assert set(events) == {"/file", "/inner/missing/{id}", "/inner/packed"}
    assert "body" not in events["/file"]["response"]
    assert events["/inner/missing/{id}"]["response"]["status"] == 404
    assert "exception" not in events["/inner/missing/{id}"]["metadata"]
    assert events["/inner/packed"]["response"]["body"] == {"a": 1}


async def test_a_client_that_goes_in_the_middle_of_a_file_is_one_event(tmp_path: Path) -> None:
    """Nothing tells that a file has come to its end when it has not."""
    (tmp_path / "file").write_bytes(b"x" * 50_000_000)

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(tmp_path / "file")

    app = web.Application()
    app.router.add_get("/file", file)
    async with serving(app) as (client, recorder):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readexactly(8) == b"HTTP/1.1"
        writer.transport.abort()
        async with asyncio.timeout(20):
            while not recorder.moesif.stats()["captured"]:
                await asyncio.sleep(0.002)
        (event,) = recorder.events
    assert (event["response"]["status"], event["metadata"]) == (200, {"route": "/file"})


async def test_the_handle_starts_with_the_application_and_delivers_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before aiohttp's runner ends, and without waiting for a batch."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="x")

    sink, started = MemorySink(), list[bool]()
    moesif = Moesif(application_id="x", sink=sink, flush_interval=60.0)
    monkeypatch.setattr(moesif, "start", lambda: started.append(True))
    app = web.Application()
    app.router.add_get("/", answer)
    init_app(app, moesif)
    async with TestClient(TestServer(app)) as client:
        assert started
        assert (await client.get("/")).status == 200
        assert sink.events == []
    assert len(sink.events) == 1
    moesif.close(5.0)


async def test_what_aiohttp_answers_for_a_handler_that_raised_is_not_captured_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exchange is the delivery thread's by then."""
    submitted: list[Any] = []

    async def fail(request: web.Request) -> web.StreamResponse:
        raise ZeroDivisionError

    app = web.Application()
    app.router.add_get("/", fail)
    async with serving(app) as (client, recorder):
        submit = recorder.moesif.submit
        monkeypatch.setattr(recorder.moesif, "submit", lambda *args: submitted.append(args[0]) or submit(*args))
        async with client.get("/") as answer:
            assert (answer.status, len(answer.headers.getall("X-Moesif-Transaction-Id"))) == (500, 1)
        assert [(each.status, each.response_body) for each in submitted] == [(None, None)]
        (event,) = recorder.events
    assert (event["response"]["status"], event["metadata"]["exception"]) == (500, "ZeroDivisionError")


async def test_what_a_handler_raises_after_its_answer_makes_no_second_event() -> None:
    """Nor does what it raises while it serves a websocket."""

    async def late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write_eof(b"all")
        raise ZeroDivisionError

    async def socket(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await response.send_str("hello")
        raise ZeroDivisionError

    app = web.Application()
    app.router.add_get("/late", late)
    app.router.add_get("/socket", socket)
    async with serving(app) as (client, recorder):
        async with client.ws_connect("/socket") as connection:
            assert await connection.receive_str() == "hello"
            assert (await connection.receive()).type in {WSMsgType.CLOSE, WSMsgType.CLOSED}
        # Whether the answer arrives before aiohttp breaks the connection is a race, with or without us.
        with suppress(ClientError):
            await client.get("/late")
        assert [event["request"]["uri"].rpartition("/")[2] for event in recorder.events] == ["late"]
        assert recorder.moesif.stats()["captured"] == 1
