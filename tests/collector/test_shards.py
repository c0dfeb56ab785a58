"""Events of a ClickHouse cluster go straight to a server that keeps them, and are found there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest

from benchmarks.servers import Cluster, cluster
from moesif_middleware.collector.stores import Appended, Recent, StoreUnavailable
from moesif_middleware.collector.stores.clickhouse import tables
from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.client import Client, Host
from moesif_middleware.collector.stores.clickhouse.rows import number_of
from moesif_middleware.collector.stores.clickhouse.shards import KNOWN_SECONDS, Layout, Shards, Share
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.grouping import GROUP_ROWS, GroupQueue

from .conftest import APP
from .test_clickhouse import plans, with_plan
from .test_store_contract import row

ONE, TWO, THREE = ("one", 1), ("two", 2), ("three", 3)


class Servers:
    """A client whose servers answer what they are told to: shard, weight and whether it is their own."""

    def __init__(self, answers: dict[Host, list[tuple[int, int, int]]]) -> None:
        self.answers = answers
        self.asked: list[Host] = []

    def select(self, sql: str, hosts: Collection[Host] = ()) -> list[Any]:
        (host,) = hosts
        self.asked.append(host)
        if host not in self.answers:
            raise StoreUnavailable("it is away")
        return self.answers[host]


def shards(servers: Servers, url: str = "clickhouse://one:1,two:2,three:3/db?cluster=c") -> Shards:
    """Return what the shards are known by; time stands still."""
    return Shards(servers, parse_address(url), lambda: 1000.0)  # type: ignore[arg-type]  # it selects, no more is used


def test_keys_belong_to_shards_by_their_remainder() -> None:
    """A shard takes as many remainders as its weight says; those without a server go to the table for all."""
    layout = Layout((1, 2, 2, 3), {1: (ONE,), 2: (TWO, THREE)})
    assert layout.shares("events", [(key, key) for key in range(8)]) == [
        Share("events_local", (ONE,), [0, 4]),
        Share("events_local", (TWO, THREE), [1, 2, 5, 6]),
        Share("events", (), [3, 7]),
    ]


def test_servers_tell_which_shard_is_theirs() -> None:
    """One of several replicas is enough; who does not answer has none."""
    servers = Servers({ONE: [(1, 1, 1), (2, 1, 0)], TWO: [(1, 1, 0), (2, 1, 1)]})
    assert shards(servers).shares("events", [(0, "a"), (1, "b"), (2, "c")]) == [
        Share("events_local", (ONE,), ["a", "c"]),
        Share("events_local", (TWO,), ["b"]),
    ]
    del servers.answers[TWO]
    assert shards(servers).shares("events", [(0, "a"), (1, "b")]) == [
        Share("events_local", (ONE,), ["a"]),
        Share("events", (), ["b"]),
    ]


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {ONE: [(1, 1, 1)]},
        {ONE: [(1, 1, 1), (2, 1, 0)], TWO: [(1, 1, 0), (2, 2, 1)]},
        {ONE: [(1, 1, 0), (2, 1, 0)]},
        {ONE: [(1, 1, 1), (2, 1, 1)]},
        {ONE: []},
    ],
    ids=["nobody answers", "one shard", "they differ", "nobody's own", "everybody's own", "no such cluster"],
)
def test_without_a_layout_one_table_takes_all(answers: dict[Host, list[tuple[int, int, int]]]) -> None:
    """The Distributed table knows where the rows go."""
    assert shards(Servers(answers)).shares("events", [(0, "a"), (1, "b")]) == [Share("events", (), ["a", "b"])]
    assert shards(Servers(answers)).shares("events", []) == []


def test_a_single_server_is_not_asked() -> None:
    """It has no shards."""
    servers = Servers({})
    assert shards(servers, "clickhouse://one:1/db").shares("events", [(7, "a")]) == [Share("events", (), ["a"])]
    assert servers.asked == []


def test_the_layout_is_asked_for_again() -> None:
    """Every minute, and at once after a failure."""
    servers = Servers({ONE: [(1, 1, 1), (2, 1, 0)]})
    moments = [0.0]
    found = Shards(servers, parse_address("clickhouse://one:1/db?cluster=c"), lambda: moments[0])  # type: ignore[arg-type]
    for now, asked in ((1.0, 1), (KNOWN_SECONDS, 1), (KNOWN_SECONDS + 2, 2)):
        moments[0] = now
        found.shares("events", [(0, "a")])
        assert len(servers.asked) == asked
    found.forget()
    found.shares("events", [(0, "a")])
    assert len(servers.asked) == 3


def test_a_group_is_full_when_its_store_says() -> None:
    """The number of rows may differ from one group to the next."""
    queue: GroupQueue[str] = GroupQueue()
    for name in "abcdefg":
        queue.submit(name, 10)
    queue.close()
    sizes = iter([10, 30, 25, 10_000])
    groups = ["".join(job.work for job in group) for group in queue.groups(rows=lambda: next(sizes))]
    assert groups == ["a", "bcd", "efg"]


@pytest.fixture(scope="module")
def two_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two servers with a shard each."""
    with cluster(tmp_path_factory.mktemp("cluster"), shards=2, replicas=1) as found:
        yield found


