"""What the rules decide, row by row of the specification."""

import orjson
import pytest

from moesif_middleware.errors import InvalidPayload
from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.governance import (
    ALLOW,
    EMPTY,
    Allow,
    Block,
    Decision,
    Snapshot,
    compile_config,
    compile_rules,
    sendable,
)
from tests.reference import RULES


def subject(verb="GET", path="/", headers=(), **known) -> Subject:
    raw = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
    return Subject(ScopeHead({"method": verb, "path": path}, raw), **known)


def snapshot(rules=(), **config) -> Snapshot:
    return EMPTY.with_rules(compile_rules(orjson.dumps(rules))).with_config(compile_config(orjson.dumps(config)))


def decide(rules, request=None, user_id=None, company_id=None, **config) -> Decision:
    return snapshot(rules, **config).decide(request or subject(), user_id, company_id)


def test_the_example_of_the_reference_blocks_the_user_of_the_cohort_as_printed():
    cohort = [{"rules": "64ca685a833073c6b41b15f3", "values": {"0": "Free", "1": "1000"}}]
    loaded = EMPTY.with_rules(compile_rules(RULES)).with_config(
        compile_config(orjson.dumps({"user_rules": {"u1": cohort}}))
    )
    assert loaded.problems == ()
    decision = loaded.decide(subject(), "u1")
    assert isinstance(decision, Block)
    assert decision.status == 429
    assert dict(decision.headers) == {"X-Rate-Limit-Month": "1000", "Content-Type": "application/json"}
    assert decision.rule_id == "64ca685a833073c6b41b15f3"
    assert orjson.loads(decision.body) == {
        "error_code": "too_many_requests",
        "message": "You exceeded your monthly quota of 1000 for the Free plan. Please upgrade your plan.",
    }
    assert loaded.decide(subject(), "u2") == Allow()


def rule(identifier, kind="regex", *, when=None, **keys) -> dict:
    """Return a rule; ``when`` is the route its only group asks for."""
    group = {"conditions": [{"path": "request.route", "value": when}]}
    return {"_id": identifier, "type": kind, **({"regex_config": [group]} if when else {}), **keys}


def adds(identifier, kind="regex", *, value=None, **keys) -> dict:
    """Return a rule that leaves its mark in the header X-Rule."""
    return rule(identifier, kind, response={"headers": {"X-Rule": value or identifier}}, **keys)


def marks(identifier, kind="regex", **keys) -> dict:
    """Return a rule that leaves its mark in a header of its own."""
    return rule(identifier, kind, response={"headers": {f"X-{identifier}": "1"}}, **keys)


def in_cohort(*identifiers) -> list:
    return [{"rules": identifier, "values": {}} for identifier in identifiers]


# Whom a rule concerns, and the order of application


@pytest.mark.parametrize(
    ("rules", "ids", "cohort", "expected"),
    [
        # Unidentified: only what asks for it, whatever applied_to says.
        (["user"], (None, None), [], []),
        (["user", "applied_to_unidentified"], (None, None), [], ["a"]),
        (["user", "applied_to_unidentified"], ("", ""), [], ["a"]),
        (["user", "applied_to_unidentified", "not_matching"], (None, None), [], ["a"]),
        (["user", "not_matching"], (None, None), [], []),
        (["company", "applied_to_unidentified"], (None, None), [], ["a"]),
        (["company", "applied_to_unidentified"], ("u", None), [], ["a"]),
        (["company"], ("u", None), [], []),
        # Identified: the cohort, or those outside of it.
        (["user"], ("u", None), ["a"], ["a"]),
        (["user"], ("u", None), [], []),
        (["user"], ("u", None), ["b"], []),
        (["user", "applied_to_unidentified"], ("u", None), [], []),
        (["user", "applied_to_unidentified"], ("u", None), ["a"], ["a"]),
        (["user", "not_matching"], ("u", None), [], ["a"]),
        (["user", "not_matching"], ("u", None), ["b"], ["a"]),
        (["user", "not_matching"], ("u", None), ["a"], []),
        (["user"], ("v", None), ["a"], []),
        (["user", "not_matching"], ("v", None), ["a"], ["a"]),
        (["company"], (None, "u"), ["a"], ["a"]),
        (["company"], ("u", None), ["a"], []),
        (["company", "not_matching"], (None, "u"), ["b"], ["a"]),
        (["company", "not_matching"], (None, "u"), ["a"], []),
        # A regex rule concerns everybody.
        (["regex"], (None, None), [], ["a"]),
        (["regex"], ("u", "u"), [], ["a"]),
        (["regex", "not_matching"], ("u", "u"), ["a"], ["a"]),
    ],
)
def test_whom_a_rule_concerns(rules, ids, cohort, expected):
    kind, *flags = rules
    keys = {"applied_to_unidentified": True} if "applied_to_unidentified" in flags else {}
    keys |= {"applied_to": "not_matching"} if "not_matching" in flags else {}
    entities = {"u": in_cohort(*cohort)} if cohort else {}
    decision = decide([adds("a", kind, **keys)], None, *ids, user_rules=entities, company_rules=entities)
    assert list(decision.rules) == expected
    assert decision.headers == ((("X-Rule", "a"),) if expected else ())


