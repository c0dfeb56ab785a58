"""Conditions: what each path reads, how values are searched for, and what can never match."""

import random
import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.sansio import conditions
from moesif_middleware.sansio.conditions import ConditionCompiler, Problems, Subject, parse_path
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.patterns import PatternSet, Search, compile_patterns


def head(verb="GET", path="/", headers=(), query=b"") -> ScopeHead:
    scope = {"method": verb, "path": path, "query_string": query}
    return ScopeHead(scope, [(name.encode("latin-1"), value.encode()) for name, value in headers])


def compiled(*groups):
    """Return the matcher of groups of (path, value) pairs, the mask of each group that can match, the problems."""
    problems = Problems()
    compiler = ConditionCompiler(problems)
    config = [{"conditions": [{"path": path, "value": value} for path, value in group]} for group in groups]
    found = compiler.groups(config, "rule")
    return compiler.matcher(), compiler.masks(found), problems


def matches(subject, *groups) -> bool:
    matcher, masks, _ = compiled(*groups)
    bits = matcher.match(subject)
    return any(bits & mask == mask for mask in masks)


REQUEST = {
    "verb": "POST",
    "path": "/api/items/5",
    "headers": [("X-Plan", "free"), ("x-tag", "a"), ("X-Tag", "b")],
    "query": b"plan=gold",
}
BODY = {"plan": "gold", "n": 7, "on": True, "none": None, "deep": {"a": 1}, "a.b": "dotted", "operationName": "GetX"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("request.verb", "POST", True),
        ("request.verb", "post", True),
        ("request.verb", "^(GET|POST)$", True),
        ("request.verb", "GET", False),
        ("request.route", "items", True),
        ("request.route", "^/api/items/[0-9]+$", True),
        ("request.route", "ITEMS", False),
        ("request.route", "(?i)ITEMS", True),
        ("request.route", "plan=gold", False),
        ("request.ip_address", r"^10\.1\.", True),
        ("request.ip", r"^10\.1\.", True),
        ("request.ip", r"^11\.", False),
        ("request.headers.X-Plan", "^free$", True),
        ("request.headers.x-plan", "^free$", True),
        ("request.headers.x-plan", "FREE", False),
        ("request.headers.x-tag", "^a, b$", True),
        ("request.headers.absent", "", False),
        ("request.body.plan", "gold", True),
        ("request.body.n", 7, True),
        ("request.body.n", "^7$", True),
        ("request.body.on", "^True$", True),
        ("request.body.on", True, True),
        ("request.body.none", "", False),
        ("request.body.deep", "a", False),
        ("request.body.deep.a", "1", False),
        ("request.body.a.b", "dotted", True),
        ("request.body.operationName", "^Get", True),
        ("request.body.query", "", False),
        ("response.status", "4..", False),
        ("request.uri", "", False),
        ("request.headers", "", False),
        ("request.headers.", "", False),
        ("request.body", "", False),
        ("request.body.", "", False),
        ("Request.Verb", "POST", False),
        ("", "", False),
        ("request.route", None, False),
        ("request.route", ["items"], False),
        ("request.route", {}, False),
        ("request.route", "(", False),
        ("request.route", "(?=items)", False),
        ("request.route", r"(i)\1", False),
        ("request.route", "", True),
    ],
)
def test_a_condition_searches_the_field_that_its_path_names(path, value, expected):
    request = Subject(head(**REQUEST), ip_address="10.1.2.3", body=lambda: BODY)
    assert matches(request, [(path, value)]) is expected


@pytest.mark.parametrize(("status", "expected"), [(None, False), (404, True), (200, False)])
def test_the_status_matches_once_the_response_has_started(status, expected):
    assert matches(Subject(head(), status=status), [("response.status", "^4")]) is expected


YES, NO = ("request.verb", "GET"), ("request.verb", "PUT")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([[YES]], True),
        ([[NO]], False),
        ([[YES, NO]], False),
        ([[YES, ("request.route", "/")]], True),
        ([[NO], [YES]], True),
        ([[NO], [YES, NO]], False),
        ([[]], False),
        ([[], [YES]], True),
        ([[YES, ("request.route", "(")]], False),
        ([[YES, ("what.is.this", "x")], [YES]], True),
    ],
)
def test_groups_are_alternatives_and_all_of_a_groups_conditions_must_hold(groups, expected):
    assert matches(Subject(head()), *groups) is expected


@pytest.mark.parametrize("body", [[], [{"a": "x"}], "a", 5, True, None])
def test_a_body_that_is_no_object_matches_nothing(body):
    assert not matches(Subject(head(), body=lambda: body), [("request.body.a", "")])


