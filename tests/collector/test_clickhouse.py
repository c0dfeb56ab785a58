"""What only the ClickHouse store does: addresses, literals, keys of values, servers that die and come back."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.servers import Server, free_ports, one
from moesif_middleware.collector.search import grouping
from moesif_middleware.collector.search.clickhouse import (
    key_value,
    leaf_arrays,
    leaf_key,
    literal,
    stored_path,
)
from moesif_middleware.collector.search.leaves import leaves
from moesif_middleware.collector.settings import CollectorSettings, ManagementKey
from moesif_middleware.collector.stores import Appended, EventRow, Interruptible, Recent, StoreUnavailable
from moesif_middleware.collector.stores.clickhouse import tables
from moesif_middleware.collector.stores.clickhouse.address import Address, parse_address
from moesif_middleware.collector.stores.clickhouse.client import Client, Refused
from moesif_middleware.collector.stores.clickhouse.rows import Numbers
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.clickhouse.tables import MIGRATIONS
from moesif_middleware.errors import ConfigurationError

from .conftest import APP, KEY, event, serving
from .test_governance import RULE
from .test_store_contract import row


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("clickhouse://h", Address((("h", 8123),))),
        ("clickhouse://h:1/db", Address((("h", 1),), "db")),
        ("clickhouse://a,b:2/db?cluster=c", Address((("a", 8123), ("b", 2)), "db", "c", 2)),
        ("clickhouse://a/db?cluster=c&quorum=1", Address((("a", 8123),), "db", "c", 1)),
        ("clickhouse://[::1]:9/db?secure=1", Address((("::1", 9),), "db", secure=True)),
        ("clickhouse://h/?secure=1", Address((("h", 8443),), secure=True)),
        ("clickhouse://u%40:p%3A%2F@h/db", Address((("h", 8123),), "db", user="u@", password="p:/")),
    ],
)
def test_a_url_names_servers(url: str, address: Address) -> None:
    """Hosts with their ports, the database, the cluster with its quorum, and who asks."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse:///db",
        "clickhouse://h,/db",
        "clickhouse://h:99999/db",
        "clickhouse://h:x/db",
        "clickhouse://h/d b",
        "clickhouse://h/db;drop",
        "clickhouse://h/db?cluster=c`c",
        "clickhouse://h/db?cluster=c&quorum=0",
        "clickhouse://h/db?quorum=2",
        "clickhouse://h/db?speed=1",
    ],
)
def test_a_url_that_names_none_is_refused(url: str) -> None:
    """The error names the option, and never the password."""
    with pytest.raises(ConfigurationError, match="store") as caught:
        parse_address(url.replace("://h", "://user:hush@h"))
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(parse_address("clickhouse://user:hush@h/db"))


scalars = st.one_of(
    st.text(max_size=6),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 0.5, -0.5, 2**53, 2**53 + 1, 2**53 + 2, 1e300, -1e300, 5e-324]),
)


@given(one=scalars, other=scalars)
def test_keys_are_ordered_as_values_are(one: Any, other: Any) -> None:
    """Numbers before text, numbers by size, text by its code points; equal values have one key."""

    def rank(value: Any) -> tuple[int, float, bytes]:
        return (1, 0.0, value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else (0, value, b"")

    first, second = (leaf_key(value).encode("utf-8", "surrogatepass") for value in (one, other))
    if rank(one) == rank(other):
        assert first == second or isinstance(one, int) != isinstance(other, int)
    elif isinstance(one, str) or isinstance(other, str) or float(one) != float(other):
        assert (first < second) == (rank(one) < rank(other))
    else:
        # Integers that one double stands for are told apart all the same.
        assert first != second


@given(value=scalars)
def test_a_key_stands_for_its_value(value: Any) -> None:
    """What groups and sorts show is what was stored."""
    found = key_value(leaf_key(value))
    assert found == value
    assert isinstance(found, str) == isinstance(value, str)


def test_leaves_of_a_document_are_four_columns() -> None:
    """Arrays have no places in a path, a null is none, and a name cannot look like two."""
    found = leaf_arrays({"a": [{"b": 1}, {"b": "2024-01-01"}, None, []], "x\0y": True})
    assert found["leaf.path"] == ["a\0b", "a\0b", "x\ufffdy"]
    assert found["leaf.kind"] == [1, 2, 0]
    assert found["leaf.key"] == [leaf_key(1), "t2024-01-01", "ttrue"]
    assert found["leaf.number"] == [1.0, 1704067200000.0, 0.0]
    assert not any(math.isnan(number) for number in found["leaf.number"])


documents = st.recursive(
    st.one_of(st.none(), st.booleans(), scalars),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("aB.é"), inner, max_size=3)),
    max_leaves=12,
)


