"""Cohorts: who is a member, and what of it stands in the config; then the whole loop with a real application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from moesif_middleware.api import ManagementClient
from moesif_middleware.collector.context import CollectorContext
from moesif_middleware.collector.criteria import PAGE
from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.membership import keep_membership, membership, update
from moesif_middleware.collector.stores import Store, StoreUnavailable
from moesif_middleware.collector.stores.opening import open_store
from tests.processes import collector, running, settings
from tests.reference import RULES
from tests.waiting import until

from .conftest import APP, Running, event, moment

VARIABLES = [{"name": "0", "path": "body.plan"}, {"name": "1", "path": "metadata.quota"}, {"name": "2", "path": "none"}]
FREE = {"query": {"term": {"metadata.plan.raw": "free"}}}


def put(store: Store, kind: str, *documents: dict[str, Any]) -> None:
    key = {"users": "user_id", "companies": "company_id"}.get(kind, "_id")
    store.put(APP, kind, {document[key]: document for document in documents}, merge=False).result()


@pytest.fixture(params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.heavy)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Two free users with 3 and 20 calls (one stands for ten), a paying one with 5, and one without profile."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param == "clickhouse":
        url = f"{request.getfixturevalue('clickhouse').url}/test_{uuid4().hex}"
    found = open_store(url)
    put(
        found,
        "users",
        {"user_id": "little", "metadata": {"plan": "free", "quota": 10}},
        {"user_id": "much", "metadata": {"plan": "free", "quota": "10"}},
        {"user_id": "pays", "metadata": {"plan": "pro", "nested": {"deep": [1, 2]}}},
    )
    put(found, "companies", {"company_id": "c", "metadata": {"plan": "free", "quota": 4.0}})
    sent = [event(user_id="little", company_id="c") for _ in range(3)]
    sent += [event(user_id="much") for _ in range(10)] + [event(user_id="much", weight=10)]
    sent += [event(user_id="pays", response={"status": 500}) for _ in range(5)]
    sent += [event(user_id="stranger", request={"time": moment(9 * 24 * 3600)}) for _ in range(2)]
    rows = [event_row(each, Arrival(int(time.time() * 1000), None)) for each in sent]
    found.append(APP, rows).result()
    yield found
    found.close()


def computed(store: Store, **cohort: Any) -> dict[str, Any]:
    """Return the config that one cohort and a rule about it make."""
    kind = cohort.get("cohort_type", "user")
    put(store, "cohorts", {"_id": "k", "cohort_type": "user", "criteria": {}, **cohort})
    put(store, "rules", {"_id": "r", "type": kind, "cohorts": [{"id": "k"}], "variables": VARIABLES})
    return membership(store, APP, int(time.time() * 1000))


@pytest.mark.parametrize(
    ("cohort", "members"),
    [
        ({}, {"little", "much", "pays"}),
        ({"criteria": FREE}, {"little", "much"}),
        ({"criteria": {"post_filter": FREE["query"]}}, {"little", "much"}),
        ({"criteria": {**FREE, "events": {"gt": 3}}}, {"much"}),
        ({"criteria": {**FREE, "events": {"gte": 3, "lt": 20}}}, {"little"}),
        ({"criteria": {"events": {"gte": 5}}}, {"much", "pays"}),
        ({"criteria": {"query": {}, "events": {"query": None, "gte": 5}}}, {"much", "pays"}),
        ({"criteria": {"events": {"query": {}, "gte": 5}}}, {"much", "pays"}),
        ({"criteria": {"events": {"lte": 3}}}, {"little", "stranger"}),
        ({"criteria": {"events": {"lt": 3}}, "from": "-1d"}, set()),
        ({"criteria": {"events": {"gte": 2}}, "from": "-10d", "to": "-8d"}, {"stranger"}),
        ({"criteria": {"events": {"gte": {"field": "metadata.quota"}}}}, {"much"}),
        ({"criteria": {"events": {"lt": {"field": "body.quota"}}}}, {"little"}),
        ({"criteria": {"events": {"query": {"term": {"response.status": 500}}, "gt": 0}}}, {"pays"}),
        ({"criteria": {"events": {"query": {"term": {"response.status": 500}}, "lte": 0}}}, {"little", "much"}),
        ({"criteria": {"events": {"metric": {"max": {"field": "response.status"}}, "gte": 500}}}, {"pays"}),
    ],
)
def test_who_is_a_member(store: Store, cohort: dict[str, Any], members: set[str]) -> None:
    """By profile, by what events add up to in the cohort's time, or by both."""
    assert set(computed(store, **cohort).get("user_rules", {})) == members