@pytest.mark.parametrize("kind", ["regex", "company", "user"])
@pytest.mark.parametrize(("ids", "flags"), [(("u", "u"), {}), ((None, None), {"applied_to_unidentified": True})])
@pytest.mark.parametrize(("when", "applies"), [(None, True), ("^/a", True), ("^/b", False)])
def test_a_rule_of_any_type_applies_only_where_its_regex_config_matches(kind, ids, flags, when, applies):
    entities = {"u": in_cohort("a")}
    loaded = [adds("a", kind, when=when, **flags)]
    decision = decide(loaded, subject(path="/a"), *ids, user_rules=entities, company_rules=entities)
    assert (decision.headers != ()) is applies


@pytest.mark.parametrize("kind", ["company", "user"])
def test_a_not_matching_rule_applies_only_where_its_regex_config_matches(kind):
    loaded = [adds("a", kind, when="^/a", applied_to="not_matching")]
    assert decide(loaded, subject(path="/a"), "u", "u").rules == ("a",)
    assert decide(loaded, subject(path="/b"), "u", "u").rules == ()


def test_user_beats_company_beats_regex_wherever_they_stand_in_the_document():
    loaded = [adds("u", "user"), adds("c", "company"), adds("r")]
    cohorts = {"user_rules": {"u1": in_cohort("u")}, "company_rules": {"c1": in_cohort("c")}}
    assert decide(loaded, None, "u1", "c1", **cohorts).headers == (("X-Rule", "u"),)
    assert decide(loaded, None, "u2", "c1", **cohorts).headers == (("X-Rule", "c"),)
    assert decide(loaded, None, "u2", "c2", **cohorts).headers == (("X-Rule", "r"),)
    assert decide(loaded, None, "u1", "c1", **cohorts).rules == ("r", "c", "u")


def test_regex_rules_are_applied_in_the_order_of_the_rules():
    assert decide([adds("a"), adds("b")]).headers == (("X-Rule", "b"),)
    assert decide([adds("b"), adds("a")]).headers == (("X-Rule", "a"),)


def test_regex_rules_keep_their_order_whatever_conditions_they_share():
    """They are found by their rarest condition, and applied by their place."""

    def when(*patterns):
        return [{"conditions": [{"path": "request.route", "value": pattern} for pattern in patterns]}]

    loaded = [
        adds("first", regex_config=when("z") + when("/a", "b")),
        adds("second", regex_config=when("c")),
        adds("always"),
        adds("third", regex_config=when("/a")),
        adds("never", regex_config=when("/a", "z")),
        adds("fourth", regex_config=when("b") + when("c")),
    ]
    decision = decide(loaded, subject(path="/abc"))
    assert decision.rules == ("first", "second", "always", "third", "fourth")
    assert decision.headers == (("X-Rule", "fourth"),)
    assert decide(loaded, subject(path="/c")).rules == ("second", "always", "fourth")
    assert decide(loaded, subject(path="/")).rules == ("always",)


def test_cohort_rules_are_applied_in_the_order_of_the_config_and_not_matching_ones_after_them():
    loaded = [adds("n", "user", applied_to="not_matching"), adds("a", "user"), adds("b", "user")]
    assert decide(loaded, None, "u", user_rules={"u": in_cohort("b", "a")}).rules == ("b", "a", "n")
    assert decide(loaded, None, "u", user_rules={"u": in_cohort("a", "b")}).headers == (("X-Rule", "n"),)


