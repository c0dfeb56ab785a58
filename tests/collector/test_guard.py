"""Who may speak to the collector at all: hosts, origins, and the page's token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from moesif_middleware.collector.settings import CollectorSettings
from moesif_middleware.errors import ConfigurationError

from .conftest import Running, event, serving, settings

TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(settings(tmp_path_factory.mktemp("named"), allowed_hosts=("collector.internal",))) as found:
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:9999", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("192.168.1.5", 200),
        ("collector.internal:9500", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_a_foreign_host_is_refused(named: Running, host: str, status: int) -> None:
    """A page that re-binds its own name to this address gets nothing, not even with the application id."""
    assert named.collector.get("/v1/config", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "{url}.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "{url}"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({}, 201),
    ],
)
def test_a_cross_site_request_is_refused(running: Running, headers: dict[str, str], status: int) -> None:
    """By Origin or by Sec-Fetch-Site; what has neither is no browser."""
    sent = {name: value.format(url=running.url) for name, value in headers.items()}
    assert running.collector.post("/v1/events", json=event(), headers=sent).status_code == status
    assert len(running.events()) == (1 if status == 201 else 0)


def test_the_page_needs_the_token_when_there_is_one(serve: Callable[..., Any]) -> None:
    """By header, or by the cookie that ``/?token=`` sets once; the API calls have credentials of their own."""
    with serve(token=TOKEN) as running:
        assert running.collector.post("/v1/events", json=event()).status_code == 201
        for path in ("/", "/_page/api/events", f"/?token={TOKEN}x", f"/_page/?token={TOKEN}", "/v1"):
            assert running.anonymous.get(path).status_code == 401
        assert running.anonymous.get("/nowhere", headers={"X-Collector-Token": TOKEN}).status_code == 404
        entered = running.anonymous.get(f"/?token={TOKEN}")
        assert (entered.status_code, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert running.anonymous.get("/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "::"}, "host"),
        ({"host": "example.com"}, "host"),
        ({"token": "short"}, "token"),
        ({"apps": ()}, "app-id"),
        ({"apps": ("with space",)}, "app-id"),
        ({"apps": ("x" * 513,)}, "app-id"),
    ],
)
def test_settings_that_cannot_be_used_name_the_option(changes: dict[str, Any], key: str) -> None:
    """A bind that others can reach needs a token."""
    with pytest.raises(ConfigurationError) as raised:
        CollectorSettings(**{"store": "sqlite:///x", "apps": ("app",), **changes})
    assert raised.value.key == key


def test_loopback_and_a_token_allow_the_bind() -> None:
    """Nothing is raised."""
    for changes in ({"host": "::1"}, {"host": "127.8.8.8"}, {"host": "localhost"}, {"host": "0.0.0.0", "token": TOKEN}):
        CollectorSettings(store="sqlite:///x", apps=("app",), **changes)


@pytest.mark.parametrize("path", ["/v1/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fapp.py", "/_page/../../app.py"])
def test_no_path_reaches_the_file_system(named: Running, path: str) -> None:
    """Sent as it stands, without a client that tidies it."""
    address = urlsplit(named.url)
    transport = httpx.HTTPTransport()
    raw = httpx.URL(named.url).copy_with(raw_path=path.encode())
    with httpx.Client(transport=transport) as client:
        answer = client.send(httpx.Request("GET", raw, headers={"Host": address.netloc}))
    assert answer.status_code == 404
