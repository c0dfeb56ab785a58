"""Documents that are no events, written so that collectors which change the same one at once lose nothing.

A collector reads what is there, merges, and writes a row of its own. Then it looks again: a row that it has not seen
comes from another one that did the same meanwhile, and its own changes are merged into that too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ...merge import merged
from ...search.clickhouse import literal, of_kind
from .persistent import Persistent, portions
from .rows import Numbers, entity_line, number_of
from .tables import ENTITIES

ROUNDS: Final = 5
"""How often it looks for what others did; each round takes two of them that are within milliseconds of each other."""

Place = tuple[str, str, str]
"""Application id, kind and key of a document."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """Documents of one kind that merge into those there, or replace them; None deletes one."""

    app: str
    kind: str
    documents: Mapping[str, Document] | Mapping[str, None]
    merge: bool

    def places(self) -> list[Place]:
        """Return the places of its documents."""
        return [(self.app, self.kind, name) for name in self.documents]


@dataclass(slots=True)
class _Known:
    """What is known of the places that one piece of work is about."""

    documents: dict[Place, Document] = field(default_factory=dict)
    versions: dict[Place, set[int]] = field(default_factory=dict)
    counts: dict[Place, tuple[int, Document | None]] = field(default_factory=dict)
    """The highest version of each place, and the document in that row."""
    newest: int = 0

    def learn(self, place: Place, version: int, document: Document | None) -> None:
        """Note a row."""
        self.versions.setdefault(place, set()).add(version)
        if version > self.counts.get(place, (0, None))[0]:
            self.counts[place] = (version, document)


class Puts:
    """Makes puts. One thread calls it."""

    def __init__(self, servers: Persistent, numbers: Numbers) -> None:
        self._servers = servers
        self._numbers = numbers

    def make(self, puts: Sequence[Put]) -> list[bool | None]:
        """Return for each put that deletes whether its document was there, None for the others."""
        places = list(dict.fromkeys(place for put in puts for place in put.places()))
        known = _Known()
        self._look(places, known)
        results = [_applied(put, known.documents) for put in puts]
        self._write(places, known)
        merging = {place for put in puts if put.merge for place in put.places()}
        # A replacement owes nothing to what was there.
        merging -= {place for put in puts if not put.merge for place in put.places()}
        for _ in range(ROUNDS):
            others = self._look([place for place in places if place in merging], known)
            if not others:
                break
            for put in puts:
                _applied(put, known.documents, others)
            # What another one has merged already needs no row more.
            self._write([each for each in others if known.documents.get(each) != known.counts[each][1]], known)
        return results

    def _look(self, places: Sequence[Place], known: _Known) -> list[Place]:
        """Learn of the rows that were not known, oldest first, and return the places that have some."""
        found: list[Place] = []
        for (app, kind), names in _kinds(places).items():
            where = of_kind(number_of(app), kind)
            for some in portions(names):
                among = f"{where} AND id IN ({', '.join(map(literal, some))})"
                sql = f"SELECT id, groupUniqArray(version) FROM {ENTITIES} WHERE {among} GROUP BY id"  # noqa: S608
                new: list[tuple[str, int]] = []
                for name, versions in self._servers.select(sql):
                    seen = known.versions.setdefault((app, kind, name), set())
                    # Of rows that were there at first, the newest has what the others had.
                    unseen = set(versions) - seen if seen else {max(versions)}
                    seen.update(versions)
                    new += [(name, version) for version in unseen]
                self._read(app, kind, new, known)
                found += dict.fromkeys([(app, kind, name) for name, _ in new])
            newest = self._servers.select(f"SELECT max(version) FROM {ENTITIES} WHERE {where}")  # noqa: S608
            known.newest = max(known.newest, int(newest[0][0] or 0))
        return found

    def _read(self, app: str, kind: str, rows: Sequence[tuple[str, int]], known: _Known) -> None:
        if not rows:
            return
        among = ", ".join(f"({literal(name)}, {version})" for name, version in rows)
        where = f"{of_kind(number_of(app), kind)} AND (id, version) IN ({among})"
        sql = f"SELECT id, version, deleted, doc FROM {ENTITIES} WHERE {where} ORDER BY version"  # noqa: S608
        for name, version, deleted, text in self._servers.select(sql):
            place = (app, kind, name)
            document = None if deleted else orjson.loads(text)
            known.learn(place, version, document)
            if document is None:
                known.documents.pop(place, None)
            else:
                known.documents[place] = merged(known.documents.get(place) or {}, document)

    def _write(self, places: Sequence[Place], known: _Known) -> None:
        # Higher than any there, also when another collector's clock is ahead: the highest counts.
        versions = self._numbers.take(len(places), known.newest)
        lines = []
        for version, place in zip(versions, places, strict=True):
            app, kind, name = place
            lines.append(entity_line(number_of(app), kind, name, version, known.documents.get(place)))
            known.learn(place, version, known.documents.get(place))
        self._servers.insert(ENTITIES, lambda: lines)


def _kinds(places: Iterable[Place]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for app, kind, name in places:
        found.setdefault((app, kind), []).append(name)
    return found


def _applied(put: Put, documents: dict[Place, Document], only: Sequence[Place] | None = None) -> bool | None:
    """Change the documents as the put says; return whether there was one, when it deletes."""
    result = None
    for place, update in zip(put.places(), put.documents.values(), strict=True):
        if only is not None and place not in only:
            continue
        if update is None:
            result = documents.pop(place, None) is not None
        else:
            documents[place] = merged((documents.get(place) or {}) if put.merge else {}, update)
    return result
