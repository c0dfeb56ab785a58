"""The collector client against the project's own collector: what was sent is what is stored."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from moesif_middleware import errors
from moesif_middleware.api import (
    AsyncCollectorClient,
    AsyncManagementClient,
    CollectorClient,
    ManagementClient,
    documents,
)
from moesif_middleware.models import Action, Campaign, Company, Event, EventRequest, EventResponse, Subscription, User

from .conftest import making, settle
from .live import APP, KEY, READER, collecting


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with collecting(tmp_path_factory.mktemp("collector")) as (url, store):
        yield url, store


@pytest.fixture
def stored(live):
    """A function that reads a stored document."""
    return lambda kind, key: live[1].get(APP, kind, key)


@pytest.fixture
async def client(variant, live):
    kind = CollectorClient if variant == "sync" else AsyncCollectorClient
    async for make in making(kind, live[0], APP):
        yield make()


@pytest.fixture
async def managing(variant, live):
    kind = ManagementClient if variant == "sync" else AsyncManagementClient
    async for make in making(kind, live[0], KEY):
        yield make


def event(**changes):
    now = datetime.now(UTC)
    found = Event(
        EventRequest(time=now - timedelta(milliseconds=80), uri="https://api.example.com/items?a=1", verb="GET"),
        EventResponse(time=now, status=200, body={"items": [1, 2]}, transfer_encoding="json"),
        user_id="u1",
    )
    return replace(found, **changes)


async def test_an_event_is_stored_once_however_often_it_is_sent(client, stored, variant):
    """Models and documents alike; the transaction id is the caller's."""
    sent = event(transaction_id=f"{variant}-0000-0000")
    for form in (sent, sent.to_wire()):
        await settle(client.events.create(form))
    found = stored("events", sent.transaction_id)
    assert found["response"]["body"] == {"items": [1, 2]}
    assert found["duration_ms"] == 80


async def test_a_batch_is_stored_whole(client, stored, variant):
    """Events that come from a generator, mixed forms."""
    names = [f"{variant}-batch-{number}" for number in range(50)]
    events = (
        event(transaction_id=name) if number % 2 else event(transaction_id=name).to_wire()
        for number, name in enumerate(names)
    )
    assert await settle(client.events.create_batch(events)) == 50
    assert all(stored("events", name) for name in names)


async def test_actions_are_stored(client, stored, variant):
    """One and many."""
    action = Action("Clicked Sign Up", request={"uri": "https://acmeinc.com/pricing"}, user_id="u1")
    await settle(client.actions.create(replace(action, transaction_id=f"{variant}-action-0")))
    await settle(client.actions.create_batch([replace(action, transaction_id=f"{variant}-action-1")]))
    for number in (0, 1):
        assert stored("events", f"{variant}-action-{number}")["action_name"] == "Clicked Sign Up"


async def test_profiles_are_merged(client, stored, variant):
    """Users, companies and subscriptions keep what an update leaves out."""
    user, company, subscription = f"{variant}-u", f"{variant}-c", f"{variant}-s"
    await settle(client.users.update(User(user, company_id=company, campaign=Campaign(utm_source="docs"))))
    await settle(client.users.update_batch([{"user_id": user, "metadata": {"plan": "pro"}}]))
    await settle(client.companies.update(Company(company, company_domain="acmeinc.com")))
    await settle(client.companies.update_batch([Company(company, metadata={"seats": 3})]))
    start = datetime(2024, 2, 21, 17, 32, 28, tzinfo=UTC)
    await settle(client.subscriptions.update(Subscription(subscription, company, current_period_start=start)))
    await settle(client.subscriptions.update_batch([Subscription(subscription, company, status="active")]))
    found = stored("users", user)
    assert (found["company_id"], found["campaign"], found["metadata"]) == (
        company,
        {"utm_source": "docs"},
        {"plan": "pro"},
    )
    assert stored("companies", company)["metadata"] == {"seats": 3}
    found = stored("subscriptions", subscription)
    assert (found["current_period_start"], found["status"]) == ("2024-02-21T17:32:28.000Z", "active")


