"""Cut what is too large for the collector so that it fits and stays valid JSON (reference, limits of the API).

Runs after masking, on text and values that this package wrote itself.
"""

from __future__ import annotations

from typing import Any

import orjson

from . import jsontext

# Bytes for each field of an event, tried one after the other until the whole fits.
_FIELD_CAPS = (16_384, 2_048, 256)
# The longest escape of one character, \u001f.
_ESCAPE = 6


def cut_body(text: bytes, is_base64: bool, limit: int) -> bytes:
    """Return at most ``limit`` bytes of JSON text that hold the beginning of a body's JSON text."""
    if is_base64 and text[:1] == b'"' and b"\\" not in text:
        return b'"' + text[1 : 1 + (limit - 2) // 4 * 4] + b'"'
    if text[:1] == b'"':
        return orjson.dumps(orjson.loads(text)[: limit // _ESCAPE])
    # Written anew, numbers may take more room than they took: 1e15 is 1000000000000000.0.
    for size in (limit, limit // 2, limit // 8):
        try:
            cut = jsontext.dump(jsontext.read_cut(text[:size])[0])
        except ValueError:
            continue
        if len(cut) <= limit:
            return cut
    return b"null"


def trim(event: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the event, without its bodies, in at most ``limit`` bytes; what was trimmed is named in the metadata."""
    if len(_dump(event)) <= limit:
        return event
    for cap in _FIELD_CAPS:
        trimmed: list[str] = []
        small = {name: _field(name, value, cap, trimmed) for name, value in event.items()}
        metadata = small.get("metadata")
        small["metadata"] = {"trimmed": trimmed, **(metadata if isinstance(metadata, dict) else {})}
        if len(_dump(small)) <= limit:
            return small
    # Only an event that is none any more, made by a hook, comes here.
    return {name: _capped(value, limit // (2 * len(event))) for name, value in event.items()}


def _field(name: str, value: Any, cap: int, trimmed: list[str]) -> Any:
    if name in ("request", "response") and isinstance(value, dict):
        return {key: _field(f"{name}.{key}", inner, cap, trimmed) for key, inner in value.items()}
    small = _capped(value, cap)
    if small is not value:
        trimmed.append(name)
    return small


def _capped(value: Any, cap: int) -> Any:
    if len(_dump(value)) <= cap:
        return value
    if isinstance(value, dict):
        return _capped_map(value, cap)
    text = value if isinstance(value, str) else _dump(value).decode()
    return text[: cap // _ESCAPE]


def _capped_map(value: dict[str, Any], cap: int) -> dict[str, Any]:
    """Keep the entries that fit, in their order; a single one takes a quarter of the room at most."""
    kept: dict[str, Any] = {}
    room = cap - 2
    for key, inner in value.items():
        small = _capped(inner, cap // 4)
        size = len(_dump({key: small}))
        if size <= room:
            kept[key] = small
            room -= size
    return kept


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=jsontext.OPTIONS)
