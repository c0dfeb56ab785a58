"""Both variants of the management client against the project's own collector, for what it serves."""

from datetime import UTC, datetime, timedelta

import pytest

from moesif_middleware import Company, Event, EventRequest, EventResponse, Subscription, User, errors
from moesif_middleware.api import AsyncManagementClient, CollectorClient, ManagementClient

from .conftest import making, settle
from .live import APP, KEY, collecting
from .stub import schema_of
from .test_operations import EXAMPLES, OPERATIONS, plausible, walked  # noqa: F401  # the fixture

COUNT = 250

# The file has one rule, servers answer the list of them.
UNLIKE_THE_FILE = {"GET /~/governance/rules"}


def recorded(number, now):
    """Event ``number``: two minutes after the next one, every tenth an error, two users in turn."""
    begin = now - timedelta(minutes=2 * number)
    return Event(
        EventRequest(time=begin, uri=f"https://api.example.com/items/{number}", verb="GET"),
        EventResponse(time=begin + timedelta(milliseconds=number), status=500 if number % 10 == 0 else 200),
        user_id=f"u{number % 2}",
        transaction_id=f"00000000-0000-4000-8000-{number:012}",
    )


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    now = datetime.now(UTC)
    with collecting(tmp_path_factory.mktemp("collector")) as (url, _):
        with CollectorClient(APP, base_url=url) as collector:
            collector.events.create_batch(recorded(number, now) for number in range(COUNT))
            collector.users.update_batch(User(f"u{number}", metadata={"even": number % 2 == 0}) for number in range(2))
            collector.companies.update(Company("c1", metadata={"plan": "pro"}))
        yield url


@pytest.fixture
async def client(variant, live):
    kind = ManagementClient if variant == "sync" else AsyncManagementClient
    async for make in making(kind, live, KEY):
        yield make()


async def test_a_search_finds_what_was_recorded(client):
    """Newest first, as the reference's example asks for errors."""
    page = await settle(
        client.events.search(
            where={"bool": {"filter": [{"term": {"response.status": 500}}]}},
            sort=[{"request.time": "desc"}],
            size=5,
        )
    )
    assert page["hits"]["total"] == COUNT / 10
    uris = [hit["_source"]["request"]["uri"] for hit in page["hits"]["hits"]]
    assert uris == [f"https://api.example.com/items/{number}" for number in range(0, 50, 10)]


@pytest.mark.parametrize("sort", [None, {"response.status": "asc"}, [{"user_id.raw": "desc"}, {"duration_ms": "asc"}]])
async def test_iterate_finds_each_document_once(client, sort):
    """Over several pages, also where many documents have the same key."""
    options = {} if sort is None else {"sort": sort}
    found = await settle(client.events.iterate(size=40, from_="-1d", **options))
    assert len(found) == COUNT
    assert len({hit["_id"] for hit in found}) == COUNT


async def test_times_bound_the_search(client):
    """Relative ones and datetimes."""
    newest = await settle(client.events.search(sort=[{"request.time": "desc"}], size=1))
    now = datetime.fromisoformat(newest["hits"]["hits"][0]["_source"]["request"]["time"])
    # The tests before took some minutes at most.
    recent = await settle(client.events.count(from_=timedelta(minutes=-399), to="now"))
    assert recent["count"] in range(190, 201)
    older = await settle(client.events.count(from_=now - timedelta(minutes=121), to=now - timedelta(minutes=61)))
    assert older["count"] == 30


async def test_aggregations_come_back(client):
    """With the names they were asked by."""
    by_user = {"terms": {"field": "user_id.raw"}, "aggs": {"weight|sum": {"sum": {"field": "weight"}}}}
    page = await settle(client.events.search(aggs={"by_user": by_user}, size=0))
    buckets = page["aggregations"]["by_user"]["buckets"]
    assert {bucket["key"]: bucket["weight|sum"]["value"] for bucket in buckets} == {"u0": 125, "u1": 125}


async def test_one_event_is_read(client):
    """By the id a search gave, near its time."""
    page = await settle(client.events.search(sort=[{"request.time": "desc"}], size=1))
    (hit,) = page["hits"]["hits"]
    event = await settle(client.events.get(hit["_id"], event_time=hit["_source"]["request"]["time"]))
    assert event["_source"]["request"]["uri"] == "https://api.example.com/items/0"


async def test_a_clause_that_is_not_served_is_refused_by_its_path(client):
    """400, in the server's words."""
    with pytest.raises(errors.InvalidRequest, match="geo_shape"):
        await settle(client.events.search(where={"geo_shape": {}}))


async def test_profiles_are_managed(client, variant):
    """Updated, read, searched, counted and deleted."""
    user, company = f"user-{variant}", f"company-{variant}"
    await settle(client.users.update(User(user, metadata={"plan": "pro"})))
    await settle(client.users.update_batch([User(user, company_id=company)]))
    await settle(client.companies.update(Company(company)))
    await settle(client.companies.update_batch([Company(company, metadata={"seats": 2})]))
    assert (await settle(client.users.get(user)))["_id"] == user
    assert user in [hit["_id"] for hit in await settle(client.users.iterate(size=2))]
    assert company in [hit["_id"] for hit in await settle(client.companies.iterate(size=2))]
    before = (await settle(client.users.count()))["count"]
    await settle(client.users.delete(user))
    assert (await settle(client.users.count()))["count"] == before - 1
    with pytest.raises(errors.NotFound):
        await settle(client.users.get(user))
    subscription = Subscription(f"s-{variant}", company, status="active")
    await settle(client.subscriptions.create(subscription))
    await settle(client.subscriptions.create_batch([subscription]))
    assert (await settle(client.subscriptions.get(f"s-{variant}")))["company_id"] == company
    await settle(client.subscriptions.of_company(company))
    await settle(client.companies.delete(company))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
async def test_no_operation_ends_in_a_server_error(operation, client, walked):  # noqa: F811
    """With arguments that the file accepts: an answer that fits its schema, or a refusal that says why."""
    (name,) = [name for name, *_ in walked[operation] if not name.endswith(".iterate")]
    group, _, own = name.partition(".")
    method = getattr(getattr(client, group), own)
    answer, refusal = None, None
    try:
        answer = await settle(method(**plausible(operation, method, app_id="~")))
    except errors.APIError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status in {400, 404, 405, 501}, refusal
        assert refusal.message
        return
    schema = schema_of(next(iter(OPERATIONS[operation]["responses"].values())))
    if schema is not None and operation not in UNLIKE_THE_FILE:
        assert EXAMPLES.errors(schema, answer) == []
