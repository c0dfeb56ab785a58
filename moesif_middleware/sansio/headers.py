"""Header maps: names as text in lower case, repeated ones joined, whatever pairs a server or framework hands over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import jsontext

_MOST, _LONGEST = 1024, 64
_SPELLINGS = frozenset((str, bytes))


class HeaderNames:
    """Header names in lower case, each worked out by ``read`` and remembered: most requests have the same few.

    Strangers choose them, so their number is bounded. All are forgotten when it is reached, and the usual ones are
    back after the next request: a thousand odd names cost the others no more than those few.
    """

    __slots__ = ("_read", "known")

    def __init__(self, read: Callable[[Any], str]) -> None:
        self._read = read
        self.known: dict[Any, str] = {}
        """What is remembered, by how it was spelt. Ask it in one step: another thread may clear it."""

    def of(self, spelt: Any) -> str:
        """Return the name that is spelt so."""
        if type(spelt) not in _SPELLINGS:
            return self._read(spelt)
        name = self.known.get(spelt)
        if name is None:
            name = self._read(spelt)
            if len(spelt) <= _LONGEST:
                if len(self.known) >= _MOST:
                    self.known.clear()
                self.known[spelt] = name
        return name


def join_headers(pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Return a map of lower-case names to values; repeated names are joined with ``, `` (Cookie with ``; ``).

    Bytes that are not UTF-8 are read as Latin-1, and what is neither bytes nor text is written as text.
    """
    pairs, known = tuple(pairs), _NAMES.known
    try:
        joined = {
            known[name]: value.decode() if type(value) is bytes else value if type(value) is str else _text(value)
            for name, value in pairs
        }
    except (KeyError, TypeError, UnicodeDecodeError):
        joined = {}
    # Nearly always each name is known, and stands once.
    return joined if len(joined) == len(pairs) else _join_slowly(pairs)


def _join_slowly(pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for spelt, raw in pairs:
        name, value = _NAMES.of(spelt), _text(raw)
        if name in joined:
            # HTTP/2 may split Cookie into crumbs, which RFC 9113 8.2.3 joins with a semicolon.
            joined[name] += ("; " if name == "cookie" else ", ") + value
        else:
            joined[name] = value
    return joined


def _text(value: Any) -> str:
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return value if isinstance(value, str) else jsontext.as_text(value)


def _lower(spelt: Any) -> str:
    return _text(spelt).lower()


_NAMES = HeaderNames(_lower)
