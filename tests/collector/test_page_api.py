"""What the page is made from: its files, its reading API, and the stream of new events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from moesif_middleware.collector.page import FILES, POLICY
from moesif_middleware.collector.qualifiers import Qualifier, parse

from .serving import Served, event, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("page"), tuple(f"app-{number}" for number in range(20))) as found:
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
]


@pytest.fixture(scope="module")
def filtered(served: Served) -> str:
    app = served.apps[1]
    served.send(
        app,
        event(transaction_id="fine", user_id="u1", company_id="acme", request={"route": "/items/{id}"}),
        event("/items/none", status=404, transaction_id="missing", user_id="u1"),
        event("/login", "POST", 401, transaction_id="denied", user_id="a b"),
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
        ({"before": "-1"}, "before"),
        ({"limit": "9" * 30}, "limit"),
    ],
)
def test_a_filter_that_cannot_be_answered_is_a_400_that_names_it(
    served: Served, query: dict[str, str], sentence: str
) -> None:
    answer = served.page("events", **query)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_pages_follow_each_other_without_gap_or_repetition(served: Served) -> None:
    app = served.apps[2]
    served.send(app, *(event(transaction_id=f"n{number}") for number in range(250)))
    seen: list[str] = []
    query: dict[str, Any] = {"app": app, "limit": 60}
    while True:
        found = served.page("events", **query).json()
        seen += [row["id"] for row in found["events"]]
        if not found["more"]:
            break
        query["before"] = found["events"][-1]["seq"]
    assert seen == [f"n{number}" for number in reversed(range(250))]


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


def test_the_stream_tells_of_events_that_match_as_they_are_stored(served: Served) -> None:
    app = served.apps[6]
    served.send(app, event(transaction_id="before"))
    with served.client.stream("GET", "/_page/api/live", params={"app": app, "q": "status:5xx"}) as stream:
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
    ("status:5xx  verb:POST", [Qualifier("status", "5xx"), Qualifier("verb", "POST")]),
    ("-user:42", [Qualifier("user", "42", negated=True)]),
    ('body:"a \\"b\\" \\\\c"', [Qualifier("body", 'a "b" \\c')]),
    ("USER:Ann", [Qualifier("user", "Ann")]),
    ("plain words", [Qualifier("", "plain"), Qualifier("", "words")]),
    ('"two words"', [Qualifier("", "two words")]),
    ("took:>500", [Qualifier("took", ">500")]),
    ("route:/a:b", [Qualifier("route", "/a:b")]),
    ('user:"open', [Qualifier("user", '"open')]),
]


@pytest.mark.parametrize(("text", "expected"), PARSED)
def test_the_filter_text_is_read_as_words_and_qualifiers(text: str, expected: list[Qualifier]) -> None:
    assert parse(text) == expected
