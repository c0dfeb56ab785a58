"""Applications, email templates and the keystore (groups "Applications", "Email Templates", "Keystore")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..calls import chosen
from ..checks import Check, Fields, epoch_ms, list_of
from ..context import CollectorContext
from ..documents import LIST_LIMIT, Collection, Document, present
from ..operations import NUMBER, TEXT, Operation, Query, array_of, not_served
from ..parameters import period, whole_number
from ..refusals import JSONAnswer, Refusal

FIXED: Final = (
    "the applications of this collector are those it is started with, by --app-id: it can neither add nor delete one"
)

_APP: Final = Fields(
    {"name": checks.text, "time_zone": checks.text, "week_starts_on": checks.int32, "custom_app_id": checks.text}
)
_APP_SCHEMA: Final = {"type": "object", "properties": {"id": TEXT, "name": TEXT}, "required": ["id", "name"]}
_APPS: Final = Collection("apps", "application", _APP, _APP)

_TEXTS: Final = list_of(checks.text)
_COHORT: Final = Fields({"id": checks.text, "type": checks.text, "config": checks.any_object}, required=("id", "type"))
_TEMPLATE_FIELDS: Final[dict[str, Check]] = {
    "name": checks.text,
    "state": checks.int32,
    "cohorts": list_of(_COHORT),
    "dynamic_fields": list_of(
        Fields(
            {
                "token": checks.text,
                "field": checks.text,
                "aggregator": checks.one_of("avg", "min", "max", "terms", "sum"),
            },
            required=("token", "field", "aggregator"),
        )
    ),
    "content": Fields({"html": checks.text, "chunks": checks.any_object}, required=("html", "chunks")),
    "template": Fields(
        {
            **dict.fromkeys(("subject", "editor", "thumbnail_url"), checks.text),
            "design": checks.any_object,
        },
        required=("subject", "editor", "design"),
    ),
    "period": checks.text,
    "addresses": Fields({"from": checks.text, "cc": _TEXTS, "bcc": _TEXTS}, required=("from", "cc", "bcc")),
}

EMAIL_TEMPLATES: Final = Collection(
    kind="email_templates",
    noun="email template",
    new=Fields(_TEMPLATE_FIELDS, required=("name", "state", "cohorts", "content", "template", "addresses")),
    changes=Fields(_TEMPLATE_FIELDS),
)

KEYSTORE: Final = Collection(
    kind="encrypted_keys",
    noun="encrypted key",
    new=Fields(
        {**dict.fromkeys(("type", "month", "encrypted_key"), checks.text), "from": checks.moment, "to": checks.moment},
        required=("encrypted_key",),
    ),
    changes=Fields({}),
)


def _mails_to(request: Request, template: Document) -> bool:
    """Return whether a template has the cohort that a list asks for."""
    wanted = request.query_params.get("cohort_id")
    return not wanted or any(cohort["id"] == wanted for cohort in template["cohorts"])


def _made_in(request: Request, key: Document) -> bool:
    """Return whether a key was made in the time that a list asks for, and has its type."""
    first, last, _ = period(request)
    made, kind = epoch_ms(key["created_at"]), request.query_params.get("type")
    return (first or 0) <= made <= (made if last is None else last) and (not kind or key.get("type") == kind)


async def list_apps(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
    """Answer the applications that the collector was started with, in their order, under the names they were given.

    At most ``take`` of them, those after ``before_id``: a client asks with the last id that it has for the next page.
    """
    before = request.query_params.get("before_id")
    apps = context.apps[context.apps.index(before) + 1 :] if before in context.apps else context.apps
    taken = apps[: whole_number(request, "take", LIST_LIMIT)]
    return JSONAnswer([await _application(context, each) for each in taken])


async def update_app(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
    """Change what an application is called."""
    key = chosen(context.apps, request.path_params["id"])
    if key is None:
        raise Refusal(404, "there is no such application")
    posted = await _APPS.posted(request, _APP)
    async with context.editing:
        there = await run_in_threadpool(context.store.get, key, "apps", key) or {}
        await _APPS.store(context, key, present({**there, **posted, "_id": key}))
    return JSONAnswer(await _application(context, key))


async def _application(context: CollectorContext, app: str) -> dict[str, Any]:
    named = await run_in_threadpool(context.store.get, app, "apps", app) or {}
    return {"name": app, **{name: value for name, value in named.items() if name != "_id"}, "id": app}


_TEMPLATES = EMAIL_TEMPLATES.operations(
    "/{org}/emails/templates",
    "email_templates",
    lists=EMAIL_TEMPLATES.listing(_mails_to),
    list_query=(Query("cohort_id"),),
)
_KEYS = tuple(
    # The reference prints the path with a second version, and has neither a change nor a deletion.
    replace(each, aliases=(f"/v1{each.path}",))
    for each in KEYSTORE.operations(
        "/{org}/keystore",
        "encrypted_keys",
        lists=KEYSTORE.listing(_made_in),
        list_query=(Query("from"), Query("to"), Query("type")),
    )[:3]
)

OPERATIONS: Final = (
    Operation("GET", "/{org}/apps", list_apps, "List the applications", ("read:apps",), 200,
              (Query("take", NUMBER), Query("before_id")), answer=array_of(_APP_SCHEMA), refusals=(400,)),
    Operation("POST", "/{org}/apps/{id}", update_app, "Name an application", ("update:apps",), 200, (), _APP,
              answer=_APP_SCHEMA, refusals=(400, 404, 413)),
    not_served("POST", "/{org}/apps", "create:apps", "Create an application", FIXED),
    not_served("DELETE", "/{org}/apps/{id}", "delete:apps", "Delete an application", FIXED),
    *_TEMPLATES,
    *_KEYS,
)  # fmt: skip