@pytest.mark.parametrize(
    "entry",
    [
        {"rules": "missing", "values": {}},
        {"rules": "elsewhere", "values": {}},
        {"rules": "outside", "values": {}},
        {"rules": "company", "values": {}},
        {"values": {}},
        {"rules": None},
        {"rules": ["good"]},
        {},
        "good",
        None,
        5,
        [],
    ],
)
def test_an_entry_that_cannot_apply_is_passed_over_and_the_next_one_applies(entry):
    loaded = [
        marks("elsewhere", "user", when="^/elsewhere"),
        marks("outside", "user", applied_to="not_matching"),
        marks("company", "company"),
        marks("good", "user"),
    ]
    decision = decide(loaded, None, "u", user_rules={"u": [entry, *in_cohort("good")]})
    assert decision.headers[0] == ("X-good", "1")
    assert {"missing", "elsewhere", "company"}.isdisjoint(decision.rules)


@pytest.mark.parametrize("entries", [None, 5, "good", {"rules": "good"}, [], [[]]])
def test_entries_that_are_no_list_of_objects_are_no_cohort(entries):
    assert decide([adds("good", "user")], None, "u", user_rules={"u": entries}) == Allow()


@pytest.mark.parametrize(("identifier", "key"), [(5, "5"), ("5", "5"), (5.5, "5.5"), (True, "True"), (0, "0")])
def test_ids_are_compared_as_strings(identifier, key):
    assert decide([adds("a", "user")], None, identifier, user_rules={key: in_cohort("a")}).rules == ("a",)


def test_a_rule_with_nothing_but_id_and_type_applies_and_changes_nothing():
    assert decide([{"_id": "a", "type": "regex"}]) == Allow((), ("a",))


def test_a_rule_of_several_matching_groups_applies_once():
    groups = [{"conditions": [{"path": "request.verb", "value": "GET"}]}] * 2
    assert decide([adds("a", regex_config=groups)]).rules == ("a",)


@pytest.mark.parametrize("config", [[{"conditions": []}], [{}], [None], [{"conditions": {}}], ["x"], [[]]])
def test_a_group_without_conditions_matches_nothing(config):
    assert decide([adds("a", regex_config=config)]) == Allow()


@pytest.mark.parametrize("config", [{}, "x", 5, True])
def test_a_rule_whose_regex_config_is_no_list_is_skipped(config):
    assert decide([adds("a", regex_config=config)]) == Allow()


def test_a_response_condition_never_matches_before_the_response():
    groups = [{"conditions": [{"path": "response.status", "value": ""}]}]
    assert decide([adds("a", regex_config=groups)]) == Allow()


# Blocking


@pytest.mark.parametrize("block", [False, None, "true", 1, [], {}])
def test_a_rule_blocks_only_when_block_is_true(block):
    assert isinstance(decide([adds("a", block=block)]), Allow)
    assert isinstance(decide([adds("a")]), Allow)


def test_the_last_blocking_rule_has_the_last_word_and_every_rule_adds_its_headers():
    loaded = [
        rule("r", block=True, response={"status": 402, "headers": {"X-R": "r", "X-All": "r"}, "body": {"by": "r"}}),
        rule("c", "company", block=True, response={"status": 429, "headers": {"x-all": "c"}, "body": {"by": "c"}}),
        rule("u", "user", response={"status": 418, "headers": {"X-U": "u"}, "body": {"by": "u"}}),
    ]
    cohorts = {"user_rules": {"u1": in_cohort("u")}, "company_rules": {"c1": in_cohort("c")}}
    decision = decide(loaded, None, "u1", "c1", **cohorts)
    assert decision == Block(
        429,
        (("X-R", "r"), ("x-all", "c"), ("X-U", "u"), ("Content-Type", "application/json")),
        b'{"by":"c"}',
        "c",
        ("r", "c", "u"),
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, 429),
        (100, 100),
        (599, 599),
        (200, 200),
        (99, 403),
        (600, 403),
        (0, 403),
        (-1, 403),
        (None, 403),
        ("429", 403),
        (429.0, 403),
        (True, 403),
        ([], 403),
        (2**63, 403),
    ],
)
def test_the_status_is_the_rules_when_it_is_one_else_403(status, expected):
    assert decide([rule("a", block=True, response={"status": status})]).status == expected
    assert decide([rule("a", block=True)]).status == 403
    assert decide([rule("a", block=True, response=None)]).status == 403


