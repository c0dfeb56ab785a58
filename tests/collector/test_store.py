"""The embedded store by itself: idempotent, durable, shared with other processes."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.search.conditions import Context
from moesif_middleware.collector.search.query import parse_query
from moesif_middleware.collector.search.sqlite import SQLiteStatement
from moesif_middleware.collector.search.statement import condition
from moesif_middleware.collector.stores import Appended, EventRow, Recent, StoreUnavailable
from moesif_middleware.collector.stores.appending import append_rows
from moesif_middleware.collector.stores.opening import open_store
from moesif_middleware.collector.stores.schema import COLUMN_BY_PATH, EVENT_COLUMNS, MIGRATIONS
from moesif_middleware.collector.stores.sqlite import SQLiteStore
from moesif_middleware.collector.stores.writer import Writer
from moesif_middleware.errors import ConfigurationError

from .conftest import APP, event

NOW_MS = 1_700_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    found = SQLiteStore(path)
    yield found
    found.close()


def row(key: str = "A", **changes: Any) -> EventRow:
    """Return a row of an event; ``changes`` are columns."""
    made = event_row(event(transaction_id=key), Arrival(NOW_MS, None))
    return replace(made, **changes)


def test_the_columns_agree_with_the_row() -> None:
    """A row's values stand in the order of the table's columns, and the paths lead to them."""
    names = [column.name for column in EVENT_COLUMNS]
    assert names[0] == "app"
    assert len(row().columns()) == len(names) - 1
    made = row(id="i", time_ms=1, received_ms=2, event_type="e", action_name="a", status=3, verb="v", route="r")
    assert made.columns()[:8] == ("i", 1, 2, "e", "a", 3, "v", "r")
    assert COLUMN_BY_PATH["response.status"] == "status"


@pytest.mark.parametrize("count", [1, 9, 10, 11, 99, 100, 101, 219])
def test_chunks_of_every_size_are_whole(store: SQLiteStore, count: int) -> None:
    """Rows go in by chunks of a hundred, ten and one: none is left out at their edges."""
    rows = [row(f"id-{number}") for number in range(count)]
    assert store.append(APP, rows).result() == Appended(count, 0)
    assert store.append(APP, rows).result() == Appended(0, count)


def test_recent_reads_by_arrival_not_by_sorting(store: SQLiteStore) -> None:
    """The live list walks the table from its end whatever its size: no sort, no other index."""
    store.append(APP, [row()]).result()
    with store.reading() as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        connection.execute("SELECT 1")
        connection.set_trace_callback(None)
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT seq FROM events WHERE +app = 1 AND seq < 9 AND status = 5 ORDER BY seq DESC"
        ).fetchall()
    assert "USING INTEGER PRIMARY KEY" in plan[0][3]
    assert len(plan) == 1


def test_two_stores_on_one_file_share_it(store: SQLiteStore, path: Path) -> None:
    """As two processes would: both write, each sees the other's, an id is stored once, versions count."""
    other = SQLiteStore(path)
    try:
        before = store.version(APP, "rules")
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(lambda chosen: [chosen.append(APP, [row(f"{n}")]).result() for n in range(50)], (store, other))
            )
        assert len(other.recent(APP, Recent(limit=1000))) == 50
        other.put(APP, "rules", {"r": {"_id": "r"}}).result()
        assert store.documents(APP, "rules") == [{"_id": "r"}]
        assert store.version(APP, "rules") != before
        assert other.version(APP, "rules") == store.version(APP, "rules")
    finally:
        other.close()


def test_a_caller_that_has_gone_stops_nothing(store: SQLiteStore) -> None:
    """A cancelled future's job is left out, and the writer goes on."""
    store.app_number(APP)
    release = threading.Event()
    blocked = store._writer.submit(lambda connection: release.wait(5))
    gone = store.append(APP, [row("A")])
    assert gone.cancel()
    release.set()
    blocked.result()
    assert store.append(APP, [row("B")]).result() == Appended(1, 0)
    assert [item["id"] for item in store.recent(APP, Recent())] == ["B"]


def test_too_much_waiting_is_refused(path: Path) -> None:
    """A store that falls behind says so before its callers fill the memory."""
    writer = Writer(lambda: sqlite3.connect(path, isolation_level=None), "test")
    release, started = threading.Event(), threading.Event()

    def block(connection: sqlite3.Connection) -> bool:
        started.set()
        return release.wait(5)

    blocked = writer.submit(block)
    started.wait(5)
    waiting = writer.submit(lambda connection: 1, rows=50_000)
    with pytest.raises(StoreUnavailable, match="50000 rows wait"):
        writer.submit(lambda connection: 1)
    release.set()
    assert (blocked.result(), waiting.result()) == (True, 1)
    writer.close()


