"""``POST users, companies, subscriptions`` and their batches: upserts (reference, "Update a User" and on)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ...models import wire_time
from ..calls import Handler
from ..checks import Fields, Unfit, at, list_of
from ..context import CollectorContext
from ..merge import merged
from ..operations import OBJECT, Operation
from ..payload import MEGABYTE, parse_storable, read
from ..refusals import JSONAnswer
from ..wire import COMPANY, SUBSCRIPTION, USER

BATCH_LIMIT: Final = 12 * MEGABYTE

ItemsOf = Callable[[Any], list[tuple[str, Any]]]
"""Takes a document that was posted; returns the path and value of each item. Raises Unfit."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of document that is kept under a key of its own."""

    kind: str
    key: str
    fields: Fields


ENTITIES: Final = (
    Entity("users", "user_id", USER),
    Entity("companies", "company_id", COMPANY),
    Entity("subscriptions", "subscription_id", SUBSCRIPTION),
)


def upserts(entity: Entity, items: list[tuple[str, Any]], now_ms: int) -> dict[str, dict[str, Any]]:
    """Return key -> update of checked documents; ``items`` are paths and values. Raises Unfit with the path.

    Several updates of one key in one batch are merged in order.
    """
    found: dict[str, dict[str, Any]] = {}
    for path, document in items:
        at(path, entity.fields, document)
        if document.get("modified_time") is None:
            document["modified_time"] = wire_time(now_ms / 1000)
        key = document[entity.key]
        found[key] = merged(found.get(key, {}), document)
    return found


def only_item(document: Any) -> list[tuple[str, Any]]:
    """Return the path and value of the one item that a document is."""
    return [("", document)]


def items_of_batch(document: Any) -> list[tuple[str, Any]]:
    """Return the path and value of each item of an array. Raises Unfit."""
    if not isinstance(document, list):
        raise Unfit("must be an array")
    return [(f"[{index}]", item) for index, item in enumerate(document)]


async def posted_upserts(
    request: Request, context: CollectorContext, entity: Entity, items_of: ItemsOf
) -> tuple[list[tuple[str, Any]], dict[str, dict[str, Any]]]:
    """Return the items that were posted, and what they come to by key. Raises Unfit and Refusal.

    A thread checks them: 12 MB hold tens of thousands of users, and the event loop would stand still for a second.
    """
    raw = await read(request, BATCH_LIMIT)
    coding, now_ms = request.headers.get("content-encoding", ""), context.now_ms()

    def work() -> tuple[list[tuple[str, Any]], dict[str, dict[str, Any]]]:
        items = items_of(parse_storable(raw, coding, BATCH_LIMIT))
        return items, upserts(entity, items, now_ms)

    async with context.large_bodies:
        return await run_in_threadpool(work)


def _handler(entity: Entity, items_of: ItemsOf) -> Handler:
    async def handler(request: Request, context: CollectorContext, app: str) -> Response:
        _, updates = await posted_upserts(request, context, entity, items_of)
        await asyncio.wrap_future(context.store.put(app, entity.kind, updates))
        return JSONAnswer({}, 201, (await context.feeds.served(app)).tags)

    return handler


def _operations() -> Iterator[Operation]:
    for entity in ENTITIES:
        batch, one = _handler(entity, items_of_batch), _handler(entity, only_item)
        yield Operation("POST", f"/{entity.kind}/batch", batch, f"Update {entity.kind}", (), 201, (),
                        list_of(entity.fields), answer=OBJECT, refusals=(400, 413))  # fmt: skip
        yield Operation("POST", f"/{entity.kind}", one, f"Update one of {entity.kind}", (), 201, (),
                        entity.fields, answer=OBJECT, refusals=(400, 413))  # fmt: skip


OPERATIONS: Final = tuple(_operations())
