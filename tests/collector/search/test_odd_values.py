"""Values that no column of an engine holds: in the documents they harm no answer, in a search they are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.search import InvalidSearch
from moesif_middleware.collector.stores import Store
from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.store import ClickHouseStore
from moesif_middleware.collector.stores.sqlite import SQLiteStore

from .population import NOW

NEVER = "9999-12-31T23:59:59.999Z"
NOT_SET = "0001-01-01T00:00:00"
WHENS: list[Any] = [NEVER, NOT_SET, 1e308, -1e308, 2**63 - 1, -(2**63), 5, "2024-11-01T12:00:00Z", "1969-07-20"]
SIZES: list[Any] = [2**63 - 1, 2**63 - 1, 2**62, -(2**63), 1e308, 5e-324, 2**53 + 2, -0.0, 2**64 - 1]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.heavy)])
def odd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store: Store
    if request.param == "sqlite":
        store = SQLiteStore(tmp_path_factory.mktemp("odd") / "events.db", clock=lambda: NOW / 1000)
    else:
        address = parse_address(f"{request.getfixturevalue('clickhouse').url}/odd_{uuid4().hex}")
        store = ClickHouseStore(address, clock=lambda: NOW / 1000, every=0)
    with closing(store):
        for name, values in (("when", WHENS), ("size", SIZES)):
            store.append(name, [event(index, {name: value}) for index, value in enumerate(values)]).result(timeout=30)
        yield store


def event(number: int, metadata: dict[str, Any], time: str = "2024-11-01T00:00:00.000Z") -> Any:
    request = {"time": time, "uri": "https://api.example.com/", "verb": "GET", "headers": {}}
    found = {"transaction_id": f"event-{number}", "request": request, "metadata": metadata}
    return event_row(found, Arrival(NOW, "127.0.0.1"))


def search(store: Store, app: str, body: dict[str, Any], first: int | None = None, zone: str = "UTC") -> dict[str, Any]:
    return store.search(app, "events", body, first, NOW, ZoneInfo(zone))


def buckets(store: Store, app: str, kind: str, zone: str = "UTC", **options: Any) -> dict[Any, int]:
    spec = {kind: {"field": f"metadata.{app}", "min_doc_count": 1, **options}}
    answer = search(store, app, {"size": 0, "aggs": {"a": spec}}, zone=zone)
    return {
        bucket.get("key_as_string", bucket["key"]): bucket["doc_count"]
        for bucket in answer["aggregations"]["a"]["buckets"]
    }


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("interval", [{"interval": "month"}, {"interval": "1d"}, {"fixed_interval": "12h"}], ids=str)
def test_a_time_that_means_never_is_in_no_bucket(odd: Store, zone: str, interval: dict[str, str]) -> None:
    found = buckets(odd, "when", "date_histogram", zone, **interval)
    assert {key[:4] for key in found} <= {"1969", "1970", "2024"}
    assert sum(found.values()) == 3


def test_a_month_before_1970_is_a_bucket_beside_others(odd: Store) -> None:
    found = buckets(odd, "when", "date_histogram", interval="month")
    assert found == {f"{month}-01T00:00:00.000Z": 1 for month in ("1969-07", "1970-01", "2024-11")}


def test_ranges_of_times_find_never_and_no_number_beyond_the_years(odd: Store) -> None:
    for bounds, expected in (
        ({"gt": "now"}, {0}),
        ({"lt": "1900-01-01", "format": "strict_date_optional_time"}, {1}),
        ({"gte": "1969||/y", "lte": "now"}, {6, 7, 8}),
    ):
        hits = search(odd, "when", {"query": {"range": {"metadata.when": bounds}}})["hits"]["hits"]
        assert {hit["_id"] for hit in hits} == {f"event-{number}" for number in expected}


def test_a_search_from_long_ago_takes_the_months_that_have_events(odd: Store) -> None:
    months = {"date_histogram": {"field": "request.time", "interval": "month"}}
    answer = search(odd, "when", {"size": 0, "aggs": {"a": months}}, first=-62_135_596_800_000, zone="America/New_York")
    assert [bucket["doc_count"] for bucket in answer["aggregations"]["a"]["buckets"]] == [len(WHENS)]
    assert answer["took"] < 5_000


def test_an_event_of_the_far_future_is_in_no_bucket(odd: Store) -> None:
    now, late = event(0, {}), event(1, {}, "2250-01-01T00:00:00.000Z")
    odd.append("future", [now, late]).result(timeout=30)
    months = {"date_histogram": {"field": "request.time", "interval": "month"}}
    for first, last in ((0, 253_000_000_000_000), (7_250_000_000_000, 8_900_000_000_000)):
        answer = odd.search("future", "events", {"size": 0, "aggs": {"a": months}}, first, last)
        counts = [bucket["doc_count"] for bucket in answer["aggregations"]["a"]["buckets"]]
        assert (answer["hits"]["total"], sum(counts)) == ((2, 1) if first == 0 else (1, 0))


def test_numbers_are_milliseconds_whatever_the_time_of_the_search(odd: Store) -> None:
    """A column of numbers is not bounded by the times that bound the events."""
    days = {"date_histogram": {"field": "weight", "interval": "month"}}
    answer = odd.search("when", "events", {"size": 0, "aggs": {"a": days}}, NOW - 10 * 86_400_000, NOW)
    assert [bucket["key"] for bucket in answer["aggregations"]["a"]["buckets"]] == [0]


def test_sums_of_integers_that_64_bits_do_not_hold(odd: Store) -> None:
    body = {"size": 0, "query": {"range": {"metadata.size": {"gte": 2**62, "lt": 1.5e19}}}}
    metrics = {kind: {kind: {"field": "metadata.size"}} for kind in ("sum", "avg", "max")}
    found = search(odd, "size", {**body, "aggs": metrics})["aggregations"]
    total = 2 * (2**63 - 1) + 2**62
    assert found["sum"]["value"] == pytest.approx(total, rel=1e-12)
    assert found["avg"]["value"] == pytest.approx(total / 3, rel=1e-12)
    assert found["max"]["value"] == float(2**63)


def test_a_number_without_a_bucket_keeps_no_other_from_its_own(odd: Store) -> None:
    """A bucket of 1e308 has a number that no double holds; 2**53 + 2 needs more than fifteen digits."""
    found = buckets(odd, "size", "histogram", interval=0.5)
    assert {key: count for key, count in found.items() if abs(key) < 2**60} == {0.0: 2, float(2**53 + 2): 1}
    assert 1e308 not in found


def test_documents_are_sorted_by_large_numbers(odd: Store) -> None:
    """Also by the highest of several."""
    values: list[Any] = [[5, 2**64 - 1], 1e300, [2**63], [-(2**63), 3], -1e300]
    odd.append("sorted", [event(index, {"x": value}) for index, value in enumerate(values)]).result(timeout=30)
    for order, expected in (("desc", [1, 0, 2, 3, 4]), ("asc", [4, 3, 0, 2, 1])):
        hits = search(odd, "sorted", {"sort": [{"metadata.x": order}]})["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == [f"event-{index}" for index in expected]
        after = search(odd, "sorted", {"sort": [{"metadata.x": order}], "search_after": hits[2]["sort"]})
        assert [hit["_id"] for hit in after["hits"]["hits"]] == [hit["_id"] for hit in hits[3:]]


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, -(2**63), 1e308])
def test_a_large_number_equals_itself(odd: Store, number: float) -> None:
    hits = search(odd, "size", {"query": {"term": {"metadata.size": number}}})["hits"]["hits"]
    assert {hit["_id"] for hit in hits} == {f"event-{index}" for index, size in enumerate(SIZES) if size == number}


@pytest.mark.parametrize(
    "body",
    [
        {"query": {"range": {"request.time": {"gte": 2**64 - 1}}}},
        {"query": {"range": {"metadata.when": {"gte": -1e308, "lt": "now"}}}},
        {"query": {"range": {"request.time": {"gte": "99999999999999999"}}}},
        {"query": {"query_string": {"query": "GET", "fields": 5}}},
        {"query": {"query_string": {"query": "GET", "fields": None}}},
        {"aggs": {"a": {"date_histogram": {"field": "metadata.when", "interval": "1d", "missing": 1e308}}}},
        {"aggs": {"a": {"date_histogram": {"field": "metadata.when", "interval": "999999999d"}}}},
        {"aggs": {"a": {"date_histogram": {"field": "metadata.when", "interval": "1d", "offset": "+999999999d"}}}},
        {"aggs": {"a": {"date_histogram": {"field": "metadata.when", "interval": "1d",
                                           "extended_bounds": {"min": NOT_SET, "max": "now"}}}}},
        {"aggs": {"a": {"histogram": {"field": "metadata.size", "interval": 1, "offset": "nan"}}}},
        {"aggs": {"a": {"sum": {"field": "metadata.size", "missing": "1e999"}}}},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_value_can_equal_is_refused_with_its_path(odd: Store, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidSearch) as caught:
        search(odd, "when", body)
    assert caught.value.path.rsplit(".", 1)[-1] in (
        "gte", "fields", "missing", "interval", "offset", "min",
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"query": {"term": {"metadata.size": 2**64 - 1}}},
        {"query": {"query_string": {"query": "GET", "fields": "request.verb"}}},
        {"aggs": {"a": {"range": {"field": "metadata.size", "ranges": [{"from": 0, "to": 2**64 - 1}]}}}},
        {"aggs": {"a": {"percentiles": {"field": "duration_ms", "percents": [1e-320], "missing": 2**53 + 1}}}},
    ],
    ids=str,
)
def test_what_is_large_or_small_but_possible_is_answered(odd: Store, body: dict[str, Any]) -> None:
    search(odd, "size", body)
