"""Search of the Management API: events, users, companies, counts and property mappings.

Reference, "Elasticsearch DSL", "Pagination"; ``management-api.openapi.json``. The reference prints its examples without
``/v1`` and the count in two forms: every printed form is served. What is not supported is a 400 that begins with
the path of the clause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ..checks import any_object
from ..context import CollectorContext
from ..documents import posted
from ..operations import APP_ID, FLAG, OBJECT, TEXT, Operation, Query
from ..parameters import Period, flag, moment, period
from ..payload import MEGABYTE
from ..refusals import JSONAnswer, Refusal
from ..search.leaves import split_path
from ..search.mappings import property_mapping
from ..search.times import wire_millis

BODY_LIMIT: Final = MEGABYTE
MAPPED_DOCUMENTS: Final = 1_000
"""Newest documents that a property mapping looks at."""

EVENTS: Final = "events"
_ENTITIES: Final = {"users": "user_id", "companies": "company_id"}


FROM_TO: Final = (APP_ID, Query("from"), Query("to"), Query("time_zone"))
HITS: Final = {
    "type": "object",
    "properties": {"took": {"type": "integer"}, "timed_out": {"type": "boolean"}, "hits": OBJECT},
    "required": ["took", "timed_out", "hits"],
}
_COUNT: Final = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
_MAPPING: Final = {"type": "object", "properties": {"properties": OBJECT}, "required": ["properties"]}
_BASE: Final = "/search/{org}"


def _operations() -> Iterator[Operation]:
    counted, hit = partial(_count, EVENTS), {"type": "object", "properties": {"_id": TEXT, "_source": OBJECT}}
    times = (APP_ID, *(Query(name, required=True) for name in ("from", "to")), Query("time_zone"))
    yield Operation("POST", f"{_BASE}/search/events", _search_events, "Search events", ("read:events",), 201, times,
                    any_object, body_needed=False, answer=HITS, refusals=(400, 404, 413))  # fmt: skip
    yield Operation("GET", f"{_BASE}/events/{{id:path}}", _get_event, "Get an event", ("read:events",), 200,
                    (APP_ID, Query("event_time")), answer=hit, refusals=(400, 404))  # fmt: skip
    yield Operation("POST", f"{_BASE}/count/events", counted, "Count events", ("read:events",), 200, times,
                    any_object, body_needed=False, answer=_COUNT, refusals=(400, 404, 413),
                    aliases=(f"{_BASE}/search/count",))  # fmt: skip
    yield _mapping("events", "read:properties", EVENTS)
    for side in ("request", "response"):
        yield _mapping(f"events/{side}/body", f"read:{side}_body_properties", EVENTS, (side, "body"))
    for kind, metrics, property_scope in (
        ("users", "usermetrics", "read:users"),
        ("companies", "companymetrics", "read:company_properties"),
    ):
        searched = partial(_search_entities, kind)
        yield Operation("POST", f"{_BASE}/search/{metrics}/{kind}", searched, f"Search {kind}", (f"read:{kind}",), 200,
                        FROM_TO, any_object, body_needed=False, answer=HITS, refusals=(400, 404, 413))  # fmt: skip
        yield Operation("POST", f"{_BASE}/count/{kind}", partial(_count, kind), f"Count {kind}", (f"read:{kind}",), 200,
                        FROM_TO, any_object, body_needed=False, answer=_COUNT, refusals=(400, 404, 413))  # fmt: skip
        yield _mapping(kind, property_scope, kind)
        yield _mapping(metrics, f"read:{kind}", kind)


def _mapping(name: str, scope: str, kind: str, path: tuple[str, ...] = ()) -> Operation:
    query = (*FROM_TO, Query("include_values", FLAG), Query("key_path"))
    summary = f"List the fields of {name.replace('/', ' ')}"
    return Operation("GET", f"{_BASE}/mappings/{name}/properties", partial(_map, kind, path), summary, (scope,), 200,
                     query, answer=_MAPPING, refusals=(400, 404))  # fmt: skip


async def _search_events(request: Request, context: CollectorContext, app: str) -> Response:
    body = await search_body(request)
    first, last, zone = period(request, required=True)
    answer = await asyncio.to_thread(context.store.search, app, EVENTS, body, first, last, zone)
    return JSONAnswer(answer, 201)


async def _count(kind: str, request: Request, context: CollectorContext, app: str) -> Response:
    body = {"size": 0, **await search_body(request)}
    first, last, zone = period(request, required=kind == EVENTS)
    answer = await asyncio.to_thread(context.store.search, app, kind, body, first, last, zone)
    return JSONAnswer({"count": answer["hits"]["total"]})


async def _get_event(request: Request, context: CollectorContext, app: str) -> Response:
    moment(request, "event_time")
    key = request.path_params["id"]
    document = await asyncio.to_thread(context.store.get, app, EVENTS, key)
    if document is None:
        raise Refusal(404, f"there is no event {key[:100]!r}")
    return JSONAnswer({"_id": key, "_source": document})


async def _search_entities(kind: str, request: Request, context: CollectorContext, app: str) -> Response:
    body = await search_body(request)
    first, last, zone = period(request)
    answer = await asyncio.to_thread(_with_metrics, context, app, kind, body, (first, last, zone))
    return JSONAnswer(answer)


def _with_metrics(context: CollectorContext, app: str, kind: str, body: Any, times: Period) -> dict[str, Any]:
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
    first, last, zone = period(request)
    include_values = flag(request, "include_values") or False
    below = split_path(request.query_params["key_path"]) if request.query_params.get("key_path") else ()
    body = {"size": MAPPED_DOCUMENTS, "track_total_hits": False}
    answer = await asyncio.to_thread(context.store.search, app, kind, body, first, last, zone)
    documents = [hit["_source"] for hit in answer["hits"]["hits"]]
    return JSONAnswer(property_mapping(documents, (*path, *below), include_values=include_values))


async def search_body(request: Request) -> dict[str, Any]:
    """Return the search that was posted, ``{}`` for none. Raises Refusal."""
    body = await posted(request, BODY_LIMIT, needed=False)
    if not isinstance(body, dict):
        raise Refusal(400, "the body is a search, a JSON object")
    return body


OPERATIONS: Final = tuple(_operations())
