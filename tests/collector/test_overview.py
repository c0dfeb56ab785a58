"""The overview's figures are the same, whether a store groups them or they are counted over its columns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.servers import Server
from moesif_middleware.collector import page_reading
from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.listing import Listing
from moesif_middleware.collector.qualifiers import parse, query
from moesif_middleware.collector.search.times import wire_millis
from moesif_middleware.collector.settings import CollectorSettings
from moesif_middleware.collector.stores import EventRow, ReadsColumns, Recent, Store, StoreUnavailable, sqlite
from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.sqlite import SQLiteStore
from moesif_middleware.collector.summary import Span, summarize
from moesif_middleware.collector.tally import COLUMNS, Tally

from .conftest import Running, event
from .search.population import FIRST, NOW, rows

APP = "an-app"
FILTERS = ["", "status:5xx", "status:none", "-status:2xx", "user:u1", "took:>100", "items", "body:SKU", "route:nowhere"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    found = SQLiteStore(tmp_path_factory.mktemp("overview") / "events.db", clock=lambda: NOW / 1000)
    found.append(APP, rows(400)).result()
    yield found
    found.close()


@pytest.fixture(scope="module")
def grouping(clickhouse: Server) -> Iterator[ClickHouseStore]:
    found = ClickHouseStore(parse_address(f"{clickhouse.url}/overview"), clock=lambda: NOW / 1000)
    found.append(APP, rows(400)).result(timeout=30)
    yield found
    found.close()


def made(route: str, moment: int, status: int | None = 200) -> EventRow:
    time = wire_millis(moment)
    request = {"time": time, "uri": f"https://api.example.com{route}", "verb": "GET", "route": route, "headers": {}}
    sent = {"transaction_id": str(uuid4()), "request": request}
    if status is not None:
        sent["response"] = {"time": time, "status": status, "headers": {}}
    return event_row(sent, Arrival(NOW, None))


def counted(store: ReadsColumns, text: str, span: Span) -> dict[str, Any]:
    tally = Tally(span)
    for piece in store.columns(APP, query(parse(text)), COLUMNS, (span.first, span.last)):
        tally.add(piece)
    return tally.answer()


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("days", [24, 3, 0.01])
def test_counting_gives_what_grouping_gives(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, text: str, days: float
) -> None:
    span = Span(NOW - int(days * 86_400_000), NOW)
    grouped = summarize(store, APP, parse(text), span)
    for count in (2_000, 7):
        monkeypatch.setattr(sqlite, "PIECE_ROWS", count)
        assert counted(store, text, span) == grouped


@pytest.mark.heavy
@pytest.mark.parametrize("text", FILTERS)
def test_clickhouse_groups_to_the_same(store: SQLiteStore, grouping: ClickHouseStore, text: str) -> None:
    span = Span(FIRST, NOW)
    found = counted(store, text, span)
    assert summarize(grouping, APP, parse(text), span) == counted(grouping, text, span) == found
    assert grouping.counts_sooner(query(parse(text))) == ("body:" in text)


def test_a_route_is_counted_where_others_are_called_more(tmp_path: Path) -> None:
    """The routes over time are those that are called most in all, each with all its calls."""
    many = [made(f"/{number}", NOW - 3_600_000) for number in range(25) for _ in range(2)]
    steady = [made("/steady", NOW - 3_600_000), *(made("/steady", NOW) for _ in range(9))]
    found = SQLiteStore(tmp_path / "events.db", clock=lambda: NOW / 1000)
    try:
        found.append(APP, [*many, *steady]).result()
        span = Span(NOW - 2 * 3_600_000, NOW)
        for answer in (summarize(found, APP, [], span), counted(found, "", span)):
            assert answer["routes"][0]["key"] == "/steady"
            assert sum(bucket["parts"].get("/steady", 0) for bucket in answer["by_route"]) == 10
            assert {len(bucket["parts"]) for bucket in answer["by_route"]} == {0, 1, 10}
    finally:
        found.close()


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [
        *((1, 1), (5, 5), (15, 15), (30, 30), (60, 60), (6 * 60, 5 * 60), (12 * 60, 15 * 60), (24 * 60, 30 * 60)),
        *((72 * 60, 3_600), (7 * 24 * 60, 3 * 3_600), (30 * 24 * 60, 12 * 3_600), (366 * 24 * 60, 24 * 3_600)),
    ],
)
def test_a_range_has_few_enough_buckets_of_a_round_length(minutes: int, seconds: int) -> None:
    span = Span(0, minutes * 60_000)
    assert span.step == seconds * 1_000
    assert minutes > 72 * 24 * 60 or minutes * 60 / seconds <= 72


def test_every_call_is_in_a_class(tmp_path: Path) -> None:
    """Also one without a response, and one whose status no RFC knows: the bar is as high as its parts."""
    found = SQLiteStore(tmp_path / "events.db", clock=lambda: NOW / 1000)
    try:
        found.append(APP, [made("/a", NOW, status) for status in (100, 204, 399, 400, 599, 600, 999, None)]).result()
        for answer in (summarize(found, APP, [], Span(NOW - 1_000, NOW)), counted(found, "", Span(NOW - 1_000, NOW))):
            (last,) = [bucket for bucket in answer["by_status"] if bucket["count"]]
            assert last["parts"] == {"1xx": 1, "2xx": 1, "3xx": 1, "4xx": 1, "5xx": 1, "none": 1, "other": 2}
            assert (answer["total"], answer["errors"]) == (8, 4)
    finally:
        found.close()


def test_the_ends_of_the_range_belong_to_it(store: SQLiteStore) -> None:
    pieces = list(store.columns(APP, {"match_all": {}}, ["time_ms"], (FIRST, NOW)))
    times = sorted(moment for piece in pieces for moment in piece[0])
    assert len(times) == 400
    span = Span(times[10], times[20])
    assert counted(store, "", span)["total"] == summarize(store, APP, [], span)["total"] > 0
    assert len(next(store.columns(APP, {"match_all": {}}, ["id"], (span.first, span.last)))[0]) == 11


def test_the_events_of_rows_are_looked_for_within_their_times(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an archive, and those that arrived and may pass the filter."""
    asked: list[tuple[int | None, ...]] = []
    search = store.search

    def noted(app: str, kind: str, body: object, *times: int | None) -> dict[str, Any]:
        asked.append(times)
        return search(app, kind, body, *times)

    rows = store.recent(APP, Recent(limit=10))
    times = [row["time_ms"] for row in rows]
    monkeypatch.setattr(store, "search", noted)
    (documents,) = Listing(store, APP, []).whole(10)
    assert [document["transaction_id"] for document in documents] == [row["id"] for row in rows]
    arrived, _ = Listing(store, APP, parse("-body:nothing")).arrived(0, 10)
    assert [row["id"] for row in arrived] == [row["id"] for row in rows]
    assert asked == [(min(times), max(times))] * 2


