"""What is written to ClickHouse: events, their removal, and all other documents, each kind of work in few statements.

An insert that was not answered may have been done. It is tried again all the same: of rows for the same thing only the
newest counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from ...merge import merged
from ...search.clickhouse import literal
from .. import Appended, EventRow, StoreUnavailable
from .address import Address
from .client import Client, Refused
from .rows import Numbers, entity_line, event_line, gone_line, number_of
from .tables import APPS, ENTITIES, EVENTS, GONE, live, writing

logger = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS: Final = 8.0
"""How long a write is tried: less than the 10 s that clients wait for an answer."""

_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_KEYS: Final = 2_000
"""Keys that one statement asks for."""


@dataclass(frozen=True, slots=True)
class Append:
    """Events of one application."""

    app: str
    rows: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class Remove:
    """One event to delete."""

    app: str
    key: str


@dataclass(frozen=True, slots=True)
class Put:
    """Documents of one kind that merge into those there, or replace them; None deletes one."""

    app: str
    kind: str
    documents: Mapping[str, dict[str, Any]] | Mapping[str, None]
    merge: bool


@dataclass(frozen=True, slots=True)
class Expire:
    """Events of one application before a time, in milliseconds since the epoch."""

    app: str
    before_ms: int


Change = Append | Remove | Put | Expire


class Changes:
    """Makes changes. One thread calls it."""

    def __init__(self, client: Client, address: Address, numbers: Numbers) -> None:
        self._client = client
        self._settings = writing(address)
        self._numbers = numbers
        self._named: set[str] = set()

    def make(self, changes: Sequence[Change]) -> list[Any]:
        """Make changes of one type and return what each came to. Raises StoreUnavailable when nobody takes them."""
        for app in {change.app for change in changes} - self._named:
            line = orjson.dumps({"app": number_of(app), "application_id": app, "version": 1})
            self._insert(APPS, [line])
            self._named.add(app)
        return self._make(changes)

    def _make(self, changes: Sequence[Any]) -> list[Any]:
        if isinstance(changes[0], Append):
            return self._append(changes)
        if isinstance(changes[0], Remove):
            return self._remove(changes)
        if isinstance(changes[0], Expire):
            return self._expire(changes)
        return self._put(changes)

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
        self._persist(lambda: self._send(EVENTS, self._event_lines(left)))
        self._settle(left)
        results = []
        for change, names in zip(changes, fresh, strict=True):
            stored = sum(name not in known for name in names)
            results.append(Appended(stored, len(change.rows) - stored))
        return results

    def _known(self, rows: Mapping[tuple[str, str], EventRow]) -> set[tuple[str, str]]:
        """Return which of the events are there already: the same id at the same time."""
        names = {(app, row.time_ms, number_of(row.id)): (app, name) for (app, name), row in rows.items()}
        known: set[tuple[str, str]] = set()
        for app, where in _places((app, row) for (app, _), row in rows.items()):
            conditions = " AND ".join([*live(number_of(app)), where])
            found = self._persist(self._selecting(f"SELECT time_ms, key FROM {EVENTS} WHERE {conditions}"))  # noqa: S608
            known.update(names[app, time_ms, key] for time_ms, key in found)
        return known

    def _settle(self, rows: Sequence[tuple[str, EventRow]]) -> None:
        """Let one row of each event count: another collector may have written the same one meanwhile."""
        for app, where in _places(rows):
            self._keep_newest(f"app = {number_of(app)} AND {where}")

    def sweep(self, since_ms: int) -> None:
        """Let one row of each event count that was received since then: a collector may have died before it did."""
        self._keep_newest(f"received_ms >= {since_ms}")

    def _keep_newest(self, where: str) -> None:
        sql = f"SELECT app, groupArray(seq) FROM {EVENTS} WHERE {where}"  # noqa: S608 - numbers
        found = self._persist(self._selecting(f"{sql} GROUP BY app, time_ms, key HAVING count() > 1"))
        # The highest is the one that merging leaves.
        self._insert(GONE, [gone_line(app, seq) for app, seqs in found for seq in sorted(set(seqs))[:-1]])

    def _remove(self, changes: Sequence[Remove]) -> list[bool]:
        found: dict[tuple[str, str], list[int]] = {}
        for app in {change.app for change in changes}:
            for some in _portions({change.key: None for change in changes if change.app == app}):
                keys = ", ".join(str(number_of(key)) for key in some)
                conditions = " AND ".join([*live(number_of(app)), f"key IN ({keys})"])
                sql = f"SELECT id, groupArray(seq) FROM {EVENTS} WHERE {conditions} GROUP BY id"  # noqa: S608 - numbers
                found.update(((app, name), seqs) for name, seqs in self._persist(self._selecting(sql)))
        self._insert(GONE, [gone_line(number_of(app), seq) for (app, _), seqs in found.items() for seq in seqs])
        # The second of two that delete the same one finds nothing.
        return [found.pop((change.app, change.key), None) is not None for change in changes]

    def _expire(self, changes: Sequence[Expire]) -> list[None]:
        self._insert(GONE, [gone_line(number_of(change.app), before_ms=change.before_ms) for change in changes])
        return [None] * len(changes)

    def _put(self, changes: Sequence[Put]) -> list[bool | None]:
        """Return for each change that deletes whether its document was there, None for the others."""
        kinds = {(change.app, change.kind) for change in changes}
        stored: dict[tuple[str, str, str], dict[str, Any]] = {}
        newest = 0
        for app, kind in kinds:
            names = dict.fromkeys(
                name for change in changes if (change.app, change.kind) == (app, kind) for name in change.documents
            )
            documents, version = self._stored(number_of(app), kind, names)
            newest = max(newest, version)
            stored.update(((app, kind, name), document) for name, document in documents.items())
        results = []
        for change in changes:
            result = None
            for name, document in change.documents.items():
                place = (change.app, change.kind, name)
                there = stored.get(place) if change.merge else None
                if document is None:
                    result = stored.pop(place, None) is not None
                else:
                    stored[place] = merged(there or {}, document)
            results.append(result)
        self._insert(ENTITIES, self._entity_lines(changes, stored, newest))
        return results

    def _entity_lines(
        self, changes: Sequence[Put], stored: Mapping[tuple[str, str, str], dict[str, Any]], newest: int
    ) -> list[bytes]:
        places = dict.fromkeys((change.app, change.kind, name) for change in changes for name in change.documents)
        # A higher version than any there, also when another collector's clock is ahead: the highest counts.
        versions = self._numbers.take(len(places), newest)
        return [
            entity_line(number_of(app), kind, name, version, stored.get((app, kind, name)))
            for version, (app, kind, name) in zip(versions, places, strict=True)
        ]

    def _stored(self, app: int, kind: str, names: Iterable[str]) -> tuple[dict[str, dict[str, Any]], int]:
        where = f"app = {app} AND kind = {literal(kind)}"
        newest = f"SELECT max(version) FROM {ENTITIES} WHERE {where}"  # noqa: S608 - literals
        (row,) = self._persist(self._selecting(newest))
        documents: dict[str, dict[str, Any]] = {}
        for some in _portions(names):
            among = ", ".join(map(literal, some))
            sql = f"SELECT id, doc FROM {ENTITIES} FINAL WHERE {where} AND id IN ({among}) AND deleted = 0"  # noqa: S608
            documents.update((name, orjson.loads(doc)) for name, doc in self._persist(self._selecting(sql)))
        return documents, int(row[0] or 0)

    def _selecting(self, sql: str) -> Callable[[], list[list[Any]]]:
        return lambda: self._client.select(sql)

    def _event_lines(self, rows: Sequence[tuple[str, EventRow]]) -> list[bytes]:
        numbers = self._numbers.take(len(rows))
        return [event_line(number_of(app), seq, row) for seq, (app, row) in zip(numbers, rows, strict=True)]

    def _insert(self, table: str, lines: Sequence[bytes]) -> None:
        self._persist(lambda: self._send(table, lines))

    def _send(self, table: str, lines: Sequence[bytes]) -> None:
        if lines:
            statement = b"\n".join((f"INSERT INTO {table} FORMAT JSONEachRow".encode(), *lines))
            self._client.execute_once(statement, self._settings)

    def _persist(self, attempt: Callable[[], T]) -> T:
        """Do it until it is done. Raises StoreUnavailable for what cannot be done, or not in time."""
        until, pause = time.monotonic() + PATIENCE_SECONDS, _PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except StoreUnavailable as error:
                if (isinstance(error, Refused) and not error.passing) or time.monotonic() + pause > until:
                    raise
                logger.debug("a write is tried again: %s", error)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _places(rows: Iterable[tuple[str, EventRow]]) -> Iterable[tuple[str, str]]:
    """Yield each application with the condition that a row is one of its events, for some of them at a time."""
    keys: dict[str, list[tuple[int, int]]] = {}
    for app, row in rows:
        keys.setdefault(app, []).append((row.time_ms, number_of(row.id)))
    for app, places in keys.items():
        for some in _portions(places):
            times = [time_ms for time_ms, _ in some]
            among = ", ".join(map(str, some))
            yield app, f"time_ms BETWEEN {min(times)} AND {max(times)} AND (time_ms, key) IN ({among})"


def _portions(keys: Iterable[T]) -> Iterable[list[T]]:
    """Yield the keys in lists that one statement can take."""
    listed = list(keys)
    for start in range(0, len(listed), _KEYS):
        yield listed[start : start + _KEYS]
