"""Governance through the adapters: decided before the application runs, and what the client and the event get."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from starlette.requests import Request as StarletteRequest
from werkzeug.wrappers import Request as WerkzeugRequest

from moesif_middleware import Hooks, identify
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.sansio.governance import Block, Ruleset
from moesif_middleware.sansio.sampling import Sampling
from moesif_middleware.testing import Recorder, recording
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware
from tests import test_asgi, test_wsgi
from tests.processes import Server, collector, running, settings


def rule(name: str, **more: Any) -> dict[str, Any]:
    """Return a rule that blocks everything with 403, changed by ``more``."""
    answer = {"status": 403, "headers": {"X-Rule": name}, "body": {"rule": name}}
    return {"_id": name, "name": name, "type": "regex", "block": True, "response": answer, **more}


QUOTA = rule(
    "quota",
    type="user",
    variables=[{"name": "0", "path": "body.title"}],
    response={"status": 429, "headers": {"X-Quota": "{{0}}"}, "body": {"error": "over {{0}}"}},
)
COHORT = {"user_rules": {"u-1": [{"rules": "quota", "values": {"0": "1000"}}]}}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A handle that records; X-User names the user."""
    with recording(hooks=Hooks(identify_user=lambda request: request.headers.get("X-User"))) as made:
        yield made


def use(recorder: Recorder, rules: list[dict[str, Any]], config: dict[str, Any] | None = None) -> None:
    """Put rules and a config in force."""
    recorder.use(rules=orjson.dumps(rules), config=orjson.dumps(config or {}))


class Seen:
    """An answer as a client sees it."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, ran: bool) -> None:
        self.status, self.headers, self.body, self.ran = status, headers, body, ran


async def via_asgi(recorder: Recorder, body: bytes = b"{}", verb: str = "POST", **headers: str) -> Seen:
    """Send one request through the ASGI middleware."""
    ran: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(True)
        await test_asgi.answers([b'"app"'])(scope, receive, send)

    raw = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent = await test_asgi.drive(AsgiMiddleware(app, recorder.moesif), messages, method=verb, headers=raw)
    got = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Seen(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]), bool(ran))


async def via_wsgi(recorder: Recorder, body: bytes = b"{}", verb: str = "POST", **headers: str) -> Seen:
    """Send one request through the WSGI middleware."""
    ran: list[bool] = []

    def app(environ: Any, start_response: Any) -> Any:
        ran.append(True)
        return test_wsgi.answers([b'"app"'])(environ, start_response)

    extra = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    answer, _ = test_wsgi.call(WsgiMiddleware(app, recorder.moesif), body, REQUEST_METHOD=verb, **extra)
    got = {name.lower(): value for name, value in answer.headers}
    return Seen(int(answer.status[:3]), got, b"".join(answer.written), bool(ran))


both = pytest.mark.parametrize("via", [via_asgi, via_wsgi])


@both
async def test_a_user_in_the_cohort_gets_the_rules_answer_and_the_application_never_runs(
    recorder: Recorder, via: Callable[..., Any]
) -> None:
    """Status, merged header and merged body; the event records what the client got, and who blocked."""
    use(recorder, [QUOTA], COHORT)
    blocked, free = await via(recorder, X_User="u-1"), await via(recorder, X_User="u-2")
    assert (blocked.status, blocked.ran) == (429, False)
    assert blocked.headers["x-quota"] == "1000"
    assert blocked.headers["content-type"] == "application/json"
    assert blocked.headers["content-length"] == str(len(blocked.body))
    assert orjson.loads(blocked.body) == {"error": "over 1000"}
    assert (free.status, free.ran) == (200, True)
    one, two = recorder.events
    assert (one["blocked_by"], one["response"]["status"], one["user_id"]) == ("quota", 429, "u-1")
    assert one["response"]["body"] == {"error": "over 1000"}
    assert one["response"]["headers"]["x-quota"] == "1000"
    assert "blocked_by" not in two


@both
async def test_a_rule_that_does_not_block_adds_its_headers_to_the_real_response(
    recorder: Recorder, via: Callable[..., Any]
) -> None:
    """Compared without case, in the place of the application's own."""
    answer = {"headers": {"CONTENT-type": "text/plain", "X-Plan": "free"}}
    use(recorder, [rule("r", block=False, response=answer)])
    seen = await via(recorder)
    assert (seen.status, seen.body, seen.ran) == (200, b'"app"', True)
    assert (seen.headers["content-type"], seen.headers["x-plan"]) == ("text/plain", "free")
    assert recorder.events[0]["response"]["headers"]["x-plan"] == "free"


