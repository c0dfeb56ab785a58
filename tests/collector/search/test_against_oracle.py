"""Searches made by chance give on every engine what a plain Python evaluation gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moesif_middleware.collector.search.sqlite import SQLiteEngine
from moesif_middleware.collector.search.times import iso_millis

from .conftest import Searcher
from .population import FIRST, NOW
from .same import difference

TEXT_FIELDS = [
    "user_id",
    "user_id.raw",
    "company_id",
    "request.route",
    "request.verb",
    "request.uri",
    "request.headers.User-Agent",
    "request.headers.user-agent.raw",
    "response.headers.x-request-id",
    "_id",
]
LEAF_FIELDS = [
    "metadata.plan",
    "metadata.plan.raw",
    "metadata.a.b",
    "metadata.a.b.c",
    "metadata.a\\.b",
    'metadata.qu"ote',
    "metadata.it's",
    "metadata.back\\slash",
    "metadata.size",
    "metadata.when",
    "metadata",
    "metadata_.plan",
    "request.body.items.sku",
    "response.body.items.qty",
    "response.body.error.code",
    "request.body",
    "no.such.field",
    "metadata.*",
    "request.body.*",
]
NUMBER_FIELDS = ["response.status", "duration_ms", "weight"]
FIELDS = TEXT_FIELDS + LEAF_FIELDS + NUMBER_FIELDS
TEXTS = [
    *("u1", "u2", "U2", "42", "ü", "acme", "(none)", "GET", "/items", "/items/{id}", "free", "pro", "Pro plan", "eu"),
    *(
        "500",
        "5",
        "5.0",
        "7",
        "a",
        "b",
        "c",
        "z",
        "nested",
        "x",
        "true",
        "false",
        "E_1",
        "item",
        "no such item",
        "curl",
    ),
    *(
        "Linux",
        "words",
        "héllo",
        "",
        "12",
        "2024",
        "/",
        "%",
        "_",
        "'",
        "event-0007",
        "API.example.com",
        "q=a_b",
        "Curl/8.4",
    ),
]
NUMBERS = [0, 1, 5, 5.5, 7, 12, 42, 200, 404, 500, -1, 2.5, 0.1, 1e6, 250, 999]
MOMENTS = [
    "2024-10-26T00:00:00Z",
    "2024-10-27T01:00:00Z",
    "2024-11-03T05:59:59.999Z",
    FIRST + 10**9,
    NOW - 10**8,
]

texts = st.sampled_from(TEXTS)
scalars = st.one_of(texts, st.sampled_from(NUMBERS), st.booleans())
fields = st.sampled_from(FIELDS)
textual = st.sampled_from(TEXT_FIELDS + LEAF_FIELDS)


def one(kind: str, field: st.SearchStrategy[str], value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda name, inner: {kind: {name: inner}}, field, value)


bounds = st.one_of(
    st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), st.sampled_from(NUMBERS), max_size=2),
    st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), texts, min_size=1, max_size=2),
)
number_bounds = st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), st.sampled_from(NUMBERS), max_size=2)
# Spans such as a whole day are looked at in test_times; the oracle knows moments only.
moment_bounds = st.dictionaries(st.sampled_from(["gte", "lt"]), st.sampled_from(MOMENTS), min_size=1, max_size=2)
patterns = st.lists(
    st.sampled_from(["*", "?", "a", "u", "1", "/", "items", "é", "\\*", "_", ".", "[", "curl"]), max_size=4
)
# The long s and the Kelvin sign are an s and a k to RE2 without case, and to Python.
words = st.sampled_from(
    ["items", "ITEMS", "ski", "SAFARI", "kiosk", "\u212aIOS", "\u017f", "héllo", "curl", "_y-", "m?7"]
)
regexps = st.lists(
    st.sampled_from([".*", "[a-z]+", "u", "\\d", "(1|2)", "/", ".", "items", "é", "\\."]), min_size=1, max_size=4
)

leaf_clauses = st.one_of(
    st.just({"match_all": {}}),
    one("term", fields, scalars),
    one("term", textual, st.builds(lambda value: {"value": value, "case_insensitive": True}, texts)),
    one("terms", fields, st.lists(scalars, max_size=4)),
    one("match", fields, scalars),
    one("match", fields, st.builds(lambda value: {"query": value, "operator": "and"}, texts)),
    one("match_phrase", fields, texts),
    one("prefix", textual, texts),
    one("prefix", textual, st.builds(lambda value: {"value": value, "case_insensitive": True}, texts)),
    one("wildcard", textual, patterns.map("".join)),
    one("wildcard", textual, st.builds(lambda word: {"value": f"*{word}*", "case_insensitive": True}, words)),
    one("regexp", textual, regexps.map("".join)),
    one("range", textual, bounds),
    one("range", st.sampled_from(NUMBER_FIELDS), number_bounds),
    one("range", st.sampled_from(["request.time", "response.time"]), moment_bounds),
    st.builds(lambda field: {"exists": {"field": field}}, fields),
    st.builds(lambda ids: {"ids": {"values": ids}}, st.lists(st.sampled_from(["event-0001", "event-0100", "no"]))),
)


def boolean(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    clauses = st.one_of(inner, st.lists(inner, max_size=3))
    parts = st.fixed_dictionaries(
        {},
        optional={
            "must": clauses,
            "filter": clauses,
            "should": clauses,
            "must_not": clauses,
            "minimum_should_match": st.sampled_from([0, 1, 2, "2", -1, "50%", "-25%"]),
        },
    )
    return parts.map(lambda body: {"bool": body})


queries = st.recursive(leaf_clauses, boolean, max_leaves=6)

directions = st.sampled_from(["asc", "desc"])
sort_options = st.one_of(
    directions,
    st.fixed_dictionaries({"order": directions}, optional={"missing": st.sampled_from(["_last", "_first"])}),
)
SORT_FIELDS = ["request.time", "response.time", *TEXT_FIELDS, *NUMBER_FIELDS, *LEAF_FIELDS[:15]]
sorts = st.lists(
    st.builds(lambda name, options: {name: options}, st.sampled_from(SORT_FIELDS), sort_options),
    max_size=3,
    unique_by=lambda sort: next(iter(sort)),
)

METRIC_FIELDS = [*NUMBER_FIELDS, "metadata.size", "response.body.items.qty", "metadata.plan"]


def metrics() -> st.SearchStrategy[dict[str, Any]]:
    def missing(kind: str, field: str, value: float | None) -> dict[str, Any]:
        return {kind: {"field": field} | ({} if value is None else {"missing": value})}

    numeric = st.builds(
        missing,
        st.sampled_from(["sum", "avg", "min", "max", "value_count", "cardinality"]),
        st.sampled_from(METRIC_FIELDS),
        st.sampled_from([None, None, 1, 2.5]),
    )
    counting = st.builds(missing, st.sampled_from(["value_count", "cardinality"]), fields_for_keys, st.none())
    ranks = st.builds(
        lambda field, percents: {"percentiles": {"field": field, "percents": percents}},
        st.sampled_from(METRIC_FIELDS),
        st.lists(st.sampled_from([0, 1, 7, 50, 90, 99.9, 100]), min_size=1, max_size=3, unique=True),
    )
    return st.one_of(numeric, counting, ranks)


KEY_FIELDS = [*TEXT_FIELDS, *NUMBER_FIELDS, *LEAF_FIELDS[:15]]
fields_for_keys = st.sampled_from(KEY_FIELDS)
NAMES = st.sampled_from(["one", "weight|sum", "p(90)"])


@st.composite
def terms(draw: st.DrawFn, inner: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"field": draw(fields_for_keys), "size": draw(st.sampled_from([1, 2, 5, "20", 100]))}
    if draw(st.booleans()):
        options["min_doc_count"] = draw(st.sampled_from([1, 2, 10]))
    if draw(st.booleans()):
        options["missing"] = "(none)"
    orders: list[Any] = [{"_count": "asc"}, {"_key": "asc"}, {"_key": "desc"}, [{"_count": "desc"}, {"_key": "desc"}]]
    for name, body in inner.items():
        if {"sum", "avg", "max", "min", "cardinality"} & set(body):
            orders += [{name: "desc"}, {f"{name}.value": "asc"}]
        if "percentiles" in body:
            orders.append({f"{name}.{body['percentiles']['percents'][0]}": "desc"})
    if draw(st.booleans()):
        options["order"] = draw(st.sampled_from(orders))
    return {"terms": options, "aggs": inner}


@st.composite
def buckets(draw: st.DrawFn, children: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    inner = draw(st.dictionaries(NAMES, children, max_size=2))
    kind = draw(st.sampled_from(["terms", "terms", "filter", "filters", "range", "histogram", "date", "top_hits"]))
    match kind:
        case "filter":
            return {"filter": draw(leaf_clauses), "aggs": inner}
        case "filters":
            return {"filters": {"filters": draw(st.dictionaries(NAMES, leaf_clauses, min_size=1))}, "aggs": inner}
        case "range":
            ranges = [{"to": 5}, {"from": 5, "to": 400.5}, {"from": 200, "key": "high"}]
            return {"range": {"field": draw(st.sampled_from(METRIC_FIELDS)), "ranges": ranges}, "aggs": inner}
        case "histogram":
            options = {"field": draw(st.sampled_from(METRIC_FIELDS)), "interval": 250000, "offset": 10}
            if options["field"] != "metadata.size":
                options["interval"] = draw(st.sampled_from([1, 100, 2.5]))
            options["min_doc_count"] = draw(st.sampled_from([0, 1, 3]))
            return {"histogram": options, "aggs": inner}
        case "date":
            unit = draw(
                st.sampled_from(
                    [
                        {"interval": "1d"},
                        {"calendar_interval": "week"},
                        {"interval": "month"},
                        {"fixed_interval": "12h"},
                    ]
                )
            )
            options = {"field": draw(st.sampled_from(["request.time", "response.time", "metadata.when"])), **unit}
            if draw(st.booleans()):
                options["time_zone"] = draw(st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kolkata"]))
            options["min_doc_count"] = 1 if options["field"] == "metadata.when" else draw(st.sampled_from([0, 1]))
            return {"date_histogram": options, "aggs": inner}
        case "top_hits":
            return {"top_hits": {"size": 2, "sort": draw(sorts)}}
    return draw(terms(inner))


aggregations = st.dictionaries(
    NAMES, st.recursive(metrics(), lambda inner: buckets(inner), max_leaves=5), min_size=1, max_size=2
)


def tried(examples: int) -> Any:
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=slow)


def finds(searcher: Searcher, query: dict[str, Any]) -> None:
    assert searcher.ids(query) == searcher.expected(query)


def orders(searcher: Searcher, body: dict[str, Any]) -> None:
    assert difference(searcher.search(body), searcher.oracle.search(body)) is None


def pages(searcher: Searcher, order: list[Any], size: int) -> None:
    if all("_id" not in each for each in order):
        order = [*order, {"_id": "asc"}]
    body: dict[str, Any] = {"sort": order, "size": size, "_source": False, "track_total_hits": False}
    seen: list[str] = []
    while hits := searcher.search(body)["hits"]["hits"]:
        seen += [hit["_id"] for hit in hits]
        body["search_after"] = hits[-1]["sort"]
        assert len(seen) <= len(searcher.oracle.documents)
    expected = searcher.oracle.hits({"sort": order, "size": 1000}, searcher.oracle.documents)
    assert seen == [hit["_id"] for hit in expected]


def counts(searcher: Searcher, aggs: dict[str, Any], query: dict[str, Any], zone: str) -> None:
    body = {"size": 0, "query": query, "aggs": aggs}
    first, last = FIRST + 3 * 86_400_000, NOW - 86_400_000
    found, expected = searcher.search(body, first, last, zone), searcher.oracle.search(body, first, last, zone)
    assert difference(found, expected) is None


bodies = st.builds(
    lambda query, filter_, order, size, start: {
        "query": query,
        "post_filter": filter_,
        "sort": order,
        "size": size,
        "from": start,
    },
    leaf_clauses,
    leaf_clauses,
    sorts,
    st.sampled_from([1, 7, 40]),
    st.sampled_from([0, 9]),
)
some_sorts = sorts.filter(bool)
zones = st.sampled_from(["UTC", "America/New_York"])

# In New York the second half of 3 November 2024 starts an hour after the first one did.
CLOCK_CHANGE: dict[str, Any] = {
    "aggs": {"a": {"date_histogram": {"field": "response.time", "fixed_interval": "12h", "min_doc_count": 0}}},
    "query": {"match_all": {}},
    "zone": "America/New_York",
}
BY_A_FRACTION: dict[str, Any] = {
    "aggs": {
        "a": {
            "terms": {"field": "user_id", "order": {"one.99.9": "desc"}},
            "aggs": {"one": {"percentiles": {"field": "response.status", "percents": [99.9]}}},
        }
    },
    "query": {"match_all": {}},
    "zone": "UTC",
}
"""Ordered by a percentile whose number has a point, as the name's end has."""