@pytest.mark.parametrize(("status", "sent"), [(100, 403), (199, 403), (200, 200), (599, 599)])
def test_a_status_that_no_server_can_send_is_sent_as_403(status, sent):
    decision = decide([rule("a", block=True, response={"status": status, "body": 1})])
    assert isinstance(decision, Block)
    assert sendable(decision) == decision._replace(status=sent)


def test_a_body_nested_too_deeply_to_be_written_is_null_and_recorded():
    deep = b"[" * 300 + b"]" * 300
    data = b'[{"_id": "a", "type": "regex", "block": true, "response": {"body": %s}}]' % deep
    loaded = compile_rules(data)
    decision = loaded.decide(subject())
    assert isinstance(decision, Block)
    assert decision.body == b"null"
    assert "the body cannot be sent" in loaded.problems[0]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"body": {"a": [1, None, "x"]}}, b'{"a":[1,null,"x"]}'),
        ({"body": "text"}, b'"text"'),
        ({"body": ["a"]}, b'["a"]'),
        ({"body": 0}, b"0"),
        ({"body": False}, b"false"),
        ({"body": {}}, b"{}"),
        ({"body": {"a": 1}, "original_encoded_body": '{"b":2}'}, b'{"a":1}'),
        ({"original_encoded_body": '{"b":  2}'}, b'{"b":  2}'),
        ({"body": None, "original_encoded_body": '{"b":2}'}, b'{"b":2}'),
        ({"original_encoded_body": "eyJiIjoyfQ=="}, b'{"b":2}'),
        ({"original_encoded_body": "1234"}, b"1234"),
        ({"original_encoded_body": "no, you do not"}, b"no, you do not"),
        ({"original_encoded_body": "/////w=="}, b"/////w=="),
        ({"original_encoded_body": ""}, b""),
        ({"original_encoded_body": {"b": 2}}, b"null"),
        ({}, b"null"),
        ({"body": "é\u2028"}, '"é\u2028"'.encode()),
        ({"status": 204, "body": {"a": 1}}, b""),
        ({"status": 205, "body": {"a": 1}}, b""),
        ({"status": 304, "body": {"a": 1}}, b""),
        ({"status": 100, "body": {"a": 1}}, b'{"a":1}'),
    ],
)
def test_the_body_is_json_or_the_original_encoded_body_when_there_is_none(response, expected):
    assert decide([rule("a", block=True, response=response)]).body == expected


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({}, 403, [("Content-Type", "application/json")]),
        ({"content-type": "text/plain"}, 403, [("content-type", "text/plain")]),
        ({"CONTENT-TYPE": "application/problem+json"}, 403, [("CONTENT-TYPE", "application/problem+json")]),
        ({"X-A": "b"}, 403, [("X-A", "b"), ("Content-Type", "application/json")]),
        ({}, 204, []),
    ],
)
def test_a_block_is_application_json_unless_the_rule_says_otherwise(headers, status, expected):
    decision = decide([rule("a", block=True, response={"headers": headers, "status": status})])
    assert list(decision.headers) == expected


# Headers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie: b"),
        ("a\0b\nc\rd", "abcd"),
        ("tab\there", "tab\there"),
        (" around \t", "around"),
        ("é\x7f\x80~", "~"),
        ("", ""),
        (5, "5"),
        (1.5, "1.5"),
        (True, "True"),
        ("x" * 10_000, "x" * 8192),
    ],
)
def test_what_a_header_may_not_hold_is_taken_out(value, expected):
    assert decide([rule("a", response={"headers": {"X-A": value}})]).headers == (("X-A", expected),)


@pytest.mark.parametrize("value", [None, [], {}, ["a"]])
def test_a_header_that_is_no_scalar_is_left_out(value):
    loaded = snapshot([rule("a", response={"headers": {"X-A": value, "X-B": "1"}})])
    assert loaded.decide(subject()).headers == (("X-B", "1"),)
    assert len(loaded.problems) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "a:b", "a\r\n", "é", "a\0", "(a)"),
        *(
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Date",
            "Server",
        ),
        *("Proxy-Authenticate", "proxy-anything"),
    ],
)
def test_a_header_that_a_rule_may_not_set_is_left_out_and_recorded(name):
    loaded = snapshot([rule("a", block=True, response={"headers": {name: "x", "X-B": "1"}})])
    assert loaded.decide(subject()).headers == (("X-B", "1"), ("Content-Type", "application/json"))
    assert len(loaded.problems) == 1


