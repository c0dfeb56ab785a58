"""What must not leave is masked and what may stays: a corpus of names and documents, and properties over anything."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moesif_middleware.errors import ConfigurationError
from moesif_middleware.models import Action, Event, EventRequest, EventResponse
from moesif_middleware.sansio import bodies, jsontext
from moesif_middleware.sansio.events import encode, finish
from moesif_middleware.sansio.masking import RULES, Masked, Masker, compile_masking
from moesif_middleware.sansio.secret_names import HEADERS, LAST_WORD_ONLY, PHRASES, SecretNames
from moesif_middleware.testing import assert_no_secrets

CORPUS = Path(__file__).parent.parent / "corpus" / "masking"
MASKER = compile_masking()
NAMES = SecretNames(frozenset())


def corpus(name: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (CORPUS / name).read_bytes().splitlines()]


def body_of(data: bytes, *, cut: bool = False, content_type: str = "", look: bodies.Look | None = None) -> bodies.Body:
    body = bodies.read(
        data, total=len(data) + cut, content_type=content_type, content_encoding="", limit=max(len(data), 1), look=look
    )
    assert body is not None
    return body


def wire_body(body: bodies.Body) -> Any:
    """Return a body as the collector reads it."""
    value = orjson.loads(body.encoded())
    return b64decode(value) if body.transfer_encoding == "base64" else value


@pytest.mark.parametrize("case", corpus("names.jsonl"), ids=lambda case: case["name"])
def test_name(case: dict[str, Any]) -> None:
    """A name is masked by its rule, whatever its spelling; a name that only looks like one is not."""
    assert NAMES.rule(case["name"]) == case["rule"]


def masked_document(case: dict[str, Any]) -> Any:
    given_ = case["in"]
    match case["kind"]:
        case "uri":
            return MASKER.uri(given_)
        case "headers":
            return MASKER.headers(given_)
        case "text16":
            return wire_body(MASKER.body(body_of(given_.encode("utf-16")))).decode("utf-16").encode()
    body = body_of(given_.encode(), cut=case["kind"] == "cut", content_type=case.get("content_type", ""))
    return wire_body(MASKER.body(body))


@pytest.mark.parametrize("case", corpus("documents.jsonl"), ids=lambda case: case["case"])
def test_document(case: dict[str, Any]) -> None:
    """A document loses its secrets and keeps the rest."""
    masked = masked_document(case)
    text = masked.decode() if isinstance(masked, bytes) else masked if isinstance(masked, str) else repr(masked)
    for secret in case["gone"]:
        assert secret not in text
    for rest in case["stays"]:
        assert rest in text
    if "out" in case:
        assert masked == case["out"]


def event_with(**parts: Any) -> Event:
    """Return an event that is ordinary but for the parts."""
    request = EventRequest(0.0, parts.get("uri", "https://api.example.com/items"), "POST", parts.get("headers", {}))
    response = EventResponse(0.1, 200, parts.get("response_headers", {}))
    for message, name in ((request, "body"), (response, "response_body")):
        if name in parts:
            message.body = parts[name]
            message.transfer_encoding = parts[name].transfer_encoding
    return Event(
        request,
        response,
        user_id="u1",
        company_id="c1",
        session_token=parts.get("session_token"),
        metadata=parts.get("metadata"),
    )


def sent(event: Event) -> bytes:
    """Return an event as it leaves."""
    return encode(finish(MASKER.event(event)))


# Names, and what may stand around them.

CANARY = "c4n4ryV4lue"
ORDINARY = st.sampled_from(["id", "name", "author", "page", "tokens_used", "monkey", "items", "x"])
WORDS = st.sampled_from(["user", "my", "db", "x", "app", "old"])


def spelt(words: list[str], style: int) -> str:
    match style:
        case 0:
            return "_".join(words)
        case 1:
            return "-".join(words).title()
        case 2:
            return words[0] + "".join(word.capitalize() for word in words[1:])
        case 3:
            return "_".join(words).upper()
    return ".".join(words)


@st.composite
def secret_names(draw: st.DrawFn) -> str:
    rule = draw(st.sampled_from(sorted(PHRASES)))
    words = draw(st.lists(WORDS, max_size=2)) + draw(st.sampled_from(PHRASES[rule])).split()
    if rule not in LAST_WORD_ONLY:
        words += draw(st.lists(st.sampled_from(["value", "1", "old"]), max_size=1))
    return spelt(words, draw(st.integers(0, 4)))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


@pytest.mark.parametrize(
    ("cookies", "masked"),
    [
        ("sid=1; theme=dark", "sid=#; theme=#"), (" a = 1 ;b", "a=#; #"), ("=1;;  ; c=", "=#; c=#"), ("", ""),
        ('sid="1;2"; b=3', "sid=#; b=#"), ('sid="1\\";2"x; b', "sid=#; #"), ('sid="1; b=2', "sid=#; b=#"), ('"', "#"),
    ],
)  # fmt: skip
def test_cookies_keep_their_names(cookies: str, masked: str) -> None:
    """In quotation marks a semicolon belongs to the value; what has no name is a value."""
    found = MASKER.headers({"cookie": cookies})["cookie"]
    assert found.replace("[REDACTED:cookie]", "#") == masked


DIGITS = st.lists(
    st.sampled_from(
        ["4111111111111111", "4111 1111 1111 1111", "4111", "1111", "1700000000000000", "12345678901234567", "5", "a",
         "-", " ", ".", "\n", "\t", "\\", '"', "/", "\u2028", "\u00ea", "\x07", "\\n", "\\u2028", "u2028", "\U0001f600",
         "pin: ", "otp=", "sid"]
    ),
    max_size=8,
).map("".join)  # fmt: skip
# JSON in a text of JSON has its escapes escaped.
QUOTED = (
    DIGITS | DIGITS.map(lambda text: json.dumps([text])) | DIGITS.map(lambda text: json.dumps([json.dumps([text])]))
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(QUOTED | st.integers(10**12, 10**19), max_size=3), st.booleans())
def test_a_look_sees_what_stands_beside_escapes(texts: list[Any], ascii_only: bool) -> None:
    raw = json.dumps({"texts": texts}, ensure_ascii=ascii_only).encode()
    body = body_of(raw)
    assert wire_body(MASKER.body(body)) == MASKER.value(body.value)
    for text in texts:
        plain = str(text).encode()
        assert MASKER._plain.finds(plain) or MASKER._values.mask(plain)[0] == plain


def written(words: list[str]) -> set[str]:
    """Return the ways in which a name of some words is written, with its plural."""
    found: set[str] = set()
    for parts in (words, [*words[:-1], f"{words[-1]}s"]):
        capitals, acronyms = [part.capitalize() for part in parts], [part.upper() for part in parts]
        plural_acronyms = [*acronyms[:-1], f"{words[-1].upper()}{parts[-1][len(words[-1]) :]}"]
        for way in (parts, capitals, acronyms, plural_acronyms, [parts[0], *capitals[1:]]):
            found |= {"".join(way), "_".join(way), "-".join(way), " ".join(way)}
    return found


@pytest.mark.parametrize("phrase", sorted({phrase for phrases in PHRASES.values() for phrase in phrases}))
def test_the_look_at_the_raw_bytes_sees_a_name_however_it_is_written(phrase: str) -> None:
    for name in written(phrase.split()):
        for before in ("", "user", "User", "USER", "user_", "x1", "x-", "\u00e9", "a."):
            for after in ("", "_x", "X", "1", "Value", "_VALUE", "\u00e9", ".b", "-c"):
                full = before + name + after
                seen = MASKER._json.finds(json.dumps({full: 1}, ensure_ascii=False).encode())
                assert seen or NAMES.rule(full) is None, full


@pytest.mark.parametrize(
    "text",
    [
        "the code\npin: 1234",
        "\totp: 123456",
        "\u00easid=abcdef",
        "\r\niban=DE89370400440532013000",
        json.dumps(["the code\notp: 123456"]),
        json.dumps({"b": "pin: \t5"}),
        "\n4111111111111111",
        json.dumps(["\n4111111111111111"]),
        "\U0001f600.4111111111111111",
        'pwd\t": "abc',
    ],
)
def test_a_secret_behind_an_escape_is_found_in_the_raw_bytes(text: str) -> None:
    """An escape may end in a letter or a digit, with which a short name or a number would seem to go on."""
    masked = MASKER.value([text])
    assert masked != [text]
    assert wire_body(MASKER.body(body_of(json.dumps([text]).encode()))) == masked


class Forgetful(dict[str, Any]):
    """A cache that another thread clears as soon as somebody has asked what is in it."""

    def __contains__(self, name: object) -> bool:
        found = super().__contains__(name)
        self.clear()
        return found


def test_names_that_another_thread_forgets_are_looked_up_again() -> None:
    names = compile_masking()._names
    names._cache, names._header_cache = Forgetful(), Forgetful()
    for _ in range(3):
        assert (names.rule("password"), names.header_rule("x-thing")) == ("password", None)


@pytest.mark.parametrize(
    "name", ["Übergabecode", "ÜBERGABECODE", "übergabe_code", "NAÏVE_KEY", "Öre", "öre", "to\u212aen"]
)
def test_names_with_letters_beyond_ascii_are_found_in_any_spelling(name: str) -> None:
    """A capital has other bytes than its small letter, and the looks search bytes."""
    masker = compile_masking(extra_names=["Übergabecode", "übergabe code", "naïve key", "Öre"])
    for ascii_only in (True, False):
        raw = json.dumps({name: "hunter2"}, ensure_ascii=ascii_only).encode()
        assert "hunter2" not in str(wire_body(masker.body(body_of(raw))))
        nested = json.dumps([raw.decode()]).encode()
        assert "hunter2" not in str(wire_body(masker.body(body_of(nested))))
    assert "hunter2" not in masker.uri(f"/x?{quote(name)}=hunter2")
    if "\u212a" not in name:
        text = f"{name}=hunter2"
        assert "hunter2" not in masker.string(text)
        raw = json.dumps([text]).encode()
        assert "hunter2" not in str(wire_body(masker.body(body_of(raw))))


def test_a_credential_behind_an_escaped_tab_in_json_in_json_is_masked() -> None:
    raw = json.dumps([json.dumps(["Bearer\tc4n4ry1234567890", "basic\tdXNlcjpodW50ZXIy"])]).encode()
    text = str(wire_body(MASKER.body(body_of(raw))))
    assert "c4n4ry" not in text
    assert "dXNlcjpodW50ZXIy" not in text


@pytest.mark.parametrize("sign", ["=", ":=", " := ", "=>", "!=", "/=", "#=", "\u2028=", "\n=", ": ", "!: "])
@pytest.mark.parametrize("name", ["password", "pin", "accessToken", "auth"])
def test_a_look_finds_each_sign_that_the_text_rules_know(name: str, sign: str) -> None:
    """What a look overlooks is never masked, whatever the rules behind it would have found."""
    text = f"{name}{sign}1234"
    masked, rules = MASKER._mask_text(text.encode(), prose=False)
    assert MASKER.string(text) == (masked.decode() if rules else text)
    for ascii_only in (True, False):
        raw = json.dumps([text], ensure_ascii=ascii_only).encode()
        assert wire_body(MASKER.body(body_of(raw))) == [MASKER.string(text)]


@pytest.mark.parametrize("text", ["password:=hunter2", "accessToken:=hunter2", "token!=hunter2", "auth/=hunter2"])
def test_an_assignment_is_masked_wherever_it_stands(text: str) -> None:
    assert "hunter2" not in MASKER.string(text)
    assert "hunter2" not in MASKER.headers({"x-thing": text})["x-thing"]


def test_long_numbers_beside_escapes_are_handed_on_as_they_passed() -> None:
    body = body_of(b'{"at": 1700000000000000,  "text": "two\\nlines of \\"text\\" \\u2028"}')
    assert MASKER.body(body) is body


PARTS = st.lists(
    st.sampled_from(
        ["password", "Pin", "token", "auth", "name", "value", "path", "public key", "4111111111111111",
         "12345678901234", "Bearer abcdefgh12345678", "https://a:b@c/", "=", ":", '"', "'", "\\", "<", ">", "%3D",
         " ", "\n", "12", "e5",
         "[", "}", "\x00", "\u00e9"]
    ),
    max_size=5,
).map("".join)  # fmt: skip
NESTED = st.recursive(
    PARTS | st.integers() | st.floats() | st.sampled_from([True, False, None, 4111111111111111, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400)
@given(NESTED, st.sampled_from([0, 0, 0, 5, 58, 61, 62, 63, 64, 65]), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_one_look_at_a_document_says_what_two_say(value: Any, levels: int, ascii_only: bool, indent: Any) -> None:
    text = json.dumps([value], ensure_ascii=ascii_only, indent=indent)
    data = b"[" * levels + text.encode("utf-8", "surrogatepass") + b"]" * levels
    if jsontext.outline(data) is None:
        return
    assert MASKER.look is not None
    assert MASKER.look.finds(data) == (not jsontext.shallow(data) or MASKER._json.finds(data))


@settings(max_examples=100)
@given(NESTED, st.booleans(), st.sampled_from([0, 60, 62, 63, 64]))
def test_a_body_that_was_looked_at_when_it_was_read_is_masked_in_the_same_way(
    value: Any, cut: bool, levels: int
) -> None:
    filler = json.dumps(["an ordinary text"] * 80)[1:-1]
    data = ("[" * levels + json.dumps([value])[:-1] + "," + filler + "]" * (levels + 1)).encode()
    looked, other = body_of(data, cut=cut, look=MASKER.look), body_of(data, cut=cut)
    reports: tuple[list[Masked], list[Masked]] = [], []
    masked = [MASKER.body(body, report) for body, report in zip((looked, other), reports, strict=True)]
    assert masked[0].encoded() == masked[1].encoded()
    assert masked[0].transfer_encoding == masked[1].transfer_encoding
    assert reports[0] == reports[1]


WALKERS = (MASKER, compile_masking(values=[r"e\d+", "[aeiou]{2}"]), compile_masking(off=["password", "card"]))


@settings(max_examples=300)
@given(NESTED, st.lists(PARTS, max_size=3), st.sampled_from([0, 3, 300]), st.sampled_from(WALKERS))
def test_a_walk_without_a_report_masks_the_same(value: Any, texts: list[str], others: int, masker: Any) -> None:
    """It puts texts together before it looks at them, and judges objects by their names once."""
    document = [value, {"name": "pin", "value": value}, *texts, *["an ordinary text"] * others, *texts, value]
    before = json.dumps(document)
    masked = masker.value(document)
    assert json.dumps(masked) == json.dumps(masker.value(document, []))
    assert json.dumps(document) == before
    assert not containers(document) & containers(masked)


@settings(max_examples=100)
@given(NESTED)
def test_a_walk_by_names_alone_masks_the_same_without_a_report(value: Any) -> None:
    document = [value, {"password": value, "values": [[], {}, [value]]}]
    walked = [MASKER._walk(document, report, "", values=False) for report in (None, [])]
    assert json.dumps(walked[0]) == json.dumps(walked[1])
    assert not containers(document) & containers(walked[0])


def containers(value: Any) -> set[int]:
    """Return the identities of all lists and dicts of a value."""
    if type(value) not in (dict, list):
        return set()
    inner = value.values() if type(value) is dict else value
    return {id(value)}.union(*map(containers, inner))


def test_a_large_document_with_one_secret_is_masked_without_a_search_for_each_text(monkeypatch: Any) -> None:
    searched: list[bytes] = []
    finds = MASKER._plain.finds
    monkeypatch.setattr(type(MASKER._plain), "finds", lambda _, data: searched.append(data) or finds(data))
    document = {"items": [{"title": f"an ordinary text {number}"} for number in range(2000)] + ["pin=1234"]}
    assert MASKER.value(document)["items"][-1] == "pin=[REDACTED:pin]"
    assert len(searched) < 40


ORDINARY_DOCUMENT = json.dumps({"items": [{"id": number, "title": "a title"} for number in range(50)]}).encode()


@pytest.mark.parametrize("cut", [False, True])
def test_an_ordinary_document_is_searched_once(cut: bool) -> None:
    """Reading says that it is clean, and masking believes what its own look has seen."""
    body = body_of(ORDINARY_DOCUMENT, cut=cut, look=MASKER.look)
    assert body.looked == (MASKER.look, False)
    assert MASKER.body(body) is body


def test_a_mask_does_not_rely_on_what_another_one_saw() -> None:
    lenient = compile_masking(off=["password"])
    body = body_of(b'{"password": "hunter2", "text": "%s"}' % (b"x" * 2000), look=lenient.look)
    assert lenient.body(body) is body
    assert b"hunter2" not in MASKER.body(body).encoded()


@pytest.mark.parametrize("setting", [{"values": ["hunter"]}, {"body_paths": ["$.text"]}])
def test_a_mask_that_only_a_walk_can_apply_has_no_look(setting: dict[str, Any]) -> None:
    masker = compile_masking(**setting)
    assert masker.look is None
    body = body_of(b'{"text": "hunter2", "more": "%s"}' % (b"x" * 2000), look=masker.look)
    assert b"hunter2" not in masker.body(body).encoded()


def test_a_document_made_to_use_up_the_states_of_the_search_is_still_read_in_bounded_time() -> None:
    words = [word for phrases in PHRASES.values() for phrase in phrases for word in phrase.split()]
    starts = [word[:size].title() for word in words for size in range(1, len(word))]
    text = "[" + ",".join('["' + "_".join(starts[number::97]) + '",[[' for number in range(60)) + "0" + "]]]" * 60 + "]"
    data = text.encode()
    assert MASKER.look is not None
    began = time.process_time()
    MASKER.look.finds(data)
    assert time.process_time() - began < 20e-6 * len(data)


LEAVES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXTS | ORDINARY
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=10
)
SECRETS = st.sampled_from([CANARY, [CANARY], {"a": CANARY}, {"a": [[{"b": CANARY}]]}, f"a {CANARY} b", f'"{CANARY}\\'])


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A document with the canary under a secret name, somewhere in it."""
    value: Any = {draw(secret_names()): draw(SECRETS)}
    if draw(st.booleans()):
        value |= {"z": draw(TREES)}
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            value = [*draw(st.lists(TREES, max_size=2)), value]
        else:
            value = {**draw(st.dictionaries(TEXTS, TREES, max_size=2)), draw(TEXTS): value}
        if draw(st.integers(0, 9)) == 0:
            value = orjson.dumps(value).decode()
    return value