@pytest.mark.heavy
def test_each_server_gets_its_own_events(two_shards: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line goes to a server that would send it on, and each row is where the Distributed table would put it."""
    store = ClickHouseStore(parse_address(f"{two_shards.url}/straight?cluster={two_shards.name}&quorum=1"), every=0)
    sent: list[tuple[bytes, Collection[Host]]] = []
    send = store._client.execute_once

    def execute_once(statement: bytes, settings: dict[str, str], hosts: Collection[Host] = ()) -> None:
        sent.append((statement.split(b" FORMAT")[0], hosts))
        send(statement, settings, hosts)

    monkeypatch.setattr(store._client, "execute_once", execute_once)
    rows = [row(f"event-{number}") for number in range(100)]
    try:
        assert store._group_rows() == GROUP_ROWS
        assert store.append(APP, rows).result() == Appended(100, 0)
        assert store._group_rows() == 2 * GROUP_ROWS
        straight = {hosts for statement, hosts in sent if statement == b"INSERT INTO events_local"}
        assert sorted(straight) == sorted((("127.0.0.1", server.http),) for server in two_shards.servers)
        assert not [hosts for statement, hosts in sent if statement == b"INSERT INTO events"]
        # Known wherever it is looked up, and a row that the Distributed table adds is on the same shard.
        assert store.append(APP, rows).result() == Appended(0, 100)
        changes = store._changes
        changes._servers.insert("events", lambda: changes._event_lines([(APP, each) for each in rows]))
        for index, server in enumerate(two_shards.servers):
            client = Client(parse_address(f"{server.url}/straight"))
            found = client.select("SELECT key, count() FROM events_local GROUP BY key")
            client.close()
            assert sorted(key for key, _ in found) == sorted(
                number_of(each.id) for each in rows if number_of(each.id) % 2 == index
            )
        changes._settle([(APP, each) for each in rows])
        assert store.kept(APP).events == 100
        assert len(store.recent(APP, Recent(limit=200))) == 100
    finally:
        store.close()


@pytest.mark.heavy
def test_columns_are_added_to_every_shard(two_shards: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of all shards are found by them: older ones, those of an older collector, those that a server sent on."""
    address = parse_address(f"{two_shards.url}/growing?cluster={two_shards.name}&quorum=1")
    with monkeypatch.context() as patch:
        patch.setattr(tables, "MIGRATIONS", tables.MIGRATIONS[:1])
        older = ClickHouseStore(address, every=0)
    newer = None
    try:
        older.append(APP, [with_plan(f"older-{number}", "free") for number in range(20)]).result()
        newer = ClickHouseStore(address, every=0)
        older.append(APP, [with_plan(f"later-{number}", "pro") for number in range(20)]).result()
        newer.append(APP, [with_plan(f"newer-{number}", 5) for number in range(20)]).result()
        changes, rows = newer._changes, [with_plan(f"sent-on-{number}", True) for number in range(20)]
        changes._servers.insert("events", lambda: changes._event_lines([(APP, each) for each in rows]))
        assert plans(newer) == {"free": 20, "pro": 20, 5: 20, "true": 20}
        # Who comes to columns that are there, but for the note of it, goes on.
        newer._client.execute("ALTER TABLE growing.migrations_local ON CLUSTER loopback DROP PARTITION tuple()")
        ClickHouseStore(address).close()
        assert plans(newer) == {"free": 20, "pro": 20, 5: 20, "true": 20}
    finally:
        older.close()
        if newer is not None:
            newer.close()


@pytest.mark.heavy
def test_servers_that_the_url_does_not_name_get_theirs_too(two_shards: Cluster) -> None:
    """Through the one that it names."""
    first = two_shards.servers[0]
    store = ClickHouseStore(parse_address(f"{first.url}/partly?cluster={two_shards.name}&quorum=1"), every=0)
    try:
        rows = [row(f"event-{number}") for number in range(50)]
        assert store.append(APP, rows).result() == Appended(50, 0)
        assert store.append(APP, rows).result() == Appended(0, 50)
        client = Client(parse_address(f"{first.url}/partly"))
        (count,) = client.select("SELECT count() FROM events_local")[0]
        client.close()
        assert 0 < count < 50
        assert store.kept(APP).events == 50
    finally:
        store.close()
