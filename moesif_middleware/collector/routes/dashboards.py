"""Dashboards: trees of workspaces, copied and deleted with what hangs below them (group "Dashboards")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ...models import wire_time
from .. import checks
from ..calls import managed_application
from ..checks import Fields, list_of
from ..context import CollectorContext
from ..documents import AUTHOR, Collection, Document, new_id
from ..operations import APP_ID, OBJECT, Operation, Query, array_of
from ..parameters import needed
from ..refusals import JSONAnswer
from . import sharing
from .workspaces import WORKSPACES

_PATH: Final = "/{org}/dashboards"
_ONE: Final = "/{org}/dashboard/{id}"

_FIELDS: Final = Fields(
    {
        "parent": checks.text,
        "name": checks.text,
        "dashboard_id": checks.text,
        "workspace_ids": list_of(list_of(checks.text)),
        "sort_order": checks.number,
        "dashboard_ids": list_of(checks.text),
        "policy": sharing.POLICY,
    }
)

DASHBOARDS: Final = Collection(
    kind="dashboards",
    noun="dashboard",
    new=_FIELDS,
    changes=_FIELDS,
    created="created",
    modified=None,
    constants={"name": "New dashboard", "auth_user_id": AUTHOR, "workspace_ids": [], "dashboard_ids": []},
    # The reference posts nothing, and what may be changed later may be posted at once.
    body_needed=False,
    status_of_update=201,
)


@dataclass(frozen=True, slots=True)
class Tree:
    """All dashboards of an application by id, and who is below whom: by ``dashboard_ids`` and by ``parent``."""

    dashboards: dict[str, Document]

    def below(self, root: str) -> list[Document]:
        """Return the dashboard ``root`` and every one below it, each once, however they refer to each other."""
        found: dict[str, Document] = {}
        waiting = [root]
        while waiting:
            key = waiting.pop()
            if key in found or key not in self.dashboards:
                continue
            found[key] = self.dashboards[key]
            waiting += found[key]["dashboard_ids"]
            waiting += [child for child, each in self.dashboards.items() if each.get("parent") == key]
        return list(found.values())


async def tree(context: CollectorContext, app: str) -> Tree:
    """Return the dashboards of an application."""
    return Tree({document["_id"]: document for document in await DASHBOARDS.all(context, app)})


def workspaces_of(dashboards: Iterable[Document]) -> set[str]:
    """Return the ids of the workspaces that dashboards show."""
    return {key for dashboard in dashboards for row in dashboard["workspace_ids"] for key in row}


async def delete_from_parent(request: Request, context: CollectorContext, app: str) -> Response:
    """Delete a dashboard and take it out of ``parent_id``."""
    key, parent = request.path_params["id"], request.query_params.get("parent_id")
    await DASHBOARDS.found(context, app, key)
    if parent is not None:
        await DASHBOARDS.edit(
            context, app, parent,
            lambda there: {**there, "dashboard_ids": [each for each in there["dashboard_ids"] if each != key]},
        )  # fmt: skip
    await DASHBOARDS.remove(context, app, key)
    return JSONAnswer({})


async def cascade(request: Request, context: CollectorContext, app: str) -> Response:
    """Delete a dashboard, all below it, and the workspaces that no other dashboard shows."""
    key = request.path_params["id"]
    await DASHBOARDS.found(context, app, key)
    everything = await tree(context, app)
    going = everything.below(key)
    gone = {each["_id"] for each in going}
    shown = workspaces_of(each for each in everything.dashboards.values() if each["_id"] not in gone)
    there = {workspace["_id"] for workspace in await WORKSPACES.all(context, app)}
    await WORKSPACES.remove(context, app, *((workspaces_of(going) - shown) & there))
    await DASHBOARDS.remove(context, app, *gone)
    return JSONAnswer({})


async def copy(request: Request, context: CollectorContext, app: str) -> Response:
    """Copy a dashboard with all below it to ``to_app_id``, the same application without it; answer the copy."""
    target = managed_application(context, request.query_params.get("to_app_id", app))
    root = await DASHBOARDS.found(context, app, request.path_params["id"])
    copies = await _copied(context, app, target, (await tree(context, app)).below(root["_id"]))
    return JSONAnswer(copies[root["_id"]], 201)


async def copy_all(request: Request, context: CollectorContext, app: str) -> Response:
    """Copy every dashboard to ``to_app_id`` and answer the copies."""
    target = managed_application(context, needed(request, "to_app_id"))
    copies = await _copied(context, app, target, await DASHBOARDS.all(context, app))
    return JSONAnswer(list(copies.values()), 201)


async def _copied(context: CollectorContext, app: str, target: str, dashboards: list[Document]) -> dict[str, Document]:
    """Store copies that refer to each other as the originals do. Return original id -> copy."""
    wanted = workspaces_of(dashboards)
    workspaces = [each for each in await WORKSPACES.all(context, app) if each["_id"] in wanted]
    ids = {each["_id"]: new_id() for each in (*dashboards, *workspaces)}
    stamps = {"app_id": target, "created": wire_time(context.clock())}
    charts = [{**each, **stamps, "_id": ids[each["_id"]]} for each in workspaces]
    copies = {
        each["_id"]: {
            **each,
            **stamps,
            "_id": ids[each["_id"]],
            "workspace_ids": [[ids[key] for key in row if key in ids] for row in each["workspace_ids"]],
            "dashboard_ids": [ids[key] for key in each["dashboard_ids"] if key in ids],
            **({"parent": ids.get(each["parent"], each["parent"])} if "parent" in each else {}),
        }
        for each in dashboards
    }
    await WORKSPACES.store(context, target, *charts)
    await DASHBOARDS.store(context, target, *copies.values())
    return copies


async def promote(request: Request, context: CollectorContext, app: str) -> Response:
    """Show a dashboard on the profile pages of ``entity``, and no other one of the application."""
    app, entity = managed_application(context, request.path_params["app"]), request.path_params["entity"]
    chosen = await DASHBOARDS.found(context, app, request.path_params["id"])
    for other in await DASHBOARDS.all(context, app):
        if other.get("profile_view_promotion") == entity and other["_id"] != chosen["_id"]:
            await DASHBOARDS.edit(context, app, other["_id"], lambda there: {**there, "profile_view_promotion": None})
    promoted = {"profile_view_promotion": entity}
    return JSONAnswer(await DASHBOARDS.edit(context, app, chosen["_id"], lambda there: {**there, **promoted}))


def _operations() -> tuple[Operation, ...]:
    made, listed, _, updated, deleted = DASHBOARDS.operations(_PATH, "dashboards")
    target, creates, deletes, schema = Query("to_app_id"), made.scopes, deleted.scopes, DASHBOARDS.schema
    return (
        Operation("POST", f"{_PATH}/copy", copy_all, "Copy every dashboard to another application", creates, 201,
                  (APP_ID, Query("to_app_id", required=True)), answer=array_of(schema), refusals=(400, 404)),
        made,
        listed,
        updated,
        deleted,
        Operation("DELETE", f"{_PATH}/{{id}}/cascade", cascade, "Delete a dashboard and what is below it", deletes, 200,
                  (APP_ID,), answer=OBJECT, refusals=(404,)),
        Operation("DELETE", _ONE, delete_from_parent, "Delete a dashboard and take it out of its parent", deletes, 200,
                  (APP_ID, Query("parent_id")), answer=OBJECT, refusals=(404,)),
        Operation("POST", f"{_ONE}/copy", copy, "Copy a dashboard and what is below it", creates, 201, (APP_ID, target),
                  answer=schema, refusals=(404,)),
        Operation("POST", "/{org}/{app}/{entity}/promotedashboard/{id}", promote,
                  "Show a dashboard on the profile pages of an entity", updated.scopes, 200, (), answer=schema,
                  refusals=(404,)),
        *sharing.operations(DASHBOARDS, _PATH, "dashboards"),
    )  # fmt: skip


OPERATIONS: Final = _operations()