def test_only_what_a_condition_reads_is_asked_for_and_only_once():
    asked = []

    def ask(what, answer):
        asked.append(what)
        return answer

    request = Subject(head(), ip_address=lambda: ask("ip", "10.0.0.1"), body=lambda: ask("body", {"a": "1", "b": "2"}))
    assert matches(request, [YES])
    assert asked == []
    assert matches(request, [("request.body.a", "1"), ("request.body.b", "2"), ("request.ip", "10"), YES])
    assert sorted(asked) == ["body", "ip"]


def test_headers_are_joined_only_for_conditions_that_read_one():
    request = Subject(head(headers=[("a", "b")]))
    matcher, _, _ = compiled([YES])
    assert not matcher.reads_headers
    matcher.match(request)
    assert request.head._headers is None


ROUTE_A, ROUTE_B, HEADER = ("request.route", "^/a"), ("request.route", "b$"), ("request.headers.x", "h")


@pytest.mark.parametrize(
    ("groups", "path", "reads_route", "reads_header"),
    [
        ([[NO, ROUTE_A, HEADER]], "/a", False, False),
        ([[NO, HEADER], [NO, ROUTE_B, HEADER]], "/b", False, False),
        ([[YES, ROUTE_A, HEADER]], "/b", True, False),
        ([[YES, ROUTE_A, HEADER]], "/a", True, True),
        ([[NO, ROUTE_A, HEADER], [YES, ROUTE_B]], "/a/b", True, False),
        ([[ROUTE_A, ROUTE_B, HEADER], [ROUTE_A]], "/a", True, False),
        ([[ROUTE_A, ("request.headers.y", "("), HEADER]], "/a", False, False),
        ([[NO, ROUTE_A, HEADER], [HEADER]], "/", False, True),
    ],
)
def test_a_field_is_read_only_for_a_group_that_may_still_match(groups, path, reads_route, reads_header):
    """What fails by its verb or by its route costs no header, no address and no body."""

    class Watched(ScopeHead):
        __slots__ = ("asked",)

        @property
        def path(self):
            self.asked.append("route")
            return super().path

        @property
        def headers(self):
            self.asked.append("header")
            return super().headers

    watched = Watched({"method": "GET", "path": path}, [])
    watched.asked = []
    matcher, _, _ = compiled(*groups)
    matcher.match(Subject(watched))
    assert ("route" in watched.asked, "header" in watched.asked) == (reads_route, reads_header)


SOME = st.sampled_from(
    [
        YES, NO, ("request.verb", "^p"), ROUTE_A, ROUTE_B, ("request.route", ""), HEADER, ("request.headers.y", "h"),
        ("request.ip", "1"), ("request.body.a", "1"), ("response.status", "4"), ("request.x", ""),
        ("request.route", "("),
    ]
)  # fmt: skip


@given(
    st.lists(st.lists(SOME, max_size=4), max_size=6),
    st.sampled_from(["GET", "POST", "get", "PURGE"]),
    st.sampled_from(["/", "/a", "/b", "/ab"]),
    st.sampled_from([[], [("x", "h")], [("X", "g"), ("y", "h")]]),
    st.sampled_from([None, {"a": 1}]),
    st.sampled_from([None, 404]),
)
def test_what_is_not_read_would_have_made_no_difference(groups, verb, path, headers, body, status):
    """Every group matches by the bits of what was read exactly when it does by the bits of everything."""
    matcher, masks, _ = compiled(*groups)
    given_body = None if body is None else lambda: body
    request = Subject(head(verb, path, headers), ip_address="10.0.0.1", body=given_body, status=status)
    some, all_ = matcher.match(request), matcher.match_all(request)
    assert some & all_ == some
    assert [some & mask == mask for mask in masks] == [all_ & mask == mask for mask in masks]
    later = matcher.open_mask(request)
    assert [(some | later) & mask == mask for mask in masks] == [(all_ | later) & mask == mask for mask in masks]


def test_a_condition_that_stands_in_many_rules_is_one_bit():
    matcher, masks, _ = compiled([YES], [YES, NO], [YES])
    assert len(matcher.bits) == 2
    assert masks[0] == masks[2]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("request.route", "(", "missing )"),
        ("request.route", "(?<=a)b", "invalid perl operator"),
        ("request.route", "(a{1000}){1000}", "repetition"),
        ("nowhere", "a", "'nowhere' is not known"),
        ("request.route", None, "neither text nor a number"),
    ],
)
def test_what_can_never_match_is_recorded_once_with_the_reason(path, value, words):
    matcher, _, problems = compiled([(path, value)], [(path, value)])
    (text,) = problems.texts()
    assert words in text
    assert len(matcher.refused) == 1


