"""The compiled rules against a plain reading of the specification, and what must hold for any JSON at all."""

import copy
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.governance import EMPTY, Allow, Block, Snapshot, compile_config, compile_rules


def load(rules, config) -> Snapshot:
    return EMPTY.with_rules(compile_rules(orjson.dumps(rules))).with_config(compile_config(orjson.dumps(config)))


def subject(request) -> Subject:
    headers = [(name.encode(), value.encode()) for name, value in request["headers"].items()]
    head = ScopeHead({"method": request["verb"], "path": request["route"]}, headers)
    return Subject(head, ip_address=request["ip"], body=lambda: request["body"], status=request["status"])


class Plain:
    """The specification in the order of its sentences, on the documents themselves, with ``re`` and no cleverness."""

    def __init__(self, rules, config, request, user_id, company_id):
        self.rules, self.config, self.request = rules, config, request
        self.ids = {"user": user_id, "company": company_id}

    def field(self, path):
        request = self.request
        if path in ("request.verb", "request.route", "response.status"):
            return request[path.partition(".")[2]]
        if path in ("request.ip_address", "request.ip"):
            return request["ip"]
        if path.startswith("request.headers."):
            wanted = path[len("request.headers.") :].lower()
            return next((value for name, value in request["headers"].items() if name.lower() == wanted), None)
        if path.startswith("request.body.") and isinstance(request["body"], dict):
            return request["body"].get(path[len("request.body.") :])
        return None

    def holds(self, condition):
        value = self.field(condition["path"])
        if value is None or isinstance(value, (list, dict)):
            return False
        flags = re.IGNORECASE if condition["path"] == "request.verb" else 0
        try:
            return re.search(str(condition["value"]), str(value), flags) is not None
        except re.error:
            return False

    def group_holds(self, group):
        return bool(group["conditions"]) and all(self.holds(one) for one in group["conditions"])

    def matches(self, rule):
        groups = rule.get("regex_config", [])
        return not groups or any(self.group_holds(group) for group in groups)

    def in_force(self):
        found = [(rule, {}) for rule in self.rules if rule["type"] == "regex" and self.matches(rule)]
        for kind in ("company", "user"):
            mine = [rule for rule in self.rules if rule["type"] == kind]
            if not self.ids[kind]:
                found += [(rule, {}) for rule in mine if rule.get("applied_to_unidentified") and self.matches(rule)]
                continue
            entries = self.config.get(f"{kind}_rules", {}).get(self.ids[kind], [])
            for entry in entries:
                for rule in mine:
                    matching = rule.get("applied_to", "matching") != "not_matching"
                    if rule["_id"] == entry["rules"] and matching and self.matches(rule):
                        found.append((rule, entry["values"]))
            cohorts = [entry["rules"] for entry in entries]
            for rule in mine:
                if rule.get("applied_to") == "not_matching" and rule["_id"] not in cohorts and self.matches(rule):
                    found.append((rule, {}))
        return found

    def fill(self, rule, values, thing):
        if isinstance(thing, dict):
            return {self.fill(rule, values, key): self.fill(rule, values, value) for key, value in thing.items()}
        if isinstance(thing, list):
            return [self.fill(rule, values, value) for value in thing]
        if not isinstance(thing, str):
            return thing
        names = [variable["name"] for variable in rule.get("variables", [])]

        def replacement(found):
            name, bar, default = found[1].partition("|")
            return values.get(name, default if bar else "UNKNOWN") if name in names else found[0]

        return re.sub(r"\{\{([^{}|][^{}]*)\}\}", replacement, thing)

    def decide(self):
        headers, block = {}, None
        for rule, values in self.in_force():
            response = rule.get("response", {})
            for name, value in response.get("headers", {}).items():
                headers[name.lower()] = self.fill(rule, values, value)
            if rule.get("block"):
                block = (response.get("status", 403), self.fill(rule, values, response.get("body")), rule["_id"])
        if block:
            headers.setdefault("content-type", "application/json")
        return headers, block

    def rate(self):
        config = self.config
        entity = config.get("user_sample_rate", {}).get(self.ids["user"])
        if entity is None:
            entity = config.get("company_sample_rate", {}).get(self.ids["company"])
        entries = [entry["sample_rate"] for entry in config.get("regex_config", []) if self.group_holds(entry)]
        rates = [rate for rate in [entity, *entries[:1]] if rate is not None]
        return min(rates) if rates else config.get("sample_rate", 100)


