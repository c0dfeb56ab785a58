"""The Management API as the published file has it: every operation that is served, its scopes and its answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware.collector import table
from moesif_middleware.collector.operations import Operation
from moesif_middleware.collector.settings import ManagementKey

from ..api.stub import Examples, document, operations, schema_of
from .conftest import APP, OTHER_APP, Running, event, serving, settings

SOURCE = document()
EXAMPLES = Examples(SOURCE)
DOCS = (Path(__file__).parents[2] / "docs" / "management.md").read_text()
FILE = {f"{verb} {path}": found for verb, path, found in operations(SOURCE)}
RANGE = {"from": "-1d", "to": "now"}

# The file has one rule where servers answer the list of them, and the array of a batch is missing from it.
UNLIKE_THE_FILE = {"GET /~/governance/rules"}

POLICY: dict[str, Any] = {"acl": [], "resource": {}}
CHART: dict[str, Any] = {"url_query": "", "view": "bar", "es_query": {"query": {"term": {"response.status": 500}}}}
WORKSPACE: dict[str, Any] = {"name": "Errors", "chart": CHART, "policy": POLICY, "type": "sequence"}
COHORT = {"cohort_name": "Free", "cohort_type": "user", "criteria": {"query": {"term": {"metadata.plan.raw": "free"}}}}
RULE = {"name": "Quota", "type": "user", "state": 1, "block": True, "response": {"status": 429, "headers": {"A": "b"}}}
TEMPLATE: dict[str, Any] = {
    "name": "Hello",
    "state": 1,
    "cohorts": [{"id": "c", "type": "user"}],
    "content": {"html": "<p>", "chunks": {}},
    "template": {"subject": "Hi", "editor": "x", "design": {}},
    "addresses": {"from": "a@example.com", "cc": [], "bcc": []},
}
TRANSACTION = {"company_id": "c1", "subscription_id": "s1", "transaction_id": "t1", "type": "credit", "amount": 12.5}
METER = {"name": "Calls", "billing_plan": {"provider_slug": "moesif"}, "es_query": '{"query": {"match_all": {}}}'}


@dataclass
class Step:
    """One call of a group: the file's operation, what fills its blanks, and what its answer's id is called."""

    operation: str
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    keep: str = ""
    blanks: dict[str, str] = field(default_factory=dict)


def crud(path: str, name: str, body: Any, change: Any, **query: Any) -> list[Step]:
    """Return the steps of a group that creates, lists, reads, changes and deletes, but not the last of them."""
    one = next(key.partition(" ")[2] for key in FILE if re.fullmatch(rf"GET {re.escape(path)}/\{{\w+\}}", key))
    verb = "PUT" if f"PUT {one}" in FILE else "POST"
    asked = {name: value for name, value in query.items() if name != "take"}
    return [
        Step(f"POST {path}", body, {} if path == "/~/workspaces" else asked, keep=name),
        Step(f"GET {path}", query=query),
        Step(f"GET {one}", query=asked),
        Step(f"{verb} {one}", change, asked),
    ]


STEPS = [
    *(Step(f"POST /search/~/{kind}{batch}", [body] if batch else body) for kind, body in (
        ("users", {"user_id": "a/b", "metadata": {"plan": "free"}}),
        ("companies", {"company_id": "c1", "metadata": {"seats": 2}}),
        ("subscriptions", {"subscription_id": "s1", "company_id": "c1", "status": "active"}),
    ) for batch in ("", "/batch")),
    Step("GET /search/~/users/{id}", blanks={"id": "a%2Fb"}),
    Step("GET /search/~/companies/{id}", blanks={"id": "c1"}),
    Step("GET /search/~/companies/{id}/subscriptions", blanks={"id": "c1"}),
    Step("GET /search/~/subscriptions/{id}", blanks={"id": "s1"}),
    *(Step(f"POST /search/~/count/{kind}", {}, RANGE) for kind in ("users", "companies", "events")),
    *(Step(key, query=RANGE) for key in FILE if "/mappings/" in key),
    Step("POST /search/~/search/events", {"size": 5, "sort": [{"request.time": "desc"}]}, RANGE),
    Step("GET /search/~/events/{id}", query={"event_time": "now"}, blanks={"id": "event-1"}),
    Step("POST /search/~/search/usermetrics/users", {}, RANGE),
    Step("POST /search/~/search/companymetrics/companies", {}, RANGE),
    *crud("/~/workspaces", "workspace", WORKSPACE, {"width": 2.5}, take=10, access="private"),
    Step("GET /~/workspaces/templates"),
    Step("POST /~/workspaces/{id}/policy/acl", query={"grantee": "*", "permission": "read"}),
    Step("GET /workspaces/public/{id}"),
    Step("GET /workspaces/access_token"),
    Step("POST /search/~/workspaces/{workspaceId}/search", {}, {**RANGE, "take": 3}),
    Step("DELETE /~/workspaces/{id}/policy/acl", query={"grantee": "*"}),
    Step("POST /~/workspaces/{id}/comments", {"message": "look", "mentions": ["x"]}, keep="comment"),
    Step("GET /~/workspaces/{id}/comments"),
    Step("POST /~/workspaces/{id}/comments/{commentId}", {"message": "look again"}),
    Step("DELETE /~/workspaces/{id}/comments/{commentId}"),
    Step("POST /~/dashboards", keep="dashboard"),
    Step("GET /~/dashboards"),
    Step("POST /~/dashboards/{dashId}", {"name": "All", "workspace_ids": [["{workspace}"]]}),
    Step("POST /~/dashboards/{id}/policy/acl", query={"grantee": "someone"}),
    Step("DELETE /~/dashboards/{id}/policy/acl", query={"grantee": "someone"}),
    Step("POST /~/dashboard/{id}/copy", query={"to_app_id": OTHER_APP}),
    Step("POST /~/dashboards/copy", query={"to_app_id": APP}),
    Step("DELETE /~/dashboards/{dashId}/cascade"),
    Step("POST /~/dashboards", keep="dashboard"),
    Step("DELETE /~/dashboard/{dashId}"),
    Step("POST /~/dashboards", keep="dashboard"),
    Step("DELETE /~/dashboards/{dashId}"),
    Step("POST /~/workspaces", WORKSPACE, keep="workspace"),
    Step("DELETE /~/workspaces/{id}"),
    *crud("/~/cohorts", "cohort", COHORT, {"cohort_type": "user", "sample_rate": 10}, cohort_type="user"),
    Step("DELETE /~/cohorts/{cohortId}/sample_rate"),
    Step("DELETE /~/cohorts/{cohortId}"),
    *crud("/~/governance/rules", "rule", RULE, {"block": False}),
    Step("DELETE /~/governance/rules/{id}"),
    *crud("/~/emails/templates", "template", TEMPLATE, {"period": "day"}, cohort_id="c"),
    Step("DELETE /~/emails/templates/{id}"),
    Step("POST /~/keystore", {"type": "collector", "encrypted_key": "c2VjcmV0"}, keep="key"),
    Step("GET /~/keystore", query={**RANGE, "type": "collector"}),
    Step("GET /~/keystore/{keyId}"),
    Step("GET /~/apps", query={"take": 10}),
    Step("POST /~/apps/{id}", {"name": "Mine"}, blanks={"id": APP}),
    Step("GET /~/billing/meters"),
    Step("GET /~/billing/meters/{meterId}"),
    Step("POST /~/billing/reports/balance_transactions", TRANSACTION),
    Step("GET /~/billing/reports", query={**RANGE, "success": "true"}),
    Step("GET /~/billing/reports/metrics", query={**RANGE, "interval": "hour", "company_id": "c1"}),
    Step("DELETE /~/billing/meters/{meterId}"),
    *crud("/~/billing/catalog/plans", "plan", {"name": "Pro", "prices": []}, {"unit": "call"}, provider="moesif"),
    *crud("/~/billing/catalog/prices", "price", {"tiers": [{"up_to": "inf"}]}, {"period": 1}, provider="moesif"),
    Step("DELETE /~/billing/catalog/plans/{id}", query={"provider": "moesif"}),
    Step("DELETE /~/billing/catalog/prices/{id}", query={"provider": "moesif"}),
    Step("DELETE /search/~/users/{id}", query={"delete_events": "true"}, blanks={"id": "a%2Fb"}),
    Step("DELETE /search/~/companies/{id}", blanks={"id": "c1"}),
]  # fmt: skip


def normal(path: str) -> str:
    """Return a path with all blanks alike: the file and the collector name them differently."""
    return re.sub(r"\{[^}]+\}", "{}", path.replace("{org}", "~"))


SERVED: dict[str, Operation] = {
    f"{each.verb} {normal(path)}": each for each in table.MANAGEMENT for path in (each.path, *each.aliases)
}


def the_group_s_id(path: str, kept: dict[str, str]) -> str:
    """Return the id that the blanks of a path mean: what its group created last."""
    groups = ("workspace", "dashboard", "cohort", "rule", "template", "key", "meter", "plan", "price")
    return next(kept[name] for name in groups if name in path)


def fill(text: str, step: Step, kept: dict[str, str]) -> str:
    """Return a path with its blanks filled."""

    def value(blank: re.Match[str]) -> str:
        if blank[1] in step.blanks:
            return step.blanks[blank[1]]
        return kept["comment"] if blank[1] == "commentId" else the_group_s_id(text, kept)

    return re.sub(r"\{(\w+)\}", value, text)


def test_every_served_operation_answers_as_the_file_says(everywhere: Running) -> None:
    """In the order of a life: created, listed, read, changed, deleted; the status and the schema are the file's."""
    running = everywhere
    sent = [event(transaction_id="event-1", user_id="a/b", company_id="c1", response={"status": 500}), event()]
    assert running.collector.post("/v1/events/batch", json=sent).status_code == 201
    kept = {"meter": running.management.post("/v1/~/billing/meters", json=METER).json()["_id"]}
    for step in STEPS:
        verb, _, path = step.operation.partition(" ")
        body = step.body
        if isinstance(body, dict) and "workspace_ids" in body:
            body = {**body, "workspace_ids": [[kept["workspace"]]]}
        answer = running.management.request(verb, f"/v1{fill(path, step, kept)}", params=step.query, json=body)
        status, described = next(iter(FILE[step.operation]["responses"].items()))
        assert answer.status_code == int(status), (step.operation, answer.text)
        schema = schema_of(described)
        if schema is not None and status != "204" and step.operation not in UNLIKE_THE_FILE:
            assert EXAMPLES.errors(schema, answer.json()) == [], step.operation
        if step.keep:
            made = answer.json()
            kept[step.keep] = made.get("comment_id") or made.get("_id") or made["id"]
    walked = {step.operation for step in STEPS}
    refused = {key for key in FILE if SERVED[normal(key)].why_not}
    assert set(FILE) - walked == refused


