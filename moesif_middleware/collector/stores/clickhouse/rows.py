"""Rows as ClickHouse takes them: lines of JSON, with the numbers that stand for application ids and event ids."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from secrets import randbelow
from typing import Any, Final

import orjson

from ...search.clickhouse import leaf_arrays
from .. import EventRow
from ..schema import EVENT_COLUMNS

NAMES: Final = tuple(column.name for column in EVENT_COLUMNS if column.name != "app")
LANES: Final = 16


def number_of(text: str) -> int:
    """Return the 64 bits that stand for an application id or the id of an event."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def event_line(app: int, seq: int, row: EventRow) -> bytes:
    """Return the line of an event."""
    columns: dict[str, Any] = dict(zip(NAMES, row.columns(), strict=True))
    leaves = leaf_arrays(orjson.loads(row.doc))
    return orjson.dumps({"app": app, "key": number_of(row.id), "seq": seq, **columns, "doc": row.doc, **leaves})


def gone_line(app: int, seq: int = 0, before_ms: int = 0) -> bytes:
    """Return the line that takes one row of events away, or all events before a time."""
    return orjson.dumps({"app": app, "seq": seq, "before_ms": before_ms})


def entity_line(app: int, kind: str, name: str, version: int, document: Mapping[str, Any] | None) -> bytes:
    """Return the line of a document that is no event, or with None the one that takes it away."""
    row: dict[str, Any] = {"app": app, "kind": kind, "id": name, "version": version, "deleted": int(document is None)}
    if document is not None:
        row |= {"doc": orjson.dumps(document).decode(), **leaf_arrays(document)}
    return orjson.dumps(row)


class Numbers:
    """Numbers that grow: microseconds since the epoch, so that those of several collectors follow one another.

    JavaScript can read them. Each collector counts in one of sixteen lanes, so that two rarely give the same number.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lane = randbelow(LANES)
        self._last = 0

    def take(self, count: int, above: int = 0) -> range:
        """Return ``count`` numbers, higher than all before and than ``above``."""
        with self._lock:
            now = int(self._clock() * 1_000_000)
            step = max(now, self._last + 1, above + 1) // LANES + 1
            found = range(step * LANES + self._lane, (step + count) * LANES + self._lane, LANES)
            self._last = found[-1] if found else self._last
            return found
