"""Secrets in URIs: query, fragment and matrix parameters by name, everything by value, and ``user:password@``.

What is clean keeps its spelling. What was masked is written with the marker in clear, but for the authority, where
brackets around anything but an address make many parsers refuse the whole URI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from .markers import Report, marker, note
from .secret_names import SecretNames
from .secret_values import SecretValues

_SAFE = "[]:/@!$'(),*~"
_SAFE_AUTHORITY = "/:@!$'(),*~"
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9+.\-]*:)?//[^/]*")
# An address inside an address is encoded twice, and one inside that three times.
_LAYERS = 3
_MOST, _SHORT = 1024, 64


class SecretUris:
    """The rules as they apply to URIs. ``string`` masks text and returns it with the rules that found something."""

    __slots__ = ("_names", "_ordinary", "_string", "_values", "look")

    def __init__(
        self,
        names: SecretNames,
        values: SecretValues,
        string: Callable[[str], tuple[str, list[str]]],
        *hints: bytes,
    ) -> None:
        self._names = names
        self._values = values
        self._string = string
        self._ordinary: set[str] = set()
        """Hosts, segments, names and values that were seen and that nothing had to be masked in."""
        self.look = values.look(*hints)
        """Finds what may have to be masked in a decoded URI, and in any plain text."""

    def decoded(self, uri: str) -> bytes:
        """Return a URI as ``look`` reads it."""
        # What has no scheme gets that of the page it stands in.
        decoded = (f":{uri}" if uri.startswith("//") else uri).encode("utf-8", "surrogatepass")
        for _ in range(_LAYERS):
            if b"%" not in decoded and b"+" not in decoded:
                break
            decoded = unquote_to_bytes(decoded.replace(b"+", b" "))
        return decoded

    def mask(self, uri: str, report: Report | None, path: str) -> str:
        """Return a URI, absolute or not, with what is secret masked."""
        if not self._names.exact and not self._values.hidden and not self.look.finds(self.decoded(uri)):
            return uri
        found: Report = []
        masked = self._mask(uri, found)
        for item in found:
            note(report, f"{path}?{item.path}", item.rule)
        # A marker may make a user and a password of what was neither: what is masked must stay as it is.
        for _ in range(_LAYERS):
            before, masked = masked, self._mask(masked, None)
            if masked == before:
                break
        return masked

    def _mask(self, uri: str, report: Report | None) -> str:
        rest, hash_sign, fragment = uri.partition("#")
        base, question, query = rest.partition("?")
        head, inner, tail = fragment.partition("?")
        return (
            f"{self._base(base, report)}{question}{self._pairs(query, report)}"
            f"{hash_sign}{self._pairs(head, report)}{inner}{self._pairs(tail, report)}"
        )

    def _base(self, base: str, report: Report | None) -> str:
        before, mark, after = self._values.without_user_info(base)
        if not mark and base.startswith("//"):
            # The scheme of what refers to it goes in front.
            before, mark, after = self._values.without_user_info(f":{base}")
            before, after = before[1:], after if mark else base
        if mark:
            note(report, "userinfo", "url_password")
            end = len(after.partition("/")[0])
        else:
            match = _AUTHORITY.match(after)
            end = match.end() if match else 0
        head = [self._component(part, "authority", report, safe=_SAFE_AUTHORITY) for part in (before, after[:end])]
        path = "/".join(self._segment(segment, report) for segment in after[end:].split("/"))
        return f"{head[0]}{mark}{head[1]}{path}"

    def _segment(self, segment: str, report: Report | None) -> str:
        head, semicolon, parameters = segment.partition(";")
        return self._component(head, "path", report) + semicolon + self._pairs(parameters, report)

    def _pairs(self, query: str, report: Report | None) -> str:
        if not query:
            return query
        return "&".join(";".join(self._pair(pair, report) for pair in group.split(";")) for group in query.split("&"))

    def _pair(self, pair: str, report: Report | None) -> str:
        name, equals, value = pair.partition("=")
        plain = unquote_plus(name)
        if equals and (rule := self._names.query_rule(plain)) is not None:
            note(report, plain, rule)
            return f"{self._component(name, plain, report)}={marker(rule)}"
        return self._component(name, plain, report) + equals + self._component(value, plain, report)

    def _component(
        self, text: str, name: str, report: Report | None, *, safe: str = _SAFE, layers: int = _LAYERS
    ) -> str:
        if text in self._ordinary:
            return text
        decoded = unquote_plus(text)
        inner = decoded
        if layers > 1 and "%" in decoded and decoded != text:
            inner = self._component(decoded, name, report, layers=layers - 1)
        masked, rules = self._string(inner)
        if masked == decoded:
            if decoded == text and len(text) <= _SHORT:
                self._remember(text)
            return text
        note(report, name, *rules)
        return quote(masked, safe=safe, errors="surrogatepass")

    def _remember(self, text: str) -> None:
        if len(self._ordinary) >= _MOST:
            self._ordinary.clear()
        self._ordinary.add(text)