def test_a_newer_file_is_refused(path: Path) -> None:
    """Its tables may mean something else."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreUnavailable, match="schema version"):
        SQLiteStore(path)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """At start, not with the first event."""
    with pytest.raises(StoreUnavailable, match="nowhere"):
        SQLiteStore(tmp_path / "nowhere" / "store.db")


@pytest.mark.parametrize("url", ["", "store.db", "sqlite://", "sqlite:///", "sqlite://host/path", "postgres:///x"])
def test_a_url_that_is_no_store_is_refused(url: str) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match="store:"):
        open_store(url)


def test_a_url_names_a_file(tmp_path: Path) -> None:
    """Escapes are undone."""
    open_store(f"sqlite:///{tmp_path}/with%20space.db").close()
    assert (tmp_path / "with space.db").exists()


def test_a_file_of_an_older_program_is_migrated(path: Path) -> None:
    """Its events are there afterwards, and the list of errors reads the new index only, without a sort."""
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("INSERT INTO apps (app, application_id) VALUES (1, ?)", (APP,))
    append_rows(connection, 1, [row("old", status=500)])
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    store = SQLiteStore(path)
    try:
        assert [item["id"] for item in store.recent(APP, Recent())] == ["old"]
        errors = {"query": {"range": {"response.status": {"gte": 500}}}, "size": 5}
        assert store.search(APP, "events", errors)["hits"]["total"] == 1
        with store.reading() as reader:
            assert reader.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            plan = reader.execute(
                "EXPLAIN QUERY PLAN SELECT id, seq, time_ms FROM events AS e"
                " WHERE app = 1 AND status >= 500 ORDER BY time_ms DESC, id DESC LIMIT 5"
            ).fetchall()
    finally:
        store.close()
    assert [line[3] for line in plan] == ["SEARCH e USING COVERING INDEX events_by_time (app=?)"]


def test_documents_of_over_two_kilobytes_share_pages(path: Path) -> None:
    """Three in a page: of pages of 4 KB each would fill half of one, and nearly half of the file would be empty."""
    store = SQLiteStore(path)
    store.append(APP, [replace(row(f"id-{number}"), doc="x" * 2400) for number in range(300)]).result()
    store.close()
    assert path.stat().st_size < 300 * 3500


def test_a_file_keeps_its_pages(path: Path) -> None:
    """A file of another page size is used as it is."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 4096")
    connection.execute("CREATE TABLE other (value)")
    connection.close()
    store = SQLiteStore(path)
    try:
        assert store.append(APP, [row()]).result() == Appended(1, 0)
        with store.reading() as reader:
            assert reader.execute("PRAGMA page_size").fetchone() == (4096,)
    finally:
        store.close()


def test_a_group_fits_into_the_memory_of_the_writer(path: Path) -> None:
    """No page is written before the commit: an index page that is, is written again when the next row changes it."""
    store = SQLiteStore(path)
    rows = [replace(row(f"id-{number}"), doc="x" * 3900) for number in range(2000)]
    log = path.with_name(f"{path.name}-wal")
    try:
        app = store.app_number(APP)
        before = log.stat().st_size

        def append(connection: sqlite3.Connection) -> int:
            append_rows(connection, app, rows)
            return log.stat().st_size

        assert store._writer.submit(append).result() == before
        assert log.stat().st_size > before
    finally:
        store.close()


def test_a_hot_path_has_an_index(path: Path) -> None:
    """Of events before and after, also of those that a process writes which does not know; gone with their events."""
    plain = SQLiteStore(path)
    documents = {"A": {"plan": "pro"}, "B": {"plan": ["pro", "pro", True, 5, None]}, "C": {}}
    made = [event(transaction_id=key, metadata=fields) for key, fields in documents.items()]
    plain.append(APP, [event_row(each, Arrival(NOW_MS, None)) for each in made]).result()
    hot = SQLiteStore(path, hot=["metadata.plan", "metadata.plan.raw"])
    late = event(transaction_id="D", metadata={"plan": "pro"})
    plain.append(APP, [event_row(late, Arrival(NOW_MS, None))]).result()
    try:
        pro = {"query": {"term": {"metadata.plan": "pro"}}, "sort": ["_id"], "_source": False}
        for store in (plain, hot):
            assert [hit["_id"] for hit in store.search(APP, "events", pro)["hits"]["hits"]] == ["A", "B", "D"]
        with hot.reading() as connection:
            found = connection.execute("SELECT value FROM hot JOIN events USING (seq) WHERE id = 'B' ORDER BY 1")
            assert found.fetchall() == [(5,), ("pro",), ("true",)]
        assert hot.expire(APP, 2**50) == 4
        with hot.reading() as connection:
            assert connection.execute("SELECT count(*) FROM hot").fetchone() == (0,)
    finally:
        plain.close()
        hot.close()


def test_a_search_by_a_hot_path_reads_its_index(path: Path) -> None:
    """Not the documents: the rows of one value are found in order of the table's key."""
    store = SQLiteStore(path, hot=["metadata.plan"])
    try:
        statement = SQLiteStatement(1, "events", store._hot)
        tested = condition(parse_query({"term": {"metadata.plan": "5"}}, "query", Context("events", 0)), statement)
        with store.reading() as connection:
            sql = statement.select(["e.weight AS w"], [tested])
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", statement.parameters()).fetchall()
    finally:
        store.close()
    text = " | ".join(line[3] for line in plan)
    assert "h USING PRIMARY KEY (path=? AND value=?)" in text
    assert "SCAN e" not in text
    assert "documents" not in text


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:///x.db?cold=a", "cold is not an option"),
        ("sqlite:///x.db?hot=user_id", "has an index already"),
        ("sqlite:///x.db?hot=metadata.*", "are many fields"),
        ("sqlite:///x.db?hot=a..b", "is not the path"),
    ],
)
def test_hot_paths_that_make_no_sense_are_refused(url: str, sentence: str) -> None:
    """Before a file is made."""
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        open_store(url)
    assert not Path("x.db").exists()


def test_the_url_names_hot_paths(tmp_path: Path) -> None:
    """Any number of them; they stay hot when the file is opened without."""
    open_store(f"sqlite:///{tmp_path}/x.db?hot=metadata.plan&hot=request.headers.Accept").close()
    store = SQLiteStore(tmp_path / "x.db")
    try:
        assert set(store._hot) == {("metadata", "plan"), ("request", "headers", "accept")}
    finally:
        store.close()