@both
async def test_a_blocked_head_has_the_headers_and_no_body(recorder: Recorder, via: Callable[..., Any]) -> None:
    """RFC 9110 9.3.2."""
    use(recorder, [rule("r")])
    seen = await via(recorder, verb="HEAD")
    assert (seen.status, seen.body) == (403, b"")
    assert seen.headers["content-length"] == str(len(b'{"rule":"r"}'))


@both
async def test_shadow_decides_and_records_but_never_blocks(via: Callable[..., Any]) -> None:
    """The client sees the application; the event says what would have been."""
    with recording(governance="shadow") as recorder:
        use(recorder, [rule("r")])
        seen = await via(recorder)
        assert (seen.status, seen.ran) == (200, True)
        assert "x-rule" not in seen.headers
        (event,) = recorder.events
    assert event["metadata"]["governance_shadow"] == {"blocked_by": "r", "status": 403}
    assert "blocked_by" not in event


@both
async def test_off_reads_no_rule(via: Callable[..., Any]) -> None:
    """Sampling goes on, governance does not."""
    with recording(governance="off") as recorder:
        use(recorder, [rule("r")], {"sample_rate": 0})
        assert (await via(recorder)).ran
        assert recorder.events == []
        assert recorder.moesif.stats()["sampled_out"] == 1


@both
async def test_a_rule_reads_the_body_and_the_application_gets_all_of_it(
    recorder: Recorder, via: Callable[..., Any]
) -> None:
    """The top-level key of a JSON object, read ahead."""
    condition = {"path": "request.body.kind", "value": "^bad$"}
    use(recorder, [rule("r", regex_config=[{"conditions": [condition]}])])
    assert (await via(recorder, b'{"kind": "bad"}')).status == 403
    assert (await via(recorder, b'{"kind": "good"}')).status == 200
    assert (await via(recorder, b"not json")).status == 200
    assert [event["request"]["transfer_encoding"] for event in recorder.events] == ["json", "json", "base64"]


KIND = {"path": "request.body.kind", "value": "^bad$"}


@both
@pytest.mark.parametrize(
    "settings", [{"capture_body": False}, {"capture_content_types": ("text/*",)}, {"skip_paths": ("/*",)}]
)
async def test_a_rule_reads_a_body_that_no_event_keeps(via: Callable[..., Any], settings: dict[str, Any]) -> None:
    """What is captured and what rules read are two things: no setting of the one gets round the other."""
    with recording(**settings) as recorder:
        use(recorder, [rule("r", regex_config=[{"conditions": [KIND]}])])
        assert (await via(recorder, b'{"kind": "bad"}')).status == 403
        assert (await via(recorder, b'{"kind": "good"}')).ran
        assert all("body" not in event["request"] for event in recorder.events)
        assert recorder.moesif.stats()["errors"] == {}


