"""A search from its request body to its answer: read, compile, run, shape."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final

from .aggregations import Aggregation, parse_aggregations
from .buckets import Aggregator, TimeRange, default_sort
from .conditions import Context
from .errors import InvalidSearch
from .fields import EVENTS, field_of
from .grouping import Scope
from .leaves import Scalar
from .nodes import EVERYTHING, Between, Bound, Node, all_of
from .query import parse_query
from .reading import boolean, integer, known, mapping
from .sorting import Sort, after, ordering, parse_search_after, parse_sort
from .source import Source, parse_source
from .statement import Engine, Found, condition

MAX_HITS: Final = 10_000

_BODY: Final = (
    "query",
    "post_filter",
    "sort",
    "search_after",
    "size",
    "from",
    "_source",
    "track_total_hits",
    "aggs",
    "aggregations",
)


@dataclass(frozen=True, slots=True)
class Search:
    """One search, read and checked. ``first`` and ``last`` are the ends of its time range, inclusive milliseconds."""

    kind: str
    query: Node
    post_filter: Node
    first: int | None
    last: int | None
    sorts: tuple[Sort, ...]
    after: tuple[Scalar | None, ...] | None
    size: int
    start: int
    source: Source
    total: bool
    aggregations: tuple[Aggregation, ...]

    @property
    def where(self) -> tuple[Node, ...]:
        """The tests that hits and aggregations share: the time range and the query."""
        bounds = [Bound(">=", self.first)] if self.first is not None else []
        if self.last is not None:
            bounds.append(Bound("<=", self.last))
        tests: tuple[Node, ...] = (self.query,) if self.query != EVERYTHING else ()
        if bounds and self.kind == EVENTS:
            return (Between(field_of(EVENTS, "request.time", "from"), "time", tuple(bounds)), *tests)
        return tests


def parse_search(kind: str, body: object, start: int | None, end: int | None, zone: tzinfo, now_ms: int) -> Search:
    """Read a search body. Raises InvalidSearch with the path of a clause that is wrong or not supported.

    ``start`` and ``end`` are milliseconds since the epoch, both inclusive; ``zone`` is that of days and months.
    """
    members = mapping(body, "")
    known(members, _BODY, "")
    if "aggs" in members and "aggregations" in members:
        raise InvalidSearch("aggregations", "aggs and aggregations are the same: send one of them")
    context = Context(kind, now_ms, zone)
    sorts = parse_sort(members.get("sort", []), "sort", context)
    passed = None
    if members.get("search_after") is not None:
        passed = parse_search_after(members["search_after"], "search_after", sorts, now_ms)
    size = integer(members.get("size", 10), "size", 0, MAX_HITS)
    skipped = integer(members.get("from", 0), "from", 0, MAX_HITS)
    if size + skipped > MAX_HITS:
        raise InvalidSearch("from", f"from + size is over {MAX_HITS}: use search_after")
    if skipped and passed is not None:
        raise InvalidSearch("from", "is 0 beside search_after")
    name = "aggregations" if "aggregations" in members else "aggs"
    return Search(
        kind,
        _optional_query(members, "query", context),
        _optional_query(members, "post_filter", context),
        start,
        end,
        sorts,
        passed,
        size,
        skipped,
        parse_source(members.get("_source", True), "_source"),
        _wants_total(members.get("track_total_hits", True)),
        parse_aggregations(members.get(name, {}), name, context),
    )


def check_search(kind: str, body: object, now_ms: int, place: str, inside: str = "") -> None:
    """Raise InvalidSearch for a search that cannot be run, with the path of the clause as it stands under ``place``.

    ``inside`` are the buckets that stand around what was sent, which its path leaves out.
    """
    try:
        parse_search(kind, body, None, None, UTC, now_ms)
    except InvalidSearch as error:
        path = error.path.removeprefix(inside)
        raise InvalidSearch(f"{place}.{path}" if path else place, error.message) from None


def _optional_query(members: dict[str, Any], name: str, context: Context) -> Node:
    return parse_query(members[name], name, context) if members.get(name) not in (None, {}) else EVERYTHING


def _wants_total(value: object) -> bool:
    # A number is how far Elasticsearch counts exactly; here every count is exact.
    return True if isinstance(value, int) and not isinstance(value, bool) else boolean(value, "track_total_hits")


def run_search(engine: Engine, search: Search) -> dict[str, Any]:
    """Run a search and return its answer, in the shapes of Elasticsearch with ``hits.total`` as a number."""
    began = time.perf_counter()
    hits: dict[str, Any] = {}
    if search.total:
        hits["total"] = count(engine, search)
    hits["hits"] = _hits(engine, search) if search.size else []
    answer: dict[str, Any] = {"took": 0, "timed_out": False, "hits": hits}
    if search.aggregations:
        root: dict[str, Any] = {}
        aggregator = Aggregator(engine, search.kind, TimeRange(search.first, search.last))
        aggregator.fill(search.aggregations, Scope(search.where, (), {(): root}))
        answer["aggregations"] = root
    answer["took"] = int((time.perf_counter() - began) * 1000)
    return answer


def count(engine: Engine, search: Search) -> int:
    """Return how many documents pass the query and the post filter; a sampled event counts by its weight."""
    statement = engine.statement(search.kind)
    inner = statement.select([f"{statement.weight} AS w"], _conditions(search, statement))
    sql = f"SELECT sum(w) FROM ({inner})"  # noqa: S608 - the select holds bound literals only
    return int(engine.rows(sql, statement.parameters())[0][0] or 0)


def _conditions(search: Search, statement: Any) -> list[str]:
    node = all_of([*search.where, search.post_filter])
    return [] if node == EVERYTHING else [condition(node, statement)]


def _hits(engine: Engine, search: Search) -> list[dict[str, Any]]:
    statement = engine.statement(search.kind)
    order = ordering(search.sorts or default_sort(search.kind), statement)
    where = _conditions(search, statement)
    if search.after is not None:
        where.append(after(search.sorts, order.keys, search.after))
    columns = [f"{statement.column('id')} AS i", f"{statement.row} AS r", *order.columns()]
    sql = f"{statement.select(columns, where)} ORDER BY {order.sql} LIMIT {search.size}"
    if search.start:
        sql += f" OFFSET {search.start}"
    rows = engine.rows(sql, statement.parameters())
    # Keys first, documents by key after: sorting must not carry the documents along.
    documents = _documents(engine, search, rows)
    return [_hit(search, row, order.values(row[2:]), documents) for row in rows]


def _documents(engine: Engine, search: Search, rows: Sequence[Sequence[Any]]) -> dict[Found, dict[str, Any]]:
    return engine.documents(search.kind, [(row[0], row[1]) for row in rows]) if search.source.wanted and rows else {}


def _hit(
    search: Search, row: Sequence[Any], values: list[Any], documents: dict[Found, dict[str, Any]]
) -> dict[str, Any]:
    hit: dict[str, Any] = {"_id": row[0]}
    if search.source.wanted:
        hit["_source"] = search.source.of(documents.get((row[0], row[1]), {}))
    if search.sorts:
        hit["sort"] = values
    return hit
