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
from ..checks import Field, Fields, check_fields, has_fields, list_of
from ..context import CollectorContext
from ..payload import MEGABYTE, parse, read
from ..refusals import JSONAnswer, Refusal

RULE_LIMIT: Final = MEGABYTE
KIND: Final = "rules"

REGEX_CONDITIONS: Final[Fields] = {
    "conditions": Field(
        list_of(
            has_fields({"path": Field(checks.name, required=True), "value": Field(checks.anything, required=True)}),
        ),
        required=True,
    )
}

RULE: Final[Fields] = {
    "name": Field(checks.text),
    "type": Field(checks.one_of("user", "company", "regex")),
    "state": Field(checks.whole(-(2**31), 2**31 - 1)),
    "block": Field(checks.flag),
    "priority": Field(checks.whole(-(2**31), 2**31 - 1)),
    "model": Field(checks.text),
    "cohorts": Field(list_of(checks.any_object)),
    "variables": Field(
        list_of(has_fields({"name": Field(checks.text, required=True), "path": Field(checks.text, required=True)}))
    ),
    "applied_to": Field(checks.one_of("matching", "not_matching")),
    "applied_to_unidentified": Field(checks.flag),
    "response": Field(
        has_fields(
            {
                "status": Field(checks.whole(100, 599)),
                "headers": Field(checks.headers),
                "original_encoded_body": Field(checks.text),
            }
        )
    ),
    "regex_config": Field(list_of(has_fields({**REGEX_CONDITIONS, "sample_rate": Field(checks.percent)}))),
    "plans": Field(
        list_of(
            has_fields(
                {
                    "provider": Field(checks.text, required=True),
                    "plan_id": Field(checks.text, required=True),
                    "price_ids": Field(list_of(checks.text), required=True),
                }
            )
        )
    ),
}

REQUIRED: Final = ("type", "state", "name", "block")
NEW_RULE: Final[Fields] = {name: Field(field.check, name in REQUIRED) for name, field in RULE.items()}
SERVER_SET: Final = ("_id", "created_at", "app_id", "org_id")


def routes(prefix: str) -> list[Route]:
    """Return the routes under ``prefix``; the organisation in the path is ``~`` or any other name."""
    rules, rule = f"{prefix}/{{org}}/governance/rules", f"{prefix}/{{org}}/governance/rules/{{id}}"
    return [
        Route(rules, management_call("create:governance_rules", _create), methods=["POST"]),
        Route(rules, management_call("read:governance_rules", _list), methods=["GET"]),
        Route(rule, management_call("update:governance_rules", _update), methods=["POST"]),
        Route(rule, management_call("read:governance_rules", _get), methods=["GET"]),
        Route(rule, management_call("delete:governance_rules", _delete), methods=["DELETE"]),
    ]


async def _create(request: Request, context: CollectorContext, app: str) -> Response:
    rule = await _posted(request, NEW_RULE)
    rule["_id"] = uuid4().hex[:24]
    rule["created_at"] = wire_time(time.time())
    rule["app_id"] = app
    rule["org_id"] = request.path_params["org"]
    await _store(context, app, rule, merge=False)
    return JSONAnswer(rule, 201)


async def _list(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
    return JSONAnswer(context.feeds.current(app).rules)


async def _get(request: Request, context: CollectorContext, app: str) -> Response:
    return JSONAnswer(_found(context, app, request.path_params["id"]))


async def _update(request: Request, context: CollectorContext, app: str) -> Response:
    rule = _found(context, app, request.path_params["id"])
    # Field by field: an array or an answer's body that is sent replaces the one there.
    rule.update(await _posted(request, RULE))
    await _store(context, app, rule, merge=False)
    return JSONAnswer(rule, 201)


async def _delete(request: Request, context: CollectorContext, app: str) -> Response:
    key = request.path_params["id"]
    if not await asyncio.wrap_future(context.store.delete(app, KIND, key)):
        raise _missing(key)
    context.feeds.changed(app)
    return Response(status_code=204)


async def _posted(request: Request, fields: Fields) -> dict[str, Any]:
    raw = await read(request, RULE_LIMIT)
    rule: Any = parse(raw, request.headers.get("content-encoding", ""), RULE_LIMIT)
    check_fields(rule, "", fields)
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