@settings(max_examples=300, deadline=None)
@given(documents(), documents(), st.booleans())
def test_no_canary_under_a_secret_name_leaves_in_json(first: Any, second: Any, escaped: bool) -> None:
    """Whatever surrounds a secret name in a body or in metadata, its value does not leave."""
    raw = json.dumps(first, ensure_ascii=escaped).encode()
    metadata = second if isinstance(second, dict) else {"m": second}
    event = event_with(body=body_of(raw), response_body=body_of(orjson.dumps(second)), metadata=metadata)
    encoded = sent(event)
    assert CANARY.encode() not in encoded
    assert_no_secrets([encoded], [CANARY])


@settings(max_examples=200, deadline=None)
@given(documents(), st.data())
def test_no_canary_leaves_in_cut_json(document: Any, data: st.DataObject) -> None:
    """Wherever a document is cut, no secret of it leaves, nor a part of it."""
    raw = orjson.dumps(document)
    kept = raw[: data.draw(st.integers(1, len(raw)))]
    encoded = sent(event_with(body=body_of(kept, cut=True)))
    assert_no_secrets([encoded], [CANARY[:size] for size in range(5, len(CANARY))])


FORMS = st.sampled_from(
    [
        "{name}={value}",
        "{name}={value}&page=2",
        "page=2&{name}={value}#top",
        "a=b;{name}={value}",
        "next=%2Fx%3F{name}%3D{value}",
    ]
)


