"""Sampling: which rate a request has, when it is known, and what it makes of a draw."""

import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.errors import InvalidPayload
from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.governance import EMPTY, compile_config
from moesif_middleware.sansio.sampling import Sampling, keep, weight

# The example answer of the reference, "Get Config".
REFERENCE_CONFIG = b"""{
    "sample_rate": 100,
    "user_sample_rate": {},
    "company_sample_rate": { },
    "user_rules": { },
    "company_rules": {  },
    "regex_config": [
        {
            "conditions": [
                {
                    "path": "request.route",
                    "value": "/health/.*"
                }
            ],
            "sample_rate": 0
        }
    ]
}"""


def sampling(**config) -> Sampling:
    return compile_config(orjson.dumps(config)).sampling


def subject(path="/", verb="GET", **known) -> Subject:
    return Subject(ScopeHead({"method": verb, "path": path}, [(b"x-plan", b"free")]), **known)


def regex(rate, *conditions):
    return {"conditions": [{"path": path, "value": value} for path, value in conditions], "sample_rate": rate}


ROUTE, OTHER = ("request.route", "^/a"), ("request.route", "^/other")
STATUS = ("response.status", "^4")


def test_the_example_of_the_reference_samples_health_checks_at_0():
    config = compile_config(REFERENCE_CONFIG)
    assert config.problems == ()
    assert config.sampling.rate(subject("/health/live"), None, None) == 0
    assert config.sampling.rate_before(subject("/health/live"), None, None) == 0
    assert config.sampling.rate(subject("/items"), "u1", "c1") == 100
    assert config.sampling.rate_before(subject("/items"), None, None) == 100


USERS, COMPANIES = {"user_sample_rate": {"u": 20}}, {"company_sample_rate": {"c": 30}}


@pytest.mark.parametrize(
    ("config", "user_id", "company_id", "expected"),
    [
        ({}, "u", "c", 100),
        ({"sample_rate": 40}, "u", "c", 40),
        ({"sample_rate": 0}, "u", "c", 0),
        ({"sample_rate": 0.5}, "u", "c", 0.5),
        ({"sample_rate": 40} | USERS, "u", "c", 20),
        ({"sample_rate": 10} | USERS, "u", "c", 20),
        ({"sample_rate": 40} | USERS, "v", "c", 40),
        ({"sample_rate": 40} | USERS, None, "c", 40),
        ({"sample_rate": 40} | USERS, "", "c", 40),
        (COMPANIES, "u", "c", 30),
        (COMPANIES, None, "c", 30),
        (COMPANIES, "u", "d", 100),
        (COMPANIES, "c", None, 100),
        ({"user_sample_rate": {"u": 60}} | COMPANIES, "u", "c", 60),
        ({"user_sample_rate": {"u": 0}} | COMPANIES, "u", "c", 0),
        (USERS | COMPANIES, "v", "c", 30),
        ({"regex_config": [regex(50, ROUTE)]} | USERS, "u", "c", 20),
        ({"regex_config": [regex(10, ROUTE)]} | USERS, "u", "c", 10),
        ({"regex_config": [regex(50, ROUTE)]} | COMPANIES, "v", "c", 30),
        ({"regex_config": [regex(50, ROUTE)], "sample_rate": 5}, "v", "c", 50),
        ({"regex_config": [regex(50, OTHER)], "sample_rate": 5}, "v", "c", 5),
        ({"regex_config": [regex(50, ROUTE), regex(10, ROUTE)]}, "v", "c", 50),
        ({"regex_config": [regex(50, OTHER), regex(10, ROUTE)]}, "v", "c", 10),
        ({"regex_config": [regex(50, ROUTE, OTHER), regex(10, ROUTE)]}, "v", "c", 10),
        ({"regex_config": [regex(50), regex(10, ROUTE)]}, "v", "c", 10),
        ({"regex_config": [regex(50, ("request.nothing", "")), regex(10, ROUTE)]}, "v", "c", 10),
        ({"regex_config": [regex(50, ROUTE, ("request.nothing", ""))], "sample_rate": 5}, "v", "c", 5),
        ({"regex_config": [regex(50, ("request.headers.absent", ""))], "sample_rate": 5}, "v", "c", 5),
        ({"regex_config": [regex(50, ("request.headers.X-Plan", "free"))], "sample_rate": 5}, "v", "c", 50),
        ({"regex_config": [regex(50, ("request.verb", "get"))], "sample_rate": 5}, "v", "c", 50),
        ({"regex_config": [regex(50, ("request.route", "("))], "sample_rate": 5}, "v", "c", 5),
        ({"regex_config": [regex(50, STATUS)], "sample_rate": 5}, "v", "c", 50),
        ({"regex_config": [regex(50, ("request.body.plan", "pro"))], "sample_rate": 5}, "v", "c", 50),
        ({"regex_config": [regex(50, ("request.ip_address", "^10"))], "sample_rate": 5}, "v", "c", 50),
    ],
)
def test_the_rate_is_the_least_of_entity_and_regex_else_the_general_one(config, user_id, company_id, expected):
    request = subject("/a", ip_address="10.0.0.1", body=lambda: {"plan": "pro"}, status=404)
    assert sampling(**config).rate(request, user_id, company_id) == expected


