"""The governance rule calls of the Management API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from moesif_middleware.collector.rate import CalendarRate
from moesif_middleware.collector.refusals import Refusal

from .conftest import APP, OTHER_APP, READ_KEY, Running

RULES = "/v1/~/governance/rules"
RULE: dict[str, Any] = {
    "name": "Over quota",
    "type": "user",
    "state": 1,
    "block": True,
    "variables": [{"name": "0", "path": "body.plan_name"}],
    "response": {"status": 429, "headers": {"X-Limit": "{{0}}"}, "body": {"error": "{{0}}"}},
    "regex_config": [{"conditions": [{"path": "request.route", "value": "/health/.*"}]}],
}


def test_a_rule_is_created_read_updated_and_deleted(running: Running) -> None:
    """As the OpenAPI document has it: 201, 200, 201, 204, then 404."""
    created = running.management.post(RULES, json={**RULE, "_id": "mine", "app_id": "mine"})
    rule = created.json()
    assert created.status_code == 201
    assert {name: rule[name] for name in RULE} == RULE
    assert (rule["app_id"], rule["org_id"], len(rule["_id"])) == (APP, "~", 24)
    path = f"{RULES}/{rule['_id']}"
    assert running.management.get(path).json() == rule
    assert running.management.get(RULES).json() == [rule]
    updated = running.management.post(path, json={"block": False, "response": {"status": 403}, "created_at": "x"})
    assert (updated.status_code, updated.json()) == (201, {**rule, "block": False, "response": {"status": 403}})
    assert running.management.delete(path).status_code == 204
    assert [running.management.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert running.management.post(path, json={}).status_code == 404
    assert running.management.get(RULES).json() == []


def test_rules_belong_to_an_application(running: Running) -> None:
    """``app_id`` chooses, ``~`` is the first; the organisation in the path is taken as it is."""
    made = running.management.post(f"/api/v1/org-7/governance/rules?app_id={OTHER_APP}", json=RULE).json()
    assert (made["app_id"], made["org_id"]) == (OTHER_APP, "org-7")
    assert running.management.get(f"{RULES}?app_id=~").json() == []
    assert running.management.get(f"{RULES}?app_id=nobody").status_code == 404


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"type": None}, "type: is required"),
        ({"state": None}, "state: is required"),
        ({"name": None}, "name: is required"),
        ({"block": None}, "block: is required"),
        ({"type": "plan"}, "type: must be one of user, company, regex"),
        ({"block": "yes"}, "block: must be true or false"),
        ({"state": 2**31}, "state: must be an integer"),
        ({"applied_to": "all"}, "applied_to: must be one of matching, not_matching"),
        ({"variables": [{"name": "0"}]}, "variables[0].path: is required"),
        ({"response": {"status": 42}}, "response.status: must be an integer from 100 to 599"),
        ({"response": {"headers": {"A": 1}}}, "response.headers.A: must be a string"),
        ({"regex_config": [{}]}, "regex_config[0].conditions: is required"),
        ({"plans": [{"provider": "p", "plan_id": "1"}]}, "plans[0].price_ids: is required"),
    ],
)
def test_a_bad_rule_is_refused_with_the_field_s_path(running: Running, change: dict[str, Any], sentence: str) -> None:
    """On create; an update needs no field but checks those it has."""
    answer = running.management.post(RULES, json={**RULE, **change})
    assert (answer.status_code, answer.json()["error"][: len(sentence)]) == (400, sentence)
    assert running.management.get(RULES).json() == []


def test_a_key_is_needed_and_its_scope_is_named(running: Running) -> None:
    """401 in each case, and a key that may read reads."""
    assert running.collector.get(RULES).status_code == 401
    for sent in (b"Bearer wrong", b"Basic key-of-everything", b"Bearer", b"Bearer \xfc\xff"):
        assert running.anonymous.get(RULES, headers={b"Authorization": sent}).status_code == 401
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    assert running.anonymous.get(RULES, headers=headers).status_code == 200
    answer = running.anonymous.post(RULES, json=RULE, headers=headers)
    sentence = "the management key lacks the scope create:governance_rules"
    assert (answer.status_code, answer.json()) == (401, {"error": sentence})


def test_the_rate_is_five_hundred_calls_in_a_calendar_minute(running: Running) -> None:
    """The next one is 429 with the seconds to the next minute."""
    answers = [running.management.get(RULES) for _ in range(501)]
    refused = [answer for answer in answers if answer.status_code == 429]
    # A minute may end on the way; within one no more than 500 pass.
    assert len(refused) <= 1
    for answer in refused:
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("times", "refused_at"), [((10.0,) * 3, [2]), ((10.0, 59.9, 60.0, 61.0, 62.0), [4]), ((119.0, 119.5, 119.9), [2])]
)
def test_the_rate_starts_anew_with_each_minute(times: tuple[float, ...], refused_at: list[int]) -> None:
    """Two calls a minute, at these seconds; keys do not share."""
    now = iter(times)
    rate = CalendarRate(2, clock=lambda: next(now))
    refused = []
    for index in range(len(times)):
        try:
            rate.spend("key")
        except Refusal as refusal:
            refused.append((index, refusal.headers))
    assert refused == [(index, {"Retry-After": str(60 - int(times[index]) % 60)}) for index in refused_at]


def test_keys_have_rates_of_their_own() -> None:
    """One that asks too much does not stop another."""
    rate = CalendarRate(1, clock=lambda: 0.0)
    spend: Callable[[str], None] = rate.spend
    spend("one")
    spend("two")
    with pytest.raises(Refusal):
        spend("one")
