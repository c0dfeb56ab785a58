"""A call as values: paths, queries, errors of answers, and when to ask again."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest

from moesif_middleware import errors
from moesif_middleware.api.budget import MinuteBudget
from moesif_middleware.api.calls import Call, Reply, call, encode, failure, pause_after
from moesif_middleware.models import Company, User

NOON = datetime(2024, 2, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("u1", "/users/u1"),
        ("a/b", "/users/a%2Fb"),
        ("~", "/users/~"),
        ("ä ?#", "/users/%C3%A4%20%3F%23"),
        (7, "/users/7"),
    ],
)
def test_a_parameter_fills_the_blank_of_its_name(value, path):
    """It is percent-encoded, so that an id stays one segment."""
    assert call("GET /users/{id}", {"id": value}).path == path


@pytest.mark.parametrize("value", ["", ".", "..", None])
def test_an_id_that_would_name_another_resource_is_refused(value):
    """DELETE /users/.. would mean something else; the error names the parameter."""
    with pytest.raises(errors.InvalidModel) as caught:
        call("DELETE /users/{id}", {"id": value})
    assert caught.value.field == "id"


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({"app_id": "~"}, (("app_id", "~"),)),
        ({"app_id": None}, ()),
        ({"type_": "x"}, (("type", "x"),)),
        ({"success": True}, (("success", "true"),)),
        ({"access": ["a", "b"]}, (("access", "a"), ("access", "b"))),
        ({"time_zone": ZoneInfo("America/Los_Angeles")}, (("time_zone", "America/Los_Angeles"),)),
        ({"from_": "-1d", "to": "now"}, (("from", "-1d"), ("to", "now"))),
        ({"from_": NOON}, (("from", "2024-02-06T12:00:00.000Z"),)),
        ({"from_": date(2024, 2, 6)}, (("from", "2024-02-06"),)),
        ({"from_": timedelta(days=-2)}, (("from", "-172800s"),)),
        ({"to": timedelta(hours=1)}, (("to", "+3600s"),)),
    ],
)
def test_the_other_parameters_go_into_the_query(given, query):
    """Under their wire name and in the wire's form; None is left out."""
    assert call("GET /events", given).query == query


@pytest.mark.parametrize("value", ["yesterday", "-1y", "1 d", "--1d", "2024-13-01", ""])
def test_a_time_that_is_none_is_refused_before_it_is_sent(value):
    """The error names the parameter as the wire does."""
    with pytest.raises(errors.InvalidModel) as caught:
        call("GET /events", {"from_": value})
    assert caught.value.field == "from"


def test_a_body_may_be_models_and_documents():
    """Models go out as their wire documents, without what is not set, also inside a list."""
    body = encode([User("u1", metadata={"at": NOON}), {"user_id": "u2"}])
    assert orjson.loads(body) == [{"user_id": "u1", "metadata": {"at": "2024-02-06T12:00:00Z"}}, {"user_id": "u2"}]
    body = encode(Company("c1", modified_time=NOON.timestamp()))
    assert orjson.loads(body) == {"company_id": "c1", "modified_time": "2024-02-06T12:00:00.000Z"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"metadata": {"plan": {1, 2}}}, "metadata.plan"),
        ([{"a": 1}, {"b": [0, object()]}], "[1].b[1]"),
        (Company("c1", metadata={"n": 2**70}), "metadata.n"),
        ({"metadata": {1: "x"}}, "metadata.1"),
        (object(), "body"),
    ],
)
def test_what_is_not_json_is_named(document, field):
    """By the path to the innermost value that cannot be encoded."""
    with pytest.raises(errors.InvalidModel) as caught:
        encode(document)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, errors.InvalidRequest),
        (400, errors.InvalidRequest),
        (401, errors.AuthenticationError),
        (402, errors.PaymentRequired),
        (404, errors.NotFound),
        (405, errors.InvalidRequest),
        (406, errors.InvalidRequest),
        (410, errors.InvalidRequest),
        (429, errors.RateLimited),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_each_status_has_its_error(status, kind):
    """With the status, the request's id, the body and the server's words."""
    error = failure(Reply(status, {"x-request-id": "r1"}, b'{"error": {"message": "no"}}'), 0)
    assert type(error) is kind
    assert (error.status, error.request_id, error.body, error.message) == (
        status,
        "r1",
        {"error": {"message": "no"}},
        "no",
    )


@pytest.mark.parametrize(
    ("headers", "body", "scope"),
    [
        ({"www-authenticate": 'Bearer error="insufficient_scope", scope="read:events"'}, b"", "read:events"),
        ({}, b'{"error": "the management key lacks the scope create:users"}', "create:users"),
        ({}, b'{"missing": ["read:users", "update:users"], "message": "no"}', "read:users update:users"),
        ({}, b"<html>no</html>", None),
    ],
)
def test_a_missing_scope_is_named(headers, body, scope):
    """Where the server said which: in its challenge or in its words."""
    error = failure(Reply(401, headers, body), 0)
    assert isinstance(error, errors.AuthenticationError)
    assert error.missing_scope == scope
    assert (scope or "401") in str(error)


def test_the_rate_limits_error_says_when_to_come_back():
    """In seconds, whichever form the header has; None when there is none."""
    for header, seconds in (("7", 7), ("Tue, 06 Feb 2024 12:00:30 GMT", 30), ("soon", None)):
        error = failure(Reply(429, {"retry-after": header}, b""), NOON.timestamp())
        assert isinstance(error, errors.RateLimited)
        assert error.retry_after == seconds


READ = Call("GET", "/x")
CREATE = Call("POST", "/x", repeatable=False)


@pytest.mark.parametrize(
    ("call", "status", "headers", "pause"),
    [
        *((READ, status, {}, 0.25) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((READ, status, {}, None) for status in (301, 400, 401, 402, 403, 404, 405, 410, 413, 501)),
        (READ, 429, {"retry-after": "9"}, 9.25),
        (READ, 503, {"retry-after": "9"}, 9.25),
        (READ, 500, {"retry-after": "9"}, 0.25),
        (CREATE, 429, {}, 0.25),
        *((CREATE, status, {}, None) for status in (408, 500, 502, 503, 504)),
    ],
)
def test_only_what_may_change_is_asked_again(call, status, headers, pause):
    """Transient answers, and for a call that must not run twice only 429, which says that it did not run."""
    assert pause_after(Reply(status, headers, b""), call, 1, now=0, draw=0.5) == pause


def test_the_budget_spreads_calls_over_calendar_minutes():
    """What does not fit into this minute starts with the next, or the one after it."""
    budget = MinuteBudget(2)
    assert [budget.reserve(90.0) for _ in range(6)] == [0, 0, 30, 30, 90, 90]
    assert budget.reserve(240.0) == 0


def test_a_refused_call_closes_the_budget_for_all():
    """429 holds for the key, not for the call that got it."""
    for budget in (MinuteBudget(2), MinuteBudget(None)):
        budget.close_until(100.0)
        assert budget.reserve(90.0) == 10
        assert budget.reserve(101.0) == 0


def test_an_answer_that_is_not_json_is_an_error_with_its_body():
    """Something between the client and the API answered."""
    with pytest.raises(errors.APIError) as caught:
        Reply(200, {}, b"<html>").json()
    assert caught.value.body == b"<html>"
    assert Reply(204, {}, b" ").json() is None
