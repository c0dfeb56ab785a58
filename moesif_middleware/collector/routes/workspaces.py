"""Workspaces: saved charts and searches, their comments, and the ones that are public (group "Workspaces").

A workspace is public when its list grants something to everybody, or while it has an ``expiration`` that is to come.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...models import wire_time
from .. import checks
from ..calls import bearer
from ..checks import Check, Fields, list_of
from ..context import CollectorContext
from ..documents import AUTHOR, Collection, Document, new_id, posted
from ..operations import APP_ID, FLAG, NUMBER, OBJECT, TEXT, Operation, Query, array_of
from ..parameters import flag, moment, period, whole_number
from ..refusals import JSONAnswer, Refusal
from ..search.times import iso_millis, wire_millis
from ..tokens import LIFETIME, sign
from . import sharing
from .search import HITS, search_body

MOST_COMMENTS: Final = 1_000
"""Comments of one workspace."""

MOST_TAKEN: Final = 1_000
"""Events that a public search answers without ``take``."""

_DETAILS: Final = ("request.body", "request.headers", "response.body", "response.headers")
_PATH: Final = "/{org}/workspaces"

_CHART: Final = Fields(
    {
        **dict.fromkeys(("url_query", "view", "to", "from", "args", "time_zone"), checks.text),
        **dict.fromkeys(("view_elements", "es_query", "funnel_query"), checks.any_object),
        **{f"original_encoded_{name}": checks.text for name in ("view_elements", "funnel_query", "query")},
    },
    required=("url_query", "view"),
)
_DRAWING: Final = Fields(
    {**dict.fromkeys(("name", "direction", "id", "type"), checks.text), "value": checks.number},
    required=("name", "direction", "id", "type", "value"),
)
_TEMPLATE: Final = Fields(
    {"dynamic_fields": list_of(checks.text), "dynamic_time": checks.flag}, required=("dynamic_fields",)
)
_CHANGES: Final[Mapping[str, Check]] = {
    "name": checks.text,
    "colors": checks.any_object,
    "drawings": list_of(_DRAWING),
    "chart": _CHART,
    "template": _TEMPLATE,
    "width": checks.number,
    "sort_order": checks.number,
    "policy": sharing.POLICY,
    "view_count": checks.int32,
}
_COMMENT: Final = Fields({"message": checks.text, "mentions": list_of(checks.text)}, required=("message",))


def _written(document: Document, now_ms: int) -> Document:  # noqa: ARG001 - a Written
    """Return what was posted without what has calls of its own."""
    return {name: value for name, value in document.items() if name not in ("comments", "expiration")}


def _shown(document: Document) -> Document:
    """Return a workspace with the summary of its comments, which are kept in it."""
    comments = document.get("comments", [])
    summary = {"count": len(comments), **({"latest_comment": comments[-1]} if comments else {})}
    return {**document, "is_template": "template" in document, "comments": {"summary": summary}}


WORKSPACES: Final = Collection(
    kind="workspaces",
    noun="workspace",
    new=Fields(
        {
            **_CHANGES,
            "is_default": checks.flag,
            "dashboard": checks.any_object,
            "type": checks.text,
        },
        required=("name", "chart", "policy"),
    ),
    changes=Fields(_CHANGES),
    created="created",
    modified=None,
    constants={"view_count": 0, "auth_user_id": AUTHOR, "comments": None},
    written=_written,
    shown=_shown,
)


async def create(request: Request, context: CollectorContext, app: str) -> Response:
    """Store a workspace; ``expiration`` makes it public until then."""
    until = moment(request, "expiration")
    workspace = await WORKSPACES.posted(request, WORKSPACES.new)
    document = WORKSPACES.stamped(workspace, app, request, context.clock())
    if until is not None:
        document["expiration"] = wire_millis(until.first)
    await WORKSPACES.store(context, app, document)
    return JSONAnswer(WORKSPACES.shown(document), 201)


def _listed(request: Request, workspace: Document) -> bool:
    """Return whether a list asks for a workspace: by ``type``, and by any of ``access``."""
    kind, wanted = request.query_params.get("type"), request.query_params.getlist("access")
    wanted = [each for value in wanted for each in value.split(",")]
    held = {"public" if _is_public(workspace) else "private"}
    held.update(entry[name] for entry in sharing.granted(workspace) for name in ("grantee", "permission"))
    return (not kind or workspace.get("type") == kind) and (not wanted or bool(held & set(wanted)))


async def get_public(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer a public workspace and count the view."""
    await _public(request, context, app)
    workspace = await WORKSPACES.edit(
        context, app, request.path_params["id"], lambda there: {**there, "view_count": there.get("view_count", 0) + 1}
    )
    return JSONAnswer(WORKSPACES.shown(workspace))