@settings(max_examples=300, deadline=None)
@given(secret_names(), FORMS, st.sampled_from(["", "?a=b&", ";", "#"]), TEXTS)
def test_no_canary_under_a_secret_name_leaves_in_a_uri(name: str, form: str, lead: str, around: str) -> None:
    """A secret parameter is masked in the request's URI and in every header that holds an address."""
    uri = f"https://x.example/{quote(around)}?{lead}{form.format(name=name, value=CANARY)}"
    headers = {"referer": uri, "location": uri, "x-other": uri, "link": f'<{uri}>; rel="next"'}
    encoded = sent(event_with(uri=uri, headers=headers, response_headers=headers))
    assert_no_secrets([encoded], [CANARY])


TEMPLATES = st.sampled_from(
    [
        "{name}={value}",
        "{name}: {value}",
        '"{name}": "{value}", ',
        "'{name}' => '{value}'",
        '{{"{name}": {{"a": ["{value}"',
        "<{tag}>{value}</{tag}>",
        "<{tag}>{value}",
        "<a {tag}='{value}'>",
        '--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--',
    ]
)


@settings(max_examples=300, deadline=None)
@given(secret_names(), TEMPLATES, TEXTS, TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-16-le"]))
def test_no_canary_under_a_secret_name_leaves_in_text(
    name: str, template: str, lead: str, tail: str, codec: str
) -> None:
    """A text body is looked into, although it leaves in base64."""
    tag = name.replace(" ", "")
    text = f"{lead}\n{template.format(name=name, tag=tag, value=CANARY)}{tail}"
    if codec != "utf-8":
        # UTF-16 without a byte order mark is told by text that is mostly ASCII.
        text = "ordinary text in front\n" * 5 + text
    encoded = sent(event_with(body=bodies.base64(text.encode(codec))))
    assert_no_secrets([encoded], [CANARY])


PIECES = [
    "password",
    "pin",
    "token",
    "api",
    "key",
    "_",
    "=",
    ":",
    '"',
    "\\",
    "'",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "/",
    "&",
    ";",
    "?",
    "#",
    "%3D",
    "%70in",
    "%",
    "+",
    ".",
    "-",
    "x",
    "Z",
    "é",
    "9",
    "@",
    "//",
    "://",
    "</",
    "<!",
    ",",
    "Bearer_abc1",
    "Basic_YTpi",
    "eyJhbGciOiJub25l",
    "u:p@",
    "4111111111111111",
    "4111_1111_1111_1111",
    "ghp_16C7e42F292c69",
    "[REDACTED:pin]",
    "[REDACTED:",
    "-----BEGIN_PRIVATE_KEY-----",
]
# An underscore stands for a blank.
PIECES = (
    "password pin token api key = : \" \\ ' { } [ ] < > / & ; ? # %3D %70in % + . - x Z é 9 @ // :// </ <! , _ "
    "Bearer_abc1 Basic_YTpi eyJhbGciOiJub25l u:p@ 4111111111111111 4111_1111_1111_1111 ghp~16C7e42F292c69 "
    "[REDACTED:pin] [REDACTED: -----BEGIN_PRIVATE_KEY-----"
)
NASTY = st.lists(st.sampled_from(["~", "\n", "\t", "\u2028", "\ud800", *PIECES.split()]), max_size=16).map(
    lambda pieces: "".join(pieces).replace("_", " ").replace("~", "_")
)


@settings(max_examples=300, deadline=None)
@given(NASTY, NASTY, st.sampled_from(["x-a", "location", "cookie", "Referer", "dpop", "x-seen"]), st.booleans())
def test_an_event_is_masked_as_its_parts_are(text: str, other: str, name: str, swapped: bool) -> None:
    """One search over all heads decides no differently from one over each."""
    uri, value = (other, text) if swapped else (text, other)
    headers, metadata = {name: value, "x-plain": "yes"}, {"route": value}
    masked = MASKER.event(event_with(uri=uri, headers=headers, response_headers={name: uri}, metadata=metadata))
    assert masked.request.uri == MASKER.uri(uri)
    assert masked.request.headers == MASKER.headers(headers)
    assert masked.response is not None
    assert masked.response.headers == MASKER.headers({name: uri})
    assert masked.metadata == MASKER.value(metadata)
    for key in (name, value):
        whole = MASKER.event(event_with(uri="/", headers={"x-plain": uri}, metadata={key: uri, "n": 1}))
        assert whole.metadata == MASKER.value({key: uri, "n": 1})


@settings(max_examples=500, deadline=None)
@given(NASTY)
def test_masking_twice_is_masking_once(text: str) -> None:
    """What was masked is not masked again, in a URI, a header, a string, a name or a text body."""
    uri = MASKER.uri(text)
    assert MASKER.uri(uri) == uri
    headers = MASKER.headers({"x-a": text, "location": text, "cookie": text, "set-cookie": text})
    assert MASKER.headers(headers) == headers
    value = MASKER.value({"a": text, text: [text]})
    assert MASKER.value(value) == value
    body = MASKER.body(bodies.base64(text.encode("utf-8", "surrogatepass")))
    assert MASKER.body(body).value == body.value


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(NASTY, NASTY | st.lists(NASTY, max_size=2) | st.integers(), max_size=3), st.booleans())
def test_the_look_at_the_raw_bytes_misses_nothing(document: Any, escaped: bool) -> None:
    """A body that is handed on as it passed is one in which the walk finds nothing."""
    raw = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "replace")
    body = body_of(raw)
    assert wire_body(MASKER.body(body)) == orjson.loads(jsontext.dump(MASKER.value(body.value)))