@pytest.mark.parametrize(
    ("config", "user_id", "company_id", "expected"),
    [
        ({}, None, None, 100),
        ({"sample_rate": 0}, None, None, 0),
        # An id may still become known, unless the map it would be looked up in is empty.
        ({"sample_rate": 0} | USERS, None, None, None),
        ({"sample_rate": 0} | COMPANIES, None, None, None),
        ({"sample_rate": 0} | COMPANIES, "u", None, None),
        (USERS, "u", None, 20),
        (USERS, "v", None, 100),
        (USERS | COMPANIES, "u", None, 20),
        (USERS | COMPANIES, "v", None, None),
        (USERS | COMPANIES, None, "c", None),
        (USERS | COMPANIES, "v", "c", 30),
        (COMPANIES, None, "c", 30),
        (COMPANIES, "", "d", 100),
        # Nothing is less than 0, whoever it turns out to be and whatever the response.
        ({"regex_config": [regex(0, ROUTE)]} | USERS | COMPANIES, None, None, 0),
        ({"regex_config": [regex(50, STATUS)], "user_sample_rate": {"u": 0}}, "u", None, 0),
        ({"regex_config": [regex(50, ROUTE)]} | USERS, None, None, None),
        ({"regex_config": [regex(50, ROUTE)]} | USERS, "u", None, 20),
        # An entry that reads the response is open, unless it cannot match for another reason.
        ({"regex_config": [regex(0, STATUS)]}, None, None, None),
        ({"regex_config": [regex(0, STATUS, ROUTE)]}, None, None, None),
        ({"regex_config": [regex(0, STATUS, OTHER)]}, None, None, 100),
        ({"regex_config": [regex(50, ROUTE), regex(0, STATUS)]}, None, None, 50),
        ({"regex_config": [regex(0, STATUS), regex(50, ROUTE)]}, None, None, None),
        ({"regex_config": [regex(50, STATUS), regex(50, ROUTE)]}, None, None, 50),
        ({"regex_config": [regex(0, STATUS), regex(0, ROUTE)]}, None, None, 0),
        ({"regex_config": [regex(0, ("response.status", "("))]}, None, None, 100),
        # So is one that reads a body which nobody has read.
        ({"regex_config": [regex(0, ("request.body.plan", "free"))]}, None, None, None),
        ({"regex_config": [regex(0, ("request.nothing", "free"))]}, None, None, 100),
    ],
)
def test_the_rate_before_the_application_runs_is_given_only_when_it_is_certain(config, user_id, company_id, expected):
    assert sampling(**config).rate_before(subject("/a"), user_id, company_id) == expected


def test_a_body_that_was_read_ahead_makes_its_conditions_certain():
    loaded = sampling(regex_config=[regex(0, ("request.body.plan", "free"))])
    assert loaded.rate_before(subject(body=lambda: {"plan": "free"}), None, None) == 0
    assert loaded.rate_before(subject(body=lambda: None), None, None) == 100


RATES = st.sampled_from([0, 10, 50, 100])
IDS = st.sampled_from([None, "", "u", "v"])
CONDITIONS = st.lists(
    st.sampled_from([ROUTE, OTHER, STATUS, ("response.status", "200"), ("request.body.a", "x"), ("no.such", "")]),
    max_size=2,
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "sample_rate": RATES,
        "user_sample_rate": st.dictionaries(st.sampled_from(["u", "v"]), RATES),
        "company_sample_rate": st.dictionaries(st.sampled_from(["u", "v"]), RATES),
        "regex_config": st.lists(st.builds(lambda rate, some: regex(rate, *some), RATES, CONDITIONS), max_size=4),
    },
)


@given(CONFIGS, IDS, IDS, st.sampled_from([None, 200, 404]), st.sampled_from([None, {"a": "x"}, {}]), IDS, IDS)
def test_what_was_certain_before_is_what_it_comes_to(
    config, user_id, company_id, status, body, late_user, late_company
):
    loaded = sampling(**config)
    before = loaded.rate_before(subject("/a"), user_id, company_id)
    after = loaded.rate(
        subject("/a", status=status, body=lambda: body), user_id or late_user, company_id or late_company
    )
    assert before is None or before == after