async def access_token(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer a token that opens the application's public workspaces for a day."""
    key, expires = new_id(), int(context.clock()) + LIFETIME
    token = sign(bearer(request), {"id": key, "app": app, "expires": expires})
    return JSONAnswer({"_id": key, "token": token, "url": f"{request.base_url}v1/workspaces/public/"})


async def search(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer what the saved search of a public workspace finds; the posted search narrows it."""
    saved = _saved_search(await _public(request, context, app))
    body = {"size": whole_number(request, "take", MOST_TAKEN), **saved, **(asked := await search_body(request))}
    # What is saved bounds what is asked: a filter of its own must not let a guest see more.
    clauses = [saved[name] for name in ("query", "post_filter") if name in saved]
    body["query"] = {"bool": {"must": [*clauses, *([asked["query"]] if "query" in asked else [])]}}
    body["post_filter"] = asked.get("post_filter", {"match_all": {}})
    if not flag(request, "include_details"):
        body["_source"] = {"excludes": list(_DETAILS)}
    first, last, zone = period(request, required=True)
    return JSONAnswer(await asyncio.to_thread(context.store.search, app, "events", body, first, last, zone), 201)


def _saved_search(workspace: Document) -> dict[str, Any]:
    """Return the search of a workspace's chart. Raises Refusal 404 without one: it would open every event."""
    chart = workspace.get("chart") or {}
    saved = chart.get("es_query")
    if saved is None and (text := chart.get("original_encoded_query")):
        try:
            saved = orjson.loads(text if text.lstrip().startswith("{") else b64decode(text, validate=True))
        except ValueError:
            saved = None
    if not isinstance(saved, dict) or not saved:
        raise Refusal(404, "the workspace has no search that is saved")
    return saved


async def _public(request: Request, context: CollectorContext, app: str) -> Document:
    """Return a workspace that is public. Raises Refusal 404, or 410 when it has expired."""
    key = request.path_params["id"]
    workspace = await WORKSPACES.found(context, app, key)
    if (until := iso_millis(workspace.get("expiration", ""))) is not None and until <= context.clock() * 1000:
        raise Refusal(410, f"the workspace {key[:100]!r} is no longer public")
    if not _is_public(workspace):
        raise WORKSPACES.missing(key)
    return workspace


def _is_public(workspace: Document) -> bool:
    grantees = {entry["grantee"] for entry in sharing.granted(workspace)}
    return "expiration" in workspace or not grantees.isdisjoint(sharing.EVERYBODY)


async def comments(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer a workspace's comments, oldest first."""
    return JSONAnswer((await WORKSPACES.found(context, app, request.path_params["id"])).get("comments", []))


async def comment(request: Request, context: CollectorContext, app: str) -> Response:
    """Add a comment and answer it."""
    now = wire_time(context.clock())
    made = {
        **await _posted_comment(request),
        "comment_id": new_id(),
        "auth_user_id": AUTHOR,
        "created_at": now,
        "updated_at": now,
    }

    def change(there: list[Document]) -> list[Document]:
        if len(there) >= MOST_COMMENTS:
            raise Refusal(400, f"a workspace has at most {MOST_COMMENTS} comments")
        return [*there, made]

    await _edit_comments(request, context, app, change)
    return JSONAnswer(made, 201)


async def update_comment(request: Request, context: CollectorContext, app: str) -> Response:
    """Change a comment and answer it."""
    changed, key = {**await _posted_comment(request), "updated_at": wire_time(context.clock())}, _comment_id(request)
    after = await _edit_comments(
        request,
        context,
        app,
        lambda there: [{**each, **changed} if each["comment_id"] == key else each for each in there],
    )
    return JSONAnswer(next(each for each in after if each["comment_id"] == key), 201)


async def delete_comment(request: Request, context: CollectorContext, app: str) -> Response:
    """Delete a comment."""
    key = _comment_id(request)
    await _edit_comments(request, context, app, lambda there: [each for each in there if each["comment_id"] != key])
    return Response(status_code=204)


def _comment_id(request: Request) -> str:
    return str(request.path_params["comment"])


async def _posted_comment(request: Request) -> dict[str, Any]:
    document = await posted(request)
    _COMMENT(document)
    return {name: document[name] for name in ("message", "mentions") if document.get(name) is not None}


async def _edit_comments(
    request: Request, context: CollectorContext, app: str, change: Callable[[list[Document]], list[Document]]
) -> list[Document]:
    """Change a workspace's comments and return them. Raises Refusal 404 when the path names a comment it has not."""

    def edit(workspace: Document) -> Document:
        there = workspace.get("comments", [])
        wanted = request.path_params.get("comment")
        if wanted is not None and all(each["comment_id"] != wanted for each in there):
            raise Refusal(404, f"there is no comment {wanted[:100]!r}")
        return {**workspace, "comments": change(there)}

    workspace = await WORKSPACES.edit(context, app, request.path_params["id"], edit)
    return list(workspace["comments"])


def _operations() -> tuple[Operation, ...]:
    lists = WORKSPACES.listing(_listed, pages=True)
    asked = (Query("take", NUMBER), Query("before_id"), Query("type"), Query("access", array_of(TEXT)))
    made, listed, read, updated, deleted = WORKSPACES.operations(
        _PATH, "workspaces", lists=lists, list_query=asked, also="public_workspaces"
    )
    remarks, one = f"{_PATH}/{{id}}/comments", f"{_PATH}/{{id}}/comments/{{comment}}"
    reads, updates, schema = ("read:workspaces",), ("update:workspaces",), WORKSPACES.schema
    missing, refusals = (404,), (400, 404, 413)
    return (
        Operation("GET", "/workspaces/access_token", access_token, "Get an access token for public workspaces", reads,
                  200, (APP_ID,), answer={"type": "object", "required": ["_id", "token"]}, refusals=missing),
        Operation("GET", "/workspaces/public/{id}", get_public, "Get a public workspace", ("read:public_workspaces",),
                  200, (APP_ID,), answer=schema, refusals=(404, 410), public=True),
        Operation("POST", "/search/{org}/workspaces/{id}/search", search, "Search through a public workspace",
                  ("read:events",), 201, (APP_ID, Query("from", required=True), Query("to", required=True),
                  Query("time_zone"), Query("take", NUMBER), Query("include_details", FLAG)), checks.any_object,
                  body_needed=False, answer=HITS, refusals=(400, 404, 410, 413), public=True),
        Operation("POST", made.path, create, made.summary, made.scopes, 201, (APP_ID, Query("expiration")), made.body,
                  answer=schema, refusals=refusals),
        listed,
        Operation("GET", f"{_PATH}/templates", WORKSPACES.listing(lambda _, workspace: "template" in workspace),
                  "List the workspaces that are templates", reads, 200, (APP_ID,), answer=array_of(schema),
                  refusals=missing),
        read, updated, deleted,
        Operation("GET", remarks, comments, "List a workspace's comments", reads, 200, (APP_ID,),
                  answer=array_of(OBJECT), refusals=missing),
        Operation("POST", remarks, comment, "Comment on a workspace", updates, 201, (APP_ID,), _COMMENT, answer=OBJECT,
                  refusals=refusals),
        Operation("POST", one, update_comment, "Change a comment", updates, 201, (APP_ID,), _COMMENT, answer=OBJECT,
                  refusals=refusals),
        Operation("DELETE", one, delete_comment, "Delete a comment", updates, 204, (APP_ID,), refusals=missing),
        *sharing.operations(WORKSPACES, _PATH, "workspaces"),
    )  # fmt: skip


OPERATIONS: Final = _operations()