ADDRESSES = st.lists(
    st.sampled_from(["https://", "//", "u:p@", "h", "/a", "?b=1", "&", "#", "%20", "%2541", "+", " ", "<", '"', ";x=y"])
    | NASTY,
    max_size=8,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(ADDRESSES, st.sampled_from(["referer", "location", "link", "refresh"]))
def test_an_address_that_is_clean_at_a_look_has_nothing_to_mask(text: str, name: str) -> None:
    """One search decides no differently from three, over parts and spellings of the address."""
    masked = MASKER.headers({name: text})
    with patch.object(Masker, "_is_clean_address", return_value=False):
        assert MASKER.headers({name: text}) == masked


def test_a_plus_sign_in_an_address_is_a_space_for_the_mask_too() -> None:
    """In the URI as in headers that hold one, whatever else there is in the event."""
    address = "https://h/bearer+abcdef0123456789"
    for uri in ("/", "/?pin=1234"):
        event = MASKER.event(event_with(uri=uri, headers={"referer": address}))
        assert event.request.headers["referer"] == MASKER.uri(address) == "https://h/[REDACTED:bearer]"


DIGITS = st.lists(st.sampled_from(["4111", "1111", "1", "a", " ", "-", ".", "378282", "246310", "005"]), max_size=12)


@settings(max_examples=500, deadline=None)
@given(DIGITS.map("".join))
@example("4111-1111-1111-1111")
@example("3782 822463 10005")
def test_a_look_finds_the_card_numbers_that_are_masked_and_no_other_digits(text: str) -> None:
    """Groups of digits stand in one of two hundred UUIDs, and in nearly every list of numbers."""
    masked = MASKER.value([text])[0] != text
    assert MASKER._plain.finds(text.encode()) is masked
    assert MASKER._json.finds(orjson.dumps([text])) is masked
    assert (MASKER.uri(f"/x/{text}") != f"/x/{text}") is masked


def test_a_body_full_of_identifiers_is_clean_at_a_look() -> None:
    """A walk over it would take many times as long."""
    identifiers = [f"{number:08d}-1234-4123-8123-123412341234" for number in range(500)]
    assert not MASKER._json.finds(orjson.dumps(identifiers))


@settings(max_examples=200, deadline=None)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(ORDINARY, inner), max_leaves=30))
def test_an_event_without_secrets_is_unchanged(document: Any) -> None:
    """What holds no secret leaves byte for byte as it passed."""
    raw = orjson.dumps(document)
    body = body_of(raw)
    headers = {"accept": "*/*", "x-request-id": "7d0e8f3a-2f0b-4a7e-9f52-1f4f2c9d7c11"}
    event = event_with(uri="https://x.example/a?page=2", headers=headers, body=body, metadata={"route": "/a"})
    masked = MASKER.event(event)
    assert masked.request.headers == headers
    assert masked.request.uri == "https://x.example/a?page=2"
    assert masked.metadata == {"route": "/a"}
    assert wire_body(masked.request.body) == orjson.loads(raw)


