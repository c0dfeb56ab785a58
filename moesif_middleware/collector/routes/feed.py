"""``GET config`` and ``GET rules`` with their tags and 304 (reference, "Config"), and the editing of config, ours.

``PUT /v1/config`` replaces and ``PATCH /v1/config`` merges; both take a management key with ``update:config`` and the
query parameter ``app_id``. With them the membership of rules is kept: ``user_rules`` and ``company_rules``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..checks import Fields, list_of, map_of
from ..context import CollectorContext
from ..feed import CONFIG_KEY
from ..operations import APP_ID, OBJECT, Operation, array_of
from ..payload import MEGABYTE, parse_storable, read
from ..refusals import JSONAnswer
from .governance import REGEX_GROUP

CONFIG_LIMIT: Final = 64 * MEGABYTE
"""Bytes of a config: 100 000 members of rules take some 10 MB."""

_ENTRY: Final = Fields({"rules": checks.name, "values": map_of(checks.text)}, required=("rules",))
_MEMBERSHIP: Final = map_of(list_of(_ENTRY))
_SAMPLED_GROUP: Final = Fields(REGEX_GROUP.checks, required=("conditions", "sample_rate"))

CONFIG: Final = Fields(
    {
        "sample_rate": checks.percent,
        "user_sample_rate": map_of(checks.percent),
        "company_sample_rate": map_of(checks.percent),
        "user_rules": _MEMBERSHIP,
        "company_rules": _MEMBERSHIP,
        "regex_config": list_of(_SAMPLED_GROUP),
    }
)


async def _config(request: Request, context: CollectorContext, app: str) -> Response:
    served = await context.feeds.served(app)
    return _fetched(request, served.config, served.config_tag, served.tags)


async def _rules(request: Request, context: CollectorContext, app: str) -> Response:
    served = await context.feeds.served(app)
    return _fetched(request, served.rules, served.rules_tag, served.tags)


def _fetched(request: Request, content: bytes, tag: str, tags: dict[str, str]) -> Response:
    headers = {**tags, "ETag": f'"{tag}"'}
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return JSONAnswer(content, 200, headers)


def _matches(if_none_match: str, tag: str) -> bool:
    """Return whether the header names the tag: quoted, weak, or bare as the tag headers carry it."""
    names = [part.strip().removeprefix("W/").strip('"') for part in if_none_match.split(",")]
    return tag in names or names == ["*"]


async def _replace(request: Request, context: CollectorContext, app: str) -> Response:
    return await _edit(request, context, app, merge=False)


async def _update(request: Request, context: CollectorContext, app: str) -> Response:
    return await _edit(request, context, app, merge=True)


async def _edit(request: Request, context: CollectorContext, app: str, *, merge: bool) -> Response:
    raw = await read(request, CONFIG_LIMIT)
    config: Any = parse_storable(raw, request.headers.get("content-encoding", ""), CONFIG_LIMIT)
    CONFIG(config)
    await asyncio.wrap_future(context.store.put(app, "config", {CONFIG_KEY: config}, merge=merge))
    context.feeds.changed(app)
    served = await context.feeds.served(app)
    return JSONAnswer(served.config, 200, served.tags)


READING: Final = tuple(
    Operation("GET", f"/{name}", handler, f"Fetch {name}", (), 200, (), answer=answer, refusals=(304,))
    for name, handler, answer in (("config", _config, OBJECT), ("rules", _rules, array_of(OBJECT)))
)
EDITING: Final = tuple(
    Operation(
        verb,
        "/config",
        handler,
        summary,
        ("update:config",),
        200,
        (APP_ID,),
        CONFIG,
        answer=OBJECT,
        refusals=(400, 404, 413),
    )
    for verb, handler, summary in (("PUT", _replace, "Replace the config"), ("PATCH", _update, "Merge into the config"))
)