def test_a_member_has_the_values_of_the_rule_s_variables(store: Store) -> None:
    """As text; ``body`` is the metadata, what is missing is left to the template's default."""
    assert computed(store, criteria=FREE)["user_rules"] == {
        key: [{"rules": "r", "values": {"0": "free", "1": "10"}}] for key in ("little", "much")
    }
    criteria = {**FREE, "events": {"gt": 0}}
    assert computed(store, cohort_type="company", criteria=criteria) == {
        "company_rules": {"c": [{"rules": "r", "values": {"0": "free", "1": "4"}}]}
    }
    variables = [{"name": "a", "path": "metrics.value"}, {"name": "b", "path": "body.nested"}]
    put(store, "rules", {"_id": "r", "type": "user", "cohorts": [{"id": "k"}], "variables": variables})
    put(store, "cohorts", {"_id": "k", "cohort_type": "user", "criteria": {"events": {"gte": 5}}})
    found = membership(store, APP, int(time.time() * 1000))["user_rules"]
    assert {key: entries[0]["values"] for key, entries in found.items()} == {
        "much": {"a": "20"},
        "pays": {"a": "5", "b": '{"deep":[1,2]}'},
    }


def test_a_value_that_no_integer_holds_is_written_as_a_number(store: Store) -> None:
    put(store, "users", {"user_id": "odd", "metadata": {"plan": "free", "quota": 1e308}})
    assert computed(store, criteria=FREE)["user_rules"]["odd"][0]["values"] == {"0": "free", "1": "1e+308"}


def test_a_cohort_s_sample_rate_is_its_members_rate(store: Store) -> None:
    """The least of several; a rule of another type than its cohort has no members of it."""
    put(store, "cohorts", {"_id": "a", "cohort_type": "user", "criteria": FREE, "sample_rate": 10},
        {"_id": "b", "cohort_type": "user", "criteria": {}, "sample_rate": 50})  # fmt: skip
    put(store, "rules", {"_id": "r", "type": "company", "cohorts": [{"id": "a"}]})
    assert membership(store, APP, 0) == {"user_sample_rate": {"little": 10, "much": 10, "pays": 50}}


def test_every_page_of_profiles_is_looked_at(store: Store) -> None:
    """More members than one page holds."""
    put(store, "users", *({"user_id": f"u{number:05}", "metadata": {"plan": "free"}} for number in range(PAGE + 5)))
    assert len(computed(store, criteria=FREE)["user_rules"]) == PAGE + 7


def test_the_result_is_written_only_when_it_differs(store: Store) -> None:
    """So that several collectors may compute it, and no tag changes for nothing."""
    now = int(time.time() * 1000)
    computed(store, criteria=FREE)
    assert [update(store, APP, now), update(store, APP, now)] == [True, False]
    before = store.version(APP, "membership")
    assert (update(store, APP, now), store.version(APP, "membership")) == (False, before)
    store.delete(APP, "cohorts", "k").result()
    assert update(store, APP, now)
    assert store.get(APP, "membership", "membership") == {}


def test_a_cohort_that_cannot_be_searched_does_not_stop_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no members, and the log says why."""
    put(store, "cohorts", {"_id": "bad", "cohort_type": "user", "criteria": {"query": {"fuzzy": {}}}})
    put(store, "cohorts", {"_id": "k", "cohort_type": "user", "criteria": FREE})
    put(store, "rules", {"_id": "r", "type": "user", "cohorts": [{"id": "bad"}, {"id": "k"}]})
    assert set(membership(store, APP, 0)["user_rules"]) == {"little", "much"}
    assert "the criteria of cohort bad cannot be searched: criteria.query.fuzzy" in caplog.text


@pytest.mark.parametrize("failure", [StoreUnavailable("it is busy"), KeyError("odd")])
async def test_a_failure_does_not_end_the_computing(
    store: Store, failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next round tries again."""
    rounds: list[str] = []
    done = asyncio.Event()

    def failing(store: Store, app: str, now_ms: int) -> bool:
        rounds.append(app)
        if len(rounds) == 1:
            raise failure
        loop.call_soon_threadsafe(done.set)
        return True

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("moesif_middleware.collector.membership.update", failing)
    task = asyncio.create_task(keep_membership(CollectorContext(store, (APP,)), 0.01))
    await asyncio.wait_for(done.wait(), 60)
    task.cancel()
    await asyncio.wait((task,))
    assert "the members of cohorts were not computed" in caplog.text


