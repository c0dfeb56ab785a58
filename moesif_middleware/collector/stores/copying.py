"""Copying everything from one store to another: exactly, in the order of time, from where an earlier run ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from . import Appended, EventRow, Store

COPIES: Final = "copies"
"""The kind of the documents in the target that say how far a copy has come; they go when it is done."""

ROWS: Final = 500
"""Events that are read at a time, and documents that are written at a time."""

_UNDER_WAY: Final = 4
_NOTED: Final = 8
"""Steps after which it is noted how far the copy is; a run that goes on does some of them again."""

_BEFORE_ALL: Final = -(2**62)


@dataclass(slots=True)
class Copied:
    """What was done so far of one application: events that were read, and of them those that the target had already.

    ``total`` is how many the source had at the start. ``missed`` arrived in the source, in the past of the copy, while
    it ran: another run takes them.
    """

    app: str
    total: int
    events: int = 0
    there: int = 0
    documents: int = 0
    missed: int = 0


def copy(source: Store, target: Store, name: str) -> Iterator[Copied]:
    """Copy everything and yield after each step how far the application is; what was yielded is durable.

    ``name`` stands for the source: a run that was broken off goes on where the last one of this name ended. Events that
    the target has are left as they are, all other documents are replaced. Raises StoreUnavailable.
    """
    key = sha256(name.encode()).hexdigest()[:32]
    for app in source.apps():
        copied = Copied(app, source.kept(app).events)
        yield from _documents(source, target, copied)
        yield from _events(source, target, copied, key)
        copied.missed = max(0, source.kept(app).events - copied.events)
        target.delete(app, COPIES, key).result()
        yield copied


def _documents(source: Store, target: Store, copied: Copied) -> Iterator[Copied]:
    for kind in source.kinds(copied.app):
        if kind == COPIES:
            continue
        items = iter(source.items(copied.app, kind).items())
        while some := dict(islice(items, ROWS)):
            target.put(copied.app, kind, some, merge=False).result()
            copied.documents += len(some)
            yield copied


def _events(source: Store, target: Store, copied: Copied, key: str) -> Iterator[Copied]:
    earlier: dict[str, Any] = target.get(copied.app, COPIES, key) or {}
    after_ms = earlier.get("after_ms", _BEFORE_ALL)
    copied.events, copied.there = earlier.get("events", 0), earlier.get("there", 0)
    waiting: deque[tuple[list[EventRow], Future[Appended]]] = deque()
    steps = 0
    while True:
        rows = source.window(copied.app, after_ms, ROWS)
        if rows:
            after_ms = rows[-1].time_ms
            waiting.append((rows, target.append(copied.app, rows)))
        while waiting and (not rows or len(waiting) > _UNDER_WAY):
            done, future = waiting.popleft()
            copied.there += future.result().duplicates
            copied.events += len(done)
            steps += 1
            if steps % _NOTED == 0:
                place = {"after_ms": done[-1].time_ms, "events": copied.events, "there": copied.there}
                target.put(copied.app, COPIES, {key: place}, merge=False).result()
            yield copied
        if not rows:
            return
