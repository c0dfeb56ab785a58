"""What is written to ClickHouse: events, their removal, and all other documents, each kind of work in few statements.

Every insert may run twice, since a server may have done what it did not answer: the rows are the same and merge.
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
from .rows import Numbers, entity_line, event_line, event_tombstone, number_of
from .tables import APPS, ENTITIES, EVENTS, writing

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


Change = Append | Remove | Put


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
        lines = []
        left = [(name, row) for name, row in new.items() if name not in known]
        for seq, ((app, _), row) in zip(self._numbers.take(len(left)), left, strict=True):
            lines.append(event_line(number_of(app), seq, row))
        self._insert(EVENTS, lines)
        results = []
        for change, names in zip(changes, fresh, strict=True):
            stored = sum(name not in known for name in names)
            results.append(Appended(stored, len(change.rows) - stored))
        return results

    def _known(self, rows: Mapping[tuple[str, str], EventRow]) -> set[tuple[str, str]]:
        """Return which of the events are there already: the same id at the same time."""
        known: set[tuple[str, str]] = set()
        for app in {name[0] for name in rows}:
            keys = {(row.time_ms, number_of(row.id)): name for name, row in rows.items() if name[0] == app}
            for some in _portions(keys):
                times = [time_ms for time_ms, _ in some]
                where = (
                    f"app = {number_of(app)} AND time_ms BETWEEN {min(times)} AND {max(times)}"
                    f" AND (time_ms, key) IN ({', '.join(map(str, some))})"
                )
                sql = (
                    f"SELECT time_ms, key FROM {EVENTS} WHERE {where}"  # noqa: S608 - numbers
                    " GROUP BY time_ms, key HAVING argMax(deleted, seq) = 0"
                )
                known.update(keys[time_ms, key] for time_ms, key in self._persist(self._selecting(sql)))
        return known

    def _remove(self, changes: Sequence[Remove]) -> list[bool]:
        found: dict[tuple[str, str], int] = {}
        for app in {change.app for change in changes}:
            for some in _portions({change.key: None for change in changes if change.app == app}):
                keys = ", ".join(str(number_of(key)) for key in some)
                sql = (
                    f"SELECT id, time_ms FROM {EVENTS} FINAL"  # noqa: S608 - numbers
                    f" WHERE app = {number_of(app)} AND key IN ({keys}) AND deleted = 0"
                )
                found.update(((app, name), time_ms) for name, time_ms in self._persist(self._selecting(sql)))
        lines = []
        for seq, ((app, name), time_ms) in zip(self._numbers.take(len(found)), found.items(), strict=True):
            lines.append(event_tombstone(number_of(app), seq, name, time_ms))
        self._insert(EVENTS, lines)
        # The second of two that delete the same one finds nothing.
        return [found.pop((change.app, change.key), None) is not None for change in changes]

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

    def _insert(self, table: str, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        statement = b"\n".join((f"INSERT INTO {table} FORMAT JSONEachRow".encode(), *lines))
        self._persist(lambda: self._client.execute(statement, self._settings))

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


def _portions(keys: Iterable[T]) -> Iterable[list[T]]:
    """Yield the keys in lists that one statement can take."""
    listed = list(keys)
    for start in range(0, len(listed), _KEYS):
        yield listed[start : start + _KEYS]