@given(headers=documents, rest=documents)
def test_leaves_are_those_of_the_common_definition(headers: Any, rest: Any) -> None:
    """The same paths and values in the same order, header names in lower case."""
    document = {"request": {"headers": headers, "a": rest}, "metadata": rest, "headers": headers}
    found = leaf_arrays(document)
    expected = list(leaves(document))
    assert found["leaf.path"] == [stored_path(names) for names, _ in expected]
    assert found["leaf.key"] == [leaf_key(value) for _, value in expected]


@pytest.mark.heavy
def test_collectors_that_change_a_document_at_once_lose_nothing(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writes between the other's reading and writing: both changes are there, and a deletion is not undone."""
    first, second = (ClickHouseStore(address, every=0) for _ in range(2))
    # Merging takes rows away that were replaced; what it took just then, nobody can see any more.
    first._client.execute(f"SYSTEM STOP MERGES {address.database}.entities")
    puts, write = second._changes._puts, second._changes._puts._write
    between: list[Callable[[], object]] = []

    def late(*arguments: Any) -> None:
        if between:
            between.pop()()
        write(*arguments)

    monkeypatch.setattr(puts, "_write", late)
    try:
        second.put(APP, "users", {"u": {"n": 0, "metadata": {"old": 1}}, "v": {"n": 0}}).result()
        between.append(lambda: first.put(APP, "users", {"u": {"n": 1, "metadata": {"a": 1}}}).result())
        second.put(APP, "users", {"u": {"metadata": {"b": 2}}, "v": {"n": 2}}).result()
        assert first.get(APP, "users", "u") == {"n": 1, "metadata": {"old": 1, "a": 1, "b": 2}}
        assert first.get(APP, "users", "v") == {"n": 2}
        between.append(lambda: first.delete(APP, "users", "u").result())
        second.put(APP, "users", {"u": {"c": 3}}).result()
        assert first.get(APP, "users", "u") == {"c": 3}
    finally:
        first._client.execute(f"SYSTEM START MERGES {address.database}.entities")
        first.close()
        second.close()


@pytest.mark.heavy
def test_an_event_that_was_written_twice_counts_once(address: Address) -> None:
    """As two collectors may that know nothing of each other, one of which died then: the next write finds it."""
    store = ClickHouseStore(address, every=0)
    try:
        fresh = replace(row("A"), received_ms=int(time.time() * 1000))
        for _ in range(2):
            store._changes._servers.insert("events", lambda: store._changes._event_lines([(APP, fresh)]))
        assert store.kept(APP).events == 2
        store.append(APP, [row("B")]).result()
        until = time.monotonic() + 30
        while store.kept(APP).events != 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert sorted(item["id"] for item in store.recent(APP, Recent())) == ["A", "B"]
        assert store.get(APP, "events", "A") is not None
        assert store.delete(APP, "events", "A").result() is True
        assert store.get(APP, "events", "A") is None
    finally:
        store.close()


def recorded(store: ClickHouseStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list into which every SELECT of a store goes from here on."""
    statements: list[str] = []

    def select(sql: str, hosts: Any = ()) -> list[list[Any]]:
        statements.append(sql)
        return Client.select(store._client, sql, hosts)

    monkeypatch.setattr(store._client, "select", select)
    return statements


@pytest.mark.heavy
def test_events_to_delete_are_looked_for_at_their_time(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is known; of two rows with one id the one at that time goes, and without a time both."""
    store = ClickHouseStore(address, every=0)
    try:
        rows = [row(f"e{time}", time_ms=time) for time in range(1000, 1010)]
        store.append(APP, [*rows, row("e1000", time_ms=5000)]).result()
        store.append(APP, [row("e1000", time_ms=5000)]).result()
        assert store.kept(APP).events == 11
        statements = recorded(store, monkeypatch)
        assert store.delete(APP, "events", "e1003", 1004).result() is False
        done = [store.delete(APP, "events", f"e{time}", time) for time in (1007, 1000, 1003)]
        assert [each.result() for each in done] == [True, True, True]
        looked = [sql for sql in statements if "groupArray" in sql]
        assert all("time_ms BETWEEN" in sql for sql in looked)
        statements.clear()
        assert store.kept(APP).events == 8
        assert store.delete(APP, "events", "e1000").result() is True
        assert store.kept(APP).events == 7
        assert sorted(item["id"] for item in store.recent(APP, Recent())) == [
            f"e{time}" for time in range(1000, 1010) if time not in (1000, 1003, 1007)
        ]
    finally:
        store.close()


@pytest.mark.heavy
def test_events_are_looked_up_by_pairs_of_time_and_id(address: Address) -> None:
    """Not by the time of one and the id of another."""
    store = ClickHouseStore(address, every=0)
    try:
        assert store.append(APP, [row("A", time_ms=3), row("B", time_ms=7)]).result() == Appended(2, 0)
        again = [row("A", time_ms=3), row("B", time_ms=3), row("C", time_ms=7)]
        assert store.append(APP, again).result() == Appended(2, 1)
        assert store.append(APP, [row("A", time_ms=7)]).result() == Appended(1, 0)
        hits = store.search(APP, "events", {"sort": ["request.time", "_id"]})["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == ["A", "B", "A", "B", "C"]
    finally:
        store.close()


@pytest.mark.heavy
def test_two_events_with_one_id_keep_their_documents(address: Address) -> None:
    """In hits and in the hits of a bucket: they are told apart by their times."""
    store = ClickHouseStore(address, every=0)
    top = {"all": {"top_hits": {"size": 5, "sort": ["request.time"]}}}
    try:
        for time_ms in (1, 2):
            again = row("A", time_ms=time_ms, doc=f'{{"tags": "at {time_ms}"}}')
            assert store.append(APP, [again]).result() == Appended(1, 0)
        answer = store.search(APP, "events", {"sort": ["request.time"], "aggs": top})
        for hits in (answer["hits"]["hits"], answer["aggregations"]["all"]["hits"]["hits"]):
            assert [(hit["_id"], hit["_source"]["tags"]) for hit in hits] == [("A", "at 1"), ("A", "at 2")]
    finally:
        store.close()


@pytest.mark.heavy
def test_the_first_of_some_groups_take_one_statement(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """All groups come with the first ones, and a second pass counts the others only where there are many more."""
    store = ClickHouseStore(address, every=0)
    try:
        store.append(
            APP, [row(f"{n}-{m}", user_id=f"u{n:02}", weight=n) for n in range(1, 9) for m in range(n)]
        ).result()
        statements = recorded(store, monkeypatch)
        metric = {"p": {"percentiles": {"field": "weight", "percents": [50]}}}
        terms = {"field": "user_id.raw", "size": 3, "min_doc_count": 4}
        search = {"size": 0, "track_total_hits": False, "aggs": {"users": {"terms": terms, "aggs": metric}}}
        for few, count in ((1_000, 1), (8, 1), (7, 2), (1, 2)):
            statements.clear()
            monkeypatch.setattr(grouping, "FEW_GROUPS", few)
            found = store.search(APP, "events", search)["aggregations"]["users"]
            shown = [(bucket["key"], bucket["doc_count"], bucket["p"]["values"]["50.0"]) for bucket in found["buckets"]]
            assert shown == [("u08", 64, 8.0), ("u07", 49, 7.0), ("u06", 36, 6.0)]
            # The one of weight 1 has too few.
            assert found["sum_other_doc_count"] == 25 + 16 + 9 + 4
            assert len(statements) == count
            assert sum("quantile" in sql for sql in statements) == 1
    finally:
        store.close()


def test_numbers_grow_whatever_the_clock_does() -> None:
    """Also when it stands still, goes back, or another collector's is ahead."""
    moments = iter([1.0, 1.0, 0.5, 0.5])
    numbers = Numbers(lambda: next(moments))
    found = [*numbers.take(3), *numbers.take(2), *numbers.take(2, above=9_000_000), *numbers.take(1)]
    assert found == sorted(set(found))
    assert found[5] > 9_000_000
    assert list(Numbers().take(0)) == []


@pytest.mark.heavy
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30), number=st.floats(-1e300, 1e300))
def test_a_literal_is_the_value(clickhouse: Server, text: str, number: float) -> None:
    """No text ends the literal it stands in."""
    client = Client(Address((("127.0.0.1", clickhouse.http),), "default"))
    try:
        ((found, length, same),) = client.select(f"SELECT {literal(text)}, length({literal(text)}), {literal(number)}")
    finally:
        client.close()
    assert (found, length) == (text, len(text.encode()))
    assert same == pytest.approx(number, rel=1e-14, abs=sys.float_info.min)


@pytest.fixture
def address(clickhouse: Server) -> Address:
    return parse_address(f"{clickhouse.url}/test_{uuid4().hex}")


@pytest.mark.heavy
def test_another_server_is_asked_when_one_is_down(clickhouse: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The one that does not answer is named once, not with every statement."""
    (nobody,) = free_ports(1)
    url = f"clickhouse://127.0.0.1:{nobody},127.0.0.1:{clickhouse.http}/test_{uuid4().hex}"
    store = ClickHouseStore(parse_address(url), every=0)
    try:
        for number in range(3):
            assert store.append(APP, [row(f"{number}")]).result() == Appended(1, 0)
        assert store.kept(APP).events == 3
    finally:
        store.close()
    assert sum(f":{nobody}" in record.getMessage() for record in caplog.records) <= 1


@pytest.mark.heavy
def test_what_waits_is_written_when_the_server_is_back(tmp_path: Path) -> None:
    """An append that was under way when the server was killed is acknowledged after it came back, and is there once."""
    with one(tmp_path) as server:
        store = ClickHouseStore(parse_address(f"{server.url}/m"), every=0)
        assert store.append(APP, [row("A")]).result() == Appended(1, 0)
        server.kill()
        waiting = store.append(APP, [row("A"), row("B")])
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.kept(APP)
        server.start()
        assert waiting.result(timeout=30) == Appended(1, 1)
        assert store.kept(APP).events == 2
        store.close()


def test_no_server_at_all_is_said_at_start() -> None:
    """Not with the first event."""
    (nobody,) = free_ports(1)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        ClickHouseStore(parse_address(f"clickhouse://127.0.0.1:{nobody}/m"))


@pytest.mark.heavy
def test_tables_of_a_newer_program_are_refused(address: Address) -> None:
    """They may mean something else."""
    ClickHouseStore(address).close()
    client = Client(address)
    client.execute(f"INSERT INTO migrations (name, version) VALUES ('schema', {len(MIGRATIONS) + 1})")
    client.close()
    with pytest.raises(StoreUnavailable, match="schema version"):
        ClickHouseStore(address)


TOP_PLANS = {"size": 0, "aggs": {"plans": {"terms": {"field": "metadata.plan.raw"}}}}


def from_four(field: str) -> dict[str, Any]:
    """Return a search that counts the numbers from 4 on."""
    return {"size": 0, "aggs": {"many": {"range": {"field": field, "ranges": [{"from": 4}]}}}}


def with_plan(key: str, plan: object) -> EventRow:
    """Return an event whose metadata and body have a plan."""
    values = {"request": {"body": {"plan": plan}}, "metadata": {"plan": plan}}
    return row(key, doc=orjson.dumps(values).decode())


def plans(store: ClickHouseStore) -> dict[object, int]:
    """Return how many events have each plan in their metadata, as a search counts them."""
    buckets = store.search(APP, "events", TOP_PLANS)["aggregations"]["plans"]["buckets"]
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}


@pytest.mark.heavy
@pytest.mark.parametrize("half_done", [False, True])
def test_events_that_are_older_than_a_column_are_found_by_it(
    address: Address, monkeypatch: pytest.MonkeyPatch, half_done: bool
) -> None:
    """Also when whoever began to add the columns did not finish, and while an older collector still writes."""
    with monkeypatch.context() as patch:
        patch.setattr(tables, "MIGRATIONS", MIGRATIONS[:1])
        older = ClickHouseStore(address, every=0)
    newer = None
    try:
        older.append(APP, [with_plan("A", "free"), with_plan("B", 5)]).result()
        if half_done:
            (statement,) = (line for step in MIGRATIONS[1] for line in step.statements(address))
            older._client.execute(statement)
        newer = ClickHouseStore(address, every=0)
        assert plans(newer) == {"free": 1, 5: 1}
        newer.append(APP, [with_plan("C", "free")]).result()
        older.append(APP, [with_plan("D", True)]).result()
        assert plans(newer) == {"free": 2, 5: 1, "true": 1}
        newer._client.execute(f"OPTIMIZE TABLE {tables.EVENTS} FINAL")
        assert plans(newer) == {"free": 2, 5: 1, "true": 1}
        assert newer.delete(APP, "events", "A").result() is True
        assert plans(newer) == {"free": 1, 5: 1, "true": 1}
    finally:
        older.close()
        if newer is not None:
            newer.close()


@pytest.mark.parametrize(("code", "passes"), [(15, True), (44, True), (36, False)])
def test_only_a_column_that_is_there_already_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, code: int, passes: bool
) -> None:
    """Old servers and new ones have different numbers for that."""
    address = parse_address("clickhouse://h/db")
    client = Client(address)
    written: list[str] = []

    def execute(statement: str, *_: object, **__: object) -> bytes:
        if statement.startswith("ALTER"):
            raise Refused(code, "")
        written.append(statement)
        return b"1"

    monkeypatch.setattr(client, "execute", execute)
    monkeypatch.setattr(client, "select", lambda sql: [[1]])
    if passes:
        tables.migrate(client, address)
        assert written[-1].endswith(f"VALUES ('schema', {len(MIGRATIONS)})")
    else:
        with pytest.raises(Refused):
            tables.migrate(client, address)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("body", "read"),
    [
        (TOP_PLANS, {"metadata.path", "metadata.key"}),
        ({"size": 0, "query": {"term": {"metadata.plan.raw": "free"}}}, {"metadata.path", "metadata.key"}),
        ({"size": 0, "query": {"terms": {"metadata.plan": [5, 7]}}}, {"metadata.path", "metadata.key"}),
        ({"size": 0, "query": {"wildcard": {"metadata.plan.raw": "f*e"}}}, {"metadata.path", "metadata.key"}),
        ({"size": 0, "query": {"exists": {"field": "metadata.plan"}}}, {"metadata.path"}),
        ({"size": 1, "sort": ["metadata.plan"], "_source": False}, {"metadata.path", "metadata.key"}),
        (from_four("metadata.plan"), {"metadata.path", "metadata.kind", "metadata.number"}),
        (from_four("request.body.plan"), {"leaf.path", "leaf.kind", "leaf.number"}),
        ({"size": 0, "query": {"term": {"request.body.plan.raw": "free"}}}, {"leaf.path", "leaf.key"}),
        ({"size": 0, "query": {"term": {"request.headers.x-plan.raw": "free"}}}, {"headers.path", "headers.key"}),
        ({"size": 0, "query": {"exists": {"field": "response.headers"}}}, {"headers.path"}),
        ({"size": 0, "query": {"exists": {"field": "response"}}}, {"leaf.path"}),
    ],
)
def test_a_search_reads_the_arrays_that_it_needs(
    address: Address, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], read: set[str]
) -> None:
    """The keys of all scalars are the bodies of all events: a search of the metadata reads no word of them."""
    store = ClickHouseStore(address, every=0)
    try:
        store.append(APP, [with_plan("A", "free"), with_plan("B", 5)]).result()
        statements = recorded(store, monkeypatch)
        store.search(APP, "events", body)
        assert set(re.findall(r"\b(?:leaf|metadata|headers)\.[a-z]+", " ".join(statements))) == read
    finally:
        store.close()


@pytest.mark.heavy
def test_a_search_that_nobody_waits_for_is_given_up(address: Address) -> None:
    """By the server too, and nothing else is: the next statement of the same thread runs to its end."""
    store, other = ClickHouseStore(address, every=0), Client(address)
    endless = "SELECT count() FROM system.numbers WHERE NOT ignore(number)"
    running = "SELECT count() FROM system.processes WHERE query LIKE '%NOT ignore(number)%' AND query NOT LIKE '%LIKE%'"
    looks: list[list[list[Any]]] = []

    def stop() -> bool:
        if looks:
            return True
        found = other.select(running)
        looks.extend([found] if found != [[0]] else [])
        return False

    try:
        assert isinstance(store, Interruptible)
        began = time.monotonic()
        with store.interrupted_by(stop), pytest.raises(StoreUnavailable, match="interrupted"):
            store._client.select(endless)
        assert looks == [[[1]]]
        while other.select(running) != [[0]]:
            assert time.monotonic() < began + 30, "the server goes on"
            time.sleep(0.05)
        with store.interrupted_by(lambda: False):
            assert store.search(APP, "events", {})["hits"]["total"] == 0
        assert store.append(APP, [row("A")]).result() == Appended(1, 0)
    finally:
        store.close()
        other.close()


@pytest.mark.heavy
def test_a_refusal_says_what_the_server_said(address: Address) -> None:
    """With its code, and it is not tried elsewhere."""
    store = ClickHouseStore(address)
    try:
        with pytest.raises(Refused, match="ClickHouse refused") as caught:
            store._client.select("SELECT nonsense FROM nowhere")
        assert not caught.value.passing
        assert caught.value.code in (46, 47, 60)
        assert "nonsense" in caught.value.detail or "nowhere" in caught.value.detail
    finally:
        store.close()


@pytest.fixture
def two_collectors(clickhouse: Server) -> Iterator[tuple[httpx.Client, httpx.Client, httpx.Client]]:
    """Two collectors on the same tables: a client of each, and one of the first's Management API."""
    settings = CollectorSettings(f"{clickhouse.url}/test_{uuid4().hex}", (APP,), (ManagementKey(KEY),))
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving(settings)) for _ in range(2))
        yield first.collector, second.collector, first.management


@pytest.mark.heavy
def test_collectors_behind_a_balancer_are_one(
    two_collectors: tuple[httpx.Client, httpx.Client, httpx.Client],
) -> None:
    """An event sent to both is stored once; a rule made at one is served by the other, under the same tags."""
    first, second, management = two_collectors
    posted = [event(transaction_id=f"e{number}") for number in range(5)]
    assert first.post("/v1/events/batch", json=posted).json() == {"stored": 5, "duplicates": 0}
    assert second.post("/v1/events/batch", json=[*posted, event()]).json() == {"stored": 1, "duplicates": 5}
    found = management.post("/v1/search/~/search/events", params={"from": "-1d", "to": "now"}, json={"size": 0}).json()
    assert found["hits"]["total"] == 6
    before = second.get("/v1/rules").headers["X-Moesif-Rules-Tag"]
    made = management.post("/v1/~/governance/rules", json=RULE)
    assert made.status_code == 201, made.text
    tags = [client.get("/v1/rules").headers["X-Moesif-Rules-Tag"] for client in (first, second)]
    while tags[1] == before:
        # The other one looks at the store once a second.
        tags[1] = second.get("/v1/rules").headers["X-Moesif-Rules-Tag"]
    assert tags[0] == tags[1]
    assert [each["name"] for each in second.get("/v1/rules").json()] == [RULE["name"]]
