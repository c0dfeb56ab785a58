"""The stores that a search is tried on, filled with the same events, and the oracle that knows the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from benchmarks.servers import Server
from moesif_middleware.collector.stores import Store
from moesif_middleware.collector.stores.clickhouse import tables
from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.sqlite import SQLiteStore

from .oracle import Oracle
from .population import NOW, rows

APP = "app-one"
HOT = [
    *("metadata.plan", "metadata.a.b", "metadata.a\\.b", 'metadata.qu"ote', "metadata.it's", "metadata.size"),
    *("request.body.items.sku", "response.body.error.code", "request.headers.User-Agent", "no.such.field"),
]


class Searcher:
    """A store with the population, and the oracle over the same events."""

    def __init__(self, store: Store, oracle: Oracle) -> None:
        self.store = store
        self.oracle = oracle

    def search(self, body: dict[str, Any], first: int | None = None, last: int | None = None, zone: str = "UTC") -> Any:
        answer = self.store.search(APP, "events", body, first, last, ZoneInfo(zone))
        took = answer.pop("took")
        assert isinstance(took, int)
        assert answer.pop("timed_out") is False
        return answer

    def ids(self, query: dict[str, Any]) -> set[str]:
        """Return the ids of the events that pass a query."""
        hits = self.search({"query": query, "size": 1000, "_source": False})["hits"]["hits"]
        return {hit["_id"] for hit in hits}

    def expected(self, query: dict[str, Any]) -> set[str]:
        return {entry[0] for entry in self.oracle.documents if self.oracle.matches(query, entry)}


def filled(store: Store) -> Searcher:
    events = rows()
    store.append(APP, events).result(timeout=30)
    # Another application's events must never show.
    store.append("app-two", rows(20, seed=8)).result(timeout=30)
    return Searcher(store, Oracle([(row.id, orjson.loads(row.doc)) for row in events]))


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    store = SQLiteStore(tmp_path_factory.mktemp("search") / "events.db", clock=lambda: NOW / 1000)
    with closing(store):
        yield filled(store)


@pytest.fixture(scope="session")
def hot_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher]:
    """Half of the paths that tests use have an index; one half of those got it when the events were there."""
    path = tmp_path_factory.mktemp("hot") / "events.db"
    before, after = HOT[::2], HOT[1::2]
    with closing(SQLiteStore(path, hot=before)) as store:
        filled(store)
    with closing(SQLiteStore(path, clock=lambda: NOW / 1000, hot=after)) as store:
        yield filled(store)


@pytest.fixture(scope="session")
def clickhouse_searcher(clickhouse: Server) -> Iterator[Searcher]:
    """Half of the events are older than the columns that the server computes, and stay so: nothing merges."""
    address = parse_address(f"{clickhouse.url}/search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "MIGRATIONS", tables.MIGRATIONS[:1])
        with closing(ClickHouseStore(address, every=0)) as store:
            store._client.execute("SYSTEM STOP MERGES search.events")
            store.append(APP, rows()[::2]).result(timeout=30)
    with closing(ClickHouseStore(address, clock=lambda: NOW / 1000, every=0)) as store:
        yield filled(store)
