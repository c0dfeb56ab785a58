"""What the page is made from: its files, its reading API, and the stream of new events."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from moesif_middleware.collector.page import FILES
from moesif_middleware.collector.page_answers import POLICY
from moesif_middleware.collector.qualifiers import Qualifier, parse
from moesif_middleware.collector.search.times import wire_millis

from .conftest import Running
from .conftest import event as captured
from .serving import Served, event, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("page"), tuple(f"app-{number}" for number in range(30))) as found:
        yield found


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["events"]]


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in FILES), "/_page/api/events"])
def test_every_answer_of_the_page_forbids_what_it_does_not_need(served: Served, path: str) -> None:
    answer = served.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_a_file_is_served_with_its_type_and_answered_304_when_known(served: Served, name: str, media_type: str) -> None:
    answer = served.client.get(f"/static/{name}")
    assert answer.headers["content-type"] == media_type
    again = served.client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["page.py", "../page.py", "%2e%2e/page.py", "..%2fpage.py", "app.js/", "APP.JS", ""])
def test_no_name_outside_the_table_is_served(served: Served, name: str) -> None:
    assert served.client.get(f"/static/{name}").status_code == 404


def test_the_table_of_files_is_the_folder() -> None:
    folder = files("moesif_middleware.collector") / "static"
    assert {item.name for item in folder.iterdir()} == set(FILES)


def test_no_script_makes_markup_out_of_text() -> None:
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
        "<style",
        'style="',
    )
    folder = files("moesif_middleware.collector") / "static"
    for item in folder.iterdir():
        text = item.read_text()
        assert not [word for word in forbidden if word in text], item.name


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example"}, "Host"),
        ({"Origin": "https://evil.example"}, "cross-site"),
        ({"Sec-Fetch-Site": "cross-site"}, "cross-site"),
    ],
)
def test_a_foreign_host_or_origin_is_refused(served: Served, headers: dict[str, str], why: str) -> None:
    for path in ("/", "/_page/api/events", "/_page/api/live"):
        answer = served.client.get(path, headers=headers)
        assert answer.status_code == 403
        assert why in answer.json()["error"]


FILTERED = [
    ({"q": "status:404"}, {"missing"}),
    ({"q": "status:4xx"}, {"missing", "denied"}),
    ({"q": "verb:post"}, {"denied"}),
    ({"q": "user:u1"}, {"fine", "missing"}),
    ({"q": "company:acme user:u1"}, {"fine"}),
    ({"q": "route:/items/{id}"}, {"fine"}),
    ({"q": "route:/items*"}, {"fine", "missing"}),
    ({"q": 'user:"a b"'}, {"denied"}),
    ({"status": "4xx", "verb": "GET"}, {"missing"}),
    ({"route": "/items/{id}", "user": "u1"}, {"fine"}),
    ({"q": "status:2xx", "status": ""}, {"fine"}),
    ({"q": "user:nobody"}, set()),
    # From here on it takes a search.
    ({"q": "status:404,401"}, {"missing", "denied"}),
    ({"q": "-status:200"}, {"missing", "denied", "silent"}),
    ({"q": "status:>=400"}, {"missing", "denied"}),
    ({"q": "status:200..404"}, {"fine", "missing", "denied"}),
    ({"q": "status:none"}, {"silent"}),
    ({"q": "took:>500"}, {"missing"}),
    ({"q": "took:>0.5s"}, {"missing"}),
    ({"q": "took:10..20"}, {"fine", "denied"}),
    ({"q": 'body:"Blue SHOES"'}, {"denied"}),
    ({"q": "body:100%"}, set()),
    ({"q": "login"}, {"denied"}),
    ({"q": "-login -none"}, {"fine", "silent"}),
    ({"q": "user:u*"}, {"fine", "missing"}),
    ({"q": "metadata.region:eu"}, {"fine"}),
    ({"q": "metadata.count:5"}, {"fine"}),
    ({"q": "-metadata.region:*"}, {"missing", "denied", "silent"}),
    ({"q": "request.headers.x-kind:test"}, {"denied"}),
    ({"q": "since:1h until:10m"}, {"silent"}),
    ({"q": "id:fine,denied"}, {"fine", "denied"}),
    ({"q": "type:action"}, set()),
    ({"q": "blocked:no", "verb": "POST"}, {"denied"}),
]


@pytest.fixture(scope="module")
def filtered(served: Served) -> str:
    app = served.apps[1]
    served.send(
        app,
        event(
            transaction_id="fine",
            user_id="u1",
            company_id="acme",
            request={"route": "/items/{id}"},
            metadata={"region": "eu", "count": 5},
        ),
        event("/items/none", status=404, transaction_id="missing", user_id="u1", took=800),
        event(
            "/login",
            "POST",
            401,
            transaction_id="denied",
            user_id="a b",
            request={
                "headers": {"X-Kind": "test"},
                "body": {"order": ["light blue shoes"]},
                "transfer_encoding": "json",
            },
        ),
        event("/gone", status=None, transaction_id="silent", ago=1200),
    )
    return app


@pytest.mark.parametrize(("query", "expected"), FILTERED)
def test_filters(served: Served, filtered: str, query: dict[str, str], expected: set[str]) -> None:
    assert set(ids(served.page("events", app=filtered, **query))) == expected


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"q": "colour:red"}, "colour"),
        ({"q": "status:high"}, "status:high"),
        ({"q": "status:"}, "status"),
        ({"q": "x" * 2001}, "2000"),
        ({"q": "x " * 60}, "50"),
        ({"q": "took:long"}, "took:long"),
        ({"q": "took:>5..6"}, "took"),
        ({"q": "user:a,"}, "user"),
        ({"q": "type:dog"}, "type:dog"),
        ({"q": "since:yesterday"}, "yesterday"),
        ({"q": "took:>5", "before": "x"}, "before"),
        ({"q": "took:>5", "before": '["a"]'}, "before"),
        ({"before": "-1"}, "before"),
        ({"limit": "9" * 30}, "limit"),
    ],
)
def test_a_filter_that_cannot_be_answered_is_a_400_that_names_it(
    served: Served, query: dict[str, str], sentence: str
) -> None:
    answer = served.page("events", **query)
    assert answer.status_code == 400, answer.text
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(("number", "text"), [(2, ""), (9, "took:>1")])
def test_pages_follow_each_other_without_gap_or_repetition(served: Served, number: int, text: str) -> None:
    app = served.apps[number]
    served.send(app, *(event(transaction_id=f"{app}-{number}", ago=300 - number) for number in range(250)))
    seen: list[str] = []
    query: dict[str, Any] = {"app": app, "limit": 60, "q": text}
    while True:
        found = served.page("events", **query).json()
        seen += [row["id"] for row in found["events"]]
        if not found["more"]:
            break
        query["before"] = found["events"][-1]["at"]
    assert seen == [f"{app}-{number}" for number in reversed(range(250))]


@pytest.mark.parametrize("key", ["plain", "with/slash", "a b?c#d%41", "ünï"])
def test_one_event_is_read_whole_by_any_id(served: Served, key: str) -> None:
    app = served.apps[3]
    served.send(app, event(transaction_id=key, metadata={"n": 1}))
    answer = served.page(f"events/{quote(key, safe='')}", app=app)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == key
    assert answer.json()["event"]["metadata"] == {"n": 1}


def test_an_unknown_event_or_application_is_a_404(served: Served) -> None:
    assert served.page("events/nothing").status_code == 404
    assert served.page("events", app="nobody").status_code == 404
    assert served.page("live", app="nobody").status_code == 404


def test_an_event_of_one_application_is_not_read_through_another(served: Served) -> None:
    served.send(served.apps[4], event(transaction_id="mine"))
    assert served.page("events/mine", app=served.apps[4]).status_code == 200
    assert served.page("events/mine", app=served.apps[5]).status_code == 404


def messages(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize(("number", "text"), [(6, "status:5xx"), (10, "status:>=500"), (11, "-status:200")])
def test_the_stream_tells_of_events_that_match_as_they_are_stored(served: Served, number: int, text: str) -> None:
    app = served.apps[number]
    served.send(app, event(transaction_id="before"))
    with served.client.stream("GET", "/_page/api/live", params={"app": app, "q": text}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = messages(stream)
        served.send(app, event(transaction_id="fine"), event(transaction_id="bad", status=503))
        started = time.monotonic()
        first = next(found)
        assert [row["id"] for row in first["events"]] == ["bad"]
        assert time.monotonic() - started < 3
        served.send(app, event(transaction_id="worse", status=500))
        assert [row["id"] for row in next(found)["events"]] == ["worse"]


def test_the_stream_goes_on_behind_what_was_seen(served: Served) -> None:
    app = served.apps[7]
    served.send(app, event(transaction_id="one"), event(transaction_id="two"), event(transaction_id="three"))
    rows = served.page("events", app=app).json()["events"]
    with served.client.stream("GET", "/_page/api/live", params={"app": app, "after": rows[-1]["seq"]}) as stream:
        first = next(messages(stream))
    assert [row["id"] for row in first["events"]] == ["three", "two"]
    assert first["gap"] is False


def test_more_than_a_message_holds_is_a_gap_that_the_page_is_told_of(served: Served) -> None:
    app = served.apps[8]
    served.send(app, *(event() for _ in range(300)))
    with served.client.stream("GET", "/_page/api/live", params={"app": app, "after": 0}) as stream:
        first = next(messages(stream))
    assert first["gap"] is True
    assert len(first["events"]) == 200


def test_the_token_is_asked_for_when_there_is_one(tmp_path: Path) -> None:
    token = "a-token-of-some-length"
    with serving(tmp_path, ("app",), token=token) as found:
        assert found.client.get("/").status_code == 401
        assert found.page("events").status_code == 401
        opened = found.client.get("/", params={"token": token})
        assert opened.status_code == 303
        assert found.client.get("/").status_code == 200
        assert found.page("events").status_code == 200


PARSED = [
    ("", []),
    ("status:5xx  verb:POST", [Qualifier("status", ("5xx",)), Qualifier("verb", ("POST",))]),
    ("-", [Qualifier("", ("-",))]),
    ("-user:42", [Qualifier("user", ("42",), negated=True)]),
    ('body:"a \\"b\\" \\\\c"', [Qualifier("body", ('a "b" \\c',))]),
    ("USER:Ann", [Qualifier("user", ("Ann",))]),
    ("plain words", [Qualifier("", ("plain",)), Qualifier("", ("words",))]),
    ('"two words"', [Qualifier("", ("two words",))]),
    ("took:>500", [Qualifier("took", (">500",))]),
    ("route:/a:b", [Qualifier("route", ("/a:b",))]),
    ('user:"open', [Qualifier("user", ('"open',))]),
    ("verb:GET,POST", [Qualifier("verb", ("GET", "POST"))]),
    ('user:"a,b"', [Qualifier("user", ("a,b",))]),
    ("metadata.Region-1:x", [Qualifier("metadata.Region-1", ("x",))]),
    ("-plain", [Qualifier("", ("plain",), negated=True)]),
]


@pytest.mark.parametrize(("text", "expected"), PARSED)
def test_the_filter_text_is_read_as_words_and_qualifiers(text: str, expected: list[Qualifier]) -> None:
    assert parse(text) == expected


def test_the_overview_counts_what_passes_the_filter_over_time_and_by_whom(served: Served) -> None:
    app = served.apps[12]
    served.send(
        app,
        *(event("/a", took=10 * n, ago=n, user_id="u1", company_id="acme", request={"route": "/a"}) for n in range(10)),
        event("/b", status=500, took=900, ago=700, user_id="u2", weight=5, request={"route": "/b"}),
        event("/old", ago=7200),
    )
    found = served.page("summary", app=app).json()
    assert (found["total"], found["errors"]) == (15, 5)
    assert sum(bucket["count"] for bucket in found["by_status"]) == 15
    assert sum(bucket["parts"].get("5xx", 0) for bucket in found["by_status"]) == 5
    assert sum(bucket["parts"].get("/a", 0) for bucket in found["by_route"]) == 10
    assert [bucket["at"] for bucket in found["by_status"]] == [bucket["at"] for bucket in found["latency_over_time"]]
    assert 60 <= len(found["by_status"]) <= 72
    assert [(row["key"], row["count"], row["errors"]) for row in found["routes"]] == [("/a", 10, 0), ("/b", 5, 5)]
    assert found["routes"][1]["latency"]["p99"] == 900
    assert [(row["key"], row["count"]) for row in found["users"]] == [("u1", 10), ("u2", 5)]
    assert [row["key"] for row in found["companies"]] == ["acme"]
    only = served.page("summary", app=app, q="status:5xx").json()
    assert (only["total"], only["latency"]["p50"]) == (5, 900)
    nothing = served.page("summary", app=app, q="user:nobody").json()
    assert (nothing["total"], nothing["latency"]["p50"]) == (0, None)


@pytest.mark.parametrize("query", [{"from": 5, "to": 5}, {"from": 9, "to": 5}, {"from": 0, "to": 10**13}, {"to": "x"}])
def test_an_overview_of_no_range_of_time_is_refused(served: Served, query: dict[str, Any]) -> None:
    assert served.page("summary", **query).status_code == 400


def test_what_passes_the_filter_is_exported_as_an_archive(served: Served) -> None:
    app, image = served.apps[13], base64.b64encode(b"\xff\xd8").decode()
    body = {"name": "Ann"}
    served.send(
        app,
        event(
            "/a?x=1&y=a%20b", "POST", 201, user_id="u1", took=30, request={"body": body, "transfer_encoding": "json"}
        ),
        event("/b", user_id="u1", response={"body": image, "transfer_encoding": "base64"}),
        event("/c", status=None, user_id="u1"),
        event("/other", user_id="u2"),
    )
    answer = served.page("export.har", app=app, q="user:u1")
    assert answer.headers["content-disposition"] == 'attachment; filename="events.har"'
    log = answer.json()["log"]
    assert log["version"] == "1.2"
    silent, picture, posted = log["entries"]
    assert [entry["response"]["status"] for entry in log["entries"]] == [0, 200, 201]
    assert posted["request"]["postData"]["text"] == '{"name":"Ann"}'
    assert posted["request"]["queryString"] == [{"name": "x", "value": "1"}, {"name": "y", "value": "a b"}]
    assert (posted["time"], posted["timings"]["wait"]) == (30, 30)
    assert picture["response"]["content"] | {"text": image, "encoding": "base64"} == picture["response"]["content"]
    assert "text" not in silent["response"]["content"]
    for entry in log["entries"]:
        assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= set(entry)


def test_an_archive_of_many_events_holds_them_all(served: Served) -> None:
    app = served.apps[14]
    served.send(app, *(event(f"/{number}") for number in range(450)))
    entries = served.page("export.har", app=app).json()["log"]["entries"]
    assert len({entry["request"]["url"] for entry in entries}) == 450
    assert served.page("export.har", app=served.apps[15]).json()["log"]["entries"] == []


def delete(served: Served, **query: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return served.client.request("DELETE", "/_page/api/events", params=query, headers=headers)


def test_events_are_deleted_by_filter_step_by_step(served: Served) -> None:
    app = served.apps[16]
    served.send(app, *(event(status=500) for _ in range(620)), event(transaction_id="stays"))
    served.send(served.apps[17], event(status=500, transaction_id="of another application"))
    assert delete(served, app=app, q="status:5xx").json() == {"deleted": 500, "more": True}
    assert delete(served, app=app, q="status:5xx").json() == {"deleted": 120, "more": False}
    assert delete(served, app=app, q="took:>1 status:500").json() == {"deleted": 0, "more": False}
    assert ids(served.page("events", app=app)) == ["stays"]
    assert ids(served.page("events", app=served.apps[17])) == ["of another application"]


def test_events_to_delete_come_with_their_times(everywhere: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by either way of the list: a store whose order is that of time looks at no other events then."""
    times = {key: int(time.time() * 1000) - 60_000 * place for place, key in enumerate("ABC")}
    statuses = {"A": 500, "B": 503, "C": 201}
    sent = [
        captured(
            transaction_id=key,
            request={"time": wire_millis(moment)},
            response={"time": wire_millis(moment + 5), "status": statuses[key]},
        )
        for key, moment in times.items()
    ]
    assert everywhere.collector.post("/v1/events/batch", json=sent).status_code == 201
    asked: dict[str, int | None] = {}
    delete = everywhere.store.delete

    def noted(app: str, kind: str, key: str, time_ms: int | None = None) -> Future[bool]:
        asked[key] = time_ms
        return delete(app, kind, key, time_ms)

    monkeypatch.setattr(everywhere.store, "delete", noted)
    headers = {"Content-Type": "application/json"}
    for filtered, deleted in (("status:5xx", 2), ("took:>1", 1)):
        query = {"app": everywhere.app, "q": filtered}
        answer = everywhere.anonymous.request("DELETE", "/_page/api/events", params=query, headers=headers)
        assert answer.json() == {"deleted": deleted, "more": False}
    assert asked == times


