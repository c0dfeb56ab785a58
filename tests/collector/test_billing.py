"""Meters, and what they read from stored events."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from moesif_middleware.collector import metering

from .conftest import APP, Running, event, moment

METERS, REPORTS = "/v1/~/billing/meters", "/v1/~/billing/reports"
RANGE = {"from": "-5d", "to": "now"}
ERRORS = {"query": {"range": {"response.status": {"gte": 500}}}}
DURATION = {"aggs": {"ms": {"sum": {"field": "duration_ms"}}}}
DAY = 24 * 3600


def meter(everywhere: Running, **changes: Any) -> str:
    """Make a meter and return its id."""
    params = changes.pop("params", {})
    body = {"name": "Calls", "billing_plan": {"provider_slug": "moesif", "params": params}, **changes}
    answer = everywhere.management.post(METERS, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["_id"])


def record(everywhere: Running) -> None:
    """Store three calls of one company, two of them yesterday's, and one of another that stands for ten."""
    sent = [
        event(company_id="c1", request={"time": moment(DAY + 1)}, response={"time": moment(DAY + 0.9)}),
        event(company_id="c1", request={"time": moment(DAY + 1)}, response={"time": moment(DAY + 0.9), "status": 500}),
        event(company_id="c1"),
        event(company_id="c2", weight=10),
        event(),
    ]
    everywhere.collector.post("/v1/events/batch", json=sent).raise_for_status()


def usage(everywhere: Running, key: str, **query: Any) -> list[tuple[str, int, int]]:
    """Return (company, metric, usage) of a meter's reports."""
    asked = {**RANGE, "billing_meter_id": key, **query}
    reports = everywhere.management.get(REPORTS, params=asked).json()
    return [(each["company_id"], each["meter_metric"], each["meter_usage"]) for each in reports]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, [("c1", 2, 2), ("c1", 1, 1), ("c2", 10, 10)]),
        ({"es_query": ERRORS}, [("c1", 1, 1)]),
        ({"es_query": '{"post_filter": {"term": {"company_id": "c2"}}}'}, [("c2", 10, 10)]),
        (
            {"params": {"usage_multiplier": 0.4, "usage_rounding_mode": "up"}},
            [("c1", 2, 1), ("c1", 1, 1), ("c2", 10, 4)],
        ),
        (
            {"params": {"usage_multiplier": 0.4, "usage_rounding_mode": "down"}},
            [("c1", 2, 0), ("c1", 1, 0), ("c2", 10, 4)],
        ),
        ({"es_query": {"query": {}, "post_filter": None}}, [("c1", 2, 2), ("c1", 1, 1), ("c2", 10, 10)]),
        ({"params": {"usage_multiplier": 1e308}}, [("c1", 2, 2**53), ("c1", 1, 2**53), ("c2", 10, 2**53)]),
        (
            {"es_query": {"aggs": {"a": {"max": {"field": "metadata.none", "missing": 1e308}}}}},
            [("c1", 2**53, 2**53), ("c1", 2**53, 2**53), ("c2", 2**53, 2**53)],
        ),
    ],
)
def test_a_report_is_what_a_company_used_in_a_day(
    everywhere: Running, changes: dict[str, Any], wanted: list[tuple[str, int, int]]
) -> None:
    """By weight; the meter says which events, and what is billed for them."""
    record(everywhere)
    key = meter(everywhere, **changes)
    assert sorted(usage(everywhere, key)) == sorted(wanted)
    assert usage(everywhere, key, company_id="c3") == usage(everywhere, key, success="false") == []
    assert {company for company, *_ in usage(everywhere, key, company_id="c2")} <= {"c2"}


def test_a_report_counts_for_the_company_s_active_subscription(everywhere: Running) -> None:
    """None without one."""
    record(everywhere)
    for key, status in (("s0", "cancelled"), ("s1", "active")):
        subscription = {"subscription_id": key, "company_id": "c1", "status": status}
        everywhere.collector.post("/v1/subscriptions", json=subscription).raise_for_status()
    meter(everywhere)
    found = everywhere.management.get(REPORTS, params=RANGE).json()
    assert {(each["company_id"], each["subscription_id"]) for each in found} == {("c1", "s1"), ("c2", "")}
    assert all((each["app_id"], each["success"]) == (APP, True) for each in found)


