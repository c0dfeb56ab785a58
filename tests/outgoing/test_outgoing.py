"""The application's own calls: the same questions asked of every library, against a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from examples.processes import free_port
from moesif_middleware import ConfigurationError, Moesif
from moesif_middleware.asgi import MoesifMiddleware
from moesif_middleware.outgoing import OutgoingHooks
from moesif_middleware.testing import Recorder, recording

ANSWER = b'{"answer": 42, "password": "hunter2"}'
arrived = threading.Event()
"""Set by a client that has the first piece of a slow answer."""


class Service(BaseHTTPRequestHandler):
    """Answers JSON, plain, packed or in chunks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        packed = gzip.compress(ANSWER) if self.path == "/gzip" else ANSWER
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Size", str(len(body)))
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (packed[:10], packed[10:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_GET(self) -> None:
        """Answer one piece, and another when the first has arrived; or break off after it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"one")
        if self.path == "/breaks":
            self.close_connection = True
            return
        self.wfile.write(b"two" if arrived.wait(20) else b"bad")

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A server of somebody else's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records."""
    with recording() as made:
        yield made


def by_httpx(url: str) -> bytes:
    with httpx.Client(trust_env=False) as client:
        return client.post(url, json={"q": 1}).content


def by_httpx_stream(url: str) -> bytes:
    with httpx.Client(trust_env=False) as client, client.stream("POST", url, json={"q": 1}) as answer:
        return b"".join(answer.iter_bytes())


def by_httpx_async(url: str) -> bytes:
    async def run() -> bytes:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.post(url, json={"q": 1})).content

    return asyncio.run(run())


def by_requests(url: str) -> bytes:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, json={"q": 1}, timeout=5).content


def by_requests_stream(url: str) -> bytes:
    with requests.Session() as session:
        session.trust_env = False
        with session.post(url, json={"q": 1}, timeout=5, stream=True) as answer:
            return b"".join(answer.iter_content(7))


def by_urllib3(url: str) -> bytes:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, json={"q": 1}, retries=False).data


def by_urllib3_stream(url: str) -> bytes:
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", url, json={"q": 1}, preload_content=False, retries=False)
        found = b"".join(answer.stream(7))
        answer.release_conn()
        return found


def by_aiohttp(url: str) -> bytes:
    async def run() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json={"q": 1}) as answer:
            return await answer.read()

    return asyncio.run(run())


LIBRARIES: dict[str, Callable[[str], bytes]] = {
    name.removeprefix("by_"): found for name, found in tuple(globals().items()) if name.startswith("by_")
}


