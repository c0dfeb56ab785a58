"""What a rule puts into a response: its headers and its body, with the values of an entity filled in.

A body is kept as JSON text, and values are filled in escaped: one pass, no tree to copy, and a value can neither be
read as a template nor break out of its string.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .conditions import Problems, text_of

UNKNOWN = "UNKNOWN"
"""Stands for a declared variable that has no value and no default."""
MAX_HEADERS = 64
"""Headers that rules may add to one response."""
MAX_HEADER_VALUE = 8192
"""Bytes of one header's value."""

_DEFAULT_STATUS = 403
_BODILESS = frozenset({*range(100, 200), 204, 205, 304})
# RFC 9110 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_PLAIN = re.compile(r"[^\t\x20-\x7e]+")
# Framing and connection belong to the server; a rule that set them could split or stall the response.
_SERVERS_OWN = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "date", "server"}
)
_MARK = re.compile(r"\{\{([^{}|]*+)(?:\|([^{}]*+))?\}\}")
# The same inside JSON text, where a bare quotation mark ends the string.
_JSON_MARK = re.compile(r'\{\{((?:[^{}|"\\]|\\.)*+)(?:\|((?:[^{}"\\]|\\.)*+))?\}\}')

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A rule's ``response``, compiled. ``body`` is a template: JSON text when ``is_json``, else plain text."""

    status: int = _DEFAULT_STATUS
    headers: Headers = ()
    body: str = "{}"
    is_json: bool = True
    variables: frozenset[str] = frozenset()
    encoded: bytes | None = None
    """The body's bytes, when they are the same for everybody."""

    def render_headers(self, values: Mapping[str, Any]) -> Headers:
        """Return the headers with the values filled in, fit to be sent."""
        if not self.variables:
            return self.headers
        return tuple((name, clean(self._fill_text(text, values))) for name, text in self.headers)

    def render_body(self, values: Mapping[str, Any]) -> bytes:
        """Return the body with the values filled in."""
        if self.encoded is not None:
            return self.encoded
        text = self._fill_json(self.body, values) if self.is_json else self._fill_text(self.body, values)
        return text.encode("utf-8", "replace")

    @property
    def content_type(self) -> str | None:
        """Return the rule's own Content-Type as it is written."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), None)

    def _fill_text(self, template: str, values: Mapping[str, Any]) -> str:
        def fill(mark: re.Match[str]) -> str:
            name = mark[1]
            if name not in self.variables:
                return mark[0]
            value = text_of(values.get(name))
            return value if value is not None else mark[2] if mark[2] is not None else UNKNOWN

        return _MARK.sub(fill, template)

    def _fill_json(self, template: str, values: Mapping[str, Any]) -> str:
        def fill(mark: re.Match[str]) -> str:
            name = orjson.loads(f'"{mark[1]}"')
            if name not in self.variables:
                return mark[0]
            value = text_of(values.get(name))
            if value is not None:
                return orjson.dumps(value).decode()[1:-1]
            return mark[2] if mark[2] is not None else UNKNOWN

        return _JSON_MARK.sub(fill, template)


def clean(value: str) -> str:
    """Return a header's value with only what every server sends: printable ASCII and tabs, at most 8 KiB."""
    return _NOT_PLAIN.sub("", value)[:MAX_HEADER_VALUE].strip(" \t")


def merge_headers(parts: Iterable[Headers]) -> Headers:
    """Return one set of headers: a later one replaces an earlier one of the same name, whatever its case."""
    merged: dict[str, tuple[str, str]] = {}
    for headers in parts:
        for pair in headers:
            name = pair[0].lower()
            if name in merged or len(merged) < MAX_HEADERS:
                merged[name] = pair
    return tuple(merged.values())


def answer_headers(answer: Answer, headers: Headers) -> Headers:
    """Return the headers of a block: those of all applied rules, and the Content-Type of the rule that blocks."""
    own = clean(answer.content_type or "") or "application/json"
    return (*(pair for pair in headers if pair[0].lower() != "content-type"), ("Content-Type", own))


def compile_answer(rule: Mapping[str, Any], where: str, problems: Problems) -> Answer:
    """Compile the ``response`` and ``variables`` of a rule."""
    response = rule.get("response")
    if not isinstance(response, dict):
        if response is not None:
            problems.note(f"{where}.response: not an object; it is left out")
        response = {}
    variables = _variables(rule.get("variables"), where, problems)
    headers = _headers(response.get("headers"), where, problems)
    status = _status(response.get("status"), where, problems)
    body, is_json = _body(response, "json" in _content_type(headers), where, problems)
    encoded = b"" if status in _BODILESS else None if variables else body.encode("utf-8", "replace")
    if not variables:
        headers = tuple((name, clean(text)) for name, text in headers)
    return Answer(status, headers, body, is_json, variables, encoded)


def _variables(given: Any, where: str, problems: Problems) -> frozenset[str]:
    if given is None:
        return frozenset()
    names = [text_of(each.get("name")) if isinstance(each, dict) else None for each in _list(given)]
    if not isinstance(given, list) or None in names:
        problems.note(f"{where}.variables: needs an array of objects with a name; others are left out")
    return frozenset(name for name in names if name is not None)


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _status(given: Any, where: str, problems: Problems) -> int:
    if given is None:
        return _DEFAULT_STATUS
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 100 <= given <= 599 and given == int(given):
        return int(given)
    problems.note(f"{where}.response.status: {given!r:.60} is none from 100 to 599; {_DEFAULT_STATUS} is used")
    return _DEFAULT_STATUS


def _headers(given: Any, where: str, problems: Problems) -> Headers:
    if given is None:
        return ()
    if not isinstance(given, dict):
        problems.note(f"{where}.response.headers: not an object; they are left out")
        return ()
    headers: list[tuple[str, str]] = []
    for name, value in given.items():
        text = text_of(value)
        lower = name.lower()
        if text is None or not _TOKEN.fullmatch(name) or lower in _SERVERS_OWN or lower.startswith("proxy-"):
            problems.note(f"{where}.response.headers: {name!r:.60} cannot be set by a rule; it is left out")
        else:
            headers.append((name, text))
    return tuple(headers)


def _content_type(headers: Headers) -> str:
    return next((value.lower() for name, value in headers if name.lower() == "content-type"), "json")


def _body(response: Mapping[str, Any], wants_json: bool, where: str, problems: Problems) -> tuple[str, bool]:
    """Return the body's template, and whether it is JSON text. Text under a type of its own is sent as it is."""
    body, original = response.get("body"), response.get("original_encoded_body")
    if body is None and isinstance(original, str):
        text = _decode(original)
        return text, _is_json(text)
    if body is None:
        return "{}", True
    if isinstance(body, str) and not wants_json:
        return body, False
    try:
        return orjson.dumps(body).decode(), True
    except orjson.JSONEncodeError:
        problems.note(f"{where}.response.body: nested too deeply; an empty object is sent")
        return "{}", True


def _decode(original: str) -> str:
    """Return an ``original_encoded_body`` decoded: Base64, or the text itself when it is none."""
    try:
        return base64.b64decode(original, validate=True).decode()
    except (binascii.Error, ValueError):
        return original


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
