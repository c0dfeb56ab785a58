"""The operations of both APIs as values: from them come the routes, the OpenAPI document and the list in the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .calls import Endpoint, Handler, collector_call, management_call
from .checks import Check
from .context import CollectorContext
from .refusals import Refusal

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 10_000}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query parameter: its name, its JSON Schema and whether it must be there."""

    name: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. ``path`` stands below the prefix; ``{org}`` in it is the organisation, ``~`` or any other name.

    With ``scopes`` it is one of the Management API, where ``public`` says that the access token of a workspace will
    do as well; without, it takes an application id. ``aliases`` are other forms of the path that the reference
    prints. ``body`` is the check of the JSON that it takes (``body_needed``: none is not enough), ``answer`` the JSON
    Schema of what it answers with ``status``, None for nothing. ``refusals`` are statuses beside those of every
    operation. ``why_not`` is the sentence with which an operation that is not served is refused, 501.
    """

    verb: str
    path: str
    handler: Handler
    summary: str
    scopes: tuple[str, ...] = ()
    status: int = 200
    query: tuple[Query, ...] = ()
    body: Check | None = None
    body_needed: bool = True
    answer: Schema | None = None
    refusals: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    public: bool = False
    why_not: str | None = None

    def endpoint(self) -> Endpoint:
        """Return what serves it."""
        if self.scopes:
            return management_call(self.scopes, self.handler, public=self.public)
        return collector_call(self.handler)


APP_ID: Final = Query("app_id")


def array_of(schema: Schema) -> Schema:
    """Return the JSON Schema of an array."""
    return {"type": "array", "items": schema}


def routes(prefix: str, operations: Iterable[Operation]) -> list[BaseRoute]:
    """Return one route for each path under ``prefix``, so that a 405 names all methods that the path has."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        endpoint = operation.endpoint()
        for path in (operation.path, *operation.aliases):
            by_path.setdefault(path, {})[operation.verb] = endpoint
    return [Route(prefix + path, _by_verb(verbs), methods=list(verbs)) for path, verbs in by_path.items()]


def not_served(verb: str, path: str, scope: str, summary: str, why_not: str) -> Operation:
    """Return an operation that answers 501 with the sentence that says why."""

    async def handler(request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG001 - a Handler
        raise Refusal(501, why_not)

    return Operation(verb, path, handler, summary, (scope,), status=501, answer=OBJECT, why_not=why_not)


def _by_verb(verbs: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await verbs["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
