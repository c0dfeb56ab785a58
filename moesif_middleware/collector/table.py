"""Every operation that the collector knows, in the order in which paths are tried: what is exact stands first."""

from __future__ import annotations

from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .openapi import openapi
from .operations import Operation, routes
from .refusals import JSONAnswer
from .routes import (
    billing,
    catalog,
    cohorts,
    dashboards,
    entities,
    events,
    feed,
    governance,
    organisation,
    otlp,
    profiles,
    search,
    workspaces,
)

COLLECTOR_PREFIXES: Final = ("/v1", "/collector/v1")
MANAGEMENT_PREFIXES: Final = ("/v1", "/api/v1")

COLLECTOR: Final[tuple[Operation, ...]] = (*events.OPERATIONS, *feed.READING, *entities.OPERATIONS, *otlp.OPERATIONS)
MANAGEMENT: Final[tuple[Operation, ...]] = (
    *feed.EDITING,
    *search.OPERATIONS,
    *profiles.OPERATIONS,
    *workspaces.OPERATIONS,
    *dashboards.OPERATIONS,
    *cohorts.OPERATIONS,
    *governance.OPERATIONS,
    *organisation.OPERATIONS,
    *billing.OPERATIONS,
    *catalog.OPERATIONS,
)


def api_routes() -> list[BaseRoute]:
    """Return the routes of both APIs under every prefix that clients use, and of the document that describes them."""
    found: list[BaseRoute] = []
    for prefix in COLLECTOR_PREFIXES:
        found += routes(prefix, COLLECTOR)
    for prefix in MANAGEMENT_PREFIXES:
        found += routes(prefix, MANAGEMENT)
    # The reference prints its search examples without a version.
    found += routes("", (each for each in MANAGEMENT if each.path.startswith("/search/")))
    document = orjson.dumps(openapi(COLLECTOR, MANAGEMENT))

    async def described(request: Request) -> Response:  # noqa: ARG001 - an endpoint
        return JSONAnswer(document)

    return [*found, Route("/openapi.json", described)]