def test_patterns_that_are_too_large_together_are_kept_apart():
    """The memory of a set is capped; patterns that fit alone still all work."""
    values = [f"^/{at}/[^/]{{300}}$" for at in range(60)]
    matcher, masks, problems = compiled(*[[("request.route", value)] for value in values])
    assert problems.texts() == ()
    assert len(matcher.routes.sets) > 1
    for at in (0, 31, 59):
        bits = matcher.match(Subject(head(path=f"/{at}/" + "x" * 300)))
        assert [number for number, mask in enumerate(masks) if bits & mask] == [at]


def test_a_pattern_that_is_too_large_alone_is_refused_and_the_others_work():
    huge = "(" + "|".join(f"[^{letter}]{{900}}" for letter in string.ascii_letters) + ")"
    matcher, masks, problems = compiled([("request.route", huge)], [("request.route", "^/a")])
    (text,) = problems.texts()
    assert "too large" in text
    assert matcher.match(Subject(head(path="/a"))) == masks[1]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|b)*a(a|b){12}c", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_explodes_elsewhere_does_not_delay_the_request(pattern):
    matcher, _, problems = compiled([("request.headers.x", pattern)])
    assert problems.texts() == ()
    request = Subject(head(headers=[("x", "a" * 50_000 + "!")]))
    assert request.head.headers
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        matcher.match(request)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.005


HOSTILE = "".join(random.Random(1).choices("ab", k=4096))
SPREADING = [
    [f"a[ab]{{{count}}}b[ab]*x{count}" for count in range(1, 40)],
    ["a[ab]{900}b"],
    ["(?:[ab]a|b[ab]){400}b"],
    [f"a{'[ab]' * count}b[ab]*x{count}" for count in range(1, 40)],
]


@pytest.mark.parametrize("values", SPREADING)
def test_a_text_that_keeps_all_patterns_busy_does_not_delay_the_request(values):
    """Uncut, the first of these takes 100 ms; the worst that is allowed is some 5 ms."""
    matcher, _, problems = compiled([("request.headers.x", value) for value in values])
    (text,) = problems.texts()
    assert "see only its first" in text
    request = Subject(head(headers=[("x", HOSTILE)]))
    assert request.head.headers
    took = []
    for _ in range(3):
        begun = time.thread_time()
        matcher.match(request)
        took.append(time.thread_time() - begun)
    assert min(took) < 0.05


@pytest.mark.parametrize(
    ("patterns", "seen"),
    [
        (["^/items/[0-9a-f]{8}-[0-9a-f]{4}/" for _ in range(50)], 4096),
        ([f"/{at}/[0-9a-f]{{8}}-[0-9a-f]{{4}}/" for at in range(50)], 4096),
        ([f"Mozilla.*Bot{at}" for at in range(100)], 4096),
        ([f"bot-{at}" for at in range(500)], 4096),
        ([rf"\d{{3}}-\d{{4}}x{at}" for at in range(10)], 2285),
        (["a[ab]{900}b"], 177),
        (["^a[ab]{900}b"], 4096),
        (["^x|a[ab]{900}b"], 177),
        (["a[^b]{2}[ab]{900}b"], 176),
        (["[a-z]{3}"], 4096),
        (["a[ab]{900}b", "a[ab]{800}c"], 94),
    ],
)
def test_patterns_that_spread_see_less_of_a_text(patterns, seen):
    """Anchored ones, and those that cannot begin again inside of a repetition, see all of it."""
    found = compile_patterns(dict.fromkeys(patterns, 1), case_sensitive=True, refuse=pytest.fail)
    assert min(search.limit for search in found.sets) == pytest.approx(seen, rel=0.05)


def test_patterns_that_do_not_spread_see_all_beside_one_that_does():
    matcher, masks, _ = compiled([("request.headers.x", "a[ab]{900}b")], [("request.headers.x", "z$")])
    bits = matcher.match(Subject(head(headers=[("x", "a" * 3000 + "z")])))
    assert [bool(bits & mask) for mask in masks] == [False, True]


def test_patterns_that_spread_beyond_the_bound_are_refused_and_the_others_work():
    values = [f"a[ab]{{900}}{letter}" for letter in "cdefgh"]
    _, _, problems = compiled(*[[("request.headers.x", value)] for value in values])
    assert len([text for text in problems.texts() if "too much repetition" in text]) == 4
    refused: list[str] = []
    patterns = {"a[ab]{20}c": 1, **dict.fromkeys(values, 2)}
    found = compile_patterns(patterns, case_sensitive=True, refuse=lambda pattern, _: refused.append(pattern))
    assert refused == values[2:]
    assert found.search("a" * 21 + "c") == 1


