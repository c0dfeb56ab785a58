"""Search of the Management API: events, users, companies, counts and property mappings.

Reference, "Elasticsearch DSL", "Pagination"; ``management-api.openapi.json``. The reference prints its examples without
``/v1`` and the count in two forms: every printed form is served. What is not supported is a 400 that begins with
the path of the clause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..calls import Handler, management_call
from ..context import CollectorContext
from ..payload import MEGABYTE, parse, read
from ..refusals import JSONAnswer, Refusal
from ..search.leaves import split_path
from ..search.mappings import property_mapping
from ..search.times import Span, parse_time, wire_millis, zone_of

BODY_LIMIT: Final = MEGABYTE
MAPPED_DOCUMENTS: Final = 1_000
"""Newest documents that a property mapping looks at."""

EVENTS: Final = "events"
_ENTITIES: Final = {"users": "user_id", "companies": "company_id"}


def routes(prefix: str) -> list[Route]:
    """Return the routes under ``prefix``; the organisation in the path is ``~`` or any other name."""
    base = f"{prefix}/search/{{org}}"
    mapped = f"{base}/mappings"
    found = [
        Route(f"{base}/search/events", management_call("read:events", _search_events), methods=["POST"]),
        Route(f"{base}/events/{{id}}", management_call("read:events", _get_event), methods=["GET"]),
        Route(f"{mapped}/events/properties", _mapping("read:properties", EVENTS), methods=["GET"]),
    ]
    counted = management_call("read:events", partial(_count, EVENTS))
    found += [Route(path, counted, methods=["POST"]) for path in (f"{base}/count/events", f"{base}/search/count")]
    for side in ("request", "response"):
        endpoint = management_call(f"read:{side}_body_properties", partial(_map, EVENTS, (side, "body")))
        found.append(Route(f"{mapped}/events/{side}/body/properties", endpoint, methods=["GET"]))
    for kind, metrics, property_scope in (
        ("users", "usermetrics", "read:users"),
        ("companies", "companymetrics", "read:company_properties"),
    ):
        scope = f"read:{kind}"
        search = management_call(scope, partial(_search_entities, kind))
        found += [
            Route(f"{base}/search/{metrics}/{kind}", search, methods=["POST"]),
            Route(f"{base}/count/{kind}", management_call(scope, partial(_count, kind)), methods=["POST"]),
            Route(f"{mapped}/{kind}/properties", _mapping(property_scope, kind), methods=["GET"]),
            Route(f"{mapped}/{metrics}/properties", _mapping(scope, kind), methods=["GET"]),
        ]
    return found


def _mapping(scope: str, kind: str) -> Callable[[Request], Any]:
    handler: Handler = partial(_map, kind, ())
    return management_call(scope, handler)


async def _search_events(request: Request, context: CollectorContext, app: str) -> Response:
    body = await _body(request)
    first, last, zone = _times(request, required=True)
    answer = await asyncio.to_thread(context.store.search, app, EVENTS, body, first, last, zone)
    return JSONAnswer(answer, 201)


async def _count(kind: str, request: Request, context: CollectorContext, app: str) -> Response:
    body = {"size": 0, **await _body(request)}
    first, last, zone = _times(request, required=kind == EVENTS)
    answer = await asyncio.to_thread(context.store.search, app, kind, body, first, last, zone)
    return JSONAnswer({"count": answer["hits"]["total"]})


async def _get_event(request: Request, context: CollectorContext, app: str) -> Response:
    _time(request, "event_time", UTC)
    key = request.path_params["id"]
    document = await asyncio.to_thread(context.store.get, app, EVENTS, key)
    if document is None:
        raise Refusal(404, f"there is no event {key[:100]!r}")
    return JSONAnswer({"_id": key, "_source": document})


async def _search_entities(kind: str, request: Request, context: CollectorContext, app: str) -> Response:
    body = await _body(request)
    first, last, zone = _times(request)
    answer = await asyncio.to_thread(_with_metrics, context, app, kind, body, (first, last, zone))
    return JSONAnswer(answer)


def _with_metrics(
    context: CollectorContext, app: str, kind: str, body: Any, times: tuple[int | None, int | None, tzinfo]
) -> dict[str, Any]:
    """Search users or companies, and put what their events say beside each: how many, the first and the last."""
    answer = context.store.search(app, kind, body, *times)
    sources = {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"] if "_source" in hit}
    if not sources:
        return answer
    field = _ENTITIES[kind]
    ends = {name: {name: {"field": "request.time"}} for name in ("min", "max")}
    by_id = {"terms": {"field": field, "size": len(sources)}, "aggs": ends}
    events = {"size": 0, "track_total_hits": False, "query": {"terms": {field: list(sources)}}, "aggs": {"id": by_id}}
    counted = context.store.search(app, EVENTS, events, *times)
    found = {bucket["key"]: bucket for bucket in counted["aggregations"]["id"]["buckets"]}
    for key, source in sources.items():
        bucket = found.get(key)
        metrics: dict[str, Any] = {"event_count": bucket["doc_count"] if bucket else 0}
        if bucket:
            metrics["first_event_time"] = wire_millis(int(bucket["min"]["value"]))
            metrics["last_event_time"] = wire_millis(int(bucket["max"]["value"]))
        source["metrics"] = metrics
    return answer


async def _map(kind: str, path: tuple[str, ...], request: Request, context: CollectorContext, app: str) -> Response:
    first, last, zone = _times(request)
    include_values = request.query_params.get("include_values", "false").lower()
    if include_values not in ("true", "false"):
        raise Refusal(400, "include_values: true or false is needed")
    below = split_path(request.query_params["key_path"]) if request.query_params.get("key_path") else ()
    body = {"size": MAPPED_DOCUMENTS, "track_total_hits": False}
    answer = await asyncio.to_thread(context.store.search, app, kind, body, first, last, zone)
    documents = [hit["_source"] for hit in answer["hits"]["hits"]]
    return JSONAnswer(property_mapping(documents, (*path, *below), include_values=include_values == "true"))


async def _body(request: Request) -> dict[str, Any]:
    raw = await read(request, BODY_LIMIT)
    body = parse(raw, request.headers.get("content-encoding", ""), BODY_LIMIT) if raw.strip() else {}
    if not isinstance(body, dict):
        raise Refusal(400, "the body is a search, a JSON object")
    return body


def _times(request: Request, *, required: bool = False) -> tuple[int | None, int | None, tzinfo]:
    """Return the ends of the time range, in milliseconds, and the zone. Raises Refusal 400."""
    try:
        zone = zone_of(request.query_params.get("time_zone", "UTC"))
    except ValueError as error:
        raise Refusal(400, f"time_zone: {error}") from None
    first, last = _time(request, "from", zone, required=required), _time(request, "to", zone, required=required)
    return first.first if first else None, last.last if last else None, zone


def _time(request: Request, name: str, zone: tzinfo, *, required: bool = False) -> Span | None:
    written = request.query_params.get(name)
    if not written:
        if required:
            raise Refusal(400, f"{name}: a time is needed, such as -1d, now or 2024-02-06T00:00:00Z")
        return None
    # A plus sign that was not escaped has become a space.
    if written[0] == " ":
        written = f"+{written[1:]}"
    try:
        return parse_time(written, int(time.time() * 1000), zone)
    except ValueError as error:
        raise Refusal(400, f"{name}: {error}") from None
