"""Names and values side by side: ``{"name": "password", "value": "x"}`` and ``<input name="pin" value="x">``.

Objects are masked by the walk over their document; here is what says that there may be one, and what masks the
elements of XML and HTML, of which the value is an attribute or the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .json_walk import PAIR_NAMES
from .markers import MARKER, marker
from .secret_names import SecretNames, name_text
from .secret_values import linear

_NAMING = "|".join(dict.fromkeys(name.lower() for name in PAIR_NAMES)).encode()
# What stands in front of a name, and what the name may begin with.
_ATTRIBUTE = b"<[A-Za-z][^<>]*[\\s\"'](?i:%s)\\s*=\\s*\\\\*[\"']?" % _NAMING, b"[^\\s\"'<>=\\\\]*"
_SIBLING = b"<(?i:%s)>\\s*" % _NAMING, b"[^\\s<>]*"
_LINE = b"(?i:%s)[\"']?:[ \\t]*[\"']?" % _NAMING, b"[^\\s\"':,{}]*"
_MEMBER = b"\\\\*[\"'](?i:path|%s)\\\\*[\"']\\s*:\\s*\\\\*[\"']" % _NAMING, b"[^ \"'\\\\]*"
NAMED = tuple(before + begins for before, begins in (_MEMBER, _ATTRIBUTE, _SIBLING, _LINE))
"""RE2 patterns for what stands in front of the words of a name that has its value beside it, in plain text or JSON."""
NAMED_MEMBER = NAMED[0]
"""The one of them for a JSON object."""
_VALUE = re.compile(
    rb"""([\s"'](?:value|content|val)\s*=\s*\\*)(?:"([^"<>]*)(?:"|\Z)|'([^'<>]*)(?:'|\Z)|([^\s"'<>\\]+))""",
    re.IGNORECASE,
)
_TEXT = re.compile(rb"\s*([^<]*[^<\s])")
_MARK = MARKER.encode()

Change = Callable[[bytes, Any, bytes], tuple[int, int, bytes]]
"""From a text, a match and the marker to where something is replaced, and by what."""


class SecretPairs:
    """The name rules as they apply to pairs. Immutable."""

    __slots__ = ("_elements", "_lines", "_names", "_siblings")

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        stem = b"(?:%s|%s)" % (names.stems(), names.last_stems())
        self._elements = linear(b"%s(%s%s[^\\s\"'<>\\\\]*)[^<>]*(?:>|\\z)" % (*_ATTRIBUTE, stem))
        self._siblings = linear(b"%s(%s%s[^\\s<>]*)\\s*</[^<>]*>\\s*<([A-Za-z][^\\s<>/]*)[^<>]*>" % (*_SIBLING, stem))
        self._lines = linear(
            b"%s(%s%s[^\\s\"':,{}]*)[\"']?[ \\t]*\\r?\\n[ \\t]*[\"']?values?[\"']?:[ \\t]*([^\\s][^\\r\\n]*)"
            % (*_LINE, stem)
        )

    def mask(self, data: bytes) -> tuple[bytes, list[str]]:
        """Return the text with the values masked that an attribute, an element or a line beside them names."""
        rules: list[str] = []
        if b"<" in data:
            data = self._each(data, self._elements, _element, rules)
            data = self._each(data, self._siblings, _sibling, rules)
        if b"\n" in data:
            data = self._each(data, self._lines, _line, rules)
        return data, rules

    def _each(self, data: bytes, pattern: Any, change: Change, rules: list[str]) -> bytes:
        pieces: list[bytes] = []
        done = 0
        for match in pattern.finditer(data):
            rule = self._names.rule(name_text(match[1]))
            if rule is None or match.start() < done:
                continue
            start, stop, text = change(data, match, marker(rule).encode())
            if start < stop and not data.startswith(_MARK, start):
                pieces += (data[done:start], text)
                rules.append(rule)
                done = stop
        return b"".join(pieces) + data[done:] if pieces else data


def _element(data: bytes, match: Any, mark: bytes) -> tuple[int, int, bytes]:
    """Mask the value among an element's attributes, or else its text."""
    start, stop = match.span()
    element = _VALUE.sub(lambda found: _replaced(found, mark), match[0])
    if element != match[0]:
        return start, stop, element
    text = None if element.endswith(b"/>") or _VALUE.search(element) else _TEXT.match(data, stop)
    return (0, 0, b"") if text is None else (*text.span(1), mark)


def _sibling(data: bytes, match: Any, mark: bytes) -> tuple[int, int, bytes]:
    """Mask the content of the element behind the one that holds the name."""
    closing = data.find(b"</" + match[2], match.end())
    return match.end(), len(data) if closing < 0 else closing, mark


def _line(data: bytes, match: Any, mark: bytes) -> tuple[int, int, bytes]:
    """Mask the value on the line behind the name's."""
    del data
    return (*match.span(2), mark)


def _replaced(found: re.Match[bytes], mark: bytes) -> bytes:
    """Return an attribute with the marker in its quotation marks."""
    number = next(number for number in (2, 3, 4) if found[number] is not None)
    value = found[number]
    if not value or value.startswith(_MARK):
        return found[0]
    sign = (b'"', b"'", b"")[number - 2]
    # The backslash in front of the second quotation mark, where both are escaped.
    tail = value[len(value.rstrip(b"\\")) :] if sign else b""
    return found[1] + sign + mark + tail + sign