@pytest.mark.parametrize("rule", sorted(PHRASES))
def test_each_name_rule_has_its_own_switch(rule: str) -> None:
    """Switched off, a rule's own name stays and every other rule goes on."""
    masker = compile_masking(off=[rule])
    for phrase in PHRASES[rule]:
        name = phrase.replace(" ", "_")
        assert masker.value({name: "x"}) == {name: "x"}
        assert masker.uri(f"/a?{name}=x") == f"/a?{name}=x"
        assert wire_body(masker.body(body_of(b'{"%s":"x"}' % name.encode()))) == {name: "x"}
    others = {phrase.replace(" ", "_") for other in PHRASES if other != rule for phrase in PHRASES[other]}
    masked = masker.value(dict.fromkeys(others, "x"))
    assert [name for name, value in masked.items() if not value.startswith("[REDACTED:")] == []


@pytest.mark.parametrize("rule", sorted(HEADERS))
def test_each_header_rule_has_its_own_switch(rule: str) -> None:
    """Every header of the list is masked by its rule, and stays when that is off."""
    off = compile_masking(off=[rule.replace("_", "-")])
    for name in HEADERS[rule]:
        header = name.replace("*", "anything").title()
        assert MASKER.headers({header: "x"}) == {header: f"[REDACTED:{rule}]"}
        assert off.headers({header: "x"}) == {header: "x"}


