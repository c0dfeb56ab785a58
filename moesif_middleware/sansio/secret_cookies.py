"""Cookies keep their names and lose their values; Set-Cookie keeps its attributes too."""

from __future__ import annotations

import re

from .markers import marker

_MARKER = marker("cookie")
_COOKIE = re.compile(r"\s*([^=;]*)(=?)(?:\"(?:[^\"\\]|\\.)*\"[^;]*|[^;]*);?", re.DOTALL)
_SET_COOKIE = re.compile(r",\s*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+=)")
_COOKIE_ATTRIBUTES = frozenset(
    ("expires", "max-age", "domain", "path", "samesite", "priority", "secure", "httponly", "partitioned")
)


def mask_cookies(value: str) -> str:
    """Return a Cookie header with its names only; what has no name is a value."""
    # A semicolon in quotation marks belongs to the value.
    pairs = value.split(";") if '"' not in value else (match[1] + match[2] for match in _COOKIE.finditer(value))
    pieces: list[str] = []
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if equals:
            pieces.append(f"{name.strip()}={_MARKER}")
        elif name.strip():
            pieces.append(_MARKER)
    return "; ".join(pieces)


def mask_set_cookies(value: str) -> str:
    """Return a Set-Cookie header, perhaps several joined with commas, with its names and attributes only."""
    return ", ".join(_mask_set_cookie(cookie) for cookie in _SET_COOKIE.split(value))


def _mask_set_cookie(cookie: str) -> str:
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
