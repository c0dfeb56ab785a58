"""The collector's own OpenAPI document: it is one, it has every call, and schemathesis finds nothing that it lacks."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from moesif_middleware.collector import table
from moesif_middleware.collector.openapi import plain_path
from moesif_middleware.collector.settings import ManagementKey

from .conftest import APP, Running, event, serving, settings

# One key has 500 calls a minute.
KEYS = tuple(ManagementKey(f"key-{number}") for number in range(40))
CASES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
"""Cases of one operation: what its schema allows, and what it does not."""

CHECKS = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
MADE = {
    "workspaces": {"name": "w", "chart": {"url_query": "", "view": "bar"}, "policy": {
        "acl": [{"grantee": "*", "permission": "read"}], "resource": {}}},
    "dashboards": {"workspace_ids": [["x"]]},
    "cohorts": {"cohort_name": "c", "cohort_type": "user", "criteria": {}},
    "governance/rules": {"name": "r", "type": "user", "state": 1, "block": True},
    "keystore": {"encrypted_key": "c2VjcmV0"},
    "billing/meters": {"name": "m", "billing_plan": {"provider_slug": "moesif"}},
    "billing/catalog/plans": {"name": "p"},
    "billing/catalog/prices": {"name": "p"},
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A collector with one document of each kind, and the ids of these."""
    with serving(settings(tmp_path_factory.mktemp("described"), management_keys=KEYS)) as found:
        headers = {"Authorization": "Bearer key-0"}
        ids = {}
        for path, body in MADE.items():
            answer = found.anonymous.post(f"/v1/~/{path}", json=body, headers=headers)
            ids[path] = answer.json().get("_id") or answer.json()["id"]
        sent = event(transaction_id="event-1", user_id="u1", company_id="c1")
        found.collector.post("/v1/events", json=sent).raise_for_status()
        for kind, key in (("users", "user_id"), ("companies", "company_id")):
            found.collector.post(f"/v1/{kind}", json={key: f"{kind[0]}1"}).raise_for_status()
        yield found, {**ids, "users": "u1", "companies": "c1", "events": "event-1"}


def test_every_call_is_in_the_document(shared: Running) -> None:
    """With its answers and who may call it."""
    document = shared.anonymous.get("/openapi.json").json()
    for operations, scheme in ((table.COLLECTOR, "application"), (table.MANAGEMENT, "management")):
        for each in operations:
            found = document["paths"][f"/v1{plain_path(each.path)}"][each.verb.lower()]
            assert str(each.status) in found["responses"]
            assert found["security"] == [{scheme: []}]
    assert document["openapi"].startswith("3.1")


def known_ids(case: Any, ids: dict[str, str]) -> None:
    """Let a case speak of what is there: of a document of its kind, in an application that exists."""
    kinds = [kind for kind in ids if f"/{kind}" in case.operation.path]
    if kinds and "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = ids[max(kinds, key=len)]
    if isinstance(case.query, dict):
        case.query.pop("app_id", None)
        case.query.update({name: time for name, time in (("from", "-1d"), ("to", "now")) if name in case.query})


@pytest.mark.heavy
@pytest.mark.parametrize("mode", CASES, ids=lambda mode: mode.value)
def test_schemathesis_finds_no_500_and_no_answer_that_is_not_described(
    served: tuple[Running, dict[str, str]], mode: GenerationMode
) -> None:
    """For each operation calls that its schema allows, or calls that it does not; every other one about what exists."""
    running, ids = served
    schema = schemathesis.openapi.from_dict(running.anonymous.get("/openapi.json").json())
    keys, seen = itertools.cycle(KEYS), Counter[int]()
    with requests.Session() as session:
        for operation in (found.ok() for found in schema.get_all_operations()):

            @hypothesis.settings(
                max_examples=CASES[mode], database=None, deadline=None, derandomize=True,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate],
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                if sum(seen.values()) % 2:
                    known_ids(case, ids)
                headers = {"X-Moesif-Application-Id": APP, "Authorization": f"Bearer {next(keys).key}"}
                case.headers = {**(case.headers or {}), **headers}
                answer = case.call(base_url=running.url, session=session)
                seen[answer.status_code] += 1
                assert answer.status_code != 500, case.as_curl_command()
                case.validate_response(answer, checks=CHECKS)

            ask()
    assert sum(seen.values()) > len(table.MANAGEMENT)
    assert (seen[400] if mode == GenerationMode.NEGATIVE else seen[200]) > 20


def test_a_path_in_the_document_is_one_that_is_served(shared: Running) -> None:
    """No blank of the router's own is left in it."""
    for path in shared.anonymous.get("/openapi.json").json()["paths"]:
        assert re.fullmatch(r"(/(\{\w+\}|[\w]+))+", path), path
