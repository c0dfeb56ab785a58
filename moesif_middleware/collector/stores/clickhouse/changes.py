"""What is written to ClickHouse: events, their removal and expiry, each kind of work in few statements.

All other documents are the matter of ``puts``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from ...search.clickhouse import at_places
from .. import Appended, EventRow
from .address import Address
from .client import Client
from .persistent import Persistent, portions
from .puts import Put, Puts
from .rows import Numbers, event_line, gone_line, number_of
from .shards import Share
from .tables import APPS, EVENTS, GONE, live


@dataclass(frozen=True, slots=True)
class Append:
    """Events of one application."""

    app: str
    rows: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class Remove:
    """One event to delete; ``time_ms`` where it is known."""

    app: str
    key: str
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Expire:
    """Events of one application before a time, in milliseconds since the epoch."""

    app: str
    before_ms: int


Change = Append | Remove | Put | Expire


class Changes:
    """Makes changes. One thread calls it."""

    def __init__(self, client: Client, address: Address, numbers: Numbers) -> None:
        self._servers = Persistent(client, address)
        self._numbers = numbers
        self._puts = Puts(self._servers, numbers)
        self._named: set[str] = set()

    @property
    def shards(self) -> int:
        """How many shards share what is written, as far as is known."""
        return self._servers.shards

    def make(self, changes: Sequence[Change]) -> list[Any]:
        """Make changes of one type and return what each came to. Raises StoreUnavailable when nobody takes them."""
        self._servers.begin()
        if new := {change.app for change in changes} - self._named:
            lines = [orjson.dumps({"app": number_of(app), "application_id": app, "version": 1}) for app in new]
            self._servers.insert(APPS, lambda: lines)
            self._named |= new
        return self._make(changes)

    def _make(self, changes: Sequence[Any]) -> list[Any]:
        if isinstance(changes[0], Append):
            return self._append(changes)
        if isinstance(changes[0], Remove):
            return self._remove(changes)
        if isinstance(changes[0], Expire):
            return self._expire(changes)
        return self._puts.make(changes)

    def _append(self, changes: Sequence[Append]) -> list[Appended]:
        new: dict[tuple[str, str], EventRow] = {}
        fresh = []
        for change in changes:
            before = len(new)
            for row in change.rows:
                new.setdefault((change.app, row.id), row)
            fresh.append(list(new)[before:])
        known = self._known(new)
        left = [(app, row) for (app, name), row in new.items() if (app, name) not in known]
        # Each attempt has numbers of its own, so that rows of one that failed half way can be told from the next one's.
        keys = [number_of(row.id) for _, row in left]
        self._servers.insert_shares(EVENTS, keys, lambda: self._event_lines(left))
        self._settle(left)
        results = []
        for change, names in zip(changes, fresh, strict=True):
            stored = sum(name not in known for name in names)
            results.append(Appended(stored, len(change.rows) - stored))
        return results

    def _known(self, rows: Mapping[tuple[str, str], EventRow]) -> set[tuple[str, str]]:
        """Return which of the events are there already: the same id at the same time."""
        names = {(app, row.time_ms, number_of(row.id)): (app, name) for (app, name), row in rows.items()}

        def statements(share: Share[Keyed]) -> Iterator[tuple[str, str]]:
            for app, where in _places(share.items):
                conditions = " AND ".join([*live(number_of(app)), where])
                yield app, f"SELECT time_ms, key FROM {share.table} WHERE {conditions}"  # noqa: S608 - numbers

        found = self._servers.select_shares(EVENTS, _keyed((app, row) for (app, _), row in rows.items()), statements)
        return {names[app, time_ms, key] for app, places in found for time_ms, key in places}

    def _settle(self, rows: Sequence[tuple[str, EventRow]]) -> None:
        """Let one row of each event count: another collector may have written the same one meanwhile."""

        def statements(share: Share[Keyed]) -> Iterator[tuple[str, str]]:
            for app, where in _places(share.items):
                yield app, _repeated(share.table, f"app = {number_of(app)} AND {where}")

        found = self._servers.select_shares(EVENTS, _keyed(rows), statements)
        self._keep_newest([each for _, events in found for each in events])

    def sweep(self, since_ms: int) -> None:
        """Let one row of each event count that was received since then: a collector may have died before it did."""
        self._keep_newest(self._servers.select(_repeated(EVENTS, f"received_ms >= {since_ms}")))

    def _keep_newest(self, events: Iterable[Sequence[Any]]) -> None:
        """Let the row with the highest number count, which is the one that merging leaves."""
        lines = [gone_line(app, seq) for app, seqs in events for seq in sorted(set(seqs))[:-1]]
        self._servers.insert(GONE, lambda: lines)

    def _remove(self, changes: Sequence[Remove]) -> list[bool]:
        found: dict[tuple[str, str], list[int]] = {}
        for app in {change.app for change in changes}:
            mine = [change for change in changes if change.app == app]
            timed = [(change.key, change.time_ms) for change in mine if change.time_ms is not None]
            for where in (*_near(timed), *_anywhere(change.key for change in mine if change.time_ms is None)):
                conditions = " AND ".join([*live(number_of(app)), where])
                sql = f"SELECT id, groupArray(seq) FROM {EVENTS} WHERE {conditions} GROUP BY id"  # noqa: S608 - numbers
                for name, seqs in self._servers.select(sql):
                    found.setdefault((app, name), []).extend(seqs)
        lines = [gone_line(number_of(app), seq) for (app, _), seqs in found.items() for seq in seqs]
        self._servers.insert(GONE, lambda: lines)
        # The second of two that delete the same one finds nothing.
        return [found.pop((change.app, change.key), None) is not None for change in changes]

    def _expire(self, changes: Sequence[Expire]) -> list[None]:
        lines = [gone_line(number_of(change.app), before_ms=change.before_ms) for change in changes]
        self._servers.insert(GONE, lambda: lines)
        return [None] * len(changes)

    def _event_lines(self, rows: Sequence[tuple[str, EventRow]]) -> list[bytes]:
        numbers = self._numbers.take(len(rows))
        return [event_line(number_of(app), seq, row) for seq, (app, row) in zip(numbers, rows, strict=True)]


Keyed = tuple[str, int, int]
"""An application, and the time and key of one of its events."""


def _near(events: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield the conditions that a row is one of the events with these ids, within their times."""
    for some in portions(sorted(set(events), key=itemgetter(1))):
        (where,) = _anywhere(key for key, _ in some)
        yield f"time_ms BETWEEN {some[0][1]} AND {some[-1][1]} AND {where}"