def test_nothing_is_deleted_without_a_filter_or_by_another_page(served: Served) -> None:
    app = served.apps[18]
    served.send(app, event())
    assert delete(served, app=app).status_code == 400
    assert delete(served, app=app, q="  ").status_code == 400
    url, query = "/_page/api/events", {"app": app, "q": "status:200"}
    assert served.client.delete(url, params=query).status_code == 415
    headers = {"Content-Type": "application/json", "Origin": "https://evil.example"}
    assert served.client.request("DELETE", url, params=query, headers=headers).status_code == 403
    assert len(ids(served.page("events", app=app))) == 1


RULE = {
    "name": "No writes for now",
    "type": "regex",
    "state": 2,
    "block": True,
    "regex_config": [{"conditions": [{"path": "request.verb", "value": "POST|PUT"}]}],
    "response": {"status": 423, "headers": {"X-Why": "maintenance"}, "body": {"error": "later"}},
}


def test_rules_are_kept_as_the_management_api_keeps_them(served: Served) -> None:
    app = served.apps[20]
    made = served.client.post("/_page/api/rules", params={"app": app}, json=RULE)
    assert made.status_code == 201, made.text
    rule = made.json()
    assert served.page("rules", app=app).json() == [rule]
    assert served.client.get("/v1/rules", headers={"X-Moesif-Application-Id": app}).json() == [rule]
    path = f"/_page/api/rules/{rule['_id']}"
    changed = served.client.post(path, params={"app": app}, json={**rule, "block": False})
    assert changed.json()["block"] is False
    assert served.client.post(path, params={"app": app}, json={"type": "dog"}).status_code == 400
    assert served.client.delete(path, params={"app": app}).status_code == 415
    headers = {"Content-Type": "application/json"}
    assert served.client.request("DELETE", path, params={"app": app}, headers=headers).status_code == 204
    assert served.page("rules", app=app).json() == []