def test_the_page_asks_each_store_for_it(everywhere: Running) -> None:
    events = [event(user_id="u1", weight=weight) for weight in (1, 4)]
    everywhere.collector.post("/v1/events/batch", json=events).raise_for_status()
    found = everywhere.anonymous.get("/_page/api/summary").json()
    assert (found["total"], found["users"]) == (5, [{"key": "u1", "count": 5, "errors": 0}])


def test_a_search_is_given_up_when_it_is_told_to(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the thread that searches, for as long as the block lasts."""
    monkeypatch.setattr(sqlite, "STEPS_BETWEEN_LOOKS", 100)
    body: dict[str, Any] = {"query": {"wildcard": {"request.body.*": {"value": "*nothing*"}}}}
    asked: list[bool] = []
    with store.interrupted_by(lambda: asked.append(True) or len(asked) > 3):
        with pytest.raises(StoreUnavailable, match="interrupted"):
            store.search(APP, "events", body)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(store.search, APP, "events", body).result()["hits"]["total"] == 0
    assert len(asked) == 4
    assert store.search(APP, "events", body)["hits"]["total"] == 0


async def asked_for_and_left(store: Store, target: str) -> int:
    """Ask for something of the page, go away at once, and return the status of the answer."""
    app = create_app(CollectorSettings("sqlite:///unused.db", (APP,)), store=store)
    path, _, query_string = target.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/_page/api/{path}",
        "query_string": query_string.encode(),
        "headers": [(b"host", b"localhost")],
    }
    sent: list[Any] = []

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, gone, send)
    status: int = sent[0]["status"]
    return status


def read_for_long(store: Store) -> None:
    """Read again and again, each time a little."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        store.recent(APP, Recent(limit=1))


@pytest.mark.parametrize("kept_in", ["store", pytest.param("grouping", marks=pytest.mark.heavy)])
def test_a_list_that_nobody_waits_for_is_given_up(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kept_in: str
) -> None:
    def endless(self: Listing, limit: int, at: str | None) -> Any:
        read_for_long(self.store)
        return [], False

    monkeypatch.setattr(sqlite, "STEPS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr(Listing, "page", endless)
    assert asyncio.run(asked_for_and_left(request.getfixturevalue(kept_in), "events?q=body:x")) == 503


@pytest.mark.heavy
def test_groups_that_nobody_waits_for_are_given_up(grouping: ClickHouseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(store: Store, *_: Any) -> dict[str, Any]:
        read_for_long(store)
        return {}

    monkeypatch.setattr(page_reading, "summarize", endless)
    assert asyncio.run(asked_for_and_left(grouping, f"summary?from={FIRST}&to={NOW}")) == 503


def test_who_asks_no_more_is_not_counted_for(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PIECE_ROWS", 1)
    read = []
    add = Tally.add
    monkeypatch.setattr(Tally, "add", lambda self, columns: read.append(1) or add(self, columns))
    assert asyncio.run(asked_for_and_left(store, f"summary?from={FIRST}&to={NOW}")) == 204
    assert len(read) == 1
