"""Governance rules of the Management API: create, list, get, update, delete (``management-api.openapi.json``).

A rule that is written here is in ``GET /v1/rules`` with the next answer, and both tags of that answer tell it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...models import wire_time
from .. import checks
from ..calls import management_call
from ..checks import Fields, list_of
from ..context import CollectorContext
from ..payload import MEGABYTE, parse, read
from ..refusals import JSONAnswer, Refusal

RULE_LIMIT: Final = MEGABYTE
KIND: Final = "rules"

_CONDITION: Final = Fields({"path": checks.name}, required=("path", "value"))
REGEX_GROUP: Final = Fields(
    {"conditions": list_of(_CONDITION), "sample_rate": checks.percent}, required=("conditions",)
)
_INT32: Final = checks.whole(-(2**31), 2**31 - 1)
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
        "state": _INT32,
        "block": checks.flag,
        "priority": _INT32,
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
NEW_RULE: Final = Fields(RULE.checks, required=("type", "state", "name", "block"))
SERVER_SET: Final = ("_id", "created_at", "app_id", "org_id")


def routes(prefix: str) -> list[Route]:
    """Return the routes under ``prefix``; the organisation in the path is ``~`` or any other name."""
    rules, rule = f"{prefix}/{{org}}/governance/rules", f"{prefix}/{{org}}/governance/rules/{{id}}"
    return [
        Route(rules, management_call("create:governance_rules", create_rule), methods=["POST"]),
        Route(rules, management_call("read:governance_rules", list_rules), methods=["GET"]),
        Route(rule, management_call("update:governance_rules", update_rule), methods=["POST"]),
        Route(rule, management_call("read:governance_rules", get_rule), methods=["GET"]),
        Route(rule, management_call("delete:governance_rules", delete_rule), methods=["DELETE"]),
    ]


async def create_rule(request: Request, context: CollectorContext, app: str) -> Response:
    """Store a new rule and answer it, with what the server sets."""
    rule = await _posted(request, NEW_RULE)
    rule["_id"] = uuid4().hex[:24]
    rule["created_at"] = wire_time(time.time())
    rule["app_id"] = app
    rule["org_id"] = request.path_params.get("org", "~")
    await _store(context, app, rule, merge=False)
    return JSONAnswer(rule, 201)


async def list_rules(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
    """Answer all rules in the order in which they apply."""
    return JSONAnswer(context.feeds.current(app).rules)


async def get_rule(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer one rule, or 404."""
    return JSONAnswer(_found(context, app, request.path_params["id"]))


async def update_rule(request: Request, context: CollectorContext, app: str) -> Response:
    """Put the fields that are sent in place of a rule's, and answer the rule."""
    rule = _found(context, app, request.path_params["id"])
    # Field by field: an array or an answer's body that is sent replaces the one there.
    rule.update(await _posted(request, RULE))
    await _store(context, app, rule, merge=False)
    return JSONAnswer(rule, 201)


async def delete_rule(request: Request, context: CollectorContext, app: str) -> Response:
    """Delete one rule: 204, or 404."""
    key = request.path_params["id"]
    if not await asyncio.wrap_future(context.store.delete(app, KIND, key)):
        raise _missing(key)
    context.feeds.changed(app)
    return Response(status_code=204)


async def _posted(request: Request, fields: Fields) -> dict[str, Any]:
    raw = await read(request, RULE_LIMIT)
    rule: Any = parse(raw, request.headers.get("content-encoding", ""), RULE_LIMIT)
    fields(rule)
    return {name: value for name, value in rule.items() if name not in SERVER_SET}


async def _store(context: CollectorContext, app: str, rule: dict[str, Any], *, merge: bool) -> None:
    await asyncio.wrap_future(context.store.put(app, KIND, {rule["_id"]: rule}, merge=merge))
    context.feeds.changed(app)


def _found(context: CollectorContext, app: str, key: str) -> dict[str, Any]:
    rule = context.store.get(app, KIND, key)
    if rule is None:
        raise _missing(key)
    return rule


def _missing(key: str) -> Refusal:
    return Refusal(404, f"there is no governance rule {key[:100]!r}")