def test_at_most_64_headers_are_added_and_the_last_rules_win():
    first = rule("a", response={"headers": {f"X-A{at}": "a" for at in range(60)}})
    last = rule("b", response={"headers": {f"X-B{at}": "b" for at in range(10)}})
    headers = decide([first, last]).headers
    assert len(headers) == 64
    assert {name for name, _ in headers} >= {f"X-B{at}" for at in range(10)}


# Templates

PLAN = [{"name": "0", "path": "body.plan"}, {"name": "quota", "path": "body.quota"}]


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{{0}}", {"0": "Free"}, "Free"),
        ("a {{0}} b {{quota}} c {{0}}", {"0": "Free", "quota": "10"}, "a Free b 10 c Free"),
        ("{{0}}", {}, "UNKNOWN"),
        ("{{0|none}}", {}, "none"),
        ("{{0|}}", {}, ""),
        ("{{0|a b|c}}", {}, "a b|c"),
        ("{{0|none}}", {"0": "Free"}, "Free"),
        ("{{0}}", {"0": ""}, ""),
        ("{{0}}", {"0": None}, "UNKNOWN"),
        ("{{0}}", {"0": []}, "UNKNOWN"),
        ("{{0}}", {"0": 10}, "10"),
        ("{{0}}", {"0": True}, "True"),
        ("{{0}}", {"0": "{{quota}}", "quota": "10"}, "{{quota}}"),
        ("{{0}}{{quota}}", {"0": "{{", "quota": "0}}"}, "{{0}}"),
        ("{{other}}", {"other": "x"}, "{{other}}"),
        ("{{other|x}}", {}, "{{other|x}}"),
        ("{{{0}}}", {"0": "Free"}, "{Free}"),
        ("{0} {{0} {{}} {{ 0 }} {{0", {"0": "Free"}, "{0} {{0} {{}} {{ 0 }} {{0"),
        ("plain", {"0": "Free"}, "plain"),
    ],
)
def test_variables_are_filled_in_headers_and_bodies(template, values, expected):
    body = {"text": template, template + "#": [template, {"deep": [template]}], "n": 1}
    loaded = [rule("a", "user", block=True, variables=PLAN, response={"headers": {"X-A": template}, "body": body})]
    decision = decide(loaded, None, "u", user_rules={"u": [{"rules": "a", "values": values}]})
    assert dict(decision.headers)["X-A"] == expected.strip()
    assert orjson.loads(decision.body) == {
        "text": expected,
        expected + "#": [expected, {"deep": [expected]}],
        "n": 1,
    }


@pytest.mark.parametrize("value", ['quo"te', "back\\slash", "new\nline", "é\u2028\0", '","admin":true,"x":"', "{{0}}"])
def test_a_value_stays_text_inside_the_json_of_a_body(value):
    loaded = [rule("a", "user", block=True, variables=PLAN, response={"body": {"text": "<{{0}}>"}})]
    decision = decide(loaded, None, "u", user_rules={"u": [{"rules": "a", "values": {"0": value}}]})
    assert orjson.loads(decision.body) == {"text": f"<{value}>"}


def test_a_value_in_a_header_cannot_split_the_response():
    loaded = [rule("a", "user", variables=PLAN, response={"headers": {"X-A": "{{0}}"}})]
    entry = {"rules": "a", "values": {"0": "x\r\nSet-Cookie: admin=1"}}
    assert decide(loaded, None, "u", user_rules={"u": [entry]}).headers == (("X-A", "xSet-Cookie: admin=1"),)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "é", "a b", "a.b"])
def test_a_variable_may_have_any_name_that_a_template_can_spell(name):
    response = {"body": {"x": f"{{{{{name}}}}} {{{{{name}|no}}}}"}, "headers": {"X-A": f"{{{{{name}}}}}"}}
    loaded = [rule("a", "user", block=True, variables=[{"name": name, "path": "p"}], response=response)]
    decision = decide(loaded, None, "u", user_rules={"u": [{"rules": "a", "values": {name: "v"}}]})
    assert orjson.loads(decision.body) == {"x": "v v"}
    assert decision.headers[0] == ("X-A", "v")