@both
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(b'{"kind": "bad"}'), {"Content_Encoding": "gzip"}),
        (b'\xef\xbb\xbf{"kind": "bad"}', {}),
        (b'{"x": "\\ud800", "kind": "bad"}', {}),
        (b'{"x": %s, "kind": "bad"}' % (b"[" * 200 + b"]" * 200), {}),
        (b'{"kind": "bad", "x": "%s"}' % (b"x" * 200_000), {}),
        ('{"kind": "bad"}'.encode("utf-16"), {}),
        ('{"kind": "bad"}'.encode("utf-32-le"), {}),
        (('{"kind": "bad", "x": "%s"}' % ("x" * 200_000)).encode("utf-16-be"), {}),
        (b'{"x": NaN, "kind": "bad"}', {}),
        (b'{"x": -Infinity, "kind": "bad", "y": "%s"}' % (b"y" * 200_000), {}),
        (b'{"x": "\xed\xa0\x80", "kind": "bad"}', {}),
        (b'{"y": "\\ud800", "x": %s, "kind": "bad"}' % (b"[" * 200 + b"]" * 200), {}),
        (b'{"kind": "bad"}', {"Content_Encoding": "gzip"}),
        (b'{"kind": "bad"}', {"Content_Encoding": "gzip, gzip, gzip"}),
        (b'{"kind": "bad", "x": "%s"}' % (b"x" * 200_000), {"Content_Encoding": "of my own"}),
    ],
    ids=[
        "compressed",
        "a byte order mark",
        "half a surrogate pair",
        "deep",
        "beyond the limit",
        "UTF-16",
        "UTF-32",
        "UTF-16 beyond the limit",
        "not a number",
        "infinity beyond the limit",
        "a surrogate in UTF-8",
        "deep and half a surrogate pair",
        "not compressed",
        "too many codings",
        "an unknown coding",
    ],
)
async def test_a_rule_is_not_got_round_by_odd_json(
    recorder: Recorder, via: Callable[..., Any], body: bytes, headers: dict[str, str]
) -> None:
    """What frameworks read as JSON, rules read as JSON; beyond the capture limit they see nothing."""
    use(recorder, [rule("r", regex_config=[{"conditions": [KIND]}])])
    assert (await via(recorder, body, **headers)).status == 403


@both
async def test_a_block_whose_rate_cannot_be_found_fails_open(
    recorder: Recorder, via: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application runs, and the event does not say that it did not."""

    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError

    use(recorder, [rule("r")], {"user_sample_rate": {"somebody": 100}})
    monkeypatch.setattr(Sampling, "rate_before", fail)
    assert (await via(recorder)).ran
    assert "blocked_by" not in recorder.events[0]


@both
async def test_the_event_of_a_block_is_masked(recorder: Recorder, via: Callable[..., Any]) -> None:
    """As any other: the client gets what the rule says, the collector does not."""
    answer = {"status": 403, "headers": {"X-Api-Key": "c4n4ry"}, "body": {"password": "c4n4ry"}}
    use(recorder, [rule("r", response=answer)])
    assert (await via(recorder)).body == b'{"password":"c4n4ry"}'
    assert "c4n4ry" not in str(recorder.events)


@both
async def test_a_block_is_skipped_and_sampled_like_any_other(via: Callable[..., Any]) -> None:
    """The skip hook is asked about it with the answer that the client got."""
    asked: list[int] = []

    def skip(request: Any, response: Any) -> bool:
        asked.append(response.status_code)
        return True

    with recording(hooks=Hooks(skip=skip)) as recorder:
        use(recorder, [rule("r")])
        assert (await via(recorder)).status == 403
        assert recorder.events == []
        assert asked == [403]


@both
async def test_skipped_and_sampled_out_requests_are_governed_all_the_same(
    recorder: Recorder, via: Callable[..., Any]
) -> None:
    """Skip only means no event."""
    use(recorder, [rule("r")], {"sample_rate": 0})
    assert (await via(recorder)).status == 403
    assert recorder.events == []


@both
async def test_governance_fails_open_and_counts(
    recorder: Recorder, via: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error in it lets the request through."""

    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError

    use(recorder, [rule("r")])
    monkeypatch.setattr(Ruleset, "decide", fail)
    assert (await via(recorder)).ran
    assert recorder.moesif.stats()["errors"] == {"governance": 1}


@both
@pytest.mark.parametrize("status", [100, 101, 199])
async def test_a_rules_informational_status_is_a_final_answer_that_servers_can_send(
    recorder: Recorder, via: Callable[..., Any], status: int
) -> None:
    """The contract allows 100 to 599, but nothing below 200 ends a response."""
    use(recorder, [rule("r", response={"status": status, "body": {}})])
    seen = await via(recorder)
    assert (seen.status, seen.ran) == (403, False)


def test_explain_shows_the_status_that_is_sent(recorder: Recorder) -> None:
    """What the client gets, not what the rule says and no server can send."""
    use(recorder, [rule("r", response={"status": 100, "body": {}})])
    decision = recorder.moesif.explain({"type": "http", "method": "GET", "path": "/", "headers": []}).decision
    assert isinstance(decision, Block)
    assert decision.status == 403


def late(recorder: Recorder, config: dict[str, Any], user: str) -> Callable[[], Any]:
    """Return what sends a request of company acme, in which the application says whose it is."""
    recorder.use(config=orjson.dumps(config))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        identify(user_id=user)
        await test_asgi.answers([b"1"])(scope, receive, send)

    headers = [(b"x-user", b"early")]
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]
    return lambda: test_asgi.drive(AsgiMiddleware(app, recorder.moesif), messages, headers=headers)