def trial(served: Served, app: str, q: str = "", **body: Any) -> Any:
    answer = served.client.post("/_page/api/trial", params={"app": app, "q": q}, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_rule_is_tried_on_recorded_events_before_it_is_in_force(served: Served) -> None:
    app = served.apps[21]
    served.send(
        app,
        *(event("/items", "POST", 201, user_id="u1") for _ in range(3)),
        event("/orders", "PUT", 200, transaction_id="put"),
        *(event() for _ in range(5)),
    )
    found = trial(served, app, rule=RULE)
    assert [found[name] for name in ("looked", "applied", "blocked", "newly_blocked")] == [9, 4, 4, 4]
    sample = found["samples"][0]
    assert (sample["id"], sample["was"], sample["becomes"], sample["blocked_by"]) == ("put", 200, 423, "draft")
    assert trial(served, app, "user:u1", rule=RULE)["looked"] == 3
    made = served.client.post("/_page/api/rules", params={"app": app}, json=RULE).json()
    again = trial(served, app, rule=made)
    assert (again["applied"], again["newly_blocked"]) == (4, 0)
    softer = trial(served, app, rule={**made, "block": False})
    assert (softer["applied"], softer["blocked"]) == (4, 0)
    broken = trial(
        served, app, rule={**RULE, "regex_config": [{"conditions": [{"path": "request.verb", "value": "("}]}]}
    )
    assert broken["applied"] == 0
    assert broken["problems"]


def test_a_decision_is_explained_rule_by_rule(served: Served) -> None:
    app = served.apps[22]
    served.send(app, event("/items", "POST", 201, transaction_id=f"{app}-post"), event(transaction_id=f"{app}-get"))
    assert trial(served, app, event=f"{app}-post")["decision"]["blocked"] is False
    found = trial(served, app, event=f"{app}-post", rule=RULE)
    assert found["decision"]["blocked"] is True
    assert (found["decision"]["status"], found["decision"]["body"]) == (423, '{"error":"later"}')
    assert found["rules"][0]["groups"][0][0]["matches"] is True
    found = trial(served, app, event=f"{app}-get", rule=RULE)
    assert found["decision"]["blocked"] is False
    assert (found["rules"][0]["applied"], found["rules"][0]["groups"][0][0]["value"]) == (False, "GET")
    missing = served.client.post("/_page/api/trial", params={"app": app}, json={"event": "nothing"})
    assert missing.status_code == 404
    assert served.client.post("/_page/api/trial", params={"app": app}, json={"rule": {"type": 5}}).status_code == 400
    assert (
        served.client.post("/_page/api/trial", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    )


SAID = '50 % of "kiwis" \\ Straße, 5\u212a, _x_ and \n more'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("50 %", True),
        ("5k", True),
        ("KIWIS", True),
        ('of \\"kiwis\\" \\\\ str', True),
        ("_x_", True),
        ("STRAẞE", True),
        ("axa", False),
        ("50 _", False),
        ("\n MORE", True),
    ],
)
def test_text_in_a_body_is_found_whatever_its_case_and_characters(served: Served, text: str, found: bool) -> None:
    app = served.apps[23]
    sent = event(transaction_id=f"{app}-said", response={"body": {"a": [SAID]}, "transfer_encoding": "json"})
    served.send(app, sent)
    assert ids(served.page("events", app=app, q=f'body:"{text}"')) == ([sent["transaction_id"]] if found else [])


@pytest.mark.parametrize("text", ["metadata.:x", "a..b:1", "until:soon"])
@pytest.mark.parametrize("path", ["export.har", "live", "events"])
def test_a_filter_that_no_search_takes_is_refused_before_the_answer_begins(
    served: Served, path: str, text: str
) -> None:
    """An archive that has begun could only be broken off, which looks like a download that failed."""
    answer = served.page(path, app=served.apps[0], q=text)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("query.bool.filter[0]")
