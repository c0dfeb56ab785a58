"""A stub per test, and the two variants of each client behind one way of asking them."""

import inspect
import ssl

import httpx
import pytest

from moesif_middleware.api import (
    AsyncCollectorClient,
    AsyncManagementClient,
    CollectorClient,
    ManagementClient,
    Timeouts,
)

from .stub import KEY, Stub, serving

# Reading the certificates takes longer than the rest of a test.
CONTEXT = ssl.create_default_context()
QUICK = Timeouts(connect=2, read=2, total=5)


async def settle(result):
    """Return what a call of either variant gives: awaited, or collected when it iterates."""
    if inspect.isawaitable(result):
        return await result
    if inspect.isasyncgen(result):
        return [item async for item in result]
    return list(result) if inspect.isgenerator(result) else result


@pytest.fixture(scope="session")
def server():
    with serving(Stub()) as (stub, base):
        yield stub, base


@pytest.fixture
def stub(server):
    server[0].requests.clear()
    server[0].canned.clear()
    return server[0]


@pytest.fixture
def url(stub, server):
    return server[1]


@pytest.fixture(params=["sync", "async"])
def variant(request):
    return request.param


@pytest.fixture
async def management(variant, url):
    """A function that makes a management client of the variant; what it made is closed after the test."""
    kind = ManagementClient if variant == "sync" else AsyncManagementClient
    async for make in making(kind, url, KEY):
        yield make


@pytest.fixture
async def collector(variant, url):
    kind = CollectorClient if variant == "sync" else AsyncCollectorClient
    async for make in making(kind, url, "application"):
        yield make


async def making(kind, url, key):
    sync = not kind.__name__.startswith("Async")
    http = (httpx.Client if sync else httpx.AsyncClient)(verify=CONTEXT)

    def make(key=key, **options):
        return kind(key, **{"base_url": f"{url}/v1", "timeouts": QUICK, "http": http, **options})

    yield make
    await settle(http.close() if sync else http.aclose())