@given(CONFIGS, IDS, IDS, st.sampled_from([200, 404]), st.sampled_from([None, {"a": "x"}]))
def test_once_everything_is_known_the_rate_is_certain(config, user_id, company_id, status, body):
    loaded = sampling(**config)
    finished = subject("/a", status=status, body=lambda: body)
    ids = (user_id or "nobody", company_id or "nobody")
    assert loaded.rate_before(finished, *ids) == loaded.rate(finished, *ids)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0, 1),
        (100, 1),
        (99, 1),
        (51, 1),
        (50, 2),
        (34, 2),
        (33, 3),
        (10, 10),
        (3, 33),
        (1, 100),
        (0.5, 200),
        (5e-324, 2**31 - 1),
    ],
)
def test_the_weight_is_how_many_requests_a_kept_event_stands_for(rate, expected):
    assert weight(rate) == expected
    assert type(weight(rate)) is int


@pytest.mark.parametrize(
    ("rate", "draw", "expected"),
    [
        (0, 0.0, False),
        (100, 0.0, True),
        (100, 1 - 2**-53, True),
        (50, 0.4999, True),
        (50, 0.5, False),
        (0.5, 0.004, True),
    ],
)
def test_a_request_is_kept_when_the_draw_is_below_the_rate(rate, draw, expected):
    assert keep(rate, draw) is expected


@pytest.mark.parametrize("rate", [10, 50])
def test_kept_events_times_their_weight_are_about_all_requests(rate):
    dice = random.Random(1)
    kept = sum(keep(rate, dice.random()) for _ in range(20_000))
    assert kept * weight(rate) == pytest.approx(20_000, rel=0.1)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, True),
        ({"sample_rate": 100, "regex_config": [], "user_sample_rate": {}}, True),
        ({"user_rules": {"u": []}}, True),
        ({"sample_rate": 99}, False),
        (USERS, False),
        (COMPANIES, False),
        ({"regex_config": [regex(100, ROUTE)]}, False),
    ],
)
def test_sampling_is_trivial_when_every_request_is_kept(config, expected):
    loaded = compile_config(orjson.dumps(config))
    assert loaded.sampling.trivial is expected
    assert EMPTY.with_config(loaded).idle is expected


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"sample_rate": "5"}, "sample_rate: the rate is str, not a number"),
        ({"sample_rate": True}, "sample_rate: the rate is bool"),
        ({"sample_rate": 101}, "not between 0 and 100"),
        ({"sample_rate": -1}, "not between 0 and 100"),
        ({"sample_rate": []}, "sample_rate: the rate is list"),
        ({"regex_config": {}}, "regex_config: is not a list"),
        ({"regex_config": [5]}, "regex_config[0]: the rate is NoneType"),
        ({"regex_config": [{"conditions": [], "sample_rate": None}]}, "regex_config[0]"),
        ({"regex_config": [{"sample_rate": 1}]}, "regex_config[0]: has no list of conditions"),
        ({"regex_config": [regex(5, ("request.route", "("))]}, "missing )"),
        ({"user_sample_rate": []}, "user_sample_rate: is not an object"),
        ({"user_sample_rate": {"u": "5"}}, "user_sample_rate.u: the rate is str"),
        ({"company_sample_rate": {"u": 500}}, "company_sample_rate.u: the rate 500"),
        ({"user_rules": 5}, "user_rules: is not an object"),
        ({"company_rules": {"u": {}}}, "company_rules.u: is dict, not a list"),
    ],
)
def test_what_cannot_be_used_is_recorded_and_the_rate_is_what_it_is_without_it(config, words):
    loaded = compile_config(orjson.dumps(config))
    assert any(words in text for text in loaded.problems)
    assert loaded.sampling.rate(subject(), "u", "u") == 100


@pytest.mark.parametrize("key", ["sample_rate", "user_sample_rate", "company_rules", "user_rules", "regex_config"])
def test_null_is_the_same_as_missing(key):
    loaded = compile_config(orjson.dumps({key: None}))
    assert loaded.problems == ()
    assert loaded.sampling.trivial


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[]", b"5", b'"a"', b"null", b'{"a":1', b'{"sample_rate":NaN}', b"\xff", b"{} {}"]
)
def test_a_document_that_is_no_json_object_is_refused_as_a_whole(data):
    with pytest.raises(InvalidPayload):
        compile_config(data)


KEYS = st.sampled_from(
    [
        "sample_rate",
        "user_sample_rate",
        "company_sample_rate",
        "regex_config",
        "conditions",
        "path",
        "value",
        "user_rules",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON), JSON, st.text(max_size=5), st.text(max_size=5))
def test_no_config_raises(config, body, user_id, company_id):
    try:
        data = orjson.dumps(config)
    except TypeError:
        return
    loaded = compile_config(data).sampling
    assert 0 <= loaded.rate(subject(body=lambda: body, status=200), user_id, company_id) <= 100
    loaded.rate_before(subject(), user_id, company_id)