VALUES = {
    "private_key_pem": "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    "json_web_token": "eyJhbGciOiJub25l.eyJzdWIiOiIx.c2ln",
    "bearer": "Bearer abc123",
    "basic": "Basic YW5uOmh1bnRlcjI=",
    "provider_key": "AKIAIOSFODNN7EXAMPLE",
    "url_password": "https://ann:hunter2@x.example/",
    "card": "4111111111111111",
}


@pytest.mark.parametrize("rule", VALUES)
def test_each_value_rule_has_its_own_switch(rule: str) -> None:
    """Every kind of value is masked by its rule, and stays when that is off, also in a body and a URI."""
    off, value = compile_masking(off=[rule]), VALUES[rule]
    assert f"[REDACTED:{rule}]" in MASKER.value([value])[0]
    assert off.value([value]) == [value]
    assert wire_body(off.body(body_of(orjson.dumps([value])))) == [value]
    assert wire_body(off.body(bodies.base64(value.encode()))) == value.encode()
    assert off.uri(f"/a?q={quote(value)}") == f"/a?q={quote(value)}"


def test_all_rules_can_be_off() -> None:
    """With every rule off nothing is touched."""
    masker = compile_masking(off=RULES)
    document = {"password": "x", "a": list(VALUES.values()), "n": 4111111111111111}
    assert masker.value(document) == document
    assert masker.headers({"cookie": "a=b", "authorization": "x"}) == {"cookie": "a=b", "authorization": "x"}


@pytest.mark.parametrize(
    ("settings_", "key", "words"),
    [
        ({"off": ["pasword"]}, "off", "did you mean 'password'?"),
        ({"off": ["nothing like it"]}, "off", "mask rules` lists them"),
        ({"body_paths": ["$.a["]}, "body_paths", "cannot be read from '['"),
        ({"body_paths": ["$"]}, "body_paths", "names nothing"),
        ({"body_paths": [""]}, "body_paths", "names nothing"),
        ({"body_paths": ["$ab"]}, "body_paths", "cannot be read from 'ab'"),
        ({"body_paths": ["$.a..b.[0]]"]}, "body_paths", "cannot be read"),
        ({"values": ["(a"]}, "values", "is no RE2 pattern: missing ): (("),
        ({"values": ["(?=a)"]}, "values", "is no RE2 pattern"),
        ({"values": [""]}, "values", "matches nothing at all"),
        ({"extra_names": ["--"]}, "extra_names", "no letters"),
        ({"headers": [""]}, "headers", "is no header name"),
        ({"query": [""]}, "query", "is no parameter name"),
    ],
)
def test_a_bad_setting_is_named(settings_: dict[str, Any], key: str, words: str) -> None:
    """A rule, path or pattern that cannot be used is refused at once, with its setting and the near miss."""
    with pytest.raises(ConfigurationError) as caught:
        compile_masking(**settings_)
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a.b", {"a": {"b": "M", "c": [{"b": 2}, {"b": 3}]}, "b": 4}),
        ("a.b", {"a": {"b": "M", "c": [{"b": 2}, {"b": 3}]}, "b": 4}),
        ("$..b", {"a": {"b": "M", "c": [{"b": "M"}, {"b": "M"}]}, "b": "M"}),
        ("..b", {"a": {"b": "M", "c": [{"b": "M"}, {"b": "M"}]}, "b": "M"}),
        ("$.a.c[*].b", {"a": {"b": 1, "c": [{"b": "M"}, {"b": "M"}]}, "b": 4}),
        ("$.a.c[1].b", {"a": {"b": 1, "c": [{"b": 2}, {"b": "M"}]}, "b": 4}),
        ("$.a.c[0]", {"a": {"b": 1, "c": ["M", {"b": 3}]}, "b": 4}),
        ("$.a.*", {"a": {"b": "M", "c": "M"}, "b": 4}),
        ("$.*", {"a": "M", "b": "M"}),
        ("$[*]", {"a": "M", "b": "M"}),
        ("$['a']['b']", {"a": {"b": "M", "c": [{"b": 2}, {"b": 3}]}, "b": 4}),
        ("$.a..[*].b", {"a": {"b": 1, "c": [{"b": "M"}, {"b": "M"}]}, "b": 4}),
        ("$.nothing", {"a": {"b": 1, "c": [{"b": 2}, {"b": 3}]}, "b": 4}),
    ],
)
def test_body_path(path: str, expected: Any) -> None:
    """A path masks what it points at in a body, and nothing in metadata."""
    document = {"a": {"b": 1, "c": [{"b": 2}, {"b": 3}]}, "b": 4}
    masker = compile_masking(body_paths=[path])
    masked = wire_body(masker.body(body_of(orjson.dumps(document))))
    assert orjson.dumps(masked).replace(b"[REDACTED:body_path]", b"M") == orjson.dumps(expected)
    assert masker.event(event_with(metadata=document)).metadata == document