async def test_governance_rules_are_managed_and_served(client, managing):
    """What the management client creates is what the collector client reads, until it is deleted."""
    rules = managing().governance_rules
    rule = await settle(rules.create({"name": "no deletes", "type": "regex", "state": 2, "block": True}))
    assert (await settle(rules.get(rule["_id"])))["name"] == "no deletes"
    assert rule["_id"] in [item["_id"] for item in await settle(rules.list())]
    await settle(rules.update(rule["_id"], {"name": "no more deletes"}))
    served = {item["_id"]: item["name"] for item in await settle(client.rules())}
    assert served[rule["_id"]] == "no more deletes"
    await settle(rules.delete(rule["_id"]))
    with pytest.raises(errors.NotFound):
        await settle(rules.get(rule["_id"]))


async def test_the_config_is_read(client):
    """All rates are there."""
    config = await settle(client.config())
    assert config["sample_rate"] == 100
    assert config["user_rules"] == {}


async def test_a_key_without_the_scope_says_which(managing):
    """The collector answers 401 with its name."""
    with pytest.raises(errors.AuthenticationError) as caught:
        await settle(managing(READER).governance_rules.create({"name": "x", "type": "user", "state": 2, "block": True}))
    assert caught.value.missing_scope == "create:governance_rules"


async def test_a_wrong_application_id_is_an_authentication_error(variant, live):
    """It is said in the server's words."""
    kind = CollectorClient if variant == "sync" else AsyncCollectorClient
    async for make in making(kind, live[0], "wrong"):
        with pytest.raises(errors.AuthenticationError, match="X-Moesif-Application-Id"):
            await settle(make().users.update(User("u1")))


VALID = {"request": {"time": "2024-02-06T04:45:42.914Z", "uri": "https://a.example/", "verb": "GET", "headers": {}}}


def changed(**changes):
    return VALID | {"request": VALID["request"] | changes.pop("request", {})} | changes


@pytest.mark.parametrize(
    ("call", "source", "field"),
    [
        ("events.create", {}, "request"),
        ("events.create", changed(request={"uri": None}), "request.uri"),
        ("events.create", changed(request={"uri": ""}), "request.uri"),
        ("events.create", changed(request={"headers": []}), "request.headers"),
        ("events.create", changed(request={"transfer_encoding": "gzip"}), "request.transfer_encoding"),
        ("events.create", changed(response={"time": "now", "status": "200", "headers": {}}), "response.status"),
        ("events.create", changed(response={"time": "now", "status": True, "headers": {}}), "response.status"),
        ("events.create", changed(direction="in"), "direction"),
        ("events.create", changed(weight=1.5), "weight"),
        ("events.create", changed(user_id=7), "user_id"),
        ("events.create", changed(metadata={"tags": {1}}), "metadata.tags"),
        ("events.create", changed(metadata={"big": "x" * 1_100_000}), "event"),
        ("events.create", "text", "event"),
        ("events.create_batch", [VALID, changed(user_id=7)], "[1].user_id"),
        ("events.create_batch", [VALID, User("u1")], "[1]"),
        ("events.create_batch", [changed(metadata={"big": "x" * 1_100_000})], "[0]"),
        ("events.create_batch", [changed(metadata={"tags": [{1}]})], "[0].metadata.tags[0]"),
        ("actions.create", {"action_name": "x"}, "request"),
        ("actions.create", Action("", request={"uri": "https://a.example/"}), "action_name"),
        ("actions.create", Action("x", request={"uri": 7}), "request.uri"),
        ("users.update", {"company_id": "c1"}, "user_id"),
        ("users.update", User("u1", metadata="x"), "metadata"),
        ("companies.update", Company(""), "company_id"),
        ("subscriptions.update", {"subscription_id": "s1"}, "company_id"),
        ("subscriptions.update", Subscription("s1", "c1", status="frozen"), "status"),
    ],
)
async def test_what_the_api_does_not_take_is_refused_with_the_fields_name(collector, stub, call, source, field):
    """Before anything is sent."""
    group, _, name = call.partition(".")
    with pytest.raises(errors.InvalidModel) as caught:
        await settle(getattr(getattr(collector(), group), name)(source))
    assert caught.value.field == field
    assert not stub.requests


@pytest.fixture
def taking(stub):
    """The stub takes whatever is posted."""
    for _ in range(20):
        stub.answer_next(201)
    return stub