def test_a_change_is_in_the_config_at_once(running: Running) -> None:
    """With the interval of a minute; what was written by hand wins for the same rule, and goes with it."""
    running.collector.post("/v1/users", json={"user_id": "u", "metadata": {"plan": "free"}})
    cohort = {"cohort_name": "Free", "cohort_type": "user", "criteria": FREE}
    key = running.management.post("/v1/~/cohorts", json=cohort).json()["_id"]
    rule = {"name": "R", "type": "user", "state": 1, "block": False, "cohorts": [{"id": key}], "variables": VARIABLES}
    made = running.management.post("/v1/~/governance/rules", json=rule).json()["_id"]

    def entries() -> Any:
        return running.collector.get("/v1/config").json()["user_rules"].get("u")

    # Well before the interval is over.
    assert until(entries, 30) == [{"rules": made, "values": {"0": "free"}}]
    by_hand = [{"rules": made, "values": {"0": "mine"}}]
    running.management.patch("/v1/config", json={"user_rules": {"u": by_hand}})
    assert entries() == by_hand
    running.management.put("/v1/config", json={})
    assert entries() == [{"rules": made, "values": {"0": "free"}}]
    body = {"criteria": {"query": {"term": {"metadata.plan.raw": "pro"}}}}
    assert running.management.post(f"/v1/~/cohorts/{key}", json=body).status_code == 200
    until(lambda: entries() is None, 30)
    running.management.post(f"/v1/~/cohorts/{key}", json={"criteria": FREE})
    assert until(entries, 30) == [{"rules": made, "values": {"0": "free"}}]
    running.management.delete(f"/v1/~/governance/rules/{made}")
    assert entries() is None


QUOTA = 25
RULE: dict[str, Any] = {**orjson.loads(RULES)[0], "state": 1}
USED_UP = {
    "query": {"term": {"metadata.plan_name.raw": "Free"}},
    "events": {"gt": {"field": "metadata.quota_amount"}},
}


@pytest.mark.heavy
def test_a_quota_closes_the_loop_without_a_hand_in_between() -> None:
    """The example of the reference ("Get Rules"): 429 with the quota in header and body, until it is raised."""
    options = ("--management-key", "key", "--cohorts-every", "100ms")
    with (
        collector(*options) as one,
        running("uvicorn", settings(one.url, refresh_interval=1)) as server,
        ManagementClient("key", base_url=f"{one.url}/v1") as client,
        httpx.Client(base_url=server.url, timeout=20) as http,
    ):
        for user, plan in (("free", "Free"), ("paying", "Pro")):
            client.users.update({"user_id": user, "metadata": {"plan_name": plan, "quota_amount": QUOTA}})
        cohort = client.cohorts.create(
            {"cohort_name": "Used up", "cohort_type": "user", "from": "now/M", "to": "now", "criteria": USED_UP}
        )
        rule = client.governance_rules.create({**RULE, "cohorts": [{"id": cohort["_id"]}]})  # type: ignore[typeddict-item]

        def ask(user: str) -> httpx.Response:
            return http.get("/json", auth=(user, "x"))

        answers = [ask("free") for _ in range(QUOTA)]
        assert {answer.status_code for answer in answers} == {200}
        blocked = until(lambda: (found := ask("free")).status_code == 429 and found)
        assert blocked.headers["X-Rate-Limit-Month"] == str(QUOTA)
        assert blocked.json() == {
            "error_code": "too_many_requests",
            "message": f"You exceeded your monthly quota of {QUOTA} for the Free plan. Please upgrade your plan.",
        }
        assert {ask("paying").status_code for _ in range(QUOTA + 5)} == {200}
        until(lambda: client.events.count({"query": {"term": {"blocked_by": rule["_id"]}}})["count"], every=0.2)
        client.users.update({"user_id": "free", "metadata": {"quota_amount": 1_000_000}})
        until(lambda: ask("free").status_code == 200)
