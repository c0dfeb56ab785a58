"""Both variants of the transport against a server that misbehaves."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from moesif_middleware import errors
from moesif_middleware.api import AsyncManagementClient, ManagementClient, Timeouts

from .conftest import QUICK, settle
from .stub import KEY, Stub, serving


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch):
    """The pauses between attempts are as short as chance allows."""
    monkeypatch.setattr("random.Random.random", lambda _: 0.0)


async def test_a_read_is_asked_again_until_it_is_answered(management, stub):
    """Three transient answers, then the real one."""
    for status in (503, 502, 429):
        stub.answer_next(status)
    assert (await settle(management().meters.get("m1")))["status"] == "text"
    assert len(stub.requests) == 4


async def test_a_search_is_a_read_though_it_is_posted(management, stub):
    """It is repeated with the same body."""
    stub.answer_next(500)
    await settle(management().events.search(where={"term": {"response.status": 500}}))
    assert [seen.body for seen in stub.requests] == [{"query": {"term": {"response.status": 500}}}] * 2


async def test_what_creates_a_document_is_sent_once(management, stub):
    """The server may have created it before it answered 503."""
    stub.answer_next(503)
    with pytest.raises(errors.ServerError):
        await settle(management().apps.create({"name": "shop"}))
    assert len(stub.requests) == 1


async def test_what_was_refused_for_the_rate_is_sent_again(management, stub):
    """429 says that nothing was created."""
    stub.answer_next(429, retry_after="1")
    started = time.monotonic()
    await settle(management().apps.create({"name": "shop"}))
    assert len(stub.requests) == 2
    assert time.monotonic() - started >= 1


async def test_the_attempts_end(management, stub):
    """The last answer's error is raised, with what the server said."""
    for _ in range(3):
        stub.answer_next(503, b'{"error": "the store is away"}', x_request_id="r7")
    with pytest.raises(errors.ServerError, match="503: the store is away") as caught:
        await settle(management(attempts=3).meters.list())
    assert caught.value.request_id == "r7"
    assert len(stub.requests) == 3


async def test_a_wait_longer_than_the_call_may_last_is_not_begun(management, stub):
    """The error says how long the server wanted."""
    stub.answer_next(429, retry_after="120")
    with pytest.raises(errors.RateLimited) as caught:
        await settle(management().meters.list())
    assert caught.value.retry_after == 120
    assert len(stub.requests) == 1


async def test_after_a_429_no_other_call_starts_too_early(management, stub):
    """The second call would have to wait longer than it may last, and is not sent."""
    client = management()
    stub.answer_next(429, retry_after="120")
    with pytest.raises(errors.RateLimited):
        await settle(client.meters.list())
    with pytest.raises(errors.TransportError, match="the rate limit"):
        await settle(client.meters.list())
    assert len(stub.requests) == 1


async def test_the_rate_is_kept_before_the_server_says_so(management, stub, monkeypatch):
    """Two calls a minute are let through; the third would start after its time."""
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    client = management(per_minute=2)
    for _ in range(2):
        await settle(client.meters.list())
    with pytest.raises(errors.TransportError, match="the rate limit"):
        await settle(client.meters.list())
    assert len(stub.requests) == 2


async def test_a_missing_scope_is_named(management):
    """401 is not asked again."""
    with pytest.raises(errors.AuthenticationError, match="missing scope read:events") as caught:
        await settle(management("other-key").events.search())
    assert caught.value.missing_scope == "read:events"
    assert caught.value.request_id == "request-1"


async def test_a_refused_document_is_told_in_the_servers_words(management):
    """The stub names what the schema forbids."""
    with pytest.raises(errors.InvalidRequest, match="'name' is a required property"):
        await settle(management().apps.create({}))


async def test_a_redirect_is_not_followed(management, stub):
    """The key must not go where a redirect points."""
    stub.answer_next(302, location="http://127.0.0.1:9/")
    with pytest.raises(errors.InvalidRequest, match="302"):
        await settle(management().meters.list())


async def test_an_id_stays_one_segment_on_the_wire(management, stub):
    """Slashes, spaces and percent signs are encoded once."""
    await settle(management().users.get("a/b c%2F?"))
    assert stub.requests[-1].path == "/v1/search/~/users/a%2Fb%20c%252F%3F"


async def test_an_id_that_no_url_can_carry_is_refused(management, stub):
    """Before anything is sent."""
    with pytest.raises(errors.InvalidModel, match="too long"):
        await settle(management().users.get("x" * 70_000))
    assert not stub.requests