def test_a_template_does_not_reach_over_the_end_of_its_string():
    body = {"a": "{{0|x", "b": "y}}", "c": "{{0", "d": "}}", "e": {"f": "{{0|x"}}
    loaded = [rule("a", block=True, variables=PLAN, response={"body": body})]
    assert orjson.loads(decide(loaded).body) == body


@pytest.mark.parametrize("variables", [None, [], [{}], [5], {}])
def test_a_rule_without_variables_is_left_as_it_is(variables):
    loaded = [
        rule("a", "user", block=True, variables=variables, response={"headers": {"X-A": "{{0}}"}, "body": "{{0}}"})
    ]
    decision = decide(loaded, None, "u", user_rules={"u": [{"rules": "a", "values": {"0": "Free"}}]})
    assert decision.headers[0] == ("X-A", "{{0}}")
    assert decision.body == b'"{{0}}"'


@pytest.mark.parametrize(
    ("kind", "user_id", "keys"),
    [
        ("regex", None, {}),
        ("user", None, {"applied_to_unidentified": True}),
        ("user", "u", {"applied_to": "not_matching"}),
    ],
)
def test_where_nobody_gives_values_the_defaults_stand(kind, user_id, keys):
    loaded = [rule("a", kind, variables=PLAN, response={"headers": {"X-A": "{{0}} {{quota|none}}"}}, **keys)]
    assert decide(loaded, None, user_id).headers == (("X-A", "UNKNOWN none"),)


@pytest.mark.parametrize(("original", "expected"), [('{"a":"{{0}}"}', b'{"a":"x\\"y"}'), ("hello {{0}}", b'hello x"y')])
def test_an_original_encoded_body_is_a_template_too(original, expected):
    loaded = [rule("a", "user", block=True, variables=PLAN, response={"original_encoded_body": original})]
    decision = decide(loaded, None, "u", user_rules={"u": [{"rules": "a", "values": {"0": 'x"y'}}]})
    assert decision.body == expected


def test_rendering_leaves_the_rules_as_they_are():
    loaded = snapshot(
        [rule("a", "user", block=True, variables=PLAN, response={"body": {"x": "{{0}}"}})],
        user_rules={name: [{"rules": "a", "values": {"0": name}}] for name in ("u", "v")},
    )
    assert [loaded.decide(subject(), name).body for name in "uvu"] == [b'{"x":"u"}', b'{"x":"v"}', b'{"x":"u"}']


# What cannot be used


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (5, "is not an object"),
        (None, "is not an object"),
        ({}, "has no _id"),
        ({"_id": "b"}, "the type None is not one of regex, company, user"),
        ({"_id": "b", "type": "subscription"}, "the type 'subscription'"),
        ({"_id": "b", "type": ["user"]}, "the type ['user']"),
        ({"_id": "", "type": "regex"}, "has no _id"),
        ({"_id": {}, "type": "regex"}, "has no _id"),
        (adds("b", applied_to="everybody"), "applied_to 'everybody'"),
        (adds("b", regex_config="x"), "regex_config is not a list"),
        ({"_id": "b", "type": "regex", "response": []}, "response is list, not dict"),
    ],
)
def test_a_rule_that_cannot_be_used_is_skipped_and_recorded_and_the_others_apply(bad, words):
    loaded = snapshot([adds("a"), bad])
    assert loaded.decide(subject()).rules == ("a",)
    assert any(words in text and text.startswith("rules: [1]") for text in loaded.problems)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"block": "yes"}, "block is neither true nor false"),
        ({"applied_to_unidentified": 1}, "applied_to_unidentified is neither true nor false"),
        ({"variables": {}}, "variables is dict, not list"),
        ({"variables": [{}]}, "variables[0]: has no name"),
        ({"response": {"headers": []}}, "headers is list, not dict"),
        ({"response": {"status": "x"}}, "the status 'x' is no HTTP status"),
        ({"regex_config": [{"conditions": [{"path": "x.y", "value": "a"}]}]}, "'x.y' is not known"),
        ({"regex_config": [{"conditions": [5]}]}, "the path None is not known"),
    ],
)
def test_a_key_that_cannot_be_used_is_recorded(keys, words):
    assert any(words in text for text in snapshot([rule("a", **keys)]).problems)


