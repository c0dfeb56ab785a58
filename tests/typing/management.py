"""Typical uses of the management client, and wrong ones that mypy must refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from zoneinfo import ZoneInfo

from moesif_middleware.api import AsyncManagementClient, ManagementClient, Timeouts
from moesif_middleware.api.search import CountAnswer, EventSearch
from moesif_middleware.api.types import (
    AppResponseDTO,
    EventResponseDTO,
    GovernanceRuleCreateItem,
    GovernanceRulesDocument,
    UserResponseDTO,
    WorkspaceDocument,
)
from moesif_middleware.errors import RateLimited
from moesif_middleware.models import Company, Subscription, User


def search() -> None:
    with ManagementClient("key", base_url="http://localhost:9500/api/v1", timeouts=Timeouts(total=20)) as client:
        page = client.events.search(
            where={"term": {"response.status": 500}},
            sort=[{"request.time": "desc"}, "_id"],
            size=50,
            from_=timedelta(hours=-1),
            to=datetime.now(UTC),
            time_zone=ZoneInfo("America/Los_Angeles"),
        )
        assert_type(page, EventSearch)
        for hit in page["hits"]["hits"]:
            assert_type(hit, EventResponseDTO)
            assert_type(hit["_source"]["response"]["status"], int)
        for event in client.events.iterate(where={"exists": {"field": "user_id"}}, from_="-1M"):
            assert_type(event, EventResponseDTO)
        counted = client.events.count(where={"match_all": {}})
        assert_type(counted, CountAnswer)
        assert_type(counted["count"], int)
        client.events.search(sise=10)  # type: ignore[call-arg]
        client.events.search(size="10")  # type: ignore[arg-type]
        client.events.get("e1")  # type: ignore[call-arg]


def profiles(client: ManagementClient) -> None:
    assert_type(client.users.update(User("u1", company_id="c1")), UserResponseDTO)
    client.users.update({"user_id": "u1", "metadata": {"plan": "pro"}})
    client.users.update_batch([User("u1"), {"user_id": "u2"}])
    client.companies.update_batch(Company(name) for name in ("c1", "c2"))
    client.subscriptions.create(Subscription("s1", "c1", status="active"))
    client.users.update({"company_id": "c1"})  # type: ignore[arg-type]
    client.users.update(Company("c1"))  # type: ignore[arg-type]
    client.users.delete("u1", delete_events=True)


def rules(client: ManagementClient) -> None:
    rule: GovernanceRuleCreateItem = {"name": "no deletes", "type": "regex", "state": 2, "block": True}
    created = client.governance_rules.create(rule)
    assert_type(created, GovernanceRulesDocument)
    assert_type(client.governance_rules.list(), list[GovernanceRulesDocument])
    client.governance_rules.update(created["_id"], {"block": False})
    client.governance_rules.create({"name": "x", "blok": True})  # type: ignore[typeddict-item, typeddict-unknown-key]
    try:
        client.governance_rules.delete(created["_id"])
    except RateLimited as error:
        assert_type(error.retry_after, float | None)


async def asynchronously() -> None:
    async with AsyncManagementClient("key", app_id="198:3", attempts=2, per_minute=None) as client:
        assert_type(await client.apps.list(), list[AppResponseDTO])
        assert_type(await client.workspaces.list(access=["public"], take=10), list[WorkspaceDocument])
        assert_type(await client.workspaces.comments("w1"), Any)
        async for event in client.events.iterate():
            assert_type(event, EventResponseDTO)
        async for user in client.users.iterate(size=10):
            assert_type(user, UserResponseDTO)
        await client.keystore.list(from_="-1M", type_="collector")
