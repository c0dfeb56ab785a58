"""What the rules decide, row by row of the specification."""

import orjson

from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.governance import EMPTY, Allow, Block, Decision, Snapshot, compile_config, compile_rules

# The example answers of the reference, "Get Config" and "Get Rules".
REFERENCE_RULES = b"""[
    {
        "_id": "64ca685a833073c6b41b15f3",
        "created_at": "2024-02-01T00:00:00.000",
        "name": "Block Free Users who Exceeded their Monthly Quota",
        "block": true,
        "type": "user",
        "variables": [
            {"name": "0", "path": "body.plan_name"},
            {"name": "1", "path": "body.quota_amount"}
        ],
        "regex_config": [],
        "response": {
            "status": 429,
            "headers": {"X-Rate-Limit-Month": "{{1}}"},
            "body": {
                "error_code": "too_many_requests",
                "message": "You exceeded your monthly quota of {{1}} for the {{0}} plan. Please upgrade your plan."
            }
        }
    }
]"""


def subject(verb="GET", path="/", headers=(), **known) -> Subject:
    raw = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
    return Subject(ScopeHead({"method": verb, "path": path}, raw), **known)


def snapshot(rules=(), **config) -> Snapshot:
    return EMPTY.with_rules(compile_rules(orjson.dumps(rules))).with_config(compile_config(orjson.dumps(config)))


def decide(rules, request=None, user_id=None, company_id=None, **config) -> Decision:
    return snapshot(rules, **config).decide(request or subject(), user_id, company_id)


def test_the_example_of_the_reference_blocks_the_user_of_the_cohort_as_printed():
    cohort = [{"rules": "64ca685a833073c6b41b15f3", "values": {"0": "Free", "1": "1000"}}]
    loaded = EMPTY.with_rules(compile_rules(REFERENCE_RULES)).with_config(
        compile_config(orjson.dumps({"user_rules": {"u1": cohort}}))
    )
    assert loaded.problems == ()
    decision = loaded.decide(subject(), "u1")
    assert isinstance(decision, Block)
    assert decision.status == 429
    assert dict(decision.headers) == {"X-Rate-Limit-Month": "1000", "Content-Type": "application/json"}
    assert decision.rule_id == "64ca685a833073c6b41b15f3"
    assert orjson.loads(decision.body) == {
        "error_code": "too_many_requests",
        "message": "You exceeded your monthly quota of 1000 for the Free plan. Please upgrade your plan.",
    }
    assert loaded.decide(subject(), "u2") == Allow()
