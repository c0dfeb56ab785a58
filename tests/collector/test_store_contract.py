"""What every store promises, asked of each: SQLite, and ClickHouse on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.servers import Server
from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.stores import Appended, EventRow, Recent, Store, StoreUnavailable
from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.sqlite import SQLiteStore

from .conftest import APP, OTHER_APP, event

NOW_MS = 1_700_000_000_000

Opening = Callable[[], Store]


@pytest.fixture(params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.heavy)])
def opening(request: pytest.FixtureRequest) -> Iterator[Opening]:
    """Open one more store on the same file or tables, as another process would."""
    opened: list[Store] = []
    if request.param == "sqlite":
        path = request.getfixturevalue("tmp_path") / "store.db"
        make: Opening = lambda: SQLiteStore(path)  # noqa: E731
    else:
        server: Server = request.getfixturevalue("clickhouse")
        address = parse_address(f"{server.url}/contract_{uuid4().hex}")
        make = lambda: ClickHouseStore(address, every=0)  # noqa: E731

    def another() -> Store:
        opened.append(make())
        return opened[-1]

    yield another
    for each in opened:
        each.close()


@pytest.fixture
def store(opening: Opening) -> Store:
    return opening()


def row(key: str = "A", **changes: Any) -> EventRow:
    """Return a row of an event, of the same time in every test; ``changes`` are columns."""
    made = event_row(event(transaction_id=key), Arrival(NOW_MS, None))
    return replace(made, **{"time_ms": NOW_MS, **changes})


@pytest.mark.parametrize("count", [0, 1, 11, 219])
def test_batches_of_every_size_are_stored_once(store: Store, count: int) -> None:
    """Rows go in by chunks; a second time they are all duplicates, a mixed batch adds the new ones."""
    rows = [row(f"id-{number}") for number in range(count)]
    assert store.append(APP, rows).result() == Appended(count, 0)
    assert store.append(APP, rows).result() == Appended(0, count)
    assert store.append(APP, [*rows, row("new"), row("new")]).result() == Appended(1, count + 1)
    found = store.recent(APP, Recent(limit=1000))
    assert [item["id"] for item in found] == ["new", *(f"id-{number}" for number in reversed(range(count)))]
    some = [item["id"] for item in found[::40]]
    assert all(store.get(APP, "events", name)["transaction_id"] == name for name in some)  # type: ignore[index]


def test_seq_is_never_used_twice(store: Store) -> None:
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
        (Recent(after=1, before=4), "DC"),
        (Recent(before=2, limit=1), "B"),
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
def test_recent_filters(store: Store, query: Recent, ids: str) -> None:
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
    # A bound of the table is the place of a row; which number that row has is the store's matter.
    numbers = [item["seq"] for item in reversed(store.recent(APP, Recent()))]
    bounds = {name: numbers[place] for name in ("after", "before") if (place := getattr(query, name)) is not None}
    assert "".join(item["id"] for item in store.recent(APP, replace(query, **bounds))) == ids


def test_a_retry_in_another_batch_is_a_duplicate(store: Store) -> None:
    """Batches of any shape: what is there counts as a duplicate, in the same group too, and each application alone."""
    assert store.append(APP, [row("A"), row("B")]).result() == Appended(2, 0)
    futures = [store.append(APP, [row(key)]) for key in ("B", "C", "C")]
    assert sum(future.result().stored for future in futures) == 1
    assert store.append(OTHER_APP, [row("A")]).result() == Appended(1, 0)
    assert {item["id"] for item in store.recent(APP, Recent())} == {"A", "B", "C"}


def test_nothing_is_appended_by_an_empty_batch(store: Store) -> None:
    """It is durable at once, and nobody hangs."""
    assert store.append(APP, []).result(timeout=10) == Appended(0, 0)


def test_what_was_deleted_can_come_again(store: Store) -> None:
    """A deleted event is no duplicate: a client that sends it again stores it again."""
    store.append(APP, [row("A"), row("B")]).result()
    assert store.delete(APP, "events", "A").result() is True
    assert store.get(APP, "events", "A") is None
    assert store.kept(APP).events == 1
    assert store.append(APP, [row("A")]).result() == Appended(1, 0)
    assert store.kept(APP).events == 2
    assert store.get(APP, "events", "A") is not None


def test_the_narrow_row_has_every_column(store: Store) -> None:
    """What went in comes out, of the same type, whatever the text is."""
    odd = 'it\'s \\ "ü" \0 \n\t \u2028 🙂 {{}} %_*?'
    whole = row("K", uri=odd, user_id=odd, company_id=None, status=None, duration_ms=-5, weight=7, action_name="")
    store.append(APP, [whole]).result()
    (found,) = store.recent(APP, Recent(user_id=odd))
    assert isinstance(found.pop("seq"), int)
    names = [name for name in EventRow.__dataclass_fields__ if name != "doc"]
    assert found == {name: getattr(whole, name) for name in names}


def test_a_document_comes_back_as_it_was(store: Store) -> None:
    """JSON of every type, names that mean something in SQL or in a path, numbers at the edges of 64 bits."""
    odd = {
        "a.b": {"": [[], {}, [None, [1.5, -0.0, 2**63 - 1, -(2**63), 1e300]]]},
        "it's": ["\0\x1f\x7f", "\\n\\", '"', "\ud7ff\ue000\U0010ffff"],
        "$.x": True,
        "`x`": None,
    }
    made = event_row(event(transaction_id="odd", metadata=odd), Arrival(NOW_MS, None))
    store.append(APP, [made]).result()
    found = store.get(APP, "events", "odd")
    assert found is not None
    assert found["metadata"] == odd
    store.put(APP, "workspaces", {"it's \\": odd}).result()
    assert store.get(APP, "workspaces", "it's \\") == odd


def test_old_events_expire(store: Store) -> None:
    """Only of the application asked for, with their documents; it says how many they were."""
    store.append(APP, [row(f"old-{number}", time_ms=number) for number in range(2500)]).result()
    store.append(APP, [row("new", time_ms=5000)]).result()
    store.append(OTHER_APP, [row("old", time_ms=1)]).result()
    assert store.expire(APP, 2500) == 2500
    assert store.expire(APP, 2500) == 0
    assert [item["id"] for item in store.recent(APP, Recent())] == ["new"]
    assert [item["id"] for item in store.recent(OTHER_APP, Recent())] == ["old"]
    assert (store.kept(APP).events, store.kept(OTHER_APP).events) == (1, 1)
    assert store.get(APP, "events", "old-7") is None


def test_the_time_of_a_rank(store: Store) -> None:
    """Retention by number asks for the time of the first event too many."""
    store.append(APP, [row(f"{number}", time_ms=1_000 + number) for number in range(10)]).result()
    assert [store.time_at(APP, rank) for rank in (0, 3, 9, 10)] == [1_009, 1_006, 1_000, None]


def test_documents_merge_or_replace(store: Store) -> None:
    """Objects merge at any depth, session tokens add up, and a replacement forgets what was there."""
    store.put(APP, "users", {"u": {"a": {"x": 1}, "session_token": "s"}, "v": {"n": 1}}).result()
    store.put(APP, "users", {"u": {"a": {"y": [2]}, "session_token": "t"}}).result()
    assert store.get(APP, "users", "u") == {"a": {"x": 1, "y": [2]}, "session_token": ["s", "t"]}
    store.put(APP, "users", {"u": {"b": None}}, merge=False).result()
    assert store.documents(APP, "users") == [{"b": None}, {"n": 1}]
    assert store.documents(OTHER_APP, "users") == []
    assert store.get(APP, "companies", "u") is None


def test_documents_of_one_group_are_written_in_order(store: Store) -> None:
    """What is handed over at once ends as if each had waited for the one before."""
    futures = [store.put(APP, "users", {"u": {f"k{number}": number}}) for number in range(20)]
    gone = store.delete(APP, "users", "u")
    after = store.put(APP, "users", {"u": {"last": True}})
    assert [future.result() for future in futures] == [None] * 20
    assert gone.result() is True
    after.result()
    assert store.get(APP, "users", "u") == {"last": True}


def test_a_document_is_deleted_once(store: Store) -> None:
    """The second who deletes it is told that there was none."""
    store.put(APP, "rules", {"r": {"_id": "r"}}).result()
    assert [store.delete(APP, "rules", key).result() for key in ("r", "r", "never")] == [True, False, False]
    assert store.documents(APP, "rules") == []
    store.put(APP, "rules", {"r": {"new": 1}}).result()
    assert store.documents(APP, "rules") == [{"new": 1}]


def test_every_write_gives_another_version(store: Store, opening: Opening) -> None:
    """Of that kind and application only; two collectors see the same one."""
    other = opening()
    seen = [store.version(APP, "rules")]
    store.put(APP, "rules", {"r": {"n": 1}}).result()
    seen.append(store.version(APP, "rules"))
    other.put(APP, "rules", {"r": {"n": 1}}).result()
    seen.append(store.version(APP, "rules"))
    other.delete(APP, "rules", "r").result()
    seen.append(store.version(APP, "rules"))
    assert len(set(map(repr, seen))) == 4
    store.put(APP, "config", {"config": {}}).result()
    store.put(OTHER_APP, "rules", {"r": {}}).result()
    assert store.version(APP, "rules") == seen[-1] == other.version(APP, "rules")


def test_two_collectors_share_a_store(store: Store, opening: Opening) -> None:
    """Both write the same events at once, each sees the other's documents, and an id is stored once."""
    other = opening()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda chosen: [chosen.append(APP, [row(f"{n}")]).result() for n in range(30)], (store, other)))
    assert len(other.recent(APP, Recent(limit=1000))) == 30
    assert store.search(APP, "events", {"size": 0})["hits"]["total"] == 30
    other.put(APP, "users", {"u": {"a": 1}}).result()
    store.put(APP, "users", {"u": {"b": 2}}).result()
    assert other.get(APP, "users", "u") == {"a": 1, "b": 2}