HOLD = st.sampled_from(
    [
        ("request.verb", "^get|put$"),
        ("request.route", ""),
        ("request.headers.X-A", "a"),
        ("request.body.a", "(ab)+"),
        ("request.body.b", 1),
    ]
)
VARY = st.tuples(
    st.sampled_from(
        [
            "request.verb",
            "request.route",
            "request.ip",
            "request.ip_address",
            "request.headers.X-A",
            "request.body.a",
            "request.body.operationName",
            "response.status",
            "request.x",
            "",
        ]
    ),
    st.sampled_from(["", "a", "^/a", "b$", "(", "^4", "x?y", r"\.1$", True]),
)
CONDITIONS = st.lists((HOLD | VARY).map(lambda pair: dict(zip(("path", "value"), pair, strict=True))), max_size=2)
GROUPS = st.lists(st.fixed_dictionaries({"conditions": CONDITIONS}), max_size=2)
PIECES = ["{{0}}", "{{1|d}}", "{{2}}", "{{x|}}", "a", '"', "{{", "}}", "{", "|", "\\", "{{0|a}}"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=2).map(lambda pieces: "{{0}}" + "".join(pieces))
BODIES = (
    TEXTS
    | st.lists(TEXTS | st.integers(0, 9), max_size=2)
    | st.dictionaries(TEXTS, TEXTS | st.just([True]), max_size=2)
)
NAMES = st.sampled_from(["0", "1", "x"])
RESPONSES = st.fixed_dictionaries(
    {"body": BODIES, "headers": st.dictionaries(st.sampled_from(["X-A", "x-a", "X-B"]), TEXTS, min_size=1, max_size=2)},
    optional={"status": st.sampled_from([200, 429, 599])},
)
VARIABLES = [{"name": "0", "path": "p"}, {"name": "1", "path": "p"}, {"name": "x", "path": "p"}]
RULE = st.fixed_dictionaries(
    {"type": st.sampled_from(["regex", "company", "user"]), "response": RESPONSES},
    optional={
        "block": st.booleans(),
        "applied_to": st.sampled_from(["matching", "not_matching"]),
        "applied_to_unidentified": st.booleans(),
        "regex_config": GROUPS,
        "variables": st.sampled_from([VARIABLES, VARIABLES, VARIABLES[:1], []]),
    },
)
RULES = st.lists(RULE, min_size=1, max_size=5).map(
    lambda rules: [{"_id": f"r{at}", **rule} for at, rule in enumerate(rules)]
)
VALUES = st.sampled_from([{"0": "v"}, {}, {"0": "{{1}}", "1": '"', "x": "w"}])
ENTRIES = st.lists(
    st.fixed_dictionaries({"rules": st.sampled_from(["r0", "r1", "r2", "r3", "r4", "r9"]), "values": VALUES}),
    max_size=3,
    unique_by=lambda entry: entry["rules"],
)
IDS = st.sampled_from(["u", "u", "u", "v", "", None])
COHORTS = st.fixed_dictionaries({"u": ENTRIES})
RATES = st.integers(0, 100)
RATE_MAPS = st.fixed_dictionaries({"u": RATES})
CONFIG = st.fixed_dictionaries({"user_rules": COHORTS, "company_rules": COHORTS})
ENTRY = st.fixed_dictionaries({"conditions": CONDITIONS, "sample_rate": RATES})
RATES_CONFIG = st.fixed_dictionaries(
    {"regex_config": st.lists(ENTRY, max_size=3)},
    optional={"sample_rate": RATES, "user_sample_rate": RATE_MAPS, "company_sample_rate": RATE_MAPS},
)
REQUEST = st.fixed_dictionaries(
    {
        "verb": st.sampled_from(["GET", "put", "AB"]),
        "route": st.sampled_from(["/", "/ab"]),
        "ip": st.sampled_from([None, "10.0.0.1"]),
        "headers": st.sampled_from([{}, {"x-a": "ab"}, {"X-A": ""}]),
        "body": st.sampled_from([None, [], {"a": "ab", "b": 1}, {"a": None, "b": {}}, {"operationName": "ab"}]),
        "status": st.sampled_from([None, 404]),
    }
)


@settings(max_examples=300)
@given(RULES, CONFIG, REQUEST, IDS, IDS)
def test_the_decision_is_what_a_plain_reading_of_the_specification_gives(rules, config, request, user_id, company_id):
    headers, block = Plain(rules, config, request, user_id, company_id).decide()
    loaded = load(rules, config)
    decision = loaded.decide(subject(request), user_id, company_id)
    assert {name.lower(): value for name, value in decision.headers} == headers
    assert isinstance(decision, Block) == (block is not None)
    if isinstance(decision, Block):
        assert (decision.status, orjson.loads(decision.body), decision.rule_id) == block


@given(RATES_CONFIG, REQUEST, IDS, IDS)
def test_the_rate_is_what_a_plain_reading_of_the_specification_gives(config, request, user_id, company_id):
    expected = Plain([], config, request, user_id, company_id).rate()
    assert load([], config).sampling.rate(subject(request), user_id, company_id) == expected


