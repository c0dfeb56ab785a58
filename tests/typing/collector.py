"""Typical uses of the collector client, and wrong ones that mypy must refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import assert_type

from moesif_middleware.api import AsyncCollectorClient, CollectorClient
from moesif_middleware.api.documents import CollectorConfig
from moesif_middleware.api.types import GovernanceRulesDocument
from moesif_middleware.errors import InvalidModel
from moesif_middleware.models import Action, Company, Event, EventRequest, EventResponse, Subscription, User


def record() -> None:
    now = datetime.now(UTC)
    request = EventRequest(time=now, uri="https://api.example.com/items", verb="GET", headers={"Accept": "*/*"})
    event = Event(request, EventResponse(time=now, status=200), user_id="u1")
    with CollectorClient("application-id") as client:
        client.events.create(event)
        assert_type(client.events.create_batch([event, event.to_wire()]), int)
        client.actions.create(Action("Signed Up", request={"uri": "https://example.com/"}))
        client.users.update(User("u1", metadata={"plan": "pro"}))
        client.companies.update({"company_id": "c1"})
        client.subscriptions.update_batch(Subscription(name, "c1") for name in ("s1", "s2"))
        assert_type(client.config(), CollectorConfig)
        assert_type(client.rules(), list[GovernanceRulesDocument])
        client.users.update(Company("c1"))  # type: ignore[arg-type]
        client.users.update_batch(User("u1"))  # type: ignore[arg-type]
        client.events.update(event)  # type: ignore[attr-defined]


async def record_asynchronously(events: list[Event]) -> AsyncIterator[int]:
    async with AsyncCollectorClient("application-id", base_url="http://localhost:9500/collector/v1") as client:
        try:
            yield await client.events.create_batch(events)
        except InvalidModel as error:
            assert_type(error.field, str)
        assert_type(await client.config(), CollectorConfig)