@pytest.mark.parametrize("path", ["/plain", "/gzip", "/chunked"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_is_one_masked_outgoing_event(recorder: Recorder, service: str, library: str, path: str) -> None:
    """The caller gets what it gets without us; a library that uses another one is seen once."""
    with recorder.moesif.capture_outgoing():
        assert LIBRARIES[library](f"{service}{path}?a=1") == ANSWER
    (event,) = recorder.events
    request, response = event["request"], event["response"]
    assert event["direction"] == "Outgoing"
    assert (request["verb"], request["uri"]) == ("POST", f"{service}{path}?a=1")
    assert (request["body"], response["status"]) == ({"q": 1}, 201)
    assert response["body"] == {"answer": 42, "password": "[REDACTED:password]"}
    assert recorder.moesif.stats()["errors"] == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_undo_puts_everything_back(recorder: Recorder, service: str, library: str) -> None:
    """Afterwards nothing is captured, and the libraries' methods are their own again."""
    places = [
        (httpx.Client, "_send_single_request"), (httpx.AsyncClient, "_send_single_request"),
        (requests.adapters.HTTPAdapter, "send"), (urllib3.HTTPConnectionPool, "urlopen"),
        (aiohttp.ClientSession, "_request"),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name in places]
    capture = recorder.moesif.capture_outgoing()
    assert all(getattr(owner, name) is not was for (owner, name), was in zip(places, before, strict=True))
    capture.undo()
    capture.undo()
    assert [getattr(owner, name) for owner, name in places] == before
    assert LIBRARIES[library](f"{service}/plain") == ANSWER
    assert recorder.events == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_failure_passes_through_and_is_recorded_without_a_response(recorder: Recorder, library: str) -> None:
    """Nobody listens there: the event has the exception's type, and no status is made up."""
    with recorder.moesif.capture_outgoing(), pytest.raises(Exception) as caught:
        LIBRARIES[library](f"http://127.0.0.1:{free_port()}/")
    (event,) = recorder.events
    assert "response" not in event
    assert event["metadata"]["exception"] == type(caught.value).__name__


@pytest.mark.parametrize("library", LIBRARIES)
def test_our_own_uploads_are_never_captured(service: str, library: str) -> None:
    """Neither what goes to the collector's address, nor what bears an application id."""
    with recording(base_uri=service) as recorder, recorder.moesif.capture_outgoing():
        LIBRARIES[library](f"{service}/v1/events/batch")
        assert recorder.events == []
    with recording() as recorder, recorder.moesif.capture_outgoing():
        httpx.post(f"{service}/", headers={"X-Moesif-Application-Id": "x"}, trust_env=False)
        assert recorder.events == []


async def test_a_call_is_linked_to_the_request_that_it_was_made_for(recorder: Recorder, service: str) -> None:
    """By its transaction id, and it has the user of it: not that of the credentials in the call."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{service}/plain", auth=("the-service", "secret"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(MoesifMiddleware(app, recorder.moesif))
    with recorder.moesif.capture_outgoing(["httpx"]):
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answer = await client.get("/", auth=("ann", "secret"))
    found = {event["request"]["uri"]: event for event in recorder.events if event["direction"] == "Outgoing"}
    call = found[f"{service}/plain"]
    assert call["metadata"]["incoming_transaction_id"] == answer.headers["x-moesif-transaction-id"]
    assert call["user_id"] == "ann"


def test_hooks_see_the_librarys_own_objects(recorder: Recorder, service: str) -> None:
    """Request and response of requests; skip means no event; a hook that raises costs only what it would say."""
    hooks = OutgoingHooks(
        identify_user=lambda request, response: f"{request.method}-{response.json()['answer']}",
        get_metadata=lambda request, response: 1 / 0,
        skip=lambda request, response: request.url.endswith("/skipped"),
    )
    with recorder.moesif.capture_outgoing(["requests"], hooks=hooks, bodies=False):
        by_requests(f"{service}/skipped")
        by_requests(f"{service}/plain")
    (event,) = recorder.events
    assert event["user_id"] == "POST-42"
    assert "body" not in event["request"]
    assert recorder.moesif.stats()["errors"] == {"get_metadata": 1}


def test_an_unknown_library_is_refused() -> None:
    """With what there is."""
    with pytest.raises(ConfigurationError, match="httpx, requests"):
        Moesif(application_id="a").capture_outgoing(["curl"])


def pieces_by_httpx(url: str) -> list[bytes]:
    with httpx.Client(trust_env=False) as client, client.stream("GET", url) as answer:
        return [piece for piece in answer.iter_raw(3) if not arrived.set()]


def pieces_by_httpx_async(url: str) -> list[bytes]:
    async def run() -> list[bytes]:
        async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as answer:
            return [piece async for piece in answer.aiter_raw(3) if not arrived.set()]

    return asyncio.run(run())


def pieces_by_requests(url: str) -> list[bytes]:
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, timeout=20, stream=True) as answer:
            return [piece for piece in answer.iter_content(3) if not arrived.set()]


def pieces_by_urllib3(url: str) -> list[bytes]:
    with urllib3.PoolManager() as pool:
        answer = pool.request("GET", url, preload_content=False, retries=False)
        return [piece for piece in answer.stream(3) if not arrived.set()]


def test_aiohttp_takes_json_and_headers_of_other_shapes(service: str, recorder: Recorder) -> None:
    """Python's writer takes a number for a name, and integers of any size; the copy says the same."""
    value = {1: [2**70], "note": "x"}

    async def run() -> int:
        pairs = [("X-Kind", "pairs")]
        async with aiohttp.ClientSession() as session, session.post(service, json=value, headers=pairs) as answer:
            return int(answer.headers["X-Size"])

    with recorder.moesif.capture_outgoing(["aiohttp"]):
        assert asyncio.run(run()) == len(json.dumps(value))
    (event,) = recorder.events
    assert event["request"]["body"] == {"1": [2**70], "note": "x"}
    assert event["request"]["headers"]["x-kind"] == "pairs"


async def test_what_aiohttp_refuses_is_for_it_to_refuse(recorder: Recorder) -> None:
    """With its own exception, and not with one of ours."""
    async with aiohttp.ClientSession("http://127.0.0.1:1") as session:
        with recorder.moesif.capture_outgoing(["aiohttp"]), pytest.raises(aiohttp.InvalidURL):
            await session.get("http://[")
    assert recorder.moesif.stats()["captured"] == 0


def pieces_by_aiohttp(url: str) -> list[bytes]:
    async def run() -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return [piece async for piece in answer.content.iter_chunked(3) if not arrived.set()]

    return asyncio.run(run())


STREAMS: dict[str, Callable[[str], list[bytes]]] = {
    name.removeprefix("pieces_by_"): found for name, found in tuple(globals().items()) if name.startswith("pieces_by_")
}


@pytest.mark.parametrize("library", STREAMS)
def test_a_stream_is_handed_on_as_it_comes(recorder: Recorder, service: str, library: str) -> None:
    """The server sends the second piece when the first has arrived; the event is there at the end, with both."""
    arrived.clear()
    with recorder.moesif.capture_outgoing():
        assert STREAMS[library](f"{service}/slow") == [b"one", b"two"]
    (event,) = recorder.events
    assert event["response"]["status"] == 200
    assert event["response"]["body"] == "b25ldHdv"


@pytest.mark.parametrize("library", STREAMS)
def test_an_answer_that_breaks_off_is_the_callers_error_and_an_event(
    recorder: Recorder, service: str, library: str
) -> None:
    """The exception passes through as it is without us, and the event has its type."""
    with pytest.raises(Exception) as plain:
        STREAMS[library](f"{service}/breaks")
    with recorder.moesif.capture_outgoing(), pytest.raises(type(plain.value)):
        STREAMS[library](f"{service}/breaks")
    (event,) = recorder.events
    assert event["response"]["status"] == 200
    assert event["metadata"]["exception"].endswith(("Error", "ProtocolError", "IncompleteRead"))


def uploads() -> Iterator[bytes]:
    for number in range(10):
        yield b"%d" % number * 10_000


def upload_by_httpx(url: str) -> str:
    with httpx.Client(trust_env=False) as client:
        return client.post(url, content=uploads()).headers["x-size"]


def upload_by_requests(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=uploads(), timeout=20).headers["x-size"]


def upload_by_urllib3(url: str) -> str:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, body=uploads(), retries=False).headers["x-size"]


def upload_by_aiohttp(url: str) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in uploads():
            yield piece

    async def run() -> str:
        async with aiohttp.ClientSession() as session, session.post(url, data=chunks()) as answer:
            return answer.headers["x-size"]

    return asyncio.run(run())


@pytest.mark.parametrize("upload", [upload_by_httpx, upload_by_requests, upload_by_urllib3, upload_by_aiohttp])
def test_a_streamed_upload_arrives_whole(recorder: Recorder, service: str, upload: Callable[[str], str]) -> None:
    """A body that can be read once is read once, by the library."""
    with recorder.moesif.capture_outgoing():
        assert upload(f"{service}/plain") == "100000"
    assert [event["response"]["status"] for event in recorder.events] == [201]