@pytest.mark.parametrize("kind", ["users", "companies"])
def test_documents_are_searched_like_events(store: Store, kind: str) -> None:
    """By their keys and by any path, with counts and groups; what was deleted or replaced is not found."""
    plans = {f"k{number}": {"plan": ["free", "pro"][number % 2], "n": number} for number in range(10)}
    store.put(APP, kind, {name: {"metadata": fields} for name, fields in plans.items()}).result()
    store.delete(APP, kind, "k1").result()
    store.put(APP, kind, {"k3": {"metadata": {"plan": "free"}}}).result()
    body = {
        "query": {"range": {"metadata.n": {"gte": 2}}},
        "sort": [{"metadata.n": "desc"}],
        "aggs": {"plans": {"terms": {"field": "metadata.plan.raw"}}},
    }
    answer = store.search(APP, kind, body)
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["k9", "k8", "k7", "k6", "k5", "k4", "k3", "k2"]
    assert answer["hits"]["hits"][-2]["_source"] == {"metadata": {"plan": "free", "n": 3}}
    counts = {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["plans"]["buckets"]}
    assert counts == {"free": 5, "pro": 3}


def test_what_was_handed_over_is_written_at_close(opening: Opening) -> None:
    """Afterwards the store takes nothing, and says so."""
    store = opening()
    futures = [store.append(APP, [row(f"{number}")]) for number in range(20)]
    store.close()
    store.close()
    assert all(future.result(timeout=0) == Appended(1, 0) for future in futures)
    with pytest.raises(StoreUnavailable, match="closed"):
        store.append(APP, [row()])
    assert opening().kept(APP).events == 20


def test_one_bad_row_does_not_fail_its_neighbours(store: Store) -> None:
    """Jobs of one group are told apart when it fails."""
    store.append(APP, [row("first")]).result()
    futures = [store.append(APP, [row(key, weight=2**70 if key == "bad" else 1)]) for key in ("A", "bad", "B")]
    assert [futures[0].result(), futures[2].result()] == [Appended(1, 0)] * 2
    with pytest.raises((OverflowError, TypeError)):
        futures[1].result()


def test_a_caller_that_has_gone_stops_nothing(store: Store) -> None:
    """Whether or not its work was begun, the next one's is done."""
    gone = store.append(APP, [row("A")])
    gone.cancel()
    assert store.append(APP, [row("B")]).result() == Appended(1, 0)
    assert "B" in [item["id"] for item in store.recent(APP, Recent())]