def _anywhere(names: Iterable[str]) -> Iterator[str]:
    """Yield the conditions that a row is one of the events with these ids."""
    for some in portions(dict.fromkeys(names)):
        yield f"key IN ({', '.join(str(number_of(name)) for name in some)})"


def _keyed(rows: Iterable[tuple[str, EventRow]]) -> list[tuple[int, Keyed]]:
    """Return what tells the places of events, each with the key by which it belongs to a shard."""
    return [(key, (app, row.time_ms, key)) for app, row in rows for key in (number_of(row.id),)]


def _repeated(table: str, where: str) -> str:
    """Return the statement that finds the events of which there are several rows, with the numbers of these."""
    sql = f"SELECT app, groupArray(seq) FROM {table} WHERE {where}"  # noqa: S608 - numbers
    return f"{sql} GROUP BY app, time_ms, key HAVING count() > 1"


def _places(events: Iterable[Keyed]) -> Iterable[tuple[str, str]]:
    """Yield each application with the condition that a row is one of its events, for some of them at a time."""
    keys: dict[str, list[tuple[int, int]]] = {}
    for app, time_ms, key in events:
        keys.setdefault(app, []).append((time_ms, key))
    for app, places in keys.items():
        for some in portions(places):
            times = [time_ms for time_ms, _ in some]
            yield app, f"time_ms BETWEEN {min(times)} AND {max(times)} AND {at_places(some)}"