def test_the_later_of_two_rules_with_one_id_counts_and_that_is_recorded():
    loaded = snapshot([adds("a", value="one"), adds("b"), adds("a", value="two")])
    assert loaded.decide(subject()).rules == ("b", "a")
    assert "came before" in loaded.problems[0]


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"5", b"null", b"[", b'[{"_id":NaN}]', b"\xff", b"[] []"])
def test_rules_that_are_no_json_array_are_refused_as_a_whole(data):
    with pytest.raises(InvalidPayload):
        compile_rules(data)


# What is read


@pytest.mark.parametrize(
    ("path", "reads_body", "reads_headers"),
    [
        ("request.route", False, False),
        ("request.headers.x", False, True),
        ("request.body.x", True, False),
        ("request.body.query", True, False),
        ("request.nothing", False, False),
    ],
)
def test_the_body_is_wanted_only_when_a_rule_reads_it(path, reads_body, reads_headers):
    loaded = snapshot([rule("a", regex_config=[{"conditions": [{"path": path, "value": "x"}]}])])
    assert (loaded.rules.reads_body, loaded.rules.reads_headers) == (reads_body, reads_headers)


def test_without_rules_nothing_of_the_request_is_looked_at():
    assert EMPTY.idle
    assert EMPTY.decide(None, "u", "c") is ALLOW  # type: ignore[arg-type]


def test_a_graphql_operation_can_be_blocked():
    conditions = [
        {"path": "request.body.operationName", "value": "^Drop"},
        {"path": "request.route", "value": "^/graphql$"},
    ]
    loaded = [rule("a", block=True, regex_config=[{"conditions": conditions}])]
    for name, expected in (("DropAll", Block), ("GetAll", Allow)):
        request = subject(path="/graphql", verb="POST", body=lambda name=name: {"operationName": name, "query": "..."})
        assert isinstance(decide(loaded, request), expected)
    assert isinstance(decide(loaded, subject(path="/graphql")), Allow)


@pytest.mark.parametrize("values", [None, [], ["a"], "a", 5, {}, {"0": None}, {"0": {}}])
def test_values_that_are_none_give_the_default(values):
    loaded = [rule("u", "user", variables=[{"name": "0"}], response={"headers": {"X": "{{0|x}}"}})]
    cohorts = {"u1": [{"rules": "u", "values": values}], "u2": [{"rules": "u"}]}
    for user_id in ("u1", "u2"):
        assert decide(loaded, None, user_id, user_rules=cohorts).headers == (("X", "x"),)


REGEX_RATE = {"sample_rate": 0, "conditions": [{"path": "request.route", "value": "a"}]}


@pytest.mark.parametrize(
    ("rules", "config", "idle", "silent", "identifies"),
    [
        ([], {}, True, False, False),
        ([], {"sample_rate": 0}, False, True, False),
        ([], {"sample_rate": 50}, False, False, False),
        ([], {"sample_rate": 0, "user_sample_rate": {"u": 1}}, False, False, True),
        ([], {"sample_rate": 0, "company_sample_rate": {"c": 1}}, False, False, True),
        ([], {"sample_rate": 0, "regex_config": [REGEX_RATE]}, False, False, False),
        ([], {"user_rules": {"u": []}}, True, False, False),
        (["regex"], {}, False, False, False),
        (["regex"], {"sample_rate": 0}, False, False, False),
        (["user"], {}, False, False, True),
        (["company"], {}, False, False, True),
    ],
)
def test_a_snapshot_knows_what_no_request_needs(rules, config, idle, silent, identifies):
    """Idle: nothing is decided. Silent: nobody's events are kept, and no rule asks. Else it may matter who it is."""
    loaded = snapshot([rule("a", kind) for kind in rules], **config)
    assert (loaded.idle, loaded.silent, loaded.identifies) == (idle, silent, identifies)


def test_a_snapshot_is_replaced_and_never_changed():
    one = EMPTY.with_rules(compile_rules(orjson.dumps([adds("a")])))
    two = one.with_config(compile_config(b'{"sample_rate":5}'))
    assert (EMPTY.idle, one.idle, two.idle) == (True, False, False)
    assert two.rules is one.rules
    assert (one.sampling.sample_rate, two.sampling.sample_rate) == (100, 5)
    with pytest.raises(AttributeError):
        one.rules = two.rules  # type: ignore[misc]