def test_metrics_are_meters_over_time(everywhere: Running) -> None:
    """One bucket for each interval; the metric may be any that has one value, and is weighted too."""
    record(everywhere)
    key = meter(everywhere, es_query=DURATION)
    asked = {**RANGE, "interval": "day", "billing_meter_id": key}
    buckets = everywhere.management.get(f"{REPORTS}/metrics", params=asked).json()["buckets"]
    assert sum(bucket["metric"] for bucket in buckets) == pytest.approx(1400, abs=50)
    unknown = {**asked, "billing_meter_id": "nothing"}
    assert everywhere.management.get(f"{REPORTS}/metrics", params=unknown).json() == {"buckets": []}
    for name, value in (("interval", "fortnight"), ("aggregator", "mode"), ("from", "then")):
        assert everywhere.management.get(f"{REPORTS}/metrics", params={**asked, name: value}).status_code == 400


def test_a_transaction_is_posted_once_and_adds_to_the_balance(everywhere: Running) -> None:
    """By its id; one that is not yet active or no longer does not count."""
    record(everywhere)
    meter(everywhere)
    credit = {"company_id": "c1", "subscription_id": "s1", "type": "credit"}
    for key, amount, more in (
        ("t1", 20, {"active_at": moment(3 * DAY)}),
        ("t1", 99, {}),
        ("t2", -5.5, {"active_at": moment(2 * DAY)}),
        ("t3", 70, {"active_at": moment(4 * DAY), "expire_at": moment(3 * DAY)}),
        ("t4", 70, {"active_at": moment(-DAY)}),
    ):
        sent = {**credit, "transaction_id": key, "amount": amount, **more}
        assert everywhere.management.post(f"{REPORTS}/balance_transactions", json=sent).status_code == 204
    found = everywhere.management.get(REPORTS, params={**RANGE, "type": "credit"}).json()
    assert [(each["_id"], each["amount"]) for each in found] == [("t3", 70), ("t1", 20), ("t2", -5.5)]
    asked = {**RANGE, "company_id": "c1"}
    buckets = everywhere.management.get(f"{REPORTS}/metrics", params=asked).json()["buckets"]
    assert buckets[-1]["ending_balance"]["current_balance"] == 14.5


def test_the_catalog_keeps_the_ids_that_are_chosen(everywhere: Running) -> None:
    """And refuses one that is taken; prices are listed in their plan when asked for."""
    plans, prices = "/v1/~/billing/catalog/plans", "/v1/~/billing/catalog/prices"
    assert everywhere.management.post(plans, json={"id": "pro", "name": "Pro"}).json()["id"] == "pro"
    again = everywhere.management.post(plans, json={"id": "pro"})
    assert (again.status_code, again.json()) == (400, {"error": "id: there is a plan with this id"})
    price = everywhere.management.post(prices, json={"plan_id": "pro", "price_in_decimal": "0.1"}).json()
    assert everywhere.management.put(f"{plans}/pro", json={"id": "other", "unit": "call"}).json()["id"] == "pro"
    (plan,) = everywhere.management.get(plans, params={"includes": "prices"}).json()
    assert (plan["unit"], plan["prices"]) == ("call", [price])
    assert "prices" not in everywhere.management.get(plans).json()[0]


def test_every_company_is_in_the_report(everywhere: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: some are looked at together."""
    monkeypatch.setattr(metering, "COMPANIES", 2)
    names = ["Zeta", "a'b", "alpha", "beta\\", "c d", "é", "\U0001f600"]
    sent = [event(company_id=name) for name in names] + [event(company_id="alpha"), event(company_id="")]
    everywhere.collector.post("/v1/events/batch", json=sent).raise_for_status()
    key = meter(everywhere)
    found = {company: metric for company, metric, _ in usage(everywhere, key) if company}
    assert found == {name: 1 + (name == "alpha") for name in names}
    assert usage(everywhere, key, company_id="alpha", **{"from": "1970-01-01"}) == [("alpha", 2, 2)]


def test_a_report_of_many_days_looks_at_fewer_companies_together() -> None:
    day = 24 * 3600 * 1000
    assert [metering._together((0, days * day, UTC)) for days in (1, 100, 700_000)] == [1_000, 642, 1]
