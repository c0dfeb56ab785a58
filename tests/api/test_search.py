"""Search made pleasant: the body passes as it is, pages follow each other, relative times are pinned."""

import json

import pytest

from moesif_middleware import errors
from moesif_middleware.api.search import pinned

from .conftest import settle

# 2024-03-31T10:20:30.5Z
NOW = 1_711_880_430.5


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("now", "2024-03-31T10:20:30.500Z"),
        ("-90s", "2024-03-31T10:19:00.500Z"),
        ("-5m", "2024-03-31T10:15:30.500Z"),
        ("-24h", "2024-03-30T10:20:30.500Z"),
        ("+1d", "2024-04-01T10:20:30.500Z"),
        ("2w", "2024-04-14T10:20:30.500Z"),
        ("-1M", "2024-02-29T10:20:30.500Z"),
        ("1M", "2024-04-30T10:20:30.500Z"),
        ("-15M", "2022-12-31T10:20:30.500Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ],
)
def test_relative_times_are_pinned_to_now(value, moment):
    """In all units of the reference; a month ends with its last day; absolute times stay as they are."""
    assert pinned("from_", value, NOW) == moment


async def test_keywords_become_the_parts_of_the_dsl(management, stub):
    """Nothing is interpreted, and the window goes into the query."""
    await settle(
        management().events.search(
            where={"bool": {"filter": [{"exists": {"field": "user_id"}}]}},
            sort=[{"request.time": "desc"}, "_id"],
            size=50,
            source=["request.uri"],
            aggs={"n": {"sum": {"field": "weight"}}},
            search_after=[1, "a"],
            track_total_hits=True,
            from_="-1M",
            to="+1M",
            time_zone="America/Los_Angeles",
        )
    )
    seen = stub.requests[-1]
    assert seen.body == {
        "query": {"bool": {"filter": [{"exists": {"field": "user_id"}}]}},
        "sort": [{"request.time": "desc"}, "_id"],
        "size": 50,
        "_source": ["request.uri"],
        "aggs": {"n": {"sum": {"field": "weight"}}},
        "search_after": [1, "a"],
        "track_total_hits": True,
    }
    assert dict(seen.query) == {"from": "-1M", "to": "+1M", "time_zone": "America/Los_Angeles", "app_id": "~"}


async def test_a_body_of_the_reference_passes_as_it_is(management, stub):
    """A query from "Embed" in the page can be pasted; keywords win over its parts."""
    body = {"post_filter": {"bool": {"should": {"term": {"response.status": "500"}}}}, "size": 50, "from": 10}
    await settle(management().events.search(body, size=5))
    assert stub.requests[-1].body == body | {"size": 5}


async def test_events_are_searched_in_the_last_day_unless_told(management, stub):
    """Users and companies have no window of their own."""
    client = management()
    await settle(client.events.search())
    assert dict(stub.requests[-1].query) == {"from": "-1d", "to": "now", "app_id": "~"}
    await settle(client.users.search())
    assert dict(stub.requests[-1].query) == {"app_id": "~"}
    await settle(client.companies.search(from_="-1w", to="now"))
    assert dict(stub.requests[-1].query) == {"from": "-1w", "to": "now", "app_id": "~"}


async def test_count_takes_the_same_clause(management, stub):
    """The clause is the query of the body."""
    client = management()
    await settle(client.events.count(where={"term": {"user_id.raw": "123456"}}, from_="-1M"))
    assert stub.requests[-1].body == {"query": {"term": {"user_id.raw": "123456"}}}
    await settle(client.users.count({"query": {"match_all": {}}}))
    assert stub.requests[-1].path == "/v1/search/~/count/users"


def pages(stub, *sizes):
    number = 0
    for size in sizes:
        hits = [
            {"_id": f"e{number + item}", "sort": [1000 - number - item, f"e{number + item}"]} for item in range(size)
        ]
        stub.answer_next(201, json.dumps({"hits": {"total": 7, "hits": hits}}).encode())
        number += size


@pytest.mark.parametrize("group", ["events", "users", "companies"])
async def test_iterate_pages_to_the_end(management, stub, group):
    """Each page begins after the last hit of the one before; an empty one is the end; the window stays the same."""
    pages(stub, 3, 3, 1, 0)
    found = await settle(getattr(management(), group).iterate(size=3, from_="-1d", to="now"))
    assert [hit["_id"] for hit in found] == [f"e{number}" for number in range(7)]
    assert [seen.body.get("search_after") for seen in stub.requests] == [
        None,
        [998, "e2"],
        [995, "e5"],
        [994, "e6"],
    ]
    assert len({str(seen.query) for seen in stub.requests}) == 1
    assert "now" not in dict(stub.requests[0].query).values()


@pytest.mark.parametrize(
    ("sort", "sent"),
    [
        ({"user_id.raw": "desc"}, [{"user_id.raw": "desc"}, {"_id": "asc"}]),
        ("request.time", ["request.time", {"_id": "asc"}]),
        ([{"response.status": "asc"}, {"_id": "desc"}], [{"response.status": "asc"}, {"_id": "desc"}]),
        (["_id"], ["_id"]),
    ],
)
async def test_iterate_breaks_ties_by_id(management, stub, sort, sent):
    """Without one, documents of equal keys would be lost between pages (reference, "Pagination")."""
    pages(stub, 0)
    await settle(management().events.iterate(sort=sort))
    assert stub.requests[-1].body["sort"] == sent


async def test_iterate_sorts_by_time_unless_told(management, stub):
    """Newest first, a hundred per page."""
    pages(stub, 0)
    await settle(management().events.iterate())
    assert stub.requests[-1].body == {"size": 100, "sort": [{"request.time": "desc"}, {"_id": "asc"}]}


async def test_a_server_that_does_not_move_on_ends_the_iteration(management, stub):
    """Else it would never end."""
    hits = [{"_id": "e1", "sort": [5]}]
    for _ in range(2):
        stub.answer_next(201, json.dumps({"hits": {"hits": hits}}).encode())
    with pytest.raises(errors.APIError, match="does not lead on"):
        await settle(management().events.iterate(size=1))
