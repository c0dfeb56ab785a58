"""The explanation of a decision: the same decision, and a reason for every rule and condition."""

import orjson
import pytest

from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.explain import explain, lines
from moesif_middleware.sansio.governance import EMPTY, compile_config, compile_rules

POST = [{"conditions": [{"path": "request.verb", "value": "post"}]}]
GET = [{"conditions": [{"path": "request.verb", "value": "get"}]}]
STATUS = [{"conditions": [{"path": "response.status", "value": "200"}]}]


def rule(kind, **more):
    return {
        "_id": "r1",
        "type": kind,
        "response": {"headers": {"X-Limit": "{{0}}"}},
        "variables": [{"name": "0"}],
        **more,
    }


def load(rules, **config):
    return EMPTY.with_rules(compile_rules(orjson.dumps(rules))).with_config(compile_config(orjson.dumps(config)))


def subject(body=None, status=None):
    head = ScopeHead({"method": "GET", "path": "/health/db"}, [(b"x-tier", b"gold")])
    return Subject(head, ip_address="192.0.2.1", body=None if body is None else lambda: body, status=status)


IN_COHORT = {"user_rules": {"u1": [{"rules": "r1", "values": {"0": "100"}}]}}


@pytest.mark.parametrize(
    ("given", "user_id", "applied", "reason"),
    [
        (rule("regex"), None, True, "it has no conditions"),
        (rule("regex", regex_config=GET), None, True, "a group of its conditions matches"),
        (rule("regex", regex_config=POST), None, False, "no group of its conditions matches"),
        (rule("user"), "u1", True, "user u1 is in the rule's cohort, and it has no conditions"),
        (rule("user"), "u2", False, "user u2 is not in the rule's cohort, and the rule is not for those"),
        (rule("user"), None, False, "the request has no user id, and the rule is not for those"),
        (rule("user"), "", False, "the request has no user id, and the rule is not for those"),
        (
            rule("user", applied_to_unidentified=True), None, True,
            "the request has no user id, and it has no conditions",
        ),
        (
            rule("user", applied_to="not_matching"), "u1", False,
            "user u1 is in the rule's cohort, and the rule is not for those",
        ),
        (
            rule("user", applied_to="not_matching", regex_config=GET), "u2", True,
            "user u2 is not in the rule's cohort, and a group of its conditions matches",
        ),
        (
            rule("user", regex_config=POST), "u1", False,
            "user u1 is in the rule's cohort, and no group of its conditions matches",
        ),
        (rule("company"), "u1", False, "the request has no company id, and the rule is not for those"),
    ],
)  # fmt: skip
def test_each_rule_says_why_it_applies_or_not(given, user_id, applied, reason):
    loaded = load([given], **IN_COHORT)
    explanation = explain(loaded, subject(), user_id)
    (report,) = explanation.rules
    assert (report.applied, report.reason) == (applied, reason)
    assert explanation.decision == loaded.decide(subject(), user_id)
    assert any(reason in line for line in lines(explanation))


def test_an_applied_rule_shows_its_headers_with_the_values_of_the_entity():
    (report,) = explain(load([rule("user")], **IN_COHORT), subject(), "u1").rules
    assert report.headers == (("X-Limit", "100"),)


@pytest.mark.parametrize(
    ("path", "pattern", "value", "matches", "problem"),
    [
        ("request.verb", "get", "GET", True, None),
        ("request.route", "^/health", "/health/db", True, None),
        ("request.ip", "^10", "192.0.2.1", False, None),
        ("request.headers.X-Tier", "gold", "gold", True, None),
        ("request.headers.absent", "gold", None, False, None),
        ("request.body.plan", "free", "free", True, None),
        ("request.nothing", "x", None, False, "not known"),
        ("request.route", "(?=x)", "/health/db", False, "(?="),
    ],
)
def test_each_condition_shows_what_the_request_has_and_whether_that_matches(path, pattern, value, matches, problem):
    config = [{"conditions": [{"path": path, "value": pattern}]}]
    explanation = explain(load([rule("regex", regex_config=config)]), subject({"plan": "free"}))
    (((report,),),) = (each.groups for each in explanation.rules)
    assert (report.path, report.pattern, report.value, report.matches) == (path, pattern, value, matches)
    assert (report.problem is None) if problem is None else (problem in (report.problem or ""))


def test_a_group_without_conditions_is_said_to_match_nothing():
    explanation = explain(load([rule("regex", regex_config=[{"conditions": []}])]), subject())
    assert not explanation.rules[0].applied
    assert "  group 0: has no conditions, so it matches nothing" in list(lines(explanation))


def test_a_finished_request_is_governed_as_it_was_before_its_response():
    """A rule on the response never matches, even when the request that is explained has one."""
    explanation = explain(load([rule("regex", regex_config=STATUS)]), subject(status=200))
    assert not explanation.rules[0].applied
    assert explanation.rules[0].groups[0][0].value is None


def test_the_rate_is_explained_with_its_sources_and_what_was_certain_before():
    entries = [{**STATUS[0], "sample_rate": 10}, {**GET[0], "sample_rate": 20}]
    loaded = load([], sample_rate=50, user_sample_rate={"u1": 30}, regex_config=entries)
    report = explain(loaded, subject(status=200), "u1").sampling
    assert (report.rate, report.weight, report.rate_before) == (10, 10, None)
    assert (report.entity_rate, report.regex_rate, report.sample_rate) == (30, 10, 50)
    assert [(route.sample_rate, route.used) for route in report.routes] == [(10, True), (20, False)]
    other = explain(loaded, subject(status=404), "u2").sampling
    assert (other.rate, other.entity_rate, other.regex_rate) == (20, None, 20)


def test_as_dict_is_json_and_shows_the_answer_of_a_block():
    response = {"status": 429, "body": {"message": "quota of {{0}}"}}
    loaded = load([rule("user", block=True, response=response)], **IN_COHORT)
    document = orjson.loads(orjson.dumps(explain(loaded, subject(), "u1").as_dict()))
    assert document["decision"]["blocked"] is True
    assert document["decision"]["status"] == 429
    assert orjson.loads(document["decision"]["body"]) == {"message": "quota of 100"}
    assert explain(loaded, subject(), "u2").as_dict()["decision"] == {"blocked": False, "headers": (), "rules": ()}


def test_ids_that_are_no_text_are_compared_as_text():
    loaded = load([rule("user")], user_rules={"7": [{"rules": "r1"}]})
    assert explain(loaded, subject(), 7).rules[0].applied
    assert explain(loaded, subject(), 7).user_id == "7"


def test_nothing_loaded_is_explained_too():
    explanation = explain(EMPTY, subject())
    assert explanation.rules == ()
    assert next(iter(lines(explanation))) == "decision: allow"