@settings(max_examples=50)
@given(RULES, CONFIG, REQUEST, IDS, IDS)
def test_rules_that_do_not_block_never_block(rules, config, request, user_id, company_id):
    for rule in rules:
        rule["block"] = False
    assert isinstance(load(rules, config).decide(subject(request), user_id, company_id), Allow)


@settings(max_examples=50)
@given(RULES, CONFIG, REQUEST, IDS, IDS, st.randoms(use_true_random=False))
def test_the_order_of_unrelated_rules_changes_nothing(rules, config, request, user_id, company_id, dice):
    """Rules of different types are unrelated: any merge that keeps the order inside each type decides the same."""
    kinds = {kind: [rule for rule in rules if rule["type"] == kind] for kind in ("regex", "company", "user")}
    order = [rule["type"] for rule in rules]
    dice.shuffle(order)
    merged = [kinds[kind].pop(0) for kind in order]
    one = load(rules, config).decide(subject(request), user_id, company_id)
    assert load(merged, config).decide(subject(request), user_id, company_id) == one


@settings(max_examples=50)
@given(RULES, CONFIG, REQUEST, IDS, IDS, st.integers(0, 8))
def test_a_rule_that_concerns_nobody_here_changes_nothing(rules, config, request, user_id, company_id, at):
    never = {"_id": "z", "type": "regex", "block": True, "regex_config": [{"conditions": []}]}
    more = [*rules[:at], never, *rules[at:]]
    one = load(rules, config).decide(subject(request), user_id, company_id)
    assert load(more, config).decide(subject(request), user_id, company_id) == one


@settings(max_examples=50)
@given(RULES, CONFIG, REQUEST, IDS, IDS)
def test_deciding_changes_neither_the_snapshot_nor_the_body(rules, config, request, user_id, company_id):
    loaded, before = load(rules, config), copy.deepcopy(request["body"])
    asked = [loaded.decide(subject(request), user_id, company_id) for _ in range(2)]
    assert asked[0] == asked[1]
    assert request["body"] == before


KEYS = st.sampled_from(
    [
        "_id",
        "type",
        "block",
        "applied_to",
        "applied_to_unidentified",
        "regex_config",
        "conditions",
        "path",
        "value",
        "name",
        "variables",
        "response",
        "status",
        "headers",
        "body",
        "original_encoded_body",
        "user_rules",
        "rules",
        "values",
        "u",
    ]
)
WORDS = st.sampled_from(
    ["regex", "user", "company", "u", "not_matching", "request.body.u", "request.verb", "(", "{{u}}", ".*"]
)
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | KEYS, inner, max_size=6),
    max_leaves=15,
)
NEARLY = st.lists(
    st.fixed_dictionaries(
        {"_id": st.just("u") | ANY, "type": WORDS},
        optional=dict.fromkeys(("block", "regex_config", "variables", "response", "applied_to", "name"), ANY),
    )
)


def encoded(value) -> bytes:
    """Return the JSON of any value; lone surrogates and non-finite numbers have none."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return b"null"


@settings(max_examples=150)
@given(ANY | NEARLY, ANY | st.fixed_dictionaries({"user_rules": st.dictionaries(WORDS, ANY)}), ANY, ANY, ANY)
def test_no_json_value_as_config_rules_or_body_ever_raises(rules, config, body, user_id, company_id):
    loaded = EMPTY
    rules_data, config_data = encoded(rules), encoded(config)
    if rules_data.startswith(b"["):
        loaded = loaded.with_rules(compile_rules(rules_data))
    if config_data.startswith(b"{"):
        loaded = loaded.with_config(compile_config(config_data, size=16))
    request = Subject(ScopeHead({"method": "GET", "path": "/"}, []), body=lambda: body)
    decision = loaded.decide(request, user_id, company_id)
    assert isinstance(decision, (Allow, Block))
    for name, value in decision.headers:
        assert re.fullmatch(r"[!-~]+", name)
        assert re.fullmatch(r"[\t -~]*", value)
    assert all(isinstance(text, str) for text in loaded.problems)


@pytest.mark.parametrize("depth", [10, 200, 300, 1000])
def test_a_deeply_nested_rule_or_config_is_contained(depth):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    rules = (
        b'[{"_id":"a","type":"regex","block":true,"response":{"body":'
        + nested
        + b"}},{"
        + b'"_id":"b","type":"regex"}]'
    )
    assert EMPTY.with_rules(compile_rules(rules)).decide(Subject(ScopeHead({}, []))).rules == ("a", "b")
    compile_config(b'{"regex_config":[' + nested + b'],"user_rules":{"u":[' + nested + b"]}}")