SUM_OF_NOTHING: dict[str, Any] = {
    "aggs": {
        "one": {
            "terms": {"field": "request.uri", "size": 1, "order": {"one.value": "asc"}},
            "aggs": {"one": {"sum": {"field": "response.status"}}},
        }
    },
    "query": {"match_all": {}},
    "zone": "UTC",
}


@tried(150)
@given(query=queries)
def test_a_query_finds_what_it_says(sqlite: Searcher, query: dict[str, Any]) -> None:
    finds(sqlite, query)


@tried(100)
@given(body=bodies)
def test_hits_come_in_order(sqlite: Searcher, body: dict[str, Any]) -> None:
    orders(sqlite, body)


@tried(60)
@given(order=some_sorts, size=st.sampled_from([9, 50]))
def test_paging_by_keyset_shows_every_document_once(sqlite: Searcher, order: list[Any], size: int) -> None:
    pages(sqlite, order, size)


@tried(200)
@example(**CLOCK_CHANGE)
@example(**SUM_OF_NOTHING)
@example(**BY_A_FRACTION)
@given(aggs=aggregations, query=leaf_clauses, zone=zones)
def test_aggregations_count_what_they_say(sqlite: Searcher, aggs: Any, query: Any, zone: str) -> None:
    counts(sqlite, aggs, query, zone)