def test_every_operation_of_the_file_is_known_with_its_scopes() -> None:
    """87, the three of the keystore, and the one that the reference alone has."""
    assert len(FILE) == 90
    for key, found in FILE.items():
        wanted = [scope for needs in found["security"] for scopes in needs.values() for scope in scopes]
        assert list(SERVED[normal(key)].scopes) == wanted, key
    assert "POST /~/{}/{}/promotedashboard/{}" in SERVED


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector with a key for each scope, which has all scopes but that one."""
    scopes = sorted({scope for each in table.MANAGEMENT for scope in each.scopes})
    keys = tuple(ManagementKey(f"without-{lacking}", frozenset(scopes) - {lacking}) for lacking in scopes)
    with serving(settings(tmp_path_factory.mktemp("scoped"), management_keys=keys)) as found:
        yield found


@pytest.mark.parametrize(
    ("each", "scope"),
    [(each, scope) for each in table.MANAGEMENT for scope in each.scopes],
    ids=lambda value: value if isinstance(value, str) else f"{value.verb} {value.path}",
)
def test_a_key_without_a_scope_is_told_which(scoped: Running, each: Operation, scope: str) -> None:
    """401 before anything else of the call is looked at, in the body and in WWW-Authenticate."""
    path = re.sub(r"\{[^}]+\}", "x", each.path)
    headers = {"Authorization": f"Bearer without-{scope}"}
    answer = scoped.anonymous.request(each.verb, f"/v1{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": f"the management key lacks the scope {scope}"})
    assert f'scope="{scope}"' in answer.headers["WWW-Authenticate"]
    anonymous = scoped.anonymous.request(each.verb, f"/api/v1{path}")
    assert (anonymous.status_code, anonymous.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_another_method_is_told_those_that_there_are(running: Running) -> None:
    """405 with all of the path's own."""
    for path, methods in (
        ("/v1/~/cohorts", {"GET", "HEAD", "POST"}),
        ("/v1/~/cohorts/x", {"GET", "HEAD", "POST", "DELETE"}),
    ):
        answer = running.management.request("PATCH", path)
        assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (405, methods)


