"""Governance rules of the Management API: create, list, get, update, delete (``management-api.openapi.json``).

A rule that is written here is in ``GET /v1/rules`` with the next answer, and both tags of that answer tell it.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..checks import Fields, list_of
from ..context import CollectorContext
from ..documents import Collection
from ..refusals import JSONAnswer

_CONDITION: Final = Fields({"path": checks.name}, required=("path", "value"))
REGEX_GROUP: Final = Fields(
    {"conditions": list_of(_CONDITION), "sample_rate": checks.percent}, required=("conditions",)
)
_VARIABLE: Final = Fields({"name": checks.text, "path": checks.text}, required=("name", "path"))
_ANSWER: Final = Fields(
    {"status": checks.whole(100, 599), "headers": checks.headers, "original_encoded_body": checks.text}
)
_PLAN: Final = Fields(
    {"provider": checks.text, "plan_id": checks.text, "price_ids": list_of(checks.text)},
    required=("provider", "plan_id", "price_ids"),
)

RULE: Final = Fields(
    {
        "name": checks.text,
        "type": checks.one_of("user", "company", "regex"),
        "state": checks.int32,
        "block": checks.flag,
        "priority": checks.int32,
        "model": checks.text,
        "cohorts": list_of(checks.any_object),
        "variables": list_of(_VARIABLE),
        "applied_to": checks.one_of("matching", "not_matching"),
        "applied_to_unidentified": checks.flag,
        "response": _ANSWER,
        "regex_config": list_of(REGEX_GROUP),
        "plans": list_of(_PLAN),
    }
)

RULES: Final = Collection(
    kind="rules",
    noun="governance rule",
    new=Fields(RULE.checks, required=("type", "state", "name", "block")),
    changes=RULE,
    modified=None,
    after=CollectorContext.governance_changed,
    status_of_update=201,
    status_of_delete=204,
)


async def list_rules(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
    """Answer all rules in the order in which they apply."""
    return JSONAnswer((await context.feeds.served(app)).rules)


OPERATIONS: Final = RULES.operations("/{org}/governance/rules", "governance_rules", lists=list_rules)
