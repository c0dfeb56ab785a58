"""The search DSL made pleasant: a body from keywords, and paging to the end.

Nothing of the DSL is interpreted: ``where``, ``sort`` and ``aggs`` go out as they are. ``where`` becomes ``query``.
Reference: "Elasticsearch DSL", "Pagination", "Query Params".
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict
from zoneinfo import ZoneInfo

from ..errors import APIError
from .calls import RELATIVE, Moment, moment
from .types import SearchCompaniesResponseDTO, SearchEventsResponseDTO, SearchUsersResponseDTO

Clause = Mapping[str, Any]
Sort = str | Clause | Sequence[str | Clause]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Window(TypedDict, total=False):
    """The time to look at; over events it is the last day unless given. ``time_zone`` is UTC unless given."""

    from_: Moment
    to: Moment
    time_zone: str | ZoneInfo
    app_id: str


class Search(Window, total=False):
    """The parts of a search body, as in Elasticsearch; ``where`` is its ``query`` and ``source`` its ``_source``."""

    where: Clause
    post_filter: Clause
    sort: Sort
    size: int
    source: bool | str | Sequence[str]
    aggs: Clause
    search_after: Sequence[Any]
    track_total_hits: bool | int


class EventSearch(SearchEventsResponseDTO):
    """What a search over events answers."""

    aggregations: NotRequired[dict[str, Any]]


class UserSearch(SearchUsersResponseDTO):
    """What a search over users answers."""

    aggregations: NotRequired[dict[str, Any]]


class CompanySearch(SearchCompaniesResponseDTO):
    """What a search over companies answers."""

    aggregations: NotRequired[dict[str, Any]]


class CountAnswer(TypedDict):
    """What a count answers, as Elasticsearch's count does."""

    count: int


_BODY = {"where": "query", "source": "_source"}
_WINDOW = Window.__annotations__.keys()


def window(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query parameters among the options of a search."""
    return {"app_id": None} | {name: options[name] for name in _WINDOW if name in options}


def last_day(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query parameters of a search that needs a time to look at: the last day unless one is given."""
    return {"from_": "-1d", "to": "now"} | window(options)


def search_body(body: Clause | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a search: ``body`` as it is, with what the keywords say in its place."""
    parts = {_BODY.get(name, name): value for name, value in options.items() if name not in _WINDOW}
    return {**(body or {}), **parts}


class Pages:
    """The keyset of one iteration: gives each page's body and moves on by the ``sort`` values of its last hit.

    ``_id`` is added to the sort as a tie-break, and relative times are pinned to ``now`` (seconds since the epoch), so
    that every page looks at the same documents.
    """

    def __init__(
        self, body: Clause | None, options: Mapping[str, Any], window: Mapping[str, Any], *, sort: Sort, now: float
    ) -> None:
        self.body = {"size": 100, "sort": sort, **search_body(body, options)}
        self.body["sort"] = _with_tie_break(self.body["sort"])
        self.window = {
            name: pinned(name, value, now) if name in {"from_", "to"} else value for name, value in window.items()
        }

    def turn(self, answer: Mapping[str, Any]) -> list[Any]:
        """Return the hits of a page and aim at the next one. An empty page is the end."""
        hits: list[Any] = (answer.get("hits") or {}).get("hits") or []
        if hits:
            after = hits[-1].get("sort")
            if not after or after == self.body.get("search_after"):
                raise APIError(200, f"the page after {self.body.get('search_after')} does not lead on", body=answer)
            self.body["search_after"] = after
        return hits


def _with_tie_break(sort: Sort) -> list[str | Clause]:
    keys: list[str | Clause] = [sort] if isinstance(sort, str | Mapping) else list(sort)
    named = {name for key in keys for name in ([key] if isinstance(key, str) else key)}
    return keys if "_id" in named else [*keys, {"_id": "asc"}]


def pinned(name: str, value: Moment, now: float) -> str:
    """Return a relative time as the ISO time that it means at ``now`` (seconds since the epoch)."""
    text = moment(name.removesuffix("_"), value)
    match = RELATIVE.fullmatch(text)
    if not match and text != "now":
        return text
    sign, count, unit = match.groups() if match else ("", "0", "s")
    amount = int(f"{sign}{count}")
    start = datetime.fromtimestamp(now, UTC)
    found = _months_on(start, amount) if unit == "M" else start + timedelta(**{_UNITS[unit]: amount})
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _months_on(start: datetime, count: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
