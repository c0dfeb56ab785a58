"""Search over HTTP: the reference's examples word for word, both printed forms of a count, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from .conftest import Running, event, moment

RECENT_ERRORS = {
    "post_filter": {"bool": {"should": {"term": {"response.status": "500"}}}},
    "size": 50,
    "sort": [{"request.time": "desc"}],
}
USAGE = {"post_filter": {"bool": {"should": {"term": {"user_id.raw": "123456"}}}}}
BY_TIME = {
    "size": 10,
    "search_after": [1694190464456],
    "sort": [{"request.time": {"order": "desc", "unmapped_type": "string"}}],
}
BY_USER = {
    "size": 50,
    "search_after": ["12345", "AYpjf3Gow2BIxAOLPgx4"],
    "sort": [{"user_id.raw": {"order": "desc", "unmapped_type": "string"}}, {"_id": "desc"}],
}
WEIGHT = {"sum": {"field": "weight", "missing": 1}}
TOP_COMPANIES = {
    "aggs": {
        "seg": {
            "filter": {"match_all": {}},
            "aggs": {
                "company_id.raw": {
                    "terms": {
                        "field": "company_id.raw",
                        "size": "20",
                        "min_doc_count": 1,
                        "order": {"weight|sum": "desc"},
                        "missing": "(none)",
                    },
                    "aggs": {"weight|sum": WEIGHT},
                },
                "weight|sum": WEIGHT,
            },
        }
    },
    "size": 0,
}
P90 = {"percentiles": {"field": "duration_ms", "percents": [90]}}
SLOWEST = {
    "aggs": {
        "seg": {
            "filter": {"match_all": {}},
            "aggs": {
                "request.route.raw": {
                    "terms": {
                        "field": "request.route.raw",
                        "size": "10",
                        "min_doc_count": 1,
                        "order": {"duration_ms|percentiles(90).90": "desc"},
                        "missing": "(none)",
                    },
                    "aggs": {"duration_ms|percentiles(90)": P90},
                },
                "duration_ms|percentiles(90)": P90,
            },
        }
    },
    "size": 0,
}
RANGE = {"from": "-7d", "to": "now"}


def add(running: Running, *events: dict[str, Any]) -> None:
    running.collector.post("/v1/events/batch", json=list(events)).raise_for_status()


def search(running: Running, body: dict[str, Any], **params: str) -> Any:
    answer = running.management.post("/search/~/search/events", json=body, params=RANGE | params)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def filled(running: Running) -> Running:
    add(
        running,
        event(transaction_id="one", response={"status": 500}, user_id="123456", company_id="acme", weight=10),
        event(transaction_id="two", request={"time": moment(100)}, response={"status": 500}, company_id="acme"),
        event(transaction_id="three", request={"time": moment(50)}, user_id="123456", company_id="globex"),
        event(transaction_id="four", request={"time": moment(3_600 * 30)}, response={"status": 404}, user_id="u4"),
    )
    return running


def test_recent_errors(filled: Running) -> None:
    """The first example: errors of the last day, newest first, each with the values it was sorted by."""
    answer = search(filled, RECENT_ERRORS, **{"from": "-1d"})
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["one", "two"]
    assert answer["hits"]["total"] == 11
    assert answer["timed_out"] is False
    assert isinstance(answer["took"], int)
    assert all(isinstance(hit["sort"][0], int) for hit in answer["hits"]["hits"])
    assert answer["hits"]["hits"][0]["_source"]["response"]["status"] == 500


@pytest.mark.parametrize("path", ["/search/~/search/count", "/search/~/count/events"])
@pytest.mark.parametrize("prefix", ["", "/v1", "/api/v1"])
def test_usage_of_a_customer_in_every_printed_form(filled: Running, path: str, prefix: str) -> None:
    """A sampled event counts by its weight."""
    answer = filled.management.post(prefix + path, json=USAGE, params={"from": "-1M", "to": "now"})
    assert (answer.status_code, answer.json()) == (200, {"count": 11})


def test_pages_by_time_and_by_user(filled: Running) -> None:
    assert search(filled, BY_TIME)["hits"]["hits"] == []
    assert search(filled, BY_USER)["hits"]["hits"] != []
    first = search(filled, {"size": 2, "sort": BY_TIME["sort"]})["hits"]["hits"]
    rest = search(filled, {**BY_TIME, "search_after": first[-1]["sort"]})["hits"]["hits"]
    assert [hit["_id"] for hit in first + rest] == ["one", "three", "two", "four"]


def test_top_companies_by_weight(filled: Running) -> None:
    seg = search(filled, TOP_COMPANIES)["aggregations"]["seg"]
    assert seg["weight|sum"] == {"value": 13.0}
    found = [(bucket["key"], bucket["weight|sum"]["value"]) for bucket in seg["company_id.raw"]["buckets"]]
    assert found == [("acme", 11.0), ("(none)", 1.0), ("globex", 1.0)]


def test_slowest_routes_by_percentile(filled: Running) -> None:
    seg = search(filled, SLOWEST)["aggregations"]["seg"]
    (bucket,) = seg["request.route.raw"]["buckets"]
    assert bucket["key"] == "/items/7"
    assert list(bucket["duration_ms|percentiles(90)"]["values"]) == ["90.0"]


def test_one_event(filled: Running) -> None:
    answer = filled.management.get("/v1/search/~/events/one", params={"event_time": moment()})
    assert answer.status_code == 200
    assert (answer.json()["_id"], answer.json()["_source"]["user_id"]) == ("one", "123456")
    assert filled.management.get("/v1/search/~/events/none").status_code == 404
    filled.collector.post("/v1/events", json=event(transaction_id="a/b?c")).raise_for_status()
    assert filled.management.get("/v1/search/~/events/a%2Fb%3Fc").json()["_id"] == "a/b?c"


def test_users_come_with_what_their_events_say(filled: Running) -> None:
    filled.collector.post("/v1/users", json={"user_id": "123456", "metadata": {"plan": "pro"}}).raise_for_status()
    filled.collector.post("/v1/users", json={"user_id": "idle"}).raise_for_status()
    body = {"query": {"exists": {"field": "user_id"}}, "sort": [{"user_id": "asc"}]}
    answer = filled.management.post("/v1/search/~/search/usermetrics/users", json=body, params=RANGE)
    assert answer.status_code == 200
    busy, idle = (hit["_source"] for hit in answer.json()["hits"]["hits"])
    assert (busy["metadata"]["plan"], busy["metrics"]["event_count"]) == ("pro", 11)
    assert idle["metrics"] == {"event_count": 0}
    counted = filled.management.post("/v1/search/~/count/users", json={"query": {"term": {"metadata.plan": "pro"}}})
    assert counted.json() == {"count": 1}
    for refused, path in (
        ({"sort": [{"metrics.event_count": "desc"}]}, "sort[0].metrics.event_count"),
        ({"query": {"range": {"metrics.event_count": {"gt": 5}}}}, "query.range.metrics.event_count"),
    ):
        answer = filled.management.post("/v1/search/~/search/usermetrics/users", json=refused, params=RANGE)
        assert (answer.status_code, answer.json()["error"].split(":")[0]) == (400, path)


def test_property_mappings_tell_types_and_values(filled: Running) -> None:
    add(filled, event(request={"body": {"sku": "a", "qty": 1}, "transfer_encoding": "json"}))
    base = "/v1/search/~/mappings"
    events = filled.management.get(f"{base}/events/properties", params=RANGE).json()
    assert events["properties"]["response"]["properties"]["status"] == {"type": "long"}
    assert events["properties"]["request"]["properties"]["time"] == {"type": "date"}
    body = filled.management.get(f"{base}/events/request/body/properties", params={**RANGE, "include_values": "true"})
    assert body.json() == {
        "properties": {
            "qty": {"type": "long", "values": [{"value": 1, "count": 1}]},
            "sku": {"type": "keyword", "values": [{"value": "a", "count": 1}]},
        }
    }


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"query": {"fuzzy": {"user_id": "u"}}}, "query.fuzzy"),
        (
            {"query": {"bool": {"must": [{"match_all": {}}, {"more_like_this": {}}]}}},
            "query.bool.must[1].more_like_this",
        ),
        ({"query": {"match": {"user_id": {"query": "u", "fuzziness": 2}}}}, "query.match.user_id.fuzziness"),
        ({"post_filter": {"term": {"user_id": None}}}, "post_filter.term.user_id"),
        ({"aggs": {"a": {"significant_terms": {"field": "user_id"}}}}, "aggs.a.significant_terms"),
        ({"aggs": {"a": {"terms": {"field": "user_id", "include": "x"}}}}, "aggs.a.terms.include"),
        ({"aggs": {"a": {"sum": {"field": "user_id"}}}}, "aggs.a.sum.field"),
        ({"sort": [{"_score": "desc"}]}, "sort[0]._score"),
        ({"sort": [{"user_id": "asc"}], "search_after": []}, "search_after"),
        ({"size": 10_001}, "size"),
        ({"from": 9_999, "size": 10}, "from"),
        ({"highlight": {}}, "highlight"),
        ({"query": {"range": {"request.time": {"gte": "yesterday"}}}}, "query.range.request.time.gte"),
        ({"query": {"regexp": {"user_id": "(a"}}}, "query.regexp.user_id"),
        ({"query": {"query_string": {"query": "user_id:(a"}}}, "query.query_string.query"),
    ],
)
def test_what_is_not_supported_is_a_400_with_its_path(shared: Running, body: dict[str, Any], path: str) -> None:
    answer = shared.management.post("/v1/search/~/search/events", json=body, params=RANGE)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"to": "now"}, "from"),
        ({"from": "-1x", "to": "now"}, "from"),
        ({"from": "-1d", "to": "2024-13-01"}, "to"),
        ({**RANGE, "time_zone": "Mars/Olympus"}, "time_zone"),
    ],
)
def test_times_that_are_none_are_a_400(shared: Running, params: dict[str, str], name: str) -> None:
    answer = shared.management.post("/v1/search/~/search/events", json={}, params=params)
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (400, name)


def test_a_search_needs_its_scope(shared: Running) -> None:
    """A key without the scope is told which one it lacks."""
    headers = {"Authorization": "Bearer key-that-reads"}
    answer = shared.anonymous.post("/v1/search/~/search/events", json={}, params=RANGE, headers=headers)
    assert answer.status_code == 401
    assert "read:events" in answer.json()["error"]


def test_time_zones_need_no_database_of_the_machine() -> None:
    """Windows and small containers have none: the extra of the collector brings one."""
    program = (
        "from moesif_middleware.collector.search.times import zone_of, wire_millis;"
        "print(wire_millis(1730800000000, zone_of('America/New_York')))"
    )
    environment = {**os.environ, "PYTHONTZPATH": ""}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (found.stdout, found.stderr) == ("2024-11-05T04:46:40.000-05:00\n", "")