def test_own_rules() -> None:
    """Names, headers, parameters and patterns of the user's own are masked beside the defaults."""
    masker = compile_masking(
        extra_names=["national id"], headers=["X-Plate", "X-In-*"], query=["q"], values=[r"EMP-\d+"]
    )
    assert masker.value({"nationalId": 1, "user_national_id": 2, "national": 3}) == {
        "nationalId": "[REDACTED:national_id]",
        "user_national_id": "[REDACTED:national_id]",
        "national": 3,
    }
    assert wire_body(masker.body(body_of(b'{"nationalId":1}'))) == {"nationalId": "[REDACTED:national_id]"}
    assert masker.headers({"x-plate": "B 1", "X-IN-a": "b"}) == {
        "x-plate": "[REDACTED:header]",
        "X-IN-a": "[REDACTED:header]",
    }
    assert (
        masker.uri("/a?q=x&Q=y&qq=z&password=p")
        == "/a?q=[REDACTED:query]&Q=[REDACTED:query]&qq=z&password=[REDACTED:password]"
    )
    assert wire_body(masker.body(body_of(b'["EMP-12 left"]'))) == ["[REDACTED:value] left"]
    assert masker.headers({"x-note": "EMP-7"}) == {"x-note": "[REDACTED:value]"}


def test_a_pattern_of_ones_own_leaves_markers_alone() -> None:
    """A pattern that matches anything masks what is not masked yet, once."""
    masker = compile_masking(values=[r"\w+"])
    masked = masker.value({"a": "see 4111111111111111, b"})
    assert masked == {"[REDACTED:value]": "[REDACTED:value] [REDACTED:card], [REDACTED:value]"}
    assert masker.value(masked) == masked


def test_the_report_says_where_and_by_which_rule() -> None:
    """Each thing that was masked is reported with its path and its rule."""
    report: list[Masked] = []
    event = event_with(
        uri="https://ann:x@x.example/?token=a",
        headers={"authorization": "x", "x-note": "Bearer abc123"},
        body=body_of(b'{"a":[{"pin":1}],"n":"4111111111111111"}'),
        metadata={"dsn": "x"},
        session_token="Bearer abc123",
    )
    MASKER.event(event, report)
    assert report == [
        ("request.uri?userinfo", "url_password"),
        ("request.uri?token", "token"),
        ("request.headers.authorization", "authorization"),
        ("request.headers.x-note", "bearer"),
        ("request.body.n", "card"),
        ("request.body.a[0].pin", "pin"),
        ("metadata.dsn", "dsn"),
        ("session_token", "bearer"),
    ]


def test_an_action_is_masked_too() -> None:
    """What an application tracks loses its secrets in a copy; ids and the action's name stay."""
    action = Action(
        "Paid pin=1",
        request={"uri": "https://x.example/?token=a&n=1", "ip_address": "1.2.3.4"},
        user_id="a=b",
        session_token="Bearer abc123",
        metadata={"pin": 1, "amount": 2},
    )
    masked = MASKER.action(action)
    assert masked.to_wire() == {
        "action_name": "Paid pin=1",
        "request": {"uri": "https://x.example/?token=[REDACTED:token]&n=1", "ip_address": "1.2.3.4"},
        "user_id": "a=b",
        "session_token": "[REDACTED:bearer]",
        "metadata": {"pin": "[REDACTED:pin]", "amount": 2},
    }
    assert action.metadata == {"pin": 1, "amount": 2}
    assert MASKER.action(Action("Signed Up")).to_wire() == {"action_name": "Signed Up"}


def test_ids_stay() -> None:
    """What an event is found by is no secret to mask."""
    event = MASKER.event(
        Event(EventRequest(0.0, "/", "GET"), user_id="4111111111111111", company_id="a=b", transaction_id="t")
    )
    assert (event.user_id, event.company_id, event.transaction_id) == ("4111111111111111", "a=b", "t")


def test_what_the_application_gave_is_not_changed() -> None:
    """Metadata and headers are copied, so that masking never shows in the application."""
    metadata, headers = {"password": "x", "l": [{"pin": 1}]}, {"authorization": "x"}
    MASKER.event(event_with(metadata=metadata, headers=headers))
    assert metadata == {"password": "x", "l": [{"pin": 1}]}
    assert headers == {"authorization": "x"}


class Account:
    """What an application may put into metadata although JSON lacks it."""

    def __str__(self) -> str:
        return "Account(password='c4n4ryV4lue')"


def test_metadata_that_json_lacks() -> None:
    """Objects, sets, cycles and written JSON in metadata are masked too, or become text."""
    cycle: dict[str, Any] = {"password": CANARY}
    cycle["self"] = cycle
    metadata = {
        "object": Account(),
        "set": {f"password={CANARY}"},
        "bytes": f"token={CANARY}".encode(),
        "cycle": cycle,
        "fragment": orjson.Fragment(orjson.dumps({"pin": CANARY})),
        5: {"secret": CANARY},
    }
    assert_no_secrets([sent(event_with(metadata=metadata))], [CANARY])


