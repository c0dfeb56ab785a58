"""The promises of the self-hosted collector's security, one after the other."""

from __future__ import annotations

import gzip
import hmac
import itertools
import re
import signal
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import httpx
import pytest
import zstandard

from moesif_middleware.cli import main
from moesif_middleware.collector import table
from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.operations import Operation
from moesif_middleware.collector.page import FILES
from moesif_middleware.collector.settings import CollectorSettings, ManagementKey

from .conftest import APP, KEY, OTHER_APP, READ_KEY, Running, event, serving, settings
from .test_command import ended, process

MEGABYTE = 1024 * 1024
HOSTILE = (
    "../../../../etc/passwd",
    "' OR 1=1; DROP TABLE events; --",
    '"',
    "a\0b",
    "%",
    "\\",
    "$[",
    "[0]",
    "*",
    "{{0}}",
    "é\u2028",
)
TAKING_BODIES = [each for each in (*table.COLLECTOR, *table.MANAGEMENT) if each.body is not None and not each.why_not]


def name(each: Any) -> str:
    return f"{each.verb} {each.path}" if isinstance(each, Operation) else str(each)


@pytest.fixture(scope="module")
def plenty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector with so many keys that no rate is met: ``management`` uses one after the other."""
    keys = [f"key-{number}" for number in range(50)]
    managed = tuple(map(ManagementKey, keys))
    with serving(settings(tmp_path_factory.mktemp("plenty"), management_keys=managed)) as found:
        turn = iter(keys * 1000)

        def sign(request: httpx.Request) -> None:
            request.headers["Authorization"] = f"Bearer {next(turn)}"

        found.management.event_hooks["request"] = [sign]
        yield found


def client_of(running: Running, each: Operation) -> httpx.Client:
    return running.management if each.scopes else running.collector


def filled(each: Operation, value: str) -> str:
    """Return an operation's path with ``value`` in every blank but the organisation."""
    return "/v1" + re.sub(r"\{[^}]+\}", lambda blank: "~" if blank[0] == "{org}" else quote(value, safe=""), each.path)


# Loopback by default; any other bind needs a token.


def test_an_address_that_others_can_reach_needs_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    """The command refuses to listen, and says what is missing."""
    assert main(["collector", "--host", "0.0.0.0", "--port", "0"]) != 0
    assert "give a --token as well" in capsys.readouterr().err
    assert CollectorSettings(store="sqlite:///x", apps=("a",)).host == "127.0.0.1"


# Application ids and management keys are compared in constant time.


