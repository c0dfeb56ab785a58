"""Users, companies and subscriptions of the Management API (``management-api.openapi.json``, these groups).

They are the documents that the Collector API updates: what is written here merges into what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..checks import Fields, list_of
from ..context import CollectorContext
from ..documents import Document, organisation, present
from ..operations import APP_ID, FLAG, OBJECT, TEXT, Operation, Query
from ..parameters import flag
from ..refusals import JSONAnswer, Refusal
from ..wire import COMPANY, SUBSCRIPTION, USER
from .entities import Entity, ItemsOf, items_of_batch, only_item, posted_upserts

DELETED_AT_ONCE: Final = 1_000
"""Events that one round of a deletion looks up."""

MOST_SUBSCRIPTIONS: Final = 1_000

_NAMES: Final = ("name", "first_name", "last_name", "user_name", "email", "phone", "photo_url")
_BASE: Final = "/search/{org}"
_PROFILE: Final = {"type": "object", "properties": {"_id": TEXT, "_source": OBJECT}, "required": ["_id", "_source"]}
_BATCH: Final = {"type": "object", "properties": {"_id": TEXT, "_source": OBJECT}}
_SUBSCRIPTION: Final = {
    "type": "object",
    "properties": dict.fromkeys(("subscription_id", "company_id", "status", "type", "app_id", "org_id"), TEXT),
}


def profile(key: str, document: Document) -> Document:
    """Return a user or company as searches have it."""
    return {"_id": key, "_source": document}


@dataclass(frozen=True, slots=True)
class Profiles:
    """The calls about one kind of entity."""

    entity: Entity
    noun: str

    async def update(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Merge one document into the stored one and answer that."""
        return await self._upsert(request, context, app, only_item)

    async def update_batch(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Merge several documents; the answer is the last of them, ``{}`` for none."""
        return await self._upsert(request, context, app, items_of_batch)

    async def read(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Answer one document."""
        key = request.path_params["id"]
        return JSONAnswer(self._shown(request, app, key, await self.found(context, app, key)))

    async def delete(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Delete one document, and with ``delete_events`` every event that bears its id."""
        key, events_too = request.path_params["id"], flag(request, "delete_events")
        there = await asyncio.wrap_future(context.store.delete(app, self.entity.kind, key))
        gone = await self._delete_events(context, app, key) if events_too else 0
        if not there and not gone:
            raise self._missing(key)
        return JSONAnswer({})

    async def found(self, context: CollectorContext, app: str, key: str) -> Document:
        """Return one document as it is stored. Raises Refusal 404."""
        document = await run_in_threadpool(context.store.get, app, self.entity.kind, key)
        if document is None:
            raise self._missing(key)
        return document

    async def _upsert(self, request: Request, context: CollectorContext, app: str, items_of: ItemsOf) -> Response:
        items, updates = await posted_upserts(request, context, self.entity, items_of)
        await asyncio.wrap_future(context.store.put(app, self.entity.kind, updates))
        if not updates:
            return JSONAnswer({})
        key = items[-1][1][self.entity.key]
        return JSONAnswer(self._shown(request, app, key, await self.found(context, app, key)))

    async def _delete_events(self, context: CollectorContext, app: str, key: str) -> int:
        mine = {"term": {f"{self.entity.key}.raw": key}}
        oldest = [{"request.time": "asc"}]
        body = {"size": DELETED_AT_ONCE, "query": mine, "sort": oldest, "_source": False, "track_total_hits": False}
        total = 0
        while hits := (await run_in_threadpool(context.store.search, app, "events", body))["hits"]["hits"]:
            found = [(hit["_id"], int(hit["sort"][0])) for hit in hits]
            done = [asyncio.wrap_future(context.store.delete(app, "events", name, time)) for name, time in found]
            if not (gone := sum(await asyncio.gather(*done))):
                # Somebody else deleted them meanwhile, and the search does not know it yet.
                break
            total += gone
        return total

    def _shown(self, request: Request, app: str, key: str, document: Document) -> Document:
        if self.entity.kind != "subscriptions":
            return profile(key, document)
        # What the Collector API stored may lack what the answer's schema requires.
        stamps = {"app_id": app, "org_id": organisation(request)}
        return {"status": "active", "type": "subscription", **present(document), **stamps}

    def _missing(self, key: str) -> Refusal:
        return Refusal(404, f"there is no {self.noun} {key[:100]!r}")


async def subscriptions_of(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer a company with its subscriptions."""
    key = request.path_params["id"]
    body = {"query": {"term": {"company_id.raw": key}}, "size": MOST_SUBSCRIPTIONS, "sort": [{"_id": "asc"}]}
    answer = await run_in_threadpool(context.store.search, app, "subscriptions", body)
    documents = [hit["_source"] for hit in answer["hits"]["hits"]]
    company = await run_in_threadpool(context.store.get, app, "companies", key)
    if company is None and not documents:
        raise Refusal(404, f"there is no company {key[:100]!r}")
    return JSONAnswer({**profile(key, company or {}), "subscriptions": documents})


def _operations(kind: str, noun: str, key: str, fields: Fields) -> Iterator[Operation]:
    calls = Profiles(Entity(kind, key, fields), noun)
    path, one, batch = f"{_BASE}/{kind}", f"{_BASE}/{kind}/{{id:path}}", f"{_BASE}/{kind}/batch"
    edits, app_id = (f"create:{kind}", f"update:{kind}"), (APP_ID,)
    shown, several = (_SUBSCRIPTION,) * 2 if kind == "subscriptions" else (_PROFILE, _BATCH)
    yield Operation("POST", batch, calls.update_batch, f"Create or update {kind}", edits, 200, app_id,
                    list_of(fields), answer=several, refusals=(400, 404, 413))  # fmt: skip
    yield Operation("POST", path, calls.update, f"Create or update a {noun}", edits, 200, app_id,
                    fields, answer=shown, refusals=(400, 404, 413))  # fmt: skip
    if kind == "companies":
        yield Operation("GET", f"{one}/subscriptions", subscriptions_of, "List a company's subscriptions",
                        ("read:companies",), 200, app_id, answer=_PROFILE, refusals=(404,))  # fmt: skip
    yield Operation("GET", one, calls.read, f"Get a {noun}", (f"read:{kind}",), 200, app_id,
                    answer=shown, refusals=(404,))  # fmt: skip
    if kind != "subscriptions":
        yield Operation("DELETE", one, calls.delete, f"Delete a {noun}", (f"delete:{kind}",), 200,
                        (APP_ID, Query("delete_events", FLAG)), answer=OBJECT, refusals=(400, 404))  # fmt: skip


_USER: Final = Fields({**USER.checks, **dict.fromkeys(_NAMES, checks.text)}, required=USER.required)
_NEW_SUBSCRIPTION: Final = Fields(
    {
        **SUBSCRIPTION.checks,
        **dict.fromkeys(("collection_method", "provider", "payment_status", "external_id", "version_id"), checks.text),
        **dict.fromkeys(("trial_start", "trial_end", "start_date", "cancel_time", "created"), checks.moment),
        "company_external_id": checks.text,
        "type": checks.text,
        "items": list_of(Fields({"plan_id": checks.text}, required=("plan_id",))),
    },
    required=SUBSCRIPTION.required,
)

OPERATIONS: Final = (
    *_operations("users", "user", "user_id", _USER),
    *_operations("companies", "company", "company_id", COMPANY),
    *_operations("subscriptions", "subscription", "subscription_id", _NEW_SUBSCRIPTION),
)
