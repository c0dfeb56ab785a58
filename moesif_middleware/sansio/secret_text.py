"""Secrets in text that is no JSON: ``name=value``, ``"name": value``, ``<name>value</name>``, ``name: value``.

Works on bytes, so that text in any encoding that is a superset of ASCII, cut anywhere, can be read. RE2 finds what
may be a name; where its value ends is found by looking at each byte once. What has no end is masked up to the end of
the text.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from .markers import MARKER, marker
from .secret_names import SecretNames, name_text
from .secret_values import linear

NAME = rb"[A-Za-z0-9_$@%\[\].\-]"
"""A character of a name in text."""
TAG = rb"[A-Za-z0-9_.:\-]"
"""A character of the name of an XML element."""
_GAP = rb"(?:\s|\\[nrt])*"
# White space, as it is or as JSON spells it.
_SIGN = rb"(?:=>|:=|=|:)"
_MARK = MARKER.encode()
_MARKED = re.compile(re.escape(_MARK) + rb"\w+\]")

# ``&`` and ``;`` end a parameter; a comma may well be part of a password.
_BARE = re.compile(rb"[^&;\s\0<>\"']*")
_NUMBER = re.compile(rb"[0-9]*")
_SCALAR = re.compile(rb"[^,\s}\]]*")
_LINE = re.compile(rb"[^\r\n]*")
# YAML: what is indented under a name that has nothing beside it.
_INDENTED = re.compile(rb"(?:[|>][+-]?[0-9]?)?[ \t]*(?:\r?\n[ \t]+[^\r\n]*)+")
_BRACKETS = re.compile(rb"\\.|[\"{}\[\]]", re.DOTALL)
# With a colon behind them these are header lines, wherever they stand.
_HEADERS = (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie")
_SPACE = re.compile(rb"\s*")
_BLANK = re.compile(rb"[ \t]*")
_BLANKS = (b" ", b"\t")
_BACKSLASHES = re.compile(rb"\\*")
_BACKSLASH = 92
PART_START = rb"(?i:content-disposition:)"
"""What the head of a part of a multipart body begins with."""
_PART = linear(
    rb"(?i)content-disposition:[^\r\n]*[;\s]name\*?=\"?(?:[\w-]*'[^']*')?([^\"\r\n;]*)[^\r\n]*(?:\r?\n[^\r\n]+)*\r?\n\r?\n"
)


class SecretText:
    """The name rules as patterns for text. Immutable."""

    __slots__ = ("_find", "_names")

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        stem, last = names.stems(), names.last_stems()
        name = b"(?:%s(?:%s(?:%s%s*)?|%s[^A-Za-z\\s<>\"'=:&]*))" % (NAME + b"*", stem, NAME, NAME, last)
        self._find = linear(
            b"<(%s)(?:[\\s/][^<>]*)?>" % name.replace(NAME, TAG)
            + b"|(%s*(?:%s|%s)[^\"'\\\\<>=:\\r\\n]*)(\\\\*[\"'])%s%s" % (NAME, stem, last, _GAP, _SIGN)
            + b"|(%s)[ \\t]*(?:%s|%%3[Dd])" % (name, _SIGN)
        )

    def mask(self, data: bytes, *, prose: bool = False) -> tuple[bytes, list[str]]:
        """Return the text with the values of secret names masked, and the rules that found one.

        ``prose`` is False in the strings of a JSON document, where ``token: expired`` is a message.
        """
        pieces: list[bytes] = []
        rules: list[str] = []
        done = place = 0
        while (match := self._find.search(data, place)) is not None:
            group = next(number for number in (1, 2, 4) if match.start(number) >= 0)
            start, place = match.span(group)
            rule = self._rule(data, start, place)
            if rule is None:
                continue
            start, stop, lead = _value(data, match, group, prose)
            if start < stop:
                pieces += (data[done:start], lead, marker(rule).encode())
                rules.append(rule)
                done = stop
            place = max(place, stop)
        return (b"".join(pieces) + data[done:], rules) if pieces else (data, rules)

    def mask_parts(self, data: bytes) -> tuple[bytes, list[str]]:
        """Return a multipart body, perhaps cut, with the content of its secret fields masked."""
        pieces: list[bytes] = []
        rules: list[str] = []
        done = 0
        for match in _PART.finditer(data):
            rule = self._rule(data, *match.span(1))
            if rule is None or match.end() < done:
                continue
            stop = data.find(b"\n--", match.end())
            pieces += (data[done : match.end()], marker(rule).encode())
            rules.append(rule)
            done = len(data) if stop < 0 else stop - (data[stop - 1 : stop] == b"\r")
        return (b"".join(pieces) + data[done:], rules) if pieces else (data, rules)

    def _rule(self, data: bytes, start: int, stop: int) -> str | None:
        # A marker is no name, neither what it begins with nor the rule that it names.
        if data.endswith(_MARK, 0, start) or _MARKED.match(data, stop - len(_MARK) + 1):
            return None
        name = data[start:stop]
        return self._names.rule(name_text(unquote_to_bytes(name) if b"%" in name else name))


def _value(data: bytes, match: Any, group: int, prose: bool) -> tuple[int, int, bytes]:
    """Return where a value begins and ends, and what must stand in front of the marker."""
    if group == 1:
        return _element(data, match)
    quoted = group == 2
    start = _end(_SPACE if quoted else _BLANK, data, match.end())
    opening = _end(_BACKSLASHES, data, start)
    if data[opening : opening + 1] in (b'"', b"'"):
        return _string(data, start, opening)
    if quoted and data[start : start + 1] in (b"{", b"["):
        return start, _brackets(data, start), b""
    if quoted:
        return start, _end(_SCALAR, data, start), b""
    colon = data[match.end() - 1 : match.end()] == b":"
    if colon and data[match.start(4) : match.end(4)].lower() in _HEADERS:
        return start, _line(data, start), b""
    if not prose:
        # In a message "token: expired" is a sentence, but "pin: 1234" tells one; a parameter has an equals sign.
        return start, _end(_NUMBER, data, start) if colon else _bare(data, start), b""
    if not colon and data[match.end() : match.end() + 1] not in _BLANKS:
        return start, _bare(data, start), b""
    return start, _line(data, start), b""


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    match = pattern.match(data, start)
    return match.end() if match else start


def _bare(data: bytes, start: int) -> int:
    stop = _end(_BARE, data, start)
    # A backslash in front of a quotation mark belongs to the mark.
    while stop > start and data[stop - 1] == _BACKSLASH and data[stop : stop + 1] in (b'"', b"'"):
        stop -= 1
    return stop


def _line(data: bytes, start: int) -> int:
    return max(_end(_LINE, data, start), _end(_INDENTED, data, start))


def _element(data: bytes, match: Any) -> tuple[int, int, bytes]:
    """Return the content of an XML element; its attributes go with it, since one may hold the secret."""
    after, stop = match.end(1), match.end()
    if data[stop - 2 : stop] == b"/>":
        return after, stop - 2, b" "
    closing = data.find(b"</" + data[match.start(1) : after], stop)
    return after, len(data) if closing < 0 else closing, b">"


def _string(data: bytes, start: int, opening: int) -> tuple[int, int, bytes]:
    """Return the inside of a quoted string, whose quotation marks may themselves be escaped."""
    mark, depth = data[opening : opening + 1], opening - start
    if not depth and data.startswith(mark * 3, opening):
        # A block string, as GraphQL and Python have.
        closing = data.find(mark * 3, opening + 3)
        return opening + 3, len(data) if closing < 0 else closing, b""
    place = opening + 1
    while (place := data.find(mark, place)) >= 0:
        slashes = 0
        while place - slashes - 1 > opening and data[place - slashes - 1] == _BACKSLASH:
            slashes += 1
        if slashes <= depth if depth else slashes % 2 == 0:
            return opening + 1, place - (slashes if depth else 0), b""
        place += 1
    return opening + 1, len(data), b""


def _brackets(data: bytes, start: int) -> int:
    """Return where an object or array ends; brackets inside strings do not count."""
    depth, inside = 0, False
    for match in _BRACKETS.finditer(data, start):
        sign = match[0]
        if sign == b'"':
            inside = not inside
        elif not inside and len(sign) == 1:
            depth += 1 if sign in b"{[" else -1
            if depth == 0:
                return match.end()
    return len(data)