def test_a_set_that_gives_up_is_an_error_and_not_a_miss():
    """RE2 says no match then; governance fails open, and counts it."""
    with pytest.raises(MemoryError):
        PatternSet((Search(lambda data: None, (1, 0), 4096),)).search("a")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("request.verb", ("verb", "")),
        ("request.route", ("route", "")),
        ("request.ip", ("ip_address", "")),
        ("request.ip_address", ("ip_address", "")),
        ("response.status", ("status", "")),
        ("request.headers.X-Plan", ("header", "x-plan")),
        ("request.body.a.b", ("body", "a.b")),
        ("request.headers.", None),
        ("request.body.", None),
        ("request.something_unknown", None),
        ("response.body.something", None),
        ("Request.verb", None),
        ("", None),
    ],
)
def test_a_path_reads_one_field_or_none(path, expected):
    assert parse_path(path) == expected


def test_what_may_still_match_is_told_by_what_is_known():
    """The status before the response, and a body that nobody has read; what was refused never matches."""
    pairs = [("response.status", "4"), ("response.status", "("), ("request.body.a", "b"), ("request.route", "/")]
    matcher, (status, _, body, _), _ = compiled(*[[pair] for pair in pairs])
    assert matcher.open_mask(Subject(head())) == status | body
    assert matcher.open_mask(Subject(head(), status=404)) == body
    assert matcher.open_mask(Subject(head(), body=dict)) == status
    assert matcher.open_mask(Subject(head(), body=dict, status=404)) == 0


def test_two_spellings_of_one_path_share_a_pattern():
    matcher, masks, _ = compiled([("request.headers.X-A", "b")], [("request.headers.x-a", "b")])
    bits = matcher.match(Subject(head(headers=[("x-a", "b")])))
    assert [bool(bits & mask) for mask in masks] == [True, True]


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("a" * 4095 + "b", "b", True),
        ("a" * 4096 + "b", "b", False),
        ("é" * 2048 + "b", "b", False),
        ("a" + "é" * 2047 + "b", "b$", True),
        ("a" + "é" * 4000, "^aé+$", True),
    ],
)
def test_patterns_see_the_first_4_kib(value, pattern, expected):
    assert matches(Subject(head(headers=[("x", value)])), [("request.headers.x", pattern)]) is expected


def test_a_path_that_is_not_utf8_still_has_characters():
    assert matches(Subject(head(path="/a\udcffb")), [("request.route", "^/a.b$")])


def test_a_pattern_with_a_null_and_a_field_with_one_work():
    assert matches(Subject(head(path="/a\0b")), [("request.route", "a\0b")])


def test_a_number_too_long_to_write_is_no_value():
    assert not matches(Subject(head(), body=lambda: {"a": 10**5000}), [("request.body.a", "")])


def test_problems_are_bounded_in_number_and_length():
    problems = Problems()
    for at in range(1000):
        problems.add(f"[{at}]", "x" * 10_000)
    texts = problems.texts()
    assert len(texts) == conditions.PROBLEM_LIMIT + 1
    assert texts[-1] == "and 900 more"
    assert max(map(len, texts)) <= 400


PIECES = st.sampled_from(
    ["a", "b", "/", "ab", "^", "$", ".", "a*", "(a|b)+", "[^a]", "b?", "é", r"\d", r"\.", "|", "x{2}"]
)
PATTERNS = st.lists(PIECES, max_size=5).map("".join)


def compiles(pattern) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


@given(
    st.lists(PATTERNS.filter(compiles), min_size=1, max_size=20),
    st.text(alphabet="ab/é.1x", max_size=12),
    st.sampled_from(["GET", "POST", "get", "Purge", "ab"]),
)
def test_the_compiled_conditions_hold_exactly_where_a_plain_search_finds_something(patterns, text, verb):
    request = Subject(head(verb=verb, path=text or "/", headers=[("x", text)]))
    paths = {"request.route": text or "/", "request.headers.x": text, "request.verb": verb}
    matcher, masks, problems = compiled(*[[(path, pattern)] for path in paths for pattern in patterns])
    assert problems.texts() == ()
    bits = matcher.match(request)
    expected = [
        bool(re.search(pattern, value, re.ASCII | (re.IGNORECASE if path == "request.verb" else 0)))
        for path, value in paths.items()
        for pattern in patterns
    ]
    assert [bits & mask == mask for mask in masks] == expected


@given(st.text())
def test_no_path_raises(path):
    parse_path(path)
    parse_path("request." + path)
