"""Who may see a document: the access control list in its ``policy`` (``management-api.openapi.json``, PolicyItem).

The collector keeps the list and answers it; keys have no users, so nobody is kept out by it but those who have only
the access token of a public workspace.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..checks import Fields, list_of
from ..context import CollectorContext
from ..documents import Collection, Document
from ..operations import APP_ID, OBJECT, Operation, Query
from ..parameters import needed
from ..refusals import JSONAnswer, Refusal

READ: Final = "read"
"""The permission that is given when none is named."""

EVERYBODY: Final = frozenset({"*", "public", "everyone", "anyone"})
"""Grantees that make a document public."""

POLICY: Final = Fields(
    {
        "acl": list_of(Fields({"grantee": checks.text, "permission": checks.text}, required=("grantee", "permission"))),
        "resource": checks.any_object,
        "api_scopes": list_of(checks.text),
        "original_encoded_resource": checks.text,
    },
    required=("acl", "resource"),
)


def granted(document: Document) -> list[dict[str, str]]:
    """Return the entries of a document's list."""
    entries: list[dict[str, str]] = (document.get("policy") or {}).get("acl") or []
    return entries


def operations(collection: Collection, path: str, scope: str) -> tuple[Operation, ...]:
    """Return the two calls that change the list of one of the collection's documents."""

    async def grant(request: Request, context: CollectorContext, app: str) -> Response:
        grantee, permission = needed(request, "grantee"), request.query_params.get("permission", READ)
        return await edit(request, context, app, grantee, {"grantee": grantee, "permission": permission})

    async def revoke(request: Request, context: CollectorContext, app: str) -> Response:
        return await edit(request, context, app, needed(request, "grantee"), None)

    async def edit(
        request: Request, context: CollectorContext, app: str, grantee: str, entry: dict[str, str] | None
    ) -> Response:
        def change(document: Document) -> Document:
            acl = [each for each in granted(document) if each["grantee"] != grantee]
            if entry is None and len(acl) == len(granted(document)):
                raise Refusal(404, f"nothing is granted to {grantee[:100]!r}")
            policy = {"resource": {}, **(document.get("policy") or {}), "acl": [*acl, *([entry] if entry else [])]}
            return {**document, "policy": policy}

        return JSONAnswer(collection.shown(await collection.edit(context, app, request.path_params["id"], change)))

    one, grantee = f"{path}/{{id}}/policy/acl", Query("grantee", required=True)
    return (
        Operation("POST", one, grant, f"Grant a permission on a {collection.noun}", (f"create:{scope}",), 200,
                  (APP_ID, grantee, Query("permission")), answer=OBJECT, refusals=(400, 404)),
        Operation("DELETE", one, revoke, f"Revoke a permission on a {collection.noun}", (f"delete:{scope}",), 200,
                  (APP_ID, grantee), answer=OBJECT, refusals=(400, 404)),
    )  # fmt: skip
