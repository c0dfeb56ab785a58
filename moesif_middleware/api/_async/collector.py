"""The Collector API's client (reference, "Collector API v1")."""

from __future__ import annotations

import gzip
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, cast

import httpx
import orjson

from ...errors import APIError, ConfigurationError, TransportError
from ...models import Action, Company, Event, Subscription, User
from ..budget import MinuteBudget
from ..calls import Call, Timeouts, encode
from ..documents import (
    ACTION,
    COMPANY,
    EVENT,
    SUBSCRIPTION,
    USER,
    CollectorConfig,
    Document,
    Entity,
    batches,
    encoded,
    wire,
)
from ..types import GovernanceRulesDocument
from .transport import AsyncClosing, AsyncTransport

COMPRESS_FROM = 1_024
"""Bytes; a smaller body is not worth the header."""


class _Recorder:
    """Sends one kind of document. Everything is repeatable: the server deduplicates events and merges profiles."""

    def __init__(self, transport: AsyncTransport, entity: Entity, path: str) -> None:
        self._transport = transport
        self._entity = entity
        self._path = path

    async def _one(self, source: object) -> None:
        document = wire(self._entity, source, _new_id)
        await self._send(self._path, encoded(self._entity, document))

    async def _many(self, sources: Iterable[object]) -> int:
        sent = 0
        for count, body in batches(self._entity, sources, _new_id):
            try:
                await self._send(f"{self._path}/batch", body)
            except (APIError, TransportError) as error:
                error.sent, error.unsent = sent, orjson.loads(body)
                raise
            sent += count
        return sent

    async def _send(self, path: str, body: bytes) -> None:
        small = len(body) < COMPRESS_FROM
        headers = {} if small else {"content-encoding": "gzip"}
        content = body if small else gzip.compress(body, compresslevel=1, mtime=0)
        await self._transport.send(Call("POST", path, body=content, headers=headers))


class AsyncEventRecorder(_Recorder):
    """API calls. An event without ``transaction_id`` is given one: sent twice, it is stored once."""

    async def create(self, event: Event | Mapping[str, Any]) -> None:
        """Log one API call. Raises InvalidModel, which names the field, APIError and TransportError."""
        await self._one(event)

    async def create_batch(self, events: Iterable[Event | Mapping[str, Any]]) -> int:
        """Log API calls in batches of at most 1 000 and 50 MB; return how many were sent.

        An APIError or TransportError says with ``sent`` how many the server has, and holds the refused batch as
        ``unsent``, with its transaction ids.
        """
        return await self._many(events)


class AsyncActionRecorder(_Recorder):
    """What users did outside an API call. Deduplicated as events are."""

    async def create(self, action: Action | Mapping[str, Any]) -> None:
        """Track one action. Raises InvalidModel, which names the field, APIError and TransportError."""
        await self._one(action)

    async def create_batch(self, actions: Iterable[Action | Mapping[str, Any]]) -> int:
        """Track actions in batches of at most 1 000 and 12 MB; return how many were sent. Errors as for events."""
        return await self._many(actions)


class AsyncUserRecorder(_Recorder):
    """User profiles. New properties merge into the stored ones."""

    async def update(self, user: User | Mapping[str, Any]) -> None:
        """Update one user. Raises InvalidModel, which names the field, APIError and TransportError."""
        await self._one(user)

    async def update_batch(self, users: Iterable[User | Mapping[str, Any]]) -> int:
        """Update users in batches; return how many were sent. Errors as for events."""
        return await self._many(users)


class AsyncCompanyRecorder(_Recorder):
    """Company profiles. New properties merge into the stored ones."""

    async def update(self, company: Company | Mapping[str, Any]) -> None:
        """Update one company. Raises InvalidModel, which names the field, APIError and TransportError."""
        await self._one(company)

    async def update_batch(self, companies: Iterable[Company | Mapping[str, Any]]) -> int:
        """Update companies in batches; return how many were sent. Errors as for events."""
        return await self._many(companies)


class AsyncSubscriptionRecorder(_Recorder):
    """Subscriptions of companies. New properties merge into the stored ones."""

    async def update(self, subscription: Subscription | Mapping[str, Any]) -> None:
        """Update one subscription. Raises InvalidModel, which names the field, APIError and TransportError."""
        await self._one(subscription)

    async def update_batch(self, subscriptions: Iterable[Subscription | Mapping[str, Any]]) -> int:
        """Update subscriptions in batches; return how many were sent. Errors as for events."""
        return await self._many(subscriptions)


class AsyncCollectorClient(AsyncClosing):
    """Sends events, actions and profiles, and reads what the middleware is told to do.

    Each call waits for the server's answer: inside an application use ``Moesif``, which queues. ``base_url`` may have
    a path, as the secure proxy's ``/collector/v1`` has. ``attempts`` counts the first one. Proxies come from the
    environment, or from an ``http`` client that stays the caller's to close.
    """

    def __init__(
        self,
        application_id: str,
        *,
        base_url: str = "https://api.moesif.net/v1",
        timeouts: Timeouts | None = None,
        attempts: int = 4,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]{1,512}", application_id):
            raise ConfigurationError("application_id", "is 1 to 512 characters of visible ASCII without spaces")
        transport = self._transport = AsyncTransport(
            base_url,
            {"x-moesif-application-id": application_id},
            timeouts=timeouts or Timeouts(),
            attempts=attempts,
            budget=MinuteBudget(None),
            http=http,
        )
        self.events = AsyncEventRecorder(transport, EVENT, "/events")
        self.actions = AsyncActionRecorder(transport, ACTION, "/actions")
        self.users = AsyncUserRecorder(transport, USER, "/users")
        self.companies = AsyncCompanyRecorder(transport, COMPANY, "/companies")
        self.subscriptions = AsyncSubscriptionRecorder(transport, SUBSCRIPTION, "/subscriptions")

    async def config(self) -> CollectorConfig:
        """Return the sampling rates and the entities that rules apply to (reference, "Get Config")."""
        return cast(CollectorConfig, (await self._transport.send(Call("GET", "/config"))).json())

    async def rules(self) -> list[GovernanceRulesDocument]:
        """Return the governance rules (reference, "Get Rules")."""
        return cast(list[GovernanceRulesDocument], (await self._transport.send(Call("GET", "/rules"))).json())

    async def traces(self, export: Document) -> None:
        """Send an OTLP/HTTP export of traces as JSON; HTTP server spans become events."""
        await self._transport.send(Call("POST", "/traces", body=encode(export), repeatable=False))

    async def logs(self, export: Document) -> None:
        """Send an OTLP/HTTP export of logs as JSON."""
        await self._transport.send(Call("POST", "/logs", body=encode(export), repeatable=False))


def _new_id() -> str:
    return str(uuid.uuid4())
