"""``POST users, companies, subscriptions`` and their batches: upserts (reference, "Update a User" and on)."""

from __future__ import annotations

import asyncio
import time
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


def _one(document: Any) -> list[tuple[str, Any]]:
    return [("", document)]


def items_of_batch(document: Any) -> list[tuple[str, Any]]:
    """Return the path and value of each item of an array. Raises Unfit."""
    if not isinstance(document, list):
        raise Unfit("must be an array")
    return [(f"[{index}]", item) for index, item in enumerate(document)]


def _handler(entity: Entity, items_of: Callable[[Any], list[tuple[str, Any]]]) -> Handler:
    async def handler(request: Request, context: CollectorContext, app: str) -> Response:
        raw = await read(request, BATCH_LIMIT)
        coding = request.headers.get("content-encoding", "")
        async with context.large_bodies:
            document = await run_in_threadpool(parse_storable, raw, coding, BATCH_LIMIT)
        updates = upserts(entity, items_of(document), int(time.time() * 1000))
        await asyncio.wrap_future(context.store.put(app, entity.kind, updates))
        return JSONAnswer({}, 201, (await context.feeds.served(app)).tags)

    return handler


def _operations() -> Iterator[Operation]:
    for entity in ENTITIES:
        batch, one = _handler(entity, items_of_batch), _handler(entity, _one)
        yield Operation("POST", f"/{entity.kind}/batch", batch, f"Update {entity.kind}", (), 201, (),
                        list_of(entity.fields), answer=OBJECT, refusals=(400, 413))  # fmt: skip
        yield Operation("POST", f"/{entity.kind}", one, f"Update one of {entity.kind}", (), 201, (),
                        entity.fields, answer=OBJECT, refusals=(400, 413))  # fmt: skip


OPERATIONS: Final = tuple(_operations())
