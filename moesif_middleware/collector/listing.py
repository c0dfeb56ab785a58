"""The page's list of events: rows by filter, newest first, a page at a time, and those that just arrived.

What the store's live query can say goes by order of arrival; any other filter is a search by time. The client sees
one thing: rows, each with the position (``at``) behind which the list goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from .qualifiers import Qualifier, query, recent
from .refusals import Refusal
from .stores import Recent, Store

Row = dict[str, Any]

STEP: Final = 200
"""Rows that are read at a time where many are asked for."""

_BY_TIME: Final = [{"request.time": "desc"}, {"_id": "desc"}]
_PATHS: Final = {
    "event_type": "event_type",
    "action_name": "action_name",
    "status": "response.status",
    "verb": "request.verb",
    "route": "request.route",
    "uri": "request.uri",
    "ip_address": "request.ip_address",
    "user_id": "user_id",
    "company_id": "company_id",
    "session_token": "session_token",
    "duration_ms": "duration_ms",
    "weight": "weight",
    "direction": "direction",
    "blocked_by": "blocked_by",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The events of one application that pass a filter. Its calls read the store, so call them off the event loop."""

    store: Store
    app: str
    qualifiers: list[Qualifier]

    def newest(self) -> int:
        """Return the ``seq`` of the newest event, whatever the filter; 0 when there is none."""
        rows = self.store.recent(self.app, Recent(limit=1))
        return int(rows[0]["seq"]) if rows else 0

    def page(self, limit: int, at: str | None) -> tuple[list[Row], bool]:
        """Return at most ``limit`` rows behind the position ``at``, and whether there are more. Raises Refusal 400."""
        simple = recent(self.qualifiers)
        if simple is not None:
            rows = self.store.recent(self.app, replace(simple, limit=limit + 1, before=_seq(at)))
            rows = [_at_seq(row) for row in rows]
        else:
            rows = self._found(limit + 1, _sort_values(at))
        return rows[:limit], len(rows) > limit

    def arrived(self, after: int, limit: int) -> tuple[list[Row], bool]:
        """Return the rows that came after ``seq``, newest first, and whether there were more than ``limit``."""
        simple = recent(self.qualifiers)
        rows = self.store.recent(self.app, replace(simple or Recent(), limit=limit, after=after))
        full = len(rows) >= limit
        if simple is not None:
            return [_at_seq(row) for row in rows], full
        passed = self._passing(rows)
        return [_at_time(row) for row in rows if row["id"] in passed], full

    def _passing(self, rows: list[Row]) -> set[str]:
        if not rows:
            return set()
        passing = {"bool": {"filter": [query(self.qualifiers), _among(rows)]}}
        body = {"query": passing, "size": len(rows), "_source": False, "track_total_hits": False}
        return {hit["_id"] for hit in self._search(body, rows)["hits"]["hits"]}

    def places(self, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Return the ids and times of the newest events that pass, and whether there are more than ``limit``."""
        rows, more = self.page(limit, None)
        return [(row["id"], row["time_ms"]) for row in rows], more

    def requests(self, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest API calls that pass as pairs of id and document, without the bodies of their responses."""
        calls = {"term": {"event_type": "api_call"}}
        body = {
            "query": {"bool": {"filter": [query(self.qualifiers), calls]}},
            "sort": _BY_TIME,
            "size": limit,
            "_source": {"excludes": ["response.body", "response.headers", "metadata"]},
            "track_total_hits": False,
        }
        return [(hit["_id"], hit["_source"]) for hit in self._search(body)["hits"]["hits"]]

    def whole(self, limit: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the newest events that pass, whole, ``limit`` at most, a page at a time."""
        at: str | None = None
        more = True
        while more and limit > 0:
            rows, more = self.page(min(limit, STEP), at)
            yield self._documents(rows)
            limit -= len(rows)
            at = rows[-1]["at"] if rows else None

    def _documents(self, rows: list[Row]) -> list[dict[str, Any]]:
        """Return the events of these rows, in their order, without those that were deleted since."""
        body = {"query": _among(rows), "size": len(rows), "track_total_hits": False}
        found = {hit["_id"]: hit["_source"] for hit in self._search(body, rows)["hits"]["hits"]}
        return [found[row["id"]] for row in rows if row["id"] in found]

    def check(self) -> None:
        """Raise Refusal or InvalidSearch, both a 400, for a filter that cannot be answered, before an answer begins."""
        if recent(self.qualifiers) is None:
            # Nothing is asked for, so that it is read and checked only.
            self._search({"query": query(self.qualifiers), "size": 0, "track_total_hits": False})

    def _found(self, limit: int, behind: list[Any] | None) -> list[Row]:
        body = {
            "query": query(self.qualifiers),
            "sort": _BY_TIME,
            "size": limit,
            "_source": list(_PATHS.values()),
            "track_total_hits": False,
        }
        if behind is not None:
            body["search_after"] = behind
        return [_row(hit) for hit in self._search(body)["hits"]["hits"]]

    def _search(self, body: dict[str, Any], rows: Sequence[Row] = ()) -> dict[str, Any]:
        """Search the events, those of some rows within their times: no store looks an id up sooner among all."""
        times = [row["time_ms"] for row in rows]
        return self.store.search(self.app, "events", body, min(times, default=None), max(times, default=None))


def _among(rows: list[Row]) -> dict[str, Any]:
    """Return the query for the events of rows."""
    return {"ids": {"values": [row["id"] for row in rows]}}


def _seq(at: str | None) -> int | None:
    if at is None:
        return None
    if not (at.isascii() and at.isdigit() and len(at) < 19):
        raise _no_position()
    return int(at)


def _sort_values(at: str | None) -> list[Any] | None:
    if at is None:
        return None
    try:
        values = orjson.loads(at)
    except ValueError:
        raise _no_position() from None
    if not isinstance(values, list) or [type(value) for value in values] != [int, str]:
        raise _no_position()
    return values


def _no_position() -> Refusal:
    return Refusal(400, "before: is not a position of this list")


def _at_seq(row: Row) -> Row:
    return {**row, "at": str(row["seq"])}


def _at_time(row: Row) -> Row:
    return {**row, "at": orjson.dumps([row["time_ms"], row["id"]]).decode()}


def _row(hit: dict[str, Any]) -> Row:
    found = {name: _value(hit["_source"], path) for name, path in _PATHS.items()}
    return _at_time({"id": hit["_id"], "time_ms": int(hit["sort"][0]), **found})


def _value(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
