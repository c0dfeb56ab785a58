"""What must not leave the process is taken out here: one masker, compiled once, applied to every outgoing event.

Names (``secret_names``), paths (``json_paths``), values (``secret_values``) and text that is no JSON
(``secret_text``) each have their own file; this one applies them to headers, URIs, JSON values, bodies and whole
events. A body that one search over its bytes shows to be clean is handed on as it is. An exception means that nothing
was masked: the caller drops the event.

A body in base64 is looked into as text in any superset of ASCII, or in UTF-16; text with zero bytes, and so binary
data, too. Where nothing is found, as in all binary data but for what holds such text, it stays byte for byte. What
could not be decoded, and what is called text and cannot be read as such, is withheld.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from typing import Any

import orjson

from ..errors import ConfigurationError
from ..models import JSON, Action, Event
from . import jsontext
from .bodies import Body, base64
from .json_paths import JsonPaths, State
from .json_walk import PAIR_VALUES, QuickWalk, Walk
from .markers import Masked, Report, marker, note
from .secret_cookies import mask_cookies, mask_set_cookies
from .secret_hints import SecretHints
from .secret_names import HEADERS, PHRASES, SecretNames
from .secret_pairs import SecretPairs
from .secret_text import SecretText
from .secret_uris import SecretUris
from .secret_values import RULES as VALUE_RULES
from .secret_values import Look, SecretValues, linear

__all__ = ["RULES", "Masked", "Masker", "Report", "compile_masking"]

UNDECODABLE = "undecodable"
"""The rule that withholds bytes which may be text that nothing here can read."""
RULES = (*PHRASES, *HEADERS, *VALUE_RULES, UNDECODABLE)
"""The names of all default rules, each of which ``off`` takes."""

MARKERS = frozenset(marker(rule) for rule in RULES)

_URL_HEADERS = frozenset(
    ("location", "content-location", "referer", "link", "refresh", "origin", "x-original-url", "x-original-uri",
     "x-rewrite-url", "x-forwarded-uri", "sourcemap", "hx-current-url", "hx-redirect", "hx-location")
)  # fmt: skip
_URL_SIGNS = frozenset("=@%;#+")
_SINGLE_URLS = frozenset(("location", "content-location", "referer"))
_URL = re.compile(r"[^\s<>\"]+")
_ADDRESS = re.compile(rb"[^\s<>\"]+")
# An ASCII letter, a quotation mark or an equals sign that is percent-encoded, perhaps several times.
_ENCODED = rb"%(?:25)*(?:2[27]|3[Dd]|[46][0-9A-Fa-f]|[57][0-9Aa])"
_FIND_ENCODED = linear(_ENCODED)
_ESCAPED_LETTER = re.compile(rb"\\u00([4-7][0-9A-Fa-f])")
_JSON_STARTS = ("{", "[")
# "://:a@" and "pin=1": no shorter text holds a secret and tells so.
_SHORTEST = 5
_ROUNDS = 4
_FORM = linear(rb"[^\s\v\x00<>{}\"'?#/]+=[^\s\v\x00<>{}\"']*")
# Letters, digits and signs spelt so may be part of anything.
_ASCII_ESCAPE = rb"\\u00[0-7]"
_LETTER = re.compile(r"[^\W\d_]")
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_ANYTHING = re.compile(r"\S")
_NUMBERS = (int, float)
_TEXT = frozenset((str,))
_NONE: frozenset[str] = frozenset()
_MOST_NAMES, _SHORT_NAME = 1024, 64
_MOST_TEXTS, _SHORT_TEXT = 1024, 256


def compile_masking(
    *,
    extra_names: Iterable[str] = (),
    off: Iterable[str] = (),
    headers: Iterable[str] = (),
    query: Iterable[str] = (),
    body_paths: Iterable[str] = (),
    values: Iterable[str] = (),
) -> Masker:
    """Compile the default rules without those that are ``off``, and the user's own.

    ``extra_names`` are compared word by word, ``headers`` and ``query`` whole; ``body_paths`` look like ``$.a[*].b`` or
    ``$..name``; ``values`` are RE2 patterns. Raises ConfigurationError, which names the setting and the near miss.
    """
    chosen = frozenset(_rule_name(name) for name in off)
    names = SecretNames(
        chosen,
        [_checked("extra_names", name, _LETTER, "has no letters, by which names are compared") for name in extra_names],
        [_checked("headers", name, _HEADER_NAME, "is no header name") for name in headers],
        [_checked("query", name, _ANYTHING, "is no parameter name") for name in query],
    )
    return Masker(names, SecretValues(chosen, values), JsonPaths(body_paths), withholds=UNDECODABLE not in chosen)


def _rule_name(name: str) -> str:
    rule = re.sub(r"[\s\-.]+", "_", name.strip().lower())
    if rule not in RULES:
        from difflib import get_close_matches  # late, since it is for mistakes only

        near = get_close_matches(rule, RULES, 1)
        hint = f"did you mean {near[0]!r}?" if near else "`moesif-middleware mask rules` lists them"
        raise ConfigurationError("off", f"there is no rule {name!r}; {hint}")
    return rule


def _checked(setting: str, name: str, shape: re.Pattern[str], problem: str) -> str:
    if not shape.search(name):
        raise ConfigurationError(setting, f"{name!r} {problem}")
    return name


class Masker:
    """The compiled rules. Safe to share between threads: what changes is no more than what it remembers, within bounds.

    Each method takes a report, to which it adds what it masked: the path and the rule.
    """

    __slots__ = (
        "_binary_names", "_joint", "_json", "_names", "_ordinary", "_pairs", "_paths", "_plain", "_prose", "_seen",
        "_strings", "_text", "_uris", "_values", "_withholds", "look",
    )  # fmt: skip

    def __init__(self, names: SecretNames, values: SecretValues, paths: JsonPaths, *, withholds: bool = True) -> None:
        self._withholds = withholds
        self._names = names
        self._values = values
        self._paths = paths
        self._ordinary: set[str] = set()
        """Header names that were seen and that no rule knows."""
        self._seen: set[str] = set()
        """Values of such headers in which nothing was found: the next request is likely to have them as well."""
        self._text = SecretText(names)
        self._pairs = SecretPairs(names)
        hints = SecretHints(names)
        self._strings = values.look(_ASCII_ESCAPE, _ENCODED, hints.strings)
        self._json = values.look(_ASCII_ESCAPE, _ENCODED, hints.json)
        self.look = (
            None
            if paths.start or values.hidden
            else values.look(_ASCII_ESCAPE, _ENCODED, hints.json, whole=jsontext.not_shallow())
        )
        """What JSON bodies may be read with, so that ``body`` need not search them; None where that says nothing."""
        self._plain = values.look(_ENCODED, hints.plain)
        self._prose = values.look(_ASCII_ESCAPE, _ENCODED, hints.prose)
        self._joint: tuple[Look, Look] | None = None
        self._binary_names = names.binary_names()
        self._uris = SecretUris(names, values, self._rules_of_string, _ENCODED, hints.uri)

    def event(self, event: Event, report: Report | None = None) -> Event:
        """Mask an event in place and return it. Ids stay; bodies are ``Body`` objects or wire values."""
        suspicious = self._heads(event, report)
        self._message_body(event.request, report, "request.body")
        if event.response is not None:
            self._message_body(event.response, report, "response.body")
        if event.metadata is not None and suspicious:
            event.metadata = self.value(event.metadata, report, "metadata")
        if event.session_token is not None:
            event.session_token = self._string(str(event.session_token), report, "session_token")
        if event.tags is not None:
            event.tags = self.value(event.tags, report, "tags")
        return event

    def _heads(self, event: Event, report: Report | None) -> bool:
        """Mask the URI and the headers; return whether the metadata needs it too."""
        request, response, metadata = event.request, event.response, event.metadata
        simple = metadata is None or self.is_simple(metadata)
        said = (*metadata, *metadata.values()) if simple and metadata is not None else ()
        both = (request.headers,) if response is None else (request.headers, response.headers)
        request.uri, clean = self.head(request.uri, both, said, report)
        suspicious = not clean
        request.headers = self._headers(request.headers, suspicious, report, "request.headers")
        if response is not None:
            response.headers = self._headers(response.headers, suspicious, report, "response.headers")
        return suspicious or not simple

    def joint_looks(self, pause: Callable[[], None] = lambda: None) -> tuple[Look, Look] | None:
        """Return a look over what ``head_text`` makes of many requests, and one over many JSON bodies.

        Each text stands behind a zero byte, and has none itself. None when looks tell nothing, as for ``look``. They
        are compiled when they are first asked for; ``pause`` is called in between.
        """
        if self.look is None or self._names.exact:
            return None
        if self._joint is None:
            hints = SecretHints(self._names)
            pause()
            heads = self._values.look(_ENCODED, hints.uris)
            pause()
            whole = b"(?s:.*?)\\x00" + jsontext.not_shallow()
            self._joint = heads, self._values.look(_ASCII_ESCAPE, _ENCODED, hints.json, whole=whole)
        return self._joint

    def head_text(
        self, uri: str, headers: Iterable[Mapping[str, str]], said: Iterable[str] = ()
    ) -> tuple[frozenset[str], bytes]:
        """Return what has to be looked at before a request's head counts as clean: texts, and as one text with its URI.

        What was looked at for former requests is not among them.
        """
        texts = frozenset(self._unseen(headers, said))
        return texts, self._head_text(uri, texts)

    def _unseen(self, headers: Iterable[Mapping[str, str]], said: Iterable[str]) -> set[str]:
        texts = {*said}
        for each in headers:
            texts.update(self._looked_at(each))
        return texts - self._seen

    def _head_text(self, uri: str, texts: Iterable[str]) -> bytes:
        return b"%b\n%b" % (_encode("\n".join(texts)), self._uris.decoded(uri))

    def head(
        self,
        uri: str,
        headers: Iterable[Mapping[str, str]],
        said: Iterable[str] = (),
        report: Report | None = None,
        *,
        clean: Set[str] | None = None,
    ) -> tuple[str, bool]:
        """Return a request's URI masked, and whether headers, but for their names, and other texts are clean.

        One search tells, over all that was not searched before: a search costs more than its text, since what it needs
        is seldom in the processor's cache. ``clean`` are texts in which, as in the URI, nothing was found.
        """
        if self._values.hidden or self._names.exact:
            return self.uri(uri, report, "request.uri"), False
        new, look = self._unseen(headers, said), self._uris.look
        if clean is not None and new <= clean:
            self._remember(new)
            return uri, True
        found = look.finds(self._head_text(uri, new))
        suspicious = {text for text in new if look.finds(_encode(text))} if found else _NONE
        if len(new) > len(suspicious):
            self._remember(new - suspicious)
        return self.uri(uri, report, "request.uri") if found else uri, not suspicious

    def fields(self, headers: dict[str, str], clean: bool) -> dict[str, str]:
        """Return headers masked, by their names alone where ``head`` has told that their values are ``clean``."""
        ordinary = clean and headers.keys() <= self._ordinary
        return headers if ordinary else self._headers(headers, not clean, None, "")

    def _remember(self, texts: set[str]) -> None:
        """Note that nothing was found in some texts."""
        short = [text for text in texts if len(text) <= _SHORT_TEXT][:_MOST_TEXTS]
        if len(self._seen) + len(short) > _MOST_TEXTS:
            # What stands in every request is there again after the next look.
            self._seen.clear()
        self._seen.update(short)

    def is_simple(self, metadata: Any) -> bool:
        """Return whether metadata is plain text under names that no rule knows, as the middleware itself writes it."""
        return type(metadata) is dict and all(
            type(name) is str and name.isascii() and name not in PAIR_VALUES and self._names.rule(name) is None
            and type(text) is str and text.isascii()
            for name, text in metadata.items()
        )  # fmt: skip

    def action(self, action: Action, report: Report | None = None) -> Action:
        """Return a masked copy of an action: its metadata, what its request says, and its session token."""
        request, metadata, token = action.request, action.metadata, action.session_token
        if request is not None:
            request = self.value(request, report, "request")
            if isinstance(request.get("uri"), str):
                request["uri"] = self.uri(request["uri"], report, "request.uri")
        return replace(
            action,
            request=request,
            metadata=None if metadata is None else self.value(metadata, report, "metadata"),
            session_token=None if token is None else self._string(str(token), report, "session_token"),
        )

    def _message_body(self, message: Any, report: Report | None, path: str) -> None:
        body = message.body
        if body is None:
            return
        if isinstance(body, Body):
            message.body = self.body(body, report, path)
        elif message.transfer_encoding == "base64":
            message.body = self._base64(body, report, path)
        else:
            message.body = self._walk(jsontext.plain(body), report, path, self._paths.start)

    def body(self, body: Body, report: Report | None = None, path: str = "body") -> Body:
        """Return the same body when it is clean, else another one without what was masked."""
        if body.data is not None:
            if self._withholds and (body.opaque or (body.binary and self._binary_names.search(body.data) is not None)):
                # MessagePack and its like have names as well, but where their values end cannot be told.
                note(report, path, UNDECODABLE)
                return base64(marker(UNDECODABLE).encode(), body.notes)
            masked, rules = self._bytes(body.data)
            note(report, path, *rules)
            return base64(masked, body.notes) if rules else body
        if body.transfer_encoding == "base64":
            return Body("base64", self._base64(body.value, report, path), notes=body.notes)
        text = None if self._values.hidden else _json_text(body)
        if text is None:
            return body.replace(self._walk(body.value, report, path, self._paths.start))
        if not self._paths.start and not self._finds(body, text):
            return body
        values = self._strings.finds(text)
        return body.replace(self._walk(body.value, report, path, self._paths.start, values=values))

    def _finds(self, body: Body, text: bytes) -> bool:
        """Return whether the text of a body may hold something to mask."""
        if body.looked is not None and body.looked[0] is self.look:
            return body.looked[1]
        return self._json.finds(text)

    def value(self, value: JSON, report: Report | None = None, path: str = "$") -> JSON:
        """Return a copy of a JSON value, or of what an application takes for one, masked at any depth."""
        return self._walk(jsontext.plain(value), report, path)

    def string(self, text: str) -> str:
        """Return a string without what is secret in it by its look."""
        return self._string(text, None, "")

    def _walk(self, value: Any, report: Report | None, path: str, state: State = (), *, values: bool = True) -> Any:
        leaf = self._leaf if values else None
        if report is None and not state:
            return QuickWalk(self._names.rule, leaf, self._may_change, MARKERS).run(value)
        return Walk(self._names.rule, leaf, self._paths, MARKERS, report).run(value, path, state)

    def _leaf(self, value: Any, report: Report | None, path: str) -> Any:
        kind = type(value)
        if kind is str:
            return self._string(value, report, path)
        if kind in _NUMBERS and (rule := self._values.number(value)) is not None:
            note(report, path, rule)
            return marker(rule)
        if kind is orjson.Fragment:
            # Text that is already written cannot be looked into, so it is read again.
            return self.value(orjson.loads(orjson.dumps(value)), report, path)
        return value

    def uri(self, uri: str, report: Report | None = None, path: str = "uri") -> str:
        """Return a URI, absolute or not, with query, fragment, matrix parameters, credentials and path masked."""
        return self._uris.mask(uri, report, path)

    def headers(
        self, headers: Mapping[str, str], report: Report | None = None, path: str = "headers"
    ) -> dict[str, str]:
        """Return the headers with what is secret by name or value masked; names stay."""
        suspicious = self._suspicious(_encode("\n".join(self._looked_at(headers))))
        return self._headers(headers, suspicious, report, path)

    def _headers(
        self, headers: Mapping[str, str], suspicious: bool, report: Report | None, path: str
    ) -> dict[str, str]:
        """Return the headers masked: by their values only when a look at ``_looked_at`` says so."""
        masked = dict(headers)
        ordinary: Set[str] = _NONE if suspicious else self._ordinary
        for name in [name for name in headers if name not in ordinary]:
            value = headers[name]
            rule = self._names.header_rule(name)
            if rule is not None:
                masked[name] = _secret_header(name, value, rule)
                note(report, f"{path}.{name}", rule)
            elif name.lower() in _URL_HEADERS and (suspicious or not _URL_SIGNS.isdisjoint(value)):
                single = name.lower() in _SINGLE_URLS
                masked[name] = self._url_header(value, report, f"{path}.{name}", single=single)
            elif suspicious and value not in self._seen:
                masked[name] = self._string(value, report, f"{path}.{name}")
        return masked

    def _looked_at(self, headers: Mapping[str, str]) -> Iterable[str]:
        """Return the values of which neither a name nor the signs of a URL tell that they have to be masked."""
        if headers.keys() <= self._ordinary:
            return headers.values()
        ordinary = dict(headers)
        for name in [name for name in headers if name not in self._ordinary]:
            if not self._is_ordinary(name, ordinary[name]):
                del ordinary[name]
        return ordinary.values()

    def _is_ordinary(self, name: str, value: str) -> bool:
        if self._names.header_rule(name) is not None:
            return False
        if name.lower() in _URL_HEADERS:
            return _URL_SIGNS.isdisjoint(value)
        if len(name) <= _SHORT_NAME:
            if len(self._ordinary) >= _MOST_NAMES:
                # A thousand odd names must not keep those out for good that every request has.
                self._ordinary.clear()
            self._ordinary.add(name)
        return True

    def _url_header(self, value: str, report: Report | None, path: str, *, single: bool = False) -> str:
        if self._is_clean_address(value):
            return value
        if single:
            # An address may hold what ends one in a text, such as quotation marks.
            value = self.uri(value, report, path)
        if not single or _URL.fullmatch(value) is None:
            value = _URL.sub(lambda match: self.uri(match[0], report, path), value)
        data = _encode(value)
        if self._values.suspicious(data):
            data, rules = self._values.mask(data)
            note(report, path, *rules)
        return data.decode("utf-8", "surrogatepass")

    def _is_clean_address(self, value: str) -> bool:
        """Return whether one search, over an address as it stands and decoded, finds nothing in it."""
        if self._values.hidden or self._names.exact or _URL.fullmatch(value) is None:
            return False
        return not self._uris.look.finds(b"%b\n%b" % (_encode(value), self._uris.decoded(value)))

    def _string(self, text: str, report: Report | None, path: str, *, encoded: bool = True) -> str:
        if len(text) < _SHORTEST and not self._values.hidden:
            return text
        data = _encode(text)
        if not self._suspicious(data):
            return text
        if text.lstrip()[:1] in _JSON_STARTS:
            try:
                value = orjson.loads(data)
            except ValueError:
                value = None
            if value is not None and (masked := self.value(value, report, path)) != value:
                return orjson.dumps(masked).decode()
            # A name that stands twice hides the first value from the walk, not from a look at the text.
        masked_data, rules = self._mask_text(data, prose=False, encoded=encoded)
        note(report, path, *rules)
        return masked_data.decode("utf-8", "surrogatepass") if rules else text

    def _rules_of_string(self, text: str) -> tuple[str, list[str]]:
        found: Report = []
        # What it is called with was decoded already.
        return self._string(text, found, "", encoded=False), [item.rule for item in found]

    def _may_change(self, texts: str) -> bool:
        """Return whether ``_string`` may change one of some texts, which are joined by line breaks."""
        return self._suspicious(_encode(texts))

    def _suspicious(self, data: bytes) -> bool:
        return self._values.hidden or self._plain.finds(data)

    def _mask_text(self, data: bytes, *, prose: bool, encoded: bool = True) -> tuple[bytes, list[str]]:
        rules: list[str] = []
        encoded = encoded and _FIND_ENCODED.search(data) is not None
        # What one of them leaves may be something to the other: what is masked must stay as it is.
        for _ in range(_ROUNDS if encoded else 1):
            before = data
            data, paired = self._pairs.mask(data)
            data, named = self._text.mask(data, prose=prose)
            data, valued = self._values.mask(data)
            rules += (*paired, *named, *valued)
            if encoded:
                data = self._addresses(data, rules)
            if data == before:
                break
        return data, rules

    def _addresses(self, data: bytes, rules: list[str]) -> bytes:
        return _ADDRESS.sub(lambda match: self._address(match[0], rules), data)

    def _address(self, word: bytes, rules: list[str]) -> bytes:
        """Mask a word of a text that may be an address or a form with names that are percent-encoded."""
        if b"=" not in word or _FIND_ENCODED.search(word) is None:
            return word
        if b"?" in word or b"#" in word or b"//" in word:
            found: Report = []
            masked = self.uri(word.decode("latin-1"), found).encode("latin-1", "replace")
            rules += (item.rule for item in found)
            return masked if found else word
        masked, more = self._form(word)
        rules += more
        return masked if more else word

    def _base64(self, text: Any, report: Report | None, path: str) -> str:
        try:
            data = b64decode(text, validate=True)
        except (NotBase64, TypeError, ValueError):
            # What cannot be looked into does not leave.
            note(report, path, UNDECODABLE)
            return b64encode(marker(UNDECODABLE).encode()).decode("ascii")
        masked, rules = self._bytes(data)
        note(report, path, *rules)
        return b64encode(masked).decode("ascii") if rules else text

    def _bytes(self, data: bytes, *, escaped: bool = True) -> tuple[bytes, list[str]]:
        if (encoding := _wide(data)) is not None:
            return self._wide_bytes(data, encoding)
        if b"=" in data and _FORM.fullmatch(data):
            return self._form(data)
        if not self._values.hidden and not self._prose.finds(data):
            return self._without_zeros(data)
        plain = _ESCAPED_LETTER.sub(_letter, data) if escaped else data
        if plain != data:
            masked, rules = self._bytes(plain, escaped=False)
            return (masked if rules else data), rules
        masked, rules = self._text.mask_parts(data)
        masked, more = self._mask_text(masked, prose=True)
        return masked, rules + more

    def _without_zeros(self, data: bytes) -> tuple[bytes, list[str]]:
        """Withhold what shows a secret once its zero bytes are out, as text in several encodings at once does."""
        if self._withholds and b"\0" in data and self._mask_text(data.replace(b"\0", b""), prose=True)[1]:
            return marker(UNDECODABLE).encode(), [UNDECODABLE]
        return data, []

    def _wide_bytes(self, data: bytes, encoding: str) -> tuple[bytes, list[str]]:
        text = data.decode(encoding, "surrogatepass" if len(data) % 2 == 0 else "ignore")
        masked, rules = self._bytes(_encode(text))
        return (masked.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass") if rules else data), rules

    def _form(self, data: bytes) -> tuple[bytes, list[str]]:
        """Mask a form that was not read as one: its names may be percent-encoded."""
        found: Report = []
        masked = self.uri(f"?{data.decode('latin-1')}", found)[1:]
        return masked.encode("latin-1"), [item.rule for item in found]


def _letter(found: re.Match[bytes]) -> bytes:
    letter = bytes.fromhex(found[1].decode())
    return letter if letter.isalpha() else found[0]


def _secret_header(name: str, value: str, rule: str) -> str:
    if rule == "cookie" and name.lower() == "cookie":
        return mask_cookies(value)
    return mask_set_cookies(value) if rule == "set_cookie" else marker(rule)


def _json_text(body: Body) -> bytes | None:
    """Return JSON text with every string of a body, None when it has what only a walk can reach."""
    if body.raw is not None:
        return body.raw
    try:
        return orjson.dumps(body.value)
    except TypeError:
        return None


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _wide(data: bytes) -> str | None:
    """Return the codec of UTF-16 text, told by its byte order mark or by its zero bytes."""
    if data[:2] == b"\xff\xfe":
        return "utf-16-le"
    if data[:2] == b"\xfe\xff":
        return "utf-16-be"
    half = min(len(data), 2048) // 2
    if half < 4 or b"\0" not in data[:2048]:
        return None
    if data[1 : 2 * half : 2].count(0) * 10 > half * 7:
        return "utf-16-le"
    return "utf-16-be" if data[0 : 2 * half : 2].count(0) * 10 > half * 7 else None
