"""Form bodies as fields: application/x-www-form-urlencoded and multipart/form-data (RFC 7578), complete or cut.

Reads bytes that were kept, in linear time and within a bound on fields. A file gives its name, type and size, never
its content. A field that was cut is left out: half a value would hide from the mask what it is the half of.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

MAX_FIELDS = 1000
"""Fields that are read; more are left out, and counted in the notes."""


def parse_urlencoded(data: bytes, cut: bool, notes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields, a list of values where a name repeats. Raises ValueError for bytes that are no form."""
    text = data.decode("utf-8").strip("\r\n")
    if any(char < " " for char in text):
        raise ValueError("control characters")
    pairs = text.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        notes["fields_left_out"] = pairs.pop().count("&") + 1
    elif cut:
        pairs.pop()
    fields: dict[str, Any] = {}
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            add(fields, _unquote(name), _unquote(value))
    return fields


def _unquote(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def add(fields: dict[str, Any], name: str, value: Any) -> None:
    """Put a field in; the values of a name that repeats become a list."""
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]
