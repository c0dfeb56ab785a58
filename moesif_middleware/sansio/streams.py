"""The first part of a stream of records as a list of values: server-sent events and newline-delimited JSON.

What was cut is left out, so that the mask sees whole records. (WHATWG HTML 9.2.6 for event streams.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import jsontext

MAX_RECORDS = 1000
"""Records that are read; a stream of more shows its first ones."""
_EVENT_FIELDS = frozenset(("event", "data", "id", "retry"))


def parse_lines(data: bytes, cut: bool) -> list[Any]:
    """Return the JSON value of each line; a line that is none stays text. Raises ValueError when all are none."""
    lines = data.split(b"\n", MAX_RECORDS)
    if cut or len(lines) > MAX_RECORDS:
        lines.pop()
    records = [_line(line) for line in lines if line.strip()]
    if not cut and all(type(record) is str for record in records):
        raise ValueError("no JSON lines")
    return records


def _line(line: bytes) -> Any:
    return jsontext.value_or(line, line.decode("utf-8").strip())


def parse_events(data: bytes, cut: bool) -> list[dict[str, Any]]:
    """Return the fields of each event; ``data`` is its JSON value when it is an object or array, else text.

    Raises ValueError for what holds no event.
    """
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    blocks = text.split("\n\n", MAX_RECORDS)
    if cut or len(blocks) > MAX_RECORDS:
        blocks.pop()
    events = [event for block in blocks if (event := _event(block))]
    if not events and not cut:
        raise ValueError("no events")
    return events


def _event(block: str) -> dict[str, Any]:
    event: dict[str, Any] = {}
    lines: list[str] = []
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name not in _EVENT_FIELDS:
            continue
        value = value.removeprefix(" ")
        if name == "data":
            lines.append(value)
        else:
            event[name] = value
    if lines:
        event["data"] = _data("\n".join(lines))
    return event


def _data(text: str) -> Any:
    return jsontext.value_or(text.encode(), text) if text[:1] in ("{", "[") else text


PARSERS: dict[str, Callable[[bytes, bool], list[Any]]] = {
    "text/event-stream": parse_events,
    "application/x-ndjson": parse_lines,
    "application/ndjson": parse_lines,
    "application/jsonl": parse_lines,
    "application/x-jsonlines": parse_lines,
    "application/jsonlines": parse_lines,
}
"""How to read a media type: (bytes kept, whether they were cut) -> records."""
