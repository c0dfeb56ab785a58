"""The embedded store by itself: idempotent, durable, shared with other processes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.stores import Appended, EventRow, Recent, StoreUnavailable
from moesif_middleware.collector.stores.opening import open_store
from moesif_middleware.collector.stores.schema import COLUMN_BY_PATH, EVENT_COLUMNS, MIGRATIONS
from moesif_middleware.collector.stores.sqlite import SQLiteStore
from moesif_middleware.collector.stores.writer import Writer
from moesif_middleware.errors import ConfigurationError

from .conftest import APP, OTHER_APP, event

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


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 219])
def test_batches_of_every_size_are_stored_once(store: SQLiteStore, count: int) -> None:
    """Rows go in by chunks; a second time they are all duplicates, a mixed batch adds the new ones."""
    rows = [row(f"id-{number}") for number in range(count)]
    assert store.append(APP, rows).result() == Appended(count, 0)
    assert store.append(APP, rows).result() == Appended(0, count)
    assert store.append(APP, [*rows, row("new"), row("new")]).result() == Appended(1, count + 1)
    found = store.recent(APP, Recent(limit=1000))
    assert [item["id"] for item in found] == ["new", *(f"id-{number}" for number in reversed(range(count)))]
    assert all(store.get(APP, "events", item["id"])["transaction_id"] == item["id"] for item in found)  # type: ignore[index]


def test_seq_is_never_used_twice(store: SQLiteStore) -> None:
    """A live reader asks for what came after the last it saw, also when that one was deleted."""
    store.append(APP, [row("A"), row("B")]).result()
    last = store.recent(APP, Recent(limit=1))[0]["seq"]
    assert store.delete(APP, "events", "B").result() is True
    assert store.delete(APP, "events", "B").result() is False
    store.append(APP, [row("C")]).result()
    assert [item["id"] for item in store.recent(APP, Recent(after=last))] == ["C"]
    assert store.get(APP, "events", "B") is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Recent(), "EDCBA"),
        (Recent(limit=2), "ED"),
        (Recent(limit=0), ""),
        (Recent(limit=-1), ""),
        (Recent(after=2, before=5), "DC"),
        (Recent(status="404"), "B"),
        (Recent(status="4xx"), "CB"),
        (Recent(status="5XX"), "E"),
        (Recent(status="40"), ""),
        (Recent(status="4yy"), ""),
        (Recent(status="99999999999999999999"), ""),
        (Recent(verb="post"), "D"),
        (Recent(route="/a/b"), "A"),
        (Recent(route="/a*"), "CBA"),
        (Recent(route="/[x]*"), "D"),
        (Recent(user_id="u1", status="2xx"), "A"),
        (Recent(company_id="c1"), "E"),
        (Recent(user_id="' OR 1=1 --"), ""),
    ],
)
def test_recent_filters(store: SQLiteStore, query: Recent, ids: str) -> None:
    """Newest arrivals first, within the bounds, by exact values, status classes and route prefixes."""
    rows = [
        row("A", status=200, route="/a/b", user_id="u1"),
        row("B", status=404, route="/a/c", user_id="u1"),
        row("C", status=499, route="/a"),
        row("D", status=None, route="/[x]y", verb="POST"),
        row("E", status=500, route="/x", company_id="c1"),
    ]
    store.append(APP, rows).result()
    store.append(OTHER_APP, rows).result()
    assert "".join(item["id"] for item in store.recent(APP, query)) == ids


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


def test_old_events_expire(store: SQLiteStore) -> None:
    """Only of the application asked for, in steps, with their documents."""
    store.append(APP, [row(f"old-{number}", time_ms=number) for number in range(2500)]).result()
    store.append(APP, [row("new", time_ms=5000)]).result()
    store.append(OTHER_APP, [row("old", time_ms=1)]).result()
    assert store.expire(APP, 2500) == 2500
    assert store.expire(APP, 2500) == 0
    assert [item["id"] for item in store.recent(APP, Recent())] == ["new"]
    assert [item["id"] for item in store.recent(OTHER_APP, Recent())] == ["old"]
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (2,)


def test_two_stores_on_one_file_share_it(store: SQLiteStore, path: Path) -> None:
    """As two processes would: both write, each sees the other's, an id is stored once, versions count."""
    other = SQLiteStore(path)
    try:
        before = store.version(APP, "rules")
        threads = [
            threading.Thread(
                target=lambda chosen=chosen: [chosen.append(APP, [row(f"{n}")]).result() for n in range(50)]
            )
            for chosen in (store, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(other.recent(APP, Recent(limit=1000))) == 50
        other.put(APP, "rules", {"r": {"_id": "r"}}).result()
        assert store.documents(APP, "rules") == [{"_id": "r"}]
        assert store.version(APP, "rules") != before
        assert other.version(APP, "rules") == store.version(APP, "rules")
    finally:
        other.close()


def test_what_was_handed_over_is_written_at_close(path: Path) -> None:
    """Afterwards the store takes nothing, and says so."""
    store = SQLiteStore(path)
    futures: list[Future[Appended]] = [store.append(APP, [row(f"{number}")]) for number in range(20)]
    store.close()
    store.close()
    assert all(future.result(timeout=0) == Appended(1, 0) for future in futures)
    with pytest.raises(StoreUnavailable, match="closed"):
        store.append(APP, [row()])
    assert not path.with_name("store.db-wal").exists()


def test_one_bad_row_does_not_fail_its_neighbours(store: SQLiteStore) -> None:
    """Jobs of one group are told apart when their transaction fails."""
    store.app_number(APP)
    futures = [store.append(APP, [row(key, weight=2**70 if key == "bad" else 1)]) for key in ("A", "bad", "B")]
    assert [futures[0].result(), futures[2].result()] == [Appended(1, 0)] * 2
    with pytest.raises(OverflowError):
        futures[1].result()


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