async def test_who_the_application_says_it_is_decides_about_the_rate(recorder: Recorder) -> None:
    """The user whom identify() names has the last word; the first such request may be lost to an early rate of 0."""
    send = late(recorder, {"user_sample_rate": {"early": 0, "late": 100}}, "late")
    for _ in range(3):
        await send()
    assert [event["user_id"] for event in recorder.events] == ["late", "late"]
    assert [event["weight"] for event in recorder.events] == [1, 1]


@pytest.mark.parametrize(
    "config",
    [
        {"company_sample_rate": {"acme": 50}},
        {"sample_rate": 50, "user_rules": {"early": [{"rules": "r"}]}},
        {"regex_config": [{"sample_rate": 0, "conditions": [{"path": "request.route", "value": ""}]}]},
    ],
)
async def test_an_id_that_no_rate_was_for_may_change(recorder: Recorder, config: dict[str, Any]) -> None:
    """It says nothing about the ids that rates are for, which are believed early as before."""
    send = late(recorder, config, "late")
    await send()
    assert recorder.moesif._ids_are_final


@pytest.mark.parametrize("id_header", ["early", "unheard of"])
async def test_rates_of_users_and_companies_alone_read_nothing_of_the_request(
    recorder: Recorder, id_header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the rates that large customers have; what conditions and rules would read is not even made ready."""
    monkeypatch.setattr(recorder.moesif, "subject", lambda *_, **__: pytest.fail("was asked for"))
    recorder.use(config=orjson.dumps({"user_sample_rate": {"early": 100}, "company_sample_rate": {"acme": 50}}))
    headers = [(b"x-user", id_header.encode())]
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]
    app = AsgiMiddleware(test_asgi.answers([b"1"]), recorder.moesif)
    await test_asgi.drive(app, messages, headers=headers)
    assert [event["user_id"] for event in recorder.events] == [id_header]
    assert recorder.moesif.stats()["errors"] == {}


async def test_a_request_that_becomes_another_users_is_kept_at_the_lesser_rate(recorder: Recorder) -> None:
    """Of those kept at 50 % half are kept where 25 % is asked for, and each stands for four."""
    recorder.moesif._draw.seed(7)
    send = late(recorder, {"user_sample_rate": {"early": 50, "late": 25}}, "late")
    for _ in range(400):
        recorder.moesif._ids_are_final = True
        await send()
    assert {event["weight"] for event in recorder.events} == {4}
    assert 70 <= len(recorder.events) <= 130


async def test_reading_ahead_keeps_messages_chunk_boundaries_and_the_disconnect(recorder: Recorder) -> None:
    """The application receives the very messages, in their order, whatever was read before it."""
    condition = {"path": "request.body.kind", "value": "never"}
    use(recorder, [rule("r", regex_config=[{"conditions": [condition]}])])
    incoming = [
        {"type": "http.request", "body": b"a" * 60_000, "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"b" * 60_000, "more_body": True},
        {"type": "http.request", "body": b"c", "more_body": True},
        {"type": "http.disconnect"},
    ]
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not got or got[-1]["type"] != "http.disconnect":
            got.append(await receive())

    await test_asgi.drive(AsgiMiddleware(app, recorder.moesif), list(incoming))
    assert len(got) == len(incoming)
    assert all(one is other for one, other in zip(got, incoming, strict=True))


async def test_explain_says_why_for_the_request_of_either_framework(recorder: Recorder) -> None:
    """Rule by rule, with the rendered answer; nothing is captured by asking."""
    use(recorder, [QUOTA], COHORT)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-user", b"u-1")], "query_string": b""}
    environ = test_wsgi.environ(HTTP_X_USER="u-1")
    for request in (StarletteRequest(scope), WerkzeugRequest(environ), scope, environ):
        told = recorder.moesif.explain(request, user_id="u-1")
        assert "rule quota (user, blocks) quota" in str(told)
        assert told.as_dict()["decision"]["status"] == 429
    assert recorder.moesif.explain(StarletteRequest(scope)).as_dict()["decision"]["blocked"]
    assert recorder.moesif.stats()["captured"] == 0


KEY = "a-management-key-of-the-tests"
MANAGE = {"headers": {"Authorization": f"Bearer {KEY}"}, "timeout": 10}


def statuses(server: Server, wanted: int, seconds: float) -> bool:
    """Ask until the server answers with the wanted status, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if httpx.get(f"{server.url}/json").status_code == wanted:
            return True
        time.sleep(0.25)
    return False


def shadowed(collecting: Server, seconds: float) -> bool:
    """Ask until the collector has an event of a request that a rule would have blocked, or the time is over."""
    search = f"{collecting.url}/v1/search/~/search/events?from=-1h&to=now"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = httpx.post(search, json={"size": 100}, **MANAGE)  # type: ignore[arg-type]
        hits = found.raise_for_status().json()["hits"]["hits"]
        if any("governance_shadow" in (hit["_source"].get("metadata") or {}) for hit in hits):
            return True
        time.sleep(0.25)
    return False


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_a_rule_made_over_the_management_api_blocks_a_running_application(kind: str) -> None:
    """The next delivered batch brings the tags, and the tags the rule; deleting it lets the requests through."""
    body = {**rule("made", state=2), "applied_to": "matching"}
    del body["_id"]
    body["response"] = {"status": 451, "headers": {"X-Made": "yes"}}
    options = {"refresh_interval": 3600}
    with collector("--management-key", KEY) as collecting, running(kind, settings(collecting.url, **options)) as server:
        assert httpx.get(f"{server.url}/json").status_code == 200
        rules = f"{collecting.url}/v1/~/governance/rules"
        made = httpx.post(rules, json=body, **MANAGE)  # type: ignore[arg-type]
        assert made.status_code == 201, made.text
        assert statuses(server, 451, 25)
        assert httpx.get(f"{server.url}/json").headers["x-made"] == "yes"
        assert httpx.delete(f"{rules}/{made.json()['_id']}", **MANAGE).is_success  # type: ignore[arg-type]
        assert statuses(server, 200, 25)
        with running(kind, settings(collecting.url, governance="shadow", **options)) as shadow:
            httpx.post(rules, json=body, **MANAGE)  # type: ignore[arg-type]
            assert not statuses(shadow, 451, 13)
            assert shadowed(collecting, 20)