def users(*sizes):
    return [User(f"u{number}", metadata={"x": "x" * size}) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("limits", "sizes", "lengths"),
    [
        ({"batch_count": 3}, [0] * 7, [3, 3, 1]),
        ({"batch_count": 3}, [], []),
        ({"batch_bytes": 1_000}, [400, 400, 400, 800, 10], [2, 1, 2]),
        ({"batch_bytes": 1_000}, [900, 900], [1, 1]),
        ({"batch_bytes": 1_000, "batch_count": 2}, [10, 10, 10, 930], [2, 1, 1]),
    ],
)
async def test_batches_keep_both_limits(collector, taking, limits, sizes, lengths):
    """Split by count and by the bytes of the whole array, in order, with nothing lost."""
    client = collector()
    client.users._entity = replace(documents.USER, **limits)
    assert await settle(client.users.update_batch(users(*sizes))) == len(sizes)
    sent = [seen.body for seen in taking.requests]
    assert [len(body) for body in sent] == lengths
    assert [user["user_id"] for body in sent for user in body] == [f"u{number}" for number in range(len(sizes))]
    assert all(len(orjson.dumps(body)) <= limits.get("batch_bytes", 10**9) for body in sent)


def test_the_limits_are_those_of_the_reference():
    """50 MB of events, 12 MB of actions, 1 MB for one event."""
    assert documents.EVENT.batch_bytes == 50_000_000
    assert documents.ACTION.batch_bytes == 12_000_000
    assert documents.EVENT_BYTES == 2**20


async def test_a_refused_batch_says_what_is_left(collector, stub):
    """Its documents carry the transaction ids with which they would have been stored."""
    client = collector(attempts=1)
    client.events._entity = replace(documents.EVENT, batch_count=2)
    stub.answer_next(201)
    stub.answer_next(413, b'{"error": "too large"}')
    with pytest.raises(errors.InvalidRequest, match="too large") as caught:
        await settle(client.events.create_batch([VALID] * 5))
    assert caught.value.sent == 2
    assert list(caught.value.unsent) == stub.requests[1].body
    assert all(len(document["transaction_id"]) == 36 for document in caught.value.unsent)


async def test_events_are_repeated_with_their_ids(collector, stub, monkeypatch):
    """The server deduplicates, so that a lost answer costs nothing."""
    monkeypatch.setattr("random.Random.random", lambda _: 0.0)
    stub.answer_next(503)
    stub.answer_next(201)
    await settle(collector().events.create(VALID))
    first, second = (seen.body["transaction_id"] for seen in stub.requests)
    assert first == second


async def test_the_callers_document_is_left_alone(collector, taking):
    """Times are written and ids added on a copy."""
    document = {"request": VALID["request"] | {"time": datetime(2024, 2, 6, tzinfo=UTC)}}
    before = {"request": dict(document["request"])}
    await settle(collector().events.create(document))
    assert document == before
    assert taking.requests[0].body["request"]["time"] == "2024-02-06T00:00:00.000Z"


@pytest.mark.parametrize(("size", "encoding"), [(10, None), (5_000, "gzip")])
async def test_large_bodies_are_compressed(collector, taking, size, encoding):
    """A small one is not worth it."""
    await settle(collector().users.update_batch(users(size)))
    assert taking.requests[0].headers.get("content-encoding") == encoding
    assert taking.requests[0].body[0]["metadata"] == {"x": "x" * size}


async def test_telemetry_is_passed_on(collector, taking):
    """OTLP exports go out as they are."""
    await settle(collector().traces({"resourceSpans": []}))
    await settle(collector().logs({"resourceLogs": []}))
    assert [(seen.path, seen.body) for seen in taking.requests] == [
        ("/v1/traces", {"resourceSpans": []}),
        ("/v1/logs", {"resourceLogs": []}),
    ]


async def test_the_secure_proxys_path_works(variant, live, stored):
    """The same API under /collector/v1."""
    kind = CollectorClient if variant == "sync" else AsyncCollectorClient
    async for make in making(kind, live[0], APP):
        await settle(make(base_url=f"{live[0]}/collector/v1").users.update(User(f"{variant}-proxied")))
    assert stored("users", f"{variant}-proxied")


@pytest.mark.parametrize("kind", [CollectorClient, AsyncCollectorClient])
@pytest.mark.parametrize("key", ["", "a b", "a\n", "ä", "x" * 513])
def test_an_application_id_that_no_header_can_carry_is_refused(kind, key):
    """The error names the argument."""
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(key)
    assert caught.value.key == "application_id"
