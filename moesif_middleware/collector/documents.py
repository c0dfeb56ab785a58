"""Documents of the Management API: one mechanism for all kinds that are created, listed, read, updated and deleted."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..models import wire_time
from .calls import Handler, context_of
from .checks import Fields, Unfit, schema_of
from .context import CollectorContext
from .operations import APP_ID, OBJECT, Operation, Query, array_of
from .parameters import whole_number
from .payload import MEGABYTE, parse_storable, read
from .refusals import JSONAnswer, Refusal

DOCUMENT_LIMIT: Final = MEGABYTE
LIST_LIMIT: Final = 1_000
"""Documents of one list that has pages."""

AUTHOR: Final = "management-api"
"""``auth_user_id`` of documents: keys have no users."""

STAMPS: Final = ("_id", "org_id", "app_id", "auth_user_id", "created", "created_at", "modified_at")
"""Fields that nobody can send: they are left out of what was."""

Document = dict[str, Any]
Shape = Callable[[Document], Document]
Written = Callable[[Document, int], Document]
Kept = Callable[[Request, Document], bool]


def as_it_is(document: Document) -> Document:
    """Return the document."""
    return document


def as_posted(document: Document, now_ms: int) -> Document:  # noqa: ARG001 - a Written
    """Return the document."""
    return document


def nothing(context: CollectorContext, app: str) -> None:
    """Do nothing after a change."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One kind of document.

    ``new`` checks what a document must be, ``changes`` what is posted to change one (null takes a field away).
    ``written`` turns what was posted, at a time in milliseconds, into what is stored (raises Unfit), ``shown`` what is
    stored into what is answered. ``constants`` are what a document has unless it says else. ``created`` and
    ``modified`` name the fields with the times. ``after`` is called when a document was written or deleted.
    """

    kind: str
    noun: str
    new: Fields
    changes: Fields
    created: str = "created_at"
    modified: str | None = "modified_at"
    constants: Mapping[str, Any] = field(default_factory=dict)
    written: Written = as_posted
    shown: Shape = as_it_is
    after: Callable[[CollectorContext, str], None] = nothing
    body_needed: bool = True
    """Whether something must be posted to create one."""
    own_id: str | None = None
    """The field that holds the id, where clients may choose it."""
    status_of_update: int = 200
    status_of_delete: int = 200

    @property
    def one(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeio' else 'a'} {self.noun}"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what is answered."""
        schema = schema_of(self.new)
        stamps = {"_id": {"type": "string"}, "app_id": {"type": "string"}, "org_id": {"type": "string"}}
        return {**schema, "properties": {**schema["properties"], **stamps}, "required": list(stamps)}

    def operations(
        self,
        path: str,
        scope: str,
        *,
        lists: Handler | None = None,
        list_query: tuple[Query, ...] = (),
        query: tuple[Query, ...] = (),
        also: str | None = None,
        change_verb: str = "POST",
    ) -> tuple[Operation, ...]:
        """Return the five operations. ``also`` is a second scope that who creates or changes a document needs."""
        one, query, refusals = f"{path}/{{id}}", (APP_ID, *query), (400, 404, 413)
        edits = (scope, also) if also else (scope,)

        def scopes(action: str) -> tuple[str, ...]:
            return tuple(f"{action}:{each}" for each in (edits if action in ("create", "update") else (scope,)))

        deleted = None if self.status_of_delete == 204 else OBJECT
        return (
            Operation("POST", path, self.create, f"Create {self.one}", scopes("create"), 201, query, self.new,
                      body_needed=self.body_needed, answer=self.schema, refusals=refusals),
            Operation("GET", path, lists or self.list, f"List every {self.noun}", scopes("read"), 200,
                      (APP_ID, *list_query), answer=array_of(self.schema), refusals=(400, 404)),
            Operation("GET", one, self.read, f"Get {self.one}", scopes("read"), 200, query,
                      answer=self.schema, refusals=(400, 404)),
            Operation(change_verb, one, self.update, f"Change {self.one}", scopes("update"), self.status_of_update,
                      query, self.changes, answer=self.schema, refusals=refusals),
            Operation("DELETE", one, self.delete, f"Delete {self.one}", scopes("delete"), self.status_of_delete,
                      query, answer=deleted, refusals=(400, 404)),
        )  # fmt: skip

    async def create(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Store what was posted under a new id; the answer is the document."""
        posted = await self.posted(request, self.new, needed=self.body_needed)
        document = self.stamped(posted, app, request, context.clock())
        async with context.editing:
            if self.own_id and await run_in_threadpool(context.store.get, app, self.kind, document["_id"]) is not None:
                raise Unfit(f"there is {self.one} with this id", self.own_id)
            await self.store(context, app, document)
        return JSONAnswer(self.shown(document), 201)

    async def list(self, request: Request, context: CollectorContext, app: str) -> Response:  # noqa: ARG002 - a Handler
        """Answer all documents, oldest first."""
        return JSONAnswer([self.shown(document) for document in await self.all(context, app)])

    def listing(self, kept: Kept, *, pages: bool = False) -> Handler:
        """Return the handler of a list that holds what ``kept`` says; ``pages``: newest first, by ``before_id``."""

        async def handler(request: Request, context: CollectorContext, app: str) -> Response:
            documents = [document for document in await self.all(context, app) if kept(request, document)]
            return JSONAnswer(
                [self.shown(document) for document in (paged(request, documents) if pages else documents)]
            )

        return handler

    async def read(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Answer one document."""
        return JSONAnswer(self.shown(await self.found(context, app, request.path_params["id"])))

    async def update(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Replace the fields that were posted and answer the document."""
        posted = await self.posted(request, self.changes)
        document = await self.edit(context, app, request.path_params["id"], lambda there: {**there, **posted})
        return JSONAnswer(self.shown(document), self.status_of_update)

    async def delete(self, request: Request, context: CollectorContext, app: str) -> Response:
        """Delete one document."""
        await self.remove(context, app, request.path_params["id"])
        return Response(status_code=204) if self.status_of_delete == 204 else JSONAnswer({}, self.status_of_delete)

    async def posted(self, request: Request, fields: Fields, *, needed: bool = True) -> Document:
        """Return what was posted, checked, without what only the server sets. Raises Unfit and Refusal."""
        document = await posted(request, needed=needed)
        fields(document)
        kept = {name: value for name, value in document.items() if name not in STAMPS}
        return self.written(kept, context_of(request).now_ms())

    def stamped(self, document: Document, app: str, request: Request, now: float) -> Document:
        """Return a new document with what the server sets."""
        chosen = document.get(self.own_id) if self.own_id else None
        stamps = {"_id": chosen or new_id(), "org_id": organisation(request), "app_id": app}
        stamps[self.created] = wire_time(now)
        if self.modified:
            stamps[self.modified] = stamps[self.created]
        if self.own_id:
            stamps[self.own_id] = stamps["_id"]
        return self.whole({**document, **stamps})

    def whole(self, document: Document) -> Document:
        """Return a document without its nulls, and with the constants in place of those that it lacks."""
        return present({**self.constants, **present(document)})

    async def all(self, context: CollectorContext, app: str) -> builtins.list[Document]:
        """Return all documents, oldest first."""
        documents = await run_in_threadpool(context.store.documents, app, self.kind)
        return sorted(documents, key=lambda document: (str(document.get(self.created)), str(document.get("_id"))))

    async def found(self, context: CollectorContext, app: str, key: str) -> Document:
        """Return one document as it is stored. Raises Refusal 404."""
        document = await run_in_threadpool(context.store.get, app, self.kind, key)
        if document is None:
            raise self.missing(key)
        return document

    async def edit(self, context: CollectorContext, app: str, key: str, change: Shape) -> Document:
        """Change one document and return it; edits of one process never overwrite each other. Raises Refusal 404."""
        async with context.editing:
            document = self.whole(change(await self.found(context, app, key)))
            self.new.complete(document)
            if self.own_id:
                document[self.own_id] = key
            if self.modified:
                document[self.modified] = wire_time(context.clock())
            await self.store(context, app, document)
        return document

    async def store(self, context: CollectorContext, app: str, *documents: Document) -> None:
        """Write documents as they are."""
        by_key = {document["_id"]: document for document in documents}
        await asyncio.wrap_future(context.store.put(app, self.kind, by_key, merge=False))
        self.after(context, app)

    async def remove(self, context: CollectorContext, app: str, *keys: str) -> None:
        """Delete documents. Raises Refusal 404 when one was not there."""
        done = [asyncio.wrap_future(context.store.delete(app, self.kind, key)) for key in keys]
        there = await asyncio.gather(*done)
        self.after(context, app)
        if not all(there):
            raise self.missing(keys[there.index(False)])

    def missing(self, key: str) -> Refusal:
        """Return the refusal for a document that is not there."""
        return Refusal(404, f"there is no {self.noun} {key[:100]!r}")


def new_id() -> str:
    """Return an id for a new document: 24 characters, as the reference's have."""
    return uuid4().hex[:24]


def organisation(request: Request) -> str:
    """Return the organisation of the path, ``~`` without one."""
    return str(request.path_params.get("org", "~"))


def present(document: Document) -> Document:
    """Return a document without its nulls."""
    return {name: value for name, value in document.items() if value is not None}


async def posted(request: Request, limit: int = DOCUMENT_LIMIT, *, needed: bool = True) -> Any:
    """Return the JSON that was posted, at most ``limit`` bytes; ``{}`` for none unless ``needed``. Raises Refusal."""
    raw = await read(request, limit)
    if not raw.strip() and not needed:
        return {}
    return parse_storable(raw, request.headers.get("content-encoding", ""), limit)


def paged(request: Request, documents: list[Document]) -> list[Document]:
    """Return the newest of ``documents`` (given oldest first): ``take`` of them, older than ``before_id``."""
    before = request.query_params.get("before_id")
    ids = [document["_id"] for document in documents]
    older = documents[: ids.index(before)] if before in ids else documents
    return older[::-1][: whole_number(request, "take", LIST_LIMIT)]