async def test_the_application_of_the_client_goes_with_every_call(management, stub):
    """A call may name another."""
    client = management(app_id="app:1")
    await settle(client.meters.list())
    await settle(client.meters.list(app_id="app:2"))
    assert [dict(seen.query)["app_id"] for seen in stub.requests] == ["app:1", "app:2"]


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1", "/api", "/api/"])
async def test_a_base_url_may_have_a_path(variant, path):
    """The secure proxy serves the API under /api/v1; the version may be left out, as in the settings."""
    with serving(Stub(prefix="/api/v1")) as (stub, base):
        async with opened(variant, base_url=base + path) as client:
            await settle(client.meters.get("m1"))
        assert stub.requests[-1].path == "/api/v1/~/billing/meters/m1"


async def test_a_proxy_of_the_environment_is_used(variant, stub, url, monkeypatch):
    """The stub plays the proxy: it is asked for the whole URL of a host that does not exist."""
    monkeypatch.setenv("HTTP_PROXY", url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with opened(variant, base_url="http://api.example.test/v1") as client:
        await settle(client.meters.list())
    assert stub.requests[-1].headers["host"] == "api.example.test"


async def test_a_server_that_is_not_there_is_a_transport_error(variant):
    """After all attempts, also for what must not run twice: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with opened(variant, base_url=f"http://127.0.0.1:{port}", attempts=2) as client:
        with pytest.raises(errors.TransportError, match="ConnectError"):
            await settle(client.apps.create({"name": "shop"}))


@contextmanager
def raw_server(answer):
    """Yield the URL of a server that does ``answer`` with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve():
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    answer(connection, over)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def drip(connection, over):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not over.wait(0.05):
        try:
            connection.sendall(b" " * 100)
        except OSError:
            return


def hang(connection, over):
    over.wait(5)


def reset(connection, over):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


@pytest.mark.parametrize(("answer", "name"), [(drip, "ReadTimeout"), (hang, "ReadTimeout"), (reset, "RemoteProtocol")])
async def test_an_answer_that_does_not_end_is_a_transport_error(variant, answer, name):
    """Within the total time, also when bytes keep coming."""
    timeouts = Timeouts(connect=1, read=0.3, total=0.6)
    started = time.monotonic()
    with raw_server(answer) as url:
        async with opened(variant, base_url=url, timeouts=timeouts, attempts=2) as client:
            with pytest.raises(errors.TransportError, match=name):
                await settle(client.meters.list())
    assert time.monotonic() - started < 3


def test_threads_share_a_client(url, stub):
    """Each gets its own answer, and no call is lost."""
    with ManagementClient(KEY, base_url=f"{url}/v1") as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(client.meters.get, [f"m{number}" for number in range(80)]))
    assert len(found) == 80
    assert {seen.path for seen in stub.requests} == {f"/v1/~/billing/meters/m{number}" for number in range(80)}


async def test_a_client_that_was_handed_in_stays_open(management, variant):
    """Who made it closes it."""
    http = httpx.Client() if variant == "sync" else httpx.AsyncClient()
    client = management(http=http)
    await settle(client.close() if variant == "sync" else client.aclose())
    assert not http.is_closed
    await settle(http.close() if variant == "sync" else http.aclose())


@pytest.mark.parametrize(
    ("key", "options", "named"),
    [
        ("", {}, "api_key"),
        ("with space", {}, "api_key"),
        ("key", {"base_url": "api.moesif.com"}, "base_url"),
        ("key", {"base_url": "http://[::1"}, "base_url"),
        ("key", {"base_url": "https:///v1"}, "base_url"),
        ("key", {"attempts": 0}, "attempts"),
    ],
)
@pytest.mark.parametrize("kind", [ManagementClient, AsyncManagementClient])
def test_what_cannot_work_is_refused_when_the_client_is_made(kind, key, options, named):
    """The error names the argument."""
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(key, **options)
    assert caught.value.key == named


def opened(variant, **options):
    """Return an async context manager with a client of the variant."""
    options = {"timeouts": QUICK, **options}
    return Opened(ManagementClient(KEY, **options)) if variant == "sync" else AsyncManagementClient(KEY, **options)


class Opened:
    def __init__(self, client):
        self.client = client

    async def __aenter__(self):
        return self.client.__enter__()

    async def __aexit__(self, *error):
        self.client.__exit__(*error)