@tried(40)
@given(query=queries)
def test_a_query_finds_the_same_by_hot_paths(hot_sqlite: Searcher, query: dict[str, Any]) -> None:
    finds(hot_sqlite, query)


@tried(40)
@given(aggs=aggregations, query=leaf_clauses, zone=zones)
def test_aggregations_count_the_same_by_hot_paths(hot_sqlite: Searcher, aggs: Any, query: Any, zone: str) -> None:
    counts(hot_sqlite, aggs, query, zone)


DAY = 86_400_000
# Just over half of what 8, 16 and 32 bits hold, and under it.
LENGTHS = {"100ms": 100, "200ms": 200, "30s": 30_000, "1m": 60_000, "15m": 900_000, "20d": 20 * DAY, "30d": 30 * DAY}


def lengths_are_kept(searcher: Searcher, written: str) -> None:
    interval = {"field": "request.time", "fixed_interval": written, "min_doc_count": 1}
    found = searcher.search({"size": 0, "aggs": {"times": {"date_histogram": interval}}})["aggregations"]["times"]
    expected: Counter[int] = Counter()
    for _, document in searcher.oracle.documents:
        millis, length = iso_millis(document["request"]["time"]), LENGTHS[written]
        assert millis is not None
        expected[millis // length * length] += document["weight"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in found["buckets"]} == expected


@pytest.mark.parametrize("written", LENGTHS)
def test_intervals_of_every_length_begin_where_they_should(sqlite: Searcher, written: str) -> None:
    lengths_are_kept(sqlite, written)


@pytest.mark.heavy
@pytest.mark.parametrize("written", LENGTHS)
def test_they_do_on_clickhouse(clickhouse_searcher: Searcher, written: str) -> None:
    """Whose remainder has the width of the divisor."""
    lengths_are_kept(clickhouse_searcher, written)


ROWS = SQLiteEngine.rows
FOLDED_CLAUSES = [
    {"wildcard": {field: {"value": f"*{word}*", "case_insensitive": True}}}
    for field in ("request.route", "request.headers.user-agent", "request.headers.*")
    for word in ("SKI/k", "safari", "Kiosk", "Orders/{ID}/Lines", "Mozilla/5")
]
"""The long s and the Kelvin sign are an s and a k without case, to RE2 as to Python."""


@pytest.mark.parametrize("clause", FOLDED_CLAUSES, ids=str)
def test_letters_without_case_are_those_that_re2_takes_for_the_same(sqlite: Searcher, clause: dict[str, Any]) -> None:
    assert sqlite.ids(clause) == sqlite.expected(clause)


@pytest.mark.parametrize(
    ("clause", "narrowed"),
    [
        ({"term": {"metadata.plan": "free"}}, True),
        ({"terms": {"metadata.plan": ["Pro plan", "no such plan"]}}, True),
        ({"term": {"metadata.plan": "true"}}, True),
        ({"term": {"response.body.error.code": "E_1"}}, True),
        ({"term": {"request.headers.User-Agent": "curl/8.4"}}, True),
        ({"terms": {"metadata.plan": ["free", "500"]}}, False),
        ({"term": {"metadata.plan": "ü"}}, False),
        ({"term": {"metadata.plan": 'say "no"'}}, False),
        ({"bool": {"must_not": [{"term": {"metadata.plan": "free"}}]}}, True),
    ],
    ids=str,
)
def test_only_documents_that_mention_a_value_are_looked_into(
    sqlite: Searcher, hot_sqlite: Searcher, monkeypatch: pytest.MonkeyPatch, clause: dict[str, Any], narrowed: bool
) -> None:
    """Where the value stands in them as it is: a number may be written in many ways. An index needs no such look."""
    expected = sqlite.expected(clause)
    assert sqlite.ids(clause) == hot_sqlite.ids(clause) == expected
    statements: list[str] = []

    def watched(self: SQLiteEngine, sql: str, parameters: Any) -> Any:
        statements.append(sql)
        return ROWS(self, sql, parameters)

    monkeypatch.setattr(SQLiteEngine, "rows", watched)
    sqlite.ids(clause)
    assert any(" LIKE " in sql for sql in statements) == narrowed
    statements.clear()
    hot_sqlite.ids(clause)
    assert not any(" LIKE " in sql for sql in statements)


@pytest.mark.heavy
@pytest.mark.parametrize("clause", FOLDED_CLAUSES, ids=str)
def test_they_are_on_clickhouse(clickhouse_searcher: Searcher, clause: dict[str, Any]) -> None:
    assert clickhouse_searcher.ids(clause) == clickhouse_searcher.expected(clause)


@pytest.mark.heavy
@tried(40)
@example(query={"match": {"metadata.a\\.b": {"query": "pro", "operator": "and"}}})
@given(query=queries)
def test_a_query_finds_the_same_on_clickhouse(clickhouse_searcher: Searcher, query: dict[str, Any]) -> None:
    finds(clickhouse_searcher, query)


@pytest.mark.heavy
@tried(25)
@given(body=bodies)
def test_hits_come_in_the_same_order_on_clickhouse(clickhouse_searcher: Searcher, body: dict[str, Any]) -> None:
    orders(clickhouse_searcher, body)


@pytest.mark.heavy
@tried(15)
@given(order=some_sorts, size=st.sampled_from([39, 70]))
def test_paging_shows_every_document_once_on_clickhouse(clickhouse_searcher: Searcher, order: Any, size: int) -> None:
    pages(clickhouse_searcher, order, size)


@pytest.mark.heavy
@tried(40)
@example(**CLOCK_CHANGE)
@example(**SUM_OF_NOTHING)
@example(**BY_A_FRACTION)
@given(aggs=aggregations, query=leaf_clauses, zone=zones)
def test_aggregations_count_the_same_on_clickhouse(
    clickhouse_searcher: Searcher, aggs: Any, query: Any, zone: str
) -> None:
    counts(clickhouse_searcher, aggs, query, zone)