def test_secrets_are_compared_in_constant_time(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what was sent, also after the one that matches."""
    compared: list[tuple[bytes, bytes]] = []
    compare: Callable[[Any, Any], bool] = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    for sent in (APP, "nobody"):
        compared.clear()
        running.anonymous.get("/v1/config", headers={"X-Moesif-Application-Id": sent})
        assert compared == [(each.encode(), sent.encode()) for each in (APP, OTHER_APP)]
    for sent in (KEY, "nobody"):
        compared.clear()
        running.anonymous.get("/v1/~/cohorts", headers={"Authorization": f"Bearer {sent}"})
        assert compared == [(each.encode(), sent.encode()) for each in (KEY, READ_KEY)]
    compared.clear()
    running.management.get("/v1/~/cohorts", params={"app_id": OTHER_APP})
    assert compared[2:] == [(each.encode(), OTHER_APP.encode()) for each in (APP, OTHER_APP)]
    for sent in (APP, "nobody"):
        compared.clear()
        running.anonymous.get("/_page/api/events", params={"app": sent})
        assert compared == [(each.encode(), sent.encode()) for each in (APP, OTHER_APP)]
    compared.clear()
    signed = running.management.get("/v1/workspaces/access_token").json()["token"]
    signature = signed.rpartition(".")[2].encode()
    running.anonymous.get("/v1/workspaces/public/none", headers={"Authorization": f"Bearer {signed}"})
    assert [sent == signature for _, sent in compared].count(True) == len((KEY, READ_KEY))


def test_settings_do_not_show_secrets() -> None:
    """Not in their repr, from where they come into logs and tracebacks."""
    found = CollectorSettings("sqlite:///x", ("app-secret",), (ManagementKey("key-secret"),), "token-secret-long")
    assert "secret" not in repr(found)


# Host header checked, cross-site requests refused.


def routes() -> list[tuple[str, str]]:
    """Return the method and the path of every route there is."""
    app = create_app(CollectorSettings("sqlite:///:memory:", ("a",)))
    app.state.context.store.close()
    found = [(method, route.path) for route in app.routes for method in route.methods or ()]  # type: ignore[attr-defined]
    return [(method, re.sub(r"\{[^}]+\}", "x", path)) for method, path in found]


def test_no_route_is_open_to_a_foreign_host_or_origin(shared: Running) -> None:
    """All of them, with credentials: 403, and no header that lets another origin read."""
    foreign = (
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    )
    keys = {"Authorization": f"Bearer {KEY}", "X-Moesif-Application-Id": APP}
    found = routes()
    assert len(found) > 200
    for number, (method, path) in enumerate(found):
        answer = shared.anonymous.request(method, path, headers={**keys, **foreign[number % len(foreign)]})
        assert answer.status_code == 403, (method, path)
    for headers in foreign:
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        answer = shared.anonymous.request("OPTIONS", "/v1/events", headers=preflight)
        assert answer.status_code == 403
        assert not [each for each in answer.headers if each.lower().startswith("access-control")]


def test_with_a_token_nothing_answers_who_has_no_credentials(serve: Callable[..., Any]) -> None:
    """Every route there is: 401, whether its own key is missing or the collector's token."""
    with serve(token="a-token-of-sixteen-or-more") as running:
        for method, path in routes():
            assert running.anonymous.request(method, path).status_code == 401, (method, path)


# Captured content is shown as text only, under default-src 'none' with same-origin scripts.


def test_everything_the_page_is_made_of_has_its_policy(shared: Running) -> None:
    """The page, its files, its answers and its refusals; and nothing of it needs more than the policy allows."""
    paths = ["/", *(f"/static/{each}" for each in FILES), "/static/nothing", "/_page/api/events", "/_page/api/rules"]
    for path in paths:
        policy = shared.anonymous.get(path).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';"), path
        assert "unsafe" not in policy
    index = shared.anonymous.get("/").text
    assert re.findall(r"<script(?![^>]*\ssrc=)", index) == re.findall(r"<style|\sstyle=|\son\w+=", index) == []


def test_no_browser_takes_an_answer_for_anything_but_json(running: Running) -> None:
    """Of either API, refusals too."""
    running.collector.post("/v1/events", json=event(transaction_id="a", metadata={"x": "<script>alert(1)</script>"}))
    for path in ("/v1/search/~/events/a", "/v1/~/cohorts/none", "/openapi.json", "/v1/~/nowhere"):
        answer = running.management.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == "application/json"


# Body and decompression limits.


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """80 MB of white space before a JSON value: over every limit, and some kilobytes on the wire."""
    data = b" " * (80 * MEGABYTE) + b"{}"
    return {
        "gzip": gzip.compress(data, 1),
        "deflate": zlib.compress(data, 1),
        "br": brotli.compress(data, quality=1),
        "zstd": zstandard.compress(data, 1),
    }


@pytest.mark.parametrize("each", TAKING_BODIES, ids=name)
def test_a_bomb_is_too_large_wherever_a_body_is_taken(
    plenty: Running, bombs: dict[str, bytes], each: Operation
) -> None:
    """413, after no more than the limit was decoded."""
    coding = sorted(bombs)[TAKING_BODIES.index(each) % len(bombs)]
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    query = {"from": "-1d", "to": "now", "provider": "moesif"}
    path = filled(each, APP) if "workspaces/{id}/search" not in each.path else "/v1/search/~/search/events"
    answer = client_of(plenty, each).request(each.verb, path, params=query, content=bombs[coding], headers=headers)
    assert (answer.status_code, answer.json()["error"][:15]) == (413, "the body decode")


@pytest.mark.heavy
def test_a_bomb_costs_no_more_than_its_limit(bombs: dict[str, bytes]) -> None:
    """A process of its own, every coding and one inside another: its memory stays far under what they stand for."""
    with process("--app-id", APP) as (running, url, _), httpx.Client(base_url=url, timeout=60) as client:
        client.headers["X-Moesif-Application-Id"] = APP

        def peak() -> int:
            status = Path(f"/proc/{running.pid}/status").read_text()
            return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024

        before = peak()
        nested = gzip.compress(gzip.compress(b" " * (128 * MEGABYTE), 1), 9)
        for coding, bomb in (*bombs.items(), ("gzip, gzip", nested)):
            for path in ("/v1/events/batch", "/v1/users", "/v1/traces"):
                headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
                assert client.post(path, content=bomb, headers=headers).status_code == 413
        assert peak() - before < 300


@pytest.mark.parametrize("levels", [230, 250, 600])
def test_what_can_be_stored_can_be_shown(running: Running, levels: int) -> None:
    """However deep: it is refused, or every answer that has it can be written."""
    deep = f"{'[' * levels}{']' * levels}"
    rule = '{"name":"r","type":"user","state":1,"block":false,"response":{"body":%s}}' % deep  # noqa: UP031 - braces
    made = running.management.post("/v1/~/governance/rules", content=rule)
    user = running.collector.post("/v1/users", content='{"user_id":"u","metadata":{"x":%s}}' % deep)  # noqa: UP031
    sent = running.collector.build_request("POST", "/v1/events", json=event()).content[:-1]
    stored = running.collector.post("/v1/events", content=sent + b',"metadata":{"x":' + deep.encode() + b"}}")
    assert {made.status_code, user.status_code, stored.status_code} == ({201} if levels < 250 else {400})
    found = running.management.post("/v1/search/~/search/events?from=-1d&to=now", json={})
    assert (found.status_code, found.json()["hits"]["total"]) == (201, int(levels < 250))
    for path in ("/v1/~/governance/rules", "/v1/search/~/users/u"):
        assert running.management.get(path).status_code in (200, 404)
    assert running.collector.get("/v1/rules").status_code == 200


# Every literal bound, every path escaped.


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_search_becomes_a_statement(running: Running, text: str) -> None:
    """As a field, a value and a sort: an answer or a 400, and what is stored is found and counted as before."""
    odd = event(user_id=text, metadata={text: text, "plain": text}, transaction_id=f"id-{text}")
    assert running.collector.post("/v1/events/batch", json=[odd, event()]).status_code == 201
    search = "/v1/search/~/search/events?from=-1d&to=now"
    for field in (text, f"metadata.{text}", f"metadata.{text}.raw", f"{text}.x"):
        for body in (
            {"query": {"term": {field: text}}},
            {"query": {"exists": {"field": field}}},
            {"query": {"wildcard": {"user_id": text}}},
            {"query": {"query_string": {"query": text}}},
            {"sort": [{field: "asc"}]},
            {"_source": [field]},
            {"aggs": {"a": {"terms": {"field": field}}}},
            {"aggs": {"a": {"sum": {"field": field}}}},
        ):
            assert running.management.post(search, json=body).status_code in (201, 400), body
    # SQLite's own functions for JSON end a text at its first zero.
    for field in ("user_id.raw", *(["metadata.plain.raw"] if "\0" not in text else [])):
        hits = running.management.post(search, json={"query": {"term": {field: text}}}).json()["hits"]
        assert [hit["_id"] for hit in hits["hits"]] == [f"id-{text}"]
    aggs = {"a|b": {"terms": {"field": "user_id.raw"}}}
    buckets = running.management.post(search, json={"aggs": aggs}).json()["aggregations"]["a|b"]["buckets"]
    assert [bucket["key"] for bucket in buckets] == [text]


# No path from a request touches the file system.


def test_no_path_of_a_request_is_opened(tmp_path: Path) -> None:
    """A file's path in every blank of every call, and as the page's file: nothing of that name is looked for."""
    report = tmp_path / "opened"
    command = (sys.executable, "-m", "tests.collector.watched", str(report), "collector", "--port", "0")
    keys = [f"key-{number}" for number in range(50)]  # so many that no rate is met
    options = [option for key in keys for option in ("--management-key", key)]
    with (
        process("--app-id", APP, *options, command=command) as (_, url, _),
        httpx.Client(base_url=url) as client,
    ):
        turn = itertools.cycle(keys)
        for number, each in enumerate((*table.COLLECTOR, *table.MANAGEMENT)):
            text = HOSTILE[number % 2 * 3]
            query = {"app_id": APP, "from": "../passwd", "key_path": "../passwd", "cohort_id": "../passwd"}
            headers = {"Authorization": f"Bearer {next(turn)}"} if each.scopes else {"X-Moesif-Application-Id": APP}
            answer = client.request(each.verb, filled(each, text), params=query, json={}, headers=headers)
            assert answer.status_code < 500 or answer.status_code == 501, name(each)
        for path in (
            "/static/..%2f..%2fetc%2fpasswd",
            "/static/%2e%2e%2fpasswd",
            "/etc/passwd",
            "/_page/../etc/passwd",
        ):
            assert client.get(f"/{path}").status_code == 404
    opened = report.read_text().splitlines()
    assert any("moesif_middleware" in path for path in opened)  # what the command itself opens is seen
    assert [path for path in opened if "passwd" in path] == []


# No key in a log, and none in an answer.


CALLS = (
    *(("POST", f"/v1/{path}") for path in ("events", "users", "~/cohorts", "~/keystore")),
    *(("GET", f"/v1/{path}") for path in ("config", "~/cohorts", "search/~/users/u")),
    ("PATCH", "/v1/config"),
    ("GET", "/_page/api/events"),
)


def test_no_secret_is_logged_or_answered(tmp_path: Path) -> None:
    """Good and bad keys, tokens and ids, also while the store fails: not on standard error, not in an answer."""
    store = tmp_path / "broken.db"
    secrets = {"app": "app-5ecret", "key": "key-5ecret", "token": "token-5ecret-is-long"}
    options = ("--app-id", secrets["app"], "--management-key", secrets["key"], "--token", secrets["token"])
    with process("--store", f"sqlite:///{store}", *options) as (running, url, _):
        with sqlite3.connect(store) as connection:
            connection.execute("DROP TABLE entities")
            connection.execute("DROP TABLE documents")
        connection.close()
        answers = []
        with httpx.Client(base_url=url, timeout=30) as client:
            for suffix in ("", "-wr0ng"):
                headers = {
                    "X-Moesif-Application-Id": secrets["app"] + suffix,
                    "Authorization": f"Bearer {secrets['key']}{suffix}",
                    "X-Collector-Token": secrets["token"] + suffix,
                }
                for verb, path in (*CALLS, ("GET", f"/?token={secrets['token']}{suffix}")):
                    body = {"user_id": "u", "cohort_name": "c", "cohort_type": "user", "criteria": {}}
                    body |= {"encrypted_key": "stored-5ecret", **(event() if path == "/v1/events" else {})}
                    answers.append(client.request(verb, path, json=body if verb != "GET" else None, headers=headers))
        assert {503, 401} <= {answer.status_code for answer in answers} <= {200, 303, 401, 503}
        _, errors = ended(running, signal.SIGTERM)
    assert "a write of" in errors
    assert "5ecret" not in errors
    # The page shows who may see it which applications there are.
    shown = [answer.text.replace(secrets["app"], "") for answer in answers]
    assert not [text for text in shown if "5ecret" in text or "wr0ng" in text]
