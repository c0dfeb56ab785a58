"""What must not leave the process is taken out here: one masker, compiled once, applied to every outgoing event.

Names (``secret_names``), paths (``json_paths``), values (``secret_values``) and text that is no JSON
(``secret_text``) each have their own file; this one applies them to headers, URIs, JSON values, bodies and whole
events. A body that one search over its bytes shows to be clean is handed on as it is. An exception means that nothing
was masked: the caller drops the event.

A body in base64 is looked into as text in any superset of ASCII, or in UTF-16; text with zero bytes, and so binary
data, too. Where nothing is found, as in all binary data but for what holds such text, it stays byte for byte. What is
compressed in a way that could not be undone stays as well.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, unquote_to_bytes

import orjson

from ..errors import ConfigurationError
from ..models import JSON, Event
from . import jsontext
from .bodies import Body
from .json_paths import JsonPaths, State
from .secret_names import HEADERS, PHRASES, SecretNames
from .secret_text import SecretText
from .secret_values import RULES as VALUE_RULES
from .secret_values import SecretValues, marker

RULES = (*PHRASES, *HEADERS, *VALUE_RULES)
"""The names of all default rules, each of which ``off`` takes."""

MARKERS = frozenset(marker(rule) for rule in RULES)

_URL_HEADERS = frozenset(
    ("location", "content-location", "referer", "link", "refresh", "origin", "x-original-url", "x-original-uri",
     "x-rewrite-url", "x-forwarded-uri", "sourcemap", "hx-current-url", "hx-redirect", "hx-location")
)  # fmt: skip
_URL_SIGNS = frozenset("=@%;#")
_URL = re.compile(r"[^\s<>\"]+")
_COOKIE = re.compile(r"\s*([^=;]*)(=?)(\"(?:[^\"\\]|\\.)*\"[^;]*|[^;]*)(;?)", re.DOTALL)
_SET_COOKIE = re.compile(r",\s+(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+=)")
_COOKIE_ATTRIBUTES = frozenset(
    ("expires", "max-age", "domain", "path", "samesite", "priority", "secure", "httponly", "partitioned")
)
# Kept as they are, so that the marker reads the same in a URI.
_SAFE_AUTHORITY = "/:@!$'(),*~"
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9+.\-]*:)?//[^/]*")
_SAFE = "[]:/@!$'(),*~"
_JSON_STARTS = ("{", "[")
# "://:a@" and "pin=1": no shorter text holds a secret and tells so.
_SHORTEST = 5
_LAYERS = 3
_FORM = re.compile(rb"[^\s\0<>{}\"'?#/]+=[^\s\0<>{}\"']*")
# Letters, digits and signs spelt so may be part of anything.
_ASCII_ESCAPE = rb"\\u00[0-7]"
_LETTER = re.compile(r"[^\W\d_]")
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_ANYTHING = re.compile(r"\S")
_NUMBERS = (int, float)
_LEAVES = frozenset((str, int, float, bool, type(None)))


class Masked(NamedTuple):
    """One thing that was taken out: where it stood and by which rule."""

    path: str
    rule: str


Report = list[Masked]


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
    return Masker(names, SecretValues(chosen, values), JsonPaths(body_paths))


def _rule_name(name: str) -> str:
    rule = re.sub(r"[\s\-.]+", "_", name.strip().lower())
    if rule not in RULES:
        near = get_close_matches(rule, RULES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"the rules are {', '.join(RULES)}"
        raise ConfigurationError("off", f"there is no rule {name!r}; {hint}")
    return rule


def _checked(setting: str, name: str, shape: re.Pattern[str], problem: str) -> str:
    if not shape.search(name):
        raise ConfigurationError(setting, f"{name!r} {problem}")
    return name


class Masker:
    """The compiled rules. Immutable, and safe to share between threads."""

    __slots__ = ("_json", "_names", "_paths", "_plain", "_strings", "_text", "_uri", "_values")

    def __init__(self, names: SecretNames, values: SecretValues, paths: JsonPaths) -> None:
        self._names = names
        self._values = values
        self._paths = paths
        self._text = SecretText(names)
        self._strings = values.look(_ASCII_ESCAPE, self._text.escaped_hint)
        self._json = values.look(_ASCII_ESCAPE, self._text.escaped_hint, self._text.key_hint)
        self._plain = values.look(self._text.plain_hint)
        self._uri = values.look(self._text.plain_hint, self._text.uri_hint)

    def event(self, event: Event, report: Report | None = None) -> Event:
        """Mask an event in place and return it. Ids stay; bodies are ``Body`` objects or wire values."""
        request, response = event.request, event.response
        request.uri = self.uri(request.uri, report, "request.uri")
        request.headers = self.headers(request.headers, report, "request.headers")
        self._message_body(request, report, "request.body")
        if response is not None:
            response.headers = self.headers(response.headers, report, "response.headers")
            self._message_body(response, report, "response.body")
        if event.metadata is not None:
            event.metadata = self.value(event.metadata, report, "metadata")
        if event.session_token is not None:
            event.session_token = self._string(str(event.session_token), report, "session_token")
        if event.tags is not None:
            event.tags = self.value(event.tags, report, "tags")
        return event

    def _message_body(self, message: Any, report: Report | None, path: str) -> None:
        body = message.body
        if body is None:
            return
        if isinstance(body, Body):
            message.body = self.body(body, report, path)
        elif message.transfer_encoding == "base64":
            message.body = self._base64(body, report, path)
        else:
            message.body = self.value(body, report, path, paths=True)

    def body(self, body: Body, report: Report | None = None, path: str = "body") -> Body:
        """Return the same body when it is clean, else another one without what was masked."""
        if body.transfer_encoding == "base64":
            before = body.value
            after = self._base64(before, report, path)
            return body if after == before else Body("base64", after, notes=body.notes)
        text = _json_text(body)
        everything = self._values.hidden or text is None
        if text is not None and not everything and not self._paths.start and not self._json.finds(text):
            return body
        values = text is None or everything or self._strings.finds(text)
        return body.replace(_Walk(self, report, values=values).run(body.value, path, self._paths.start))

    def headers(
        self, headers: Mapping[str, str], report: Report | None = None, path: str = "headers"
    ) -> dict[str, str]:
        """Return the headers with what is secret by name or value masked; names stay."""
        masked = dict(headers)
        plain: list[str] = []
        for name, value in headers.items():
            rule = self._names.header_rule(name)
            if rule is not None:
                masked[name] = self._secret_header(name, value, rule)
                _note(report, f"{path}.{name}", rule)
            elif name.lower() in _URL_HEADERS and not _URL_SIGNS.isdisjoint(value):
                masked[name] = self._url_header(value, report, f"{path}.{name}")
            else:
                plain.append(name)
        # One search over all values is much cheaper than one for each.
        if self.suspicious(_encode("\n".join([headers[name] for name in plain]))):
            for name in plain:
                mask = self._url_header if name.lower() in _URL_HEADERS else self._string
                masked[name] = mask(headers[name], report, f"{path}.{name}")
        return masked

    def _url_header(self, value: str, report: Report | None, path: str) -> str:
        masked = _URL.sub(lambda match: self.uri(match[0], report, path), value)
        return self._mask_values(masked, report, path)

    def _mask_values(self, text: str, report: Report | None, path: str) -> str:
        data = _encode(text)
        if not self._values.suspicious(data):
            return text
        masked, rules = self._values.mask(data)
        for rule in rules:
            _note(report, path, rule)
        return masked.decode("utf-8", "surrogatepass")

    def _secret_header(self, name: str, value: str, rule: str) -> str:
        if rule == "cookie" and name.lower() in ("cookie", "cookie2"):
            return _masked_cookies(value)
        if rule == "set_cookie":
            return ", ".join(_masked_set_cookie(cookie) for cookie in _SET_COOKIE.split(value))
        return marker(rule)

    def uri(self, uri: str, report: Report | None = None, path: str = "uri") -> str:
        """Return a URI, absolute or not, with query, fragment, matrix parameters, credentials and path masked."""
        decoded = _encode(uri)
        for _ in range(_LAYERS):
            if b"%" not in decoded and b"+" not in decoded:
                break
            decoded = unquote_to_bytes(decoded.replace(b"+", b" "))
        if not self._names.exact and not self._values.hidden and not self._uri.finds(decoded):
            return uri
        masked = self._masked_uri(uri, _noter(report, path))
        # A marker may make a user and a password of what was neither: what is masked must stay as it is.
        for _ in range(_LAYERS):
            before, masked = masked, self._masked_uri(masked, _noter(None, path))
            if masked == before:
                break
        return masked

    def _masked_uri(self, uri: str, note: Callable[[str, str], None]) -> str:
        rest, hash_sign, fragment = uri.partition("#")
        base, question, query = rest.partition("?")
        text = self._base(base, note) + question + self._pairs(query, note)
        if hash_sign:
            head, inner, tail = fragment.partition("?")
            text += hash_sign + self._pairs(head, note) + inner + self._pairs(tail, note)
        return text

    def _base(self, base: str, note: Callable[[str, str], None]) -> str:
        before, mark, after = self._values.without_user_info(base)
        if mark:
            note("userinfo", "url_password")
            end = len(after.partition("/")[0])
        else:
            match = _AUTHORITY.match(after)
            end = match.end() if match else 0
        head = [self._component(part, "authority", note, safe=_SAFE_AUTHORITY) for part in (before, after[:end])]
        return head[0] + mark + head[1] + self._path(after[end:], note)

    def _path(self, path: str, note: Callable[[str, str], None]) -> str:
        return "/".join(self._segment(segment, note) for segment in path.split("/"))

    def _segment(self, segment: str, note: Callable[[str, str], None]) -> str:
        head, semicolon, parameters = segment.partition(";")
        return self._component(head, "path", note) + semicolon + self._pairs(parameters, note)

    def _pairs(self, query: str, note: Callable[[str, str], None]) -> str:
        if not query:
            return query
        return "&".join(";".join(self._pair(pair, note) for pair in group.split(";")) for group in query.split("&"))

    def _pair(self, pair: str, note: Callable[[str, str], None]) -> str:
        name, equals, value = pair.partition("=")
        plain = unquote_plus(name)
        if equals and (rule := self._names.query_rule(plain)) is not None:
            note(plain, rule)
            return f"{self._component(name, plain, note)}={marker(rule)}"
        return self._component(name, plain, note) + equals + self._component(value, plain, note)

    def _component(
        self, text: str, name: str, note: Callable[[str, str], None], *, safe: str = _SAFE, layers: int = _LAYERS
    ) -> str:
        decoded = unquote_plus(text)
        inner = decoded
        # An address inside an address is encoded twice.
        if layers > 1 and "%" in decoded and decoded != text:
            inner = self._component(decoded, name, note, layers=layers - 1)
        found: Report = []
        masked = self._string(inner, found, name)
        if masked == decoded:
            return text
        for item in found:
            note(item.path, item.rule)
        return quote(masked, safe=safe, errors="surrogatepass")

    def value(self, value: JSON, report: Report | None = None, path: str = "$", *, paths: bool = False) -> JSON:
        """Return a copy of a JSON value with what is secret masked, at any depth.

        ``paths`` says that the value is a body, to which the body paths apply.
        """
        return _Walk(self, report, values=True).run(jsontext.plain(value), path, self._paths.start if paths else ())

    def _string(self, text: str, report: Report | None, path: str) -> str:
        if len(text) < _SHORTEST and not self._values.hidden:
            return text
        data = _encode(text)
        if not self.suspicious(data):
            return text
        if text.lstrip()[:1] in _JSON_STARTS:
            try:
                value = orjson.loads(data)
            except ValueError:
                value = None
            if value is not None:
                masked = self.value(value, report, path)
                if masked != value:
                    return orjson.dumps(masked).decode()
                # A name that stands twice hides the first value from the walk, not from a look at the text.
        masked_data, rules = self._mask_text(data, prose=False)
        for rule in rules:
            _note(report, path, rule)
        return masked_data.decode("utf-8", "surrogatepass") if rules else text

    def suspicious(self, data: bytes) -> bool:
        """Return whether plain text may hold something to mask."""
        return self._values.hidden or self._plain.finds(data)

    def _mask_text(self, data: bytes, *, prose: bool) -> tuple[bytes, list[str]]:
        data, rules = self._text.mask(data, prose=prose)
        data, more = self._values.mask(data)
        return data, rules + more

    def _base64(self, text: Any, report: Report | None, path: str) -> str:
        try:
            data = b64decode(text, validate=True)
        except (NotBase64, TypeError, ValueError):
            # What cannot be looked into does not leave.
            _note(report, path, "undecodable")
            return b64encode(marker("undecodable").encode()).decode("ascii")
        masked, rules = self._bytes(data)
        for rule in rules:
            _note(report, path, rule)
        return b64encode(masked).decode("ascii") if rules else text

    def _bytes(self, data: bytes) -> tuple[bytes, list[str]]:
        encoding = _wide(data)
        if encoding is not None:
            decoded = data.decode(encoding, "surrogatepass" if len(data) % 2 == 0 else "ignore")
            masked, rules = self._bytes(_encode(decoded))
            return (
                (masked.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass"), rules)
                if rules
                else (data, [])
            )
        if _FORM.fullmatch(data):
            # A form that was not read as one: its names may be percent-encoded.
            return self._form(data.decode("latin-1"))
        data, rules = self._text.mask_parts(data)
        if not self._text.suspicious(data) and not self._values.suspicious(data):
            return data, rules
        data, more = self._mask_text(data, prose=True)
        return data, rules + more

    def _form(self, text: str) -> tuple[bytes, list[str]]:
        found: Report = []
        masked = self.uri(f"?{text}", found)[1:]
        return masked.encode("latin-1"), [item.rule for item in found]

    def leaf(self, value: Any, report: Report | None, path: str) -> Any:
        """Return a JSON scalar, or what stands for one, masked by its value."""
        kind = type(value)
        if kind is str:
            return self._string(value, report, path)
        if kind in _NUMBERS and (rule := self._values.number(value)) is not None:
            _note(report, path, rule)
            return marker(rule)
        if kind is orjson.Fragment:
            # Text that is already written cannot be looked into, so it is read again.
            return self.value(orjson.loads(orjson.dumps(value)), report, path)
        return value

    def key_rule(self, name: str) -> str | None:
        """Return the rule that masks what stands under a JSON name, None when there is none."""
        return self._names.rule(name)

    def enter(self, state: State, key: str | int) -> tuple[bool, State]:
        """Return whether a body path ends at a child, and the state of the body paths there."""
        return self._paths.enter(state, key)


class _Walk:
    """One walk over a JSON value, which makes a masked copy without recursion."""

    __slots__ = ("_masker", "_report", "_todo", "_values")

    def __init__(self, masker: Masker, report: Report | None, *, values: bool) -> None:
        """Prepare a walk; ``values`` says that strings and numbers are looked into, not only names."""
        self._masker = masker
        self._values = values
        self._report = report
        self._todo: list[tuple[Any, Any, str, State]] = []

    def run(self, value: Any, path: str, state: State) -> Any:
        """Return the masked copy of a value that stands at ``path``."""
        copy = self._copy(value, path, state)
        while self._todo:
            source, target, path, state = self._todo.pop()
            if type(source) is dict:
                self._members(source, target, path, state)
            else:
                self._items(source, target, path, state)
        return copy

    def _copy(self, value: Any, path: str, state: State) -> Any:
        """Return a leaf masked; for a container, an empty one that a later step fills."""
        kind = type(value)
        if kind is dict or kind is list:
            target: Any = {} if kind is dict else []
            self._todo.append((value, target, path, state))
            return target
        return self._leaf(value, path)

    def _leaf(self, value: Any, path: str) -> Any:
        return self._masker.leaf(value, self._report, path) if self._values else value

    def _members(self, source: dict[str, Any], target: dict[str, Any], path: str, state: State) -> None:
        key_rule, report, plain = self._masker.key_rule, self._report, not self._values
        for name, value in source.items():
            rule, inner = key_rule(name), state
            if state:
                rule, inner = self._path_rule(name, rule, state)
            where = path if report is None else f"{path}.{name}"
            if rule is not None:
                # What an earlier pass masked keeps its marker.
                copy: Any = value if type(value) is str and value in MARKERS else marker(rule)
                _note(report, where, rule)
            elif plain and type(value) in _LEAVES:
                copy = value
            else:
                copy = self._copy(value, where, inner)
            target[name if plain else self._leaf(name, where)] = copy

    def _items(self, source: list[Any], target: list[Any], path: str, state: State) -> None:
        report = self._report
        for index, value in enumerate(source):
            rule, inner = None, state
            if state:
                rule, inner = self._path_rule(index, None, state)
            where = path if report is None else f"{path}[{index}]"
            if rule is not None:
                target.append(marker(rule))
                _note(report, where, rule)
            else:
                target.append(self._copy(value, where, inner))

    def _path_rule(self, key: str | int, rule: str | None, state: State) -> tuple[str | None, State]:
        ends, inner = self._masker.enter(state, key)
        return rule or ("body_path" if ends else None), inner


def _note(report: Report | None, path: str, rule: str) -> None:
    if report is not None:
        report.append(Masked(path, rule))


def _noter(report: Report | None, path: str) -> Callable[[str, str], None]:
    return lambda name, rule: _note(report, f"{path}?{name}", rule)


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


def _masked_cookies(value: str) -> str:
    """Return a Cookie header with its names only; what has no name is a value."""
    pieces: list[str] = []
    for match in _COOKIE.finditer(value):
        name, equals, content, semicolon = match.groups()
        if equals:
            pieces.append(f"{name.strip()}={marker('cookie')}")
        elif name.strip() or content.strip():
            pieces.append(marker("cookie"))
        if not semicolon:
            break
    return "; ".join(pieces)


def _masked_set_cookie(cookie: str) -> str:
    """Return one Set-Cookie value with its name and its attributes."""
    first, *rest = cookie.split(";")
    name, equals, _ = first.partition("=")
    pieces = [f"{name.strip()}={marker('set_cookie')}" if equals else marker("set_cookie")]
    for part in rest:
        attribute = part.partition("=")[0].strip().lower()
        if attribute in _COOKIE_ATTRIBUTES:
            pieces.append(part.strip())
        elif attribute:
            pieces.append(marker("set_cookie"))
    return "; ".join(pieces)


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