def test_applications_come_in_pages(running: Running) -> None:
    """In the order in which the collector was given them; the next page is asked for with the last id of one."""
    for query, apps in (
        ({}, [APP, OTHER_APP]),
        ({"take": 1}, [APP]),
        ({"take": 1, "before_id": APP}, [OTHER_APP]),
        ({"before_id": OTHER_APP}, []),
        ({"before_id": "unknown", "take": 0}, []),
    ):
        answer = running.management.get("/v1/~/apps", params=query)
        assert [app["id"] for app in answer.json()] == apps
    assert running.management.get("/v1/~/apps", params={"take": "x"}).status_code == 400


def test_what_is_not_served_says_why(running: Running) -> None:
    """501 with a sentence."""
    for verb, path in (("POST", "/v1/~/apps"), ("DELETE", f"/v1/~/apps/{APP}")):
        answer = running.management.request(verb, path, json={"name": "x"})
        assert answer.status_code == 501
        assert "--app-id" in answer.json()["error"]
    answer = running.management.get("/v1/~/billing/catalog/plans", params={"provider": "stripe"})
    assert (answer.status_code, "provider=moesif" in answer.json()["error"]) == (501, True)


def test_the_docs_list_what_is_not_served_and_nothing_else(running: Running) -> None:
    """Each line answers 501, and each call that may answer 501 is in a line."""
    listed = re.findall(
        r"^- (?:(\w+) |Any call under )`([^`]+)`(.*): 501, (.+)\.$", DOCS.partition("## Not served")[2], re.MULTILINE
    )
    exact = {(verb, path) for verb, path, _, _ in listed if verb != ""}
    (below,) = [path for verb, path, _, _ in listed if verb == ""]
    for each in table.MANAGEMENT:
        path = each.path.replace("{org}", "~")
        may = each.why_not is not None or 501 in each.refusals
        assert may == ((each.verb, path) in exact or path.startswith(below)), each
        if may:
            answer = running.management.request(each.verb, f"/v1{path}", params={"provider": "stripe"}, json={})
            assert answer.status_code == 501
            assert answer.json()["error"] in {why for *_, why in listed}


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", "/v1/v1"])
def test_every_printed_form_of_the_keystore_is_served(running: Running, prefix: str) -> None:
    """The reference prints the version twice."""
    made = running.management.post(f"{prefix}/~/keystore", json={"encrypted_key": "c2VjcmV0"})
    assert made.status_code == 201
    assert running.management.get(f"{prefix}/~/keystore/{made.json()['_id']}").json() == made.json()


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("workspaces", {**WORKSPACE, "policy": {"acl": []}}, "policy.resource: is required"),
        ("workspaces", {**WORKSPACE, "chart": {"view": "bar"}}, "chart.url_query: is required"),
        ("dashboards", {"workspace_ids": ["w"]}, "workspace_ids[0]: must be an array"),
        ("cohorts", {**COHORT, "cohort_type": "plan"}, "cohort_type: must be one of user, company"),
        ("cohorts", {**COHORT, "criteria": "{"}, "criteria: must be a search"),
        ("cohorts", {**COHORT, "criteria": {"aggs": {}}}, "criteria.aggs: is not supported"),
        ("cohorts", {**COHORT, "criteria": {"query": {"geo_shape": {}}}}, "criteria.query.geo_shape: is not"),
        ("cohorts", {**COHORT, "criteria": {"events": {"query": {"geo": {}}}}}, "criteria.events.query.geo: is not"),
        ("cohorts", {**COHORT, "criteria": {"events": {"metric": {"top": {}}}}}, "criteria.events.metric.top: is not"),
        (
            "cohorts",
            {**COHORT, "criteria": {"events": {"metric": {"top_hits": {}}}}},
            "criteria.events.metric: must be a metric with one value",
        ),
        (
            "billing/meters",
            {"name": "m", "billing_plan": {"provider_slug": "moesif"}, "es_query": {"aggs": 5}},
            "es_query.aggs: an object is needed",
        ),
        ("cohorts", {**COHORT, "criteria": {"events": {"gt": {"of": "x"}}}}, "criteria.events.gt: must be a number"),
        ("cohorts", {**COHORT, "criteria": {"events": {"gt": {"field": 5}}}}, "criteria.events.gt: must be a number"),
        ("cohorts", {**COHORT, "criteria": {"events": {"over": 1}}}, "criteria.events.over: is not supported"),
        ("cohorts", {**COHORT, "criteria": {"events": {"gt": "1"}}}, "criteria.events.gt: must be a number"),
        ("cohorts", {**COHORT, "from": "yesterday"}, "from: 'yesterday' is not a time"),
        ("cohorts", {**COHORT, "time_zone": "Mars/Olympus"}, "time_zone: 'Mars/Olympus' is not"),
        ("emails/templates", {**TEMPLATE, "addresses": {"from": "a"}}, "addresses.cc: is required"),
        ("keystore", {"type": "collector"}, "encrypted_key: is required"),
        ("billing/meters", {**METER, "es_query": "{"}, "es_query: must be a search"),
        ("billing/meters", {**METER, "es_query": {"query": {"geo": {}}}}, "es_query.query.geo: is not"),
        ("billing/meters", {**METER, "es_query": {"aggs": {"a": {"top": {}}}}}, "es_query.aggs.a.top: is not"),
        ("billing/meters", {**METER, "es_query": {"aggs": {"a": {"terms": {"field": "x"}}}}}, "es_query.aggs.a: must"),
        ("billing/reports/balance_transactions", {**TRANSACTION, "amount": "1"}, "amount: must be a number"),
        ("billing/catalog/prices", {"tiers": [{"up_to": 1.5}]}, "tiers[0].up_to: must be a whole number or text"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_s_path(
    shared: Running, path: str, body: dict[str, Any], sentence: str
) -> None:
    """400, and nothing is stored."""
    answer = shared.management.post(f"/v1/~/{path}", json=body)
    assert (answer.status_code, answer.json()["error"][: len(sentence)]) == (400, sentence)


@pytest.mark.parametrize(
    ("path", "body", "query", "other"),
    [
        ("cohorts", COHORT, {"cohort_type": "user"}, {"cohort_type": "company"}),
        ("emails/templates", TEMPLATE, {"cohort_id": "c"}, {"cohort_id": "d"}),
        ("keystore", {"type": "collector", "encrypted_key": "eA=="}, {"type": "collector"}, {"type": "client"}),
        ("keystore", {"encrypted_key": "eA=="}, {"from": "-1d", "to": "+1d"}, {"from": "-2d", "to": "-1d"}),
    ],
)
def test_a_list_holds_what_is_asked_for(
    running: Running, path: str, body: dict[str, Any], query: dict[str, str], other: dict[str, str]
) -> None:
    """By the parameters that the file gives it."""
    made = running.management.post(f"/v1/~/{path}", json=body).json()
    assert running.management.get(f"/v1/~/{path}", params=query).json() == [made]
    assert running.management.get(f"/v1/~/{path}", params=other).json() == []


def test_null_takes_a_field_away_but_not_one_that_must_be(running: Running) -> None:
    """On a change; on a creation null counts as absent."""
    made = running.management.post("/v1/~/cohorts", json={**COHORT, "sample_rate": 5, "locked_by": None}).json()
    assert "locked_by" not in made
    path = f"/v1/~/cohorts/{made['_id']}"
    assert "sample_rate" not in running.management.post(path, json={"sample_rate": None}).json()
    answer = running.management.post(path, json={"cohort_name": None})
    assert (answer.status_code, answer.json()) == (400, {"error": "cohort_name: is required"})
    assert running.management.get(path).json()["cohort_name"] == "Free"
