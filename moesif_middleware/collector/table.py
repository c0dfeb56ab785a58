"""Every operation that the collector knows, in the order in which paths are tried: what is exact stands first."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute

from .operations import Operation, routes
from .routes import entities, events, feed, governance, search

COLLECTOR_PREFIXES: Final = ("/v1", "/collector/v1")
MANAGEMENT_PREFIXES: Final = ("/v1", "/api/v1")

COLLECTOR: Final[tuple[Operation, ...]] = (*events.OPERATIONS, *feed.READING, *entities.OPERATIONS)
MANAGEMENT: Final[tuple[Operation, ...]] = (*feed.EDITING, *search.OPERATIONS, *governance.OPERATIONS)


def api_routes() -> list[BaseRoute]:
    """Return the routes of both APIs under every prefix that clients use."""
    found: list[BaseRoute] = []
    for prefix in COLLECTOR_PREFIXES:
        found += routes(prefix, COLLECTOR)
    for prefix in MANAGEMENT_PREFIXES:
        found += routes(prefix, MANAGEMENT)
    # The reference prints its search examples without a version.
    return found + routes("", (each for each in MANAGEMENT if each.path.startswith("/search/")))