def test_it_fails_closed() -> None:
    """What cannot be masked raises: nothing comes back that was not looked at."""
    event = event_with(uri=b"not text")
    with pytest.raises((AttributeError, TypeError)):
        MASKER.event(event)
    body = MASKER.body(bodies.Body("base64", "no base64!"))
    assert wire_body(body) == b"[REDACTED:undecodable]"


def test_binary_stays() -> None:
    """Bytes that are no text stay as they are, but for what no binary format holds by chance."""
    image = bytes(range(256)) * 4
    assert wire_body(MASKER.body(bodies.base64(image))) == image
    assert wire_body(MASKER.body(bodies.base64(b"\0\1sk_live_4eC39HqLyjWDarjt\0"))) == b"\0\1[REDACTED:provider_key]\0"


def test_deep_documents_do_not_recurse() -> None:
    """50 000 levels are walked without recursion."""
    document: Any = {"password": "x"}
    for _ in range(50_000):
        document = [document]
    masked = MASKER.body(bodies.Body("json", document)).value
    for _ in range(50_000):
        masked = masked[0]
    assert masked == {"password": "[REDACTED:password]"}


SIZE = 60_000
ADVERSARIAL = {
    "a": "a" * SIZE,
    "letters and no end": "password " * (SIZE // 9),
    "assignments": "pin=1 " * (SIZE // 6),
    "open quotation marks": 'pin="' * (SIZE // 5),
    "open brackets": '"pin":[' * (SIZE // 7),
    "open tags": "<pin>" * (SIZE // 5),
    "tags that never close": "<pin " * (SIZE // 5),
    "backslashes": "\\" * SIZE,
    "escaped quotation marks": 'pin=\\"' + '\\\\"' * (SIZE // 3),
    "private keys without an end": "-----BEGIN PRIVATE KEY-----" * (SIZE // 27),
    "tokens": "eyJhbGciOi." * (SIZE // 11),
    "token heads": "eyJ" * (SIZE // 3),
    "digits": "4" * SIZE,
    "digit groups": "4111 " * (SIZE // 5),
    "addresses": "://a:b" * (SIZE // 6),
    "ampersands": "&" * SIZE,
    "semicolons": "a;" * (SIZE // 2),
    "percent": "%25" * (SIZE // 3),
    "percent tower": "%" + "25" * (SIZE // 2),
    "indented": "pin:\n" + " \n" * (SIZE // 2),
    "part heads": 'Content-Disposition: form-data; name="pin"\r\n' * (SIZE // 45),
    "bearer": "bearer " * (SIZE // 7),
    "JSON in JSON": "[" * SIZE,
    "cookies": 'a="' * (SIZE // 3),
    "commas": "a=b, " * (SIZE // 5),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_time_is_linear(name: str) -> None:
    """No text takes longer than its length allows: twice the text is about twice the time."""
    text = ADVERSARIAL[name]

    def seconds(part: str) -> float:
        started = time.thread_time()
        MASKER.uri(part)
        MASKER.headers({"x-a": part, "location": part, "cookie": part, "set-cookie": part})
        MASKER.value({"a": part, part: 1})
        MASKER.body(bodies.base64(part.encode()))
        return time.thread_time() - started

    half = min(seconds(text[: SIZE // 4]) for _ in range(2))
    assert seconds(text) < 12 * half + 0.5


def test_a_secret_at_the_end_of_a_large_document_is_found_in_the_time_that_finding_nothing_takes() -> None:
    """RE2 is fast forwards only: whoever asks it where a match begins waits five hundred times as long."""
    clean = b'{"items":[%s0]}' % (b'{"name":"an ordinary name","note":"of things"},' * 1_000)

    def least(data: bytes, found: bool) -> float:
        times: list[float] = []
        for _ in range(5):
            began = time.thread_time()
            assert MASKER._json.finds(data) is found
            times.append(time.thread_time() - began)
        return min(times)

    assert least(clean[:-1] + b',"password":"x"}', True) < 50 * least(clean, False)


def test_what_is_remembered_is_clean_short_and_little() -> None:
    """The values that requests have in common are searched once; no secret waits in memory for that."""
    masker = compile_masking()
    for number in range(1_500):
        headers = {"authorization": f"Bearer {CANARY}{number}", "x-request-id": str(number), "x-long": "y" * 300}
        masker.event(event_with(headers=headers, response_headers={"x-said": f"pin={CANARY}"} if number % 2 else {}))
    assert str(number - 1) in masker._seen
    assert len(masker._seen) <= 1_024
    assert not [text for text in masker._seen if CANARY in text or "y" in text]
    for number in range(1_500):
        masker.headers({f"x-odd-{number}": "1"})
    masker.headers({"accept": "*/*"})
    assert "accept" in masker._ordinary
    assert len(masker._ordinary) <= 1_024
    for number in range(1_500):
        assert CANARY not in masker.uri(f"https://u:{CANARY}@h/a{number}?token={CANARY}&x=Bearer+{CANARY}")
    assert "a1499" in masker._uris._ordinary
    assert len(masker._uris._ordinary) <= 1_024
    assert not [text for text in masker._uris._ordinary if CANARY in text]
    # What was remembered by itself is a secret beside an equals sign.
    masked = masker.event(event_with(headers={"x-said": "pin", "x-too": f"pin={CANARY}"}))
    assert masked.request.headers == {"x-said": "pin", "x-too": "pin=[REDACTED:pin]"}
