"""Runs the aggregations of a search, one level of buckets at a time, and shapes their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .aggregations import (
    MAX_BUCKETS,
    Aggregation,
    Choice,
    Choices,
    Histogram,
    NamedMetric,
    Order,
    Terms,
    TopHits,
    metrics_of,
)
from .errors import InvalidSearch
from .fields import EVENTS, field_of
from .grouping import OF_NOTHING, Grouping, GroupQuery, Groups, Row, Scope, metric_answer
from .intervals import DAY, FIRST_BUCKETED, LAST_BUCKETED, Buckets, Interval
from .sorting import Sort, ordering
from .statement import Engine, Statement, condition
from .times import wire_millis


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The first and the last millisecond that a search looks at, None where it has no end."""

    first: int | None
    last: int | None

    @property
    def short(self) -> bool:
        """Whether its ends are near enough for every month between them to be a branch of the SQL, and have buckets."""
        if self.first is None or self.last is None or self.last - self.first > 3_660 * DAY:
            return False
        return self.first >= FIRST_BUCKETED and self.last <= LAST_BUCKETED


class Aggregator:
    """Fills the buckets of one search. Each aggregation costs one statement, whatever stands around it."""

    def __init__(self, engine: Engine, kind: str, times: TimeRange) -> None:
        self._engine = engine
        self._kind = kind
        self._times = times

    def fill(self, aggregations: Sequence[Aggregation], scope: Scope) -> None:
        """Put the answers of all aggregations into every bucket of the scope."""
        self._fill_metrics(metrics_of(aggregations, inline=True), scope)
        self._fill_others(aggregations, scope)

    def _fill_others(self, aggregations: Sequence[Aggregation], scope: Scope) -> None:
        """Do what the statement that counted the buckets has not done already."""
        for metric in metrics_of(aggregations, inline=False):
            self._fill_metrics([metric], scope)
        for each in aggregations:
            if isinstance(each.spec, Terms):
                self._terms(each, each.spec, scope)
            elif isinstance(each.spec, Choices):
                self._choices(each, each.spec, scope)
            elif isinstance(each.spec, Histogram):
                self._histogram(each, each.spec, scope)
            elif isinstance(each.spec, TopHits):
                self._top_hits(each, each.spec, scope)

    def _fill_metrics(self, metrics: Sequence[NamedMetric], scope: Scope) -> None:
        if not metrics:
            return
        _set_metrics(metrics, None, scope.targets.values())
        for row in self._groups(GroupQuery(self._kind, scope, metrics=metrics)).rows:
            if row.keys in scope.targets:
                _set_metrics(metrics, row, [scope.targets[row.keys]])

    def _groups(self, query: GroupQuery) -> Groups:
        return query.run(self._engine)

    def _choices(self, aggregation: Aggregation, spec: Choices, scope: Scope) -> None:
        inline = aggregation.metrics(inline=True)
        made: dict[tuple[Any, ...], list[dict[str, Any]]] = {keys: [] for keys in scope.targets}
        for choice in spec.choices:
            targets = {keys: {"doc_count": 0} for keys in scope.targets}
            _set_metrics(inline, None, targets.values())
            query = GroupQuery(self._kind, scope, extra=(choice.node,), metrics=inline)
            for row in self._groups(query).rows:
                if row.keys in targets:
                    targets[row.keys]["doc_count"] = row.count
                    _set_metrics(inline, row, [targets[row.keys]])
            self._fill_others(aggregation.children, Scope((*scope.where, choice.node), scope.groupings, targets))
            for keys, bucket in targets.items():
                made[keys].append(bucket)
        for keys, target in scope.targets.items():
            target[aggregation.name] = _with_meta(aggregation, _choices_answer(spec, made[keys]))

    def _terms(self, aggregation: Aggregation, spec: Terms, scope: Scope) -> None:
        inline = aggregation.metrics(inline=True)
        own = aggregation.metrics(inline=False)
        sorts_here = any(order.by in {metric.name for metric in own} for order in spec.order)
        grouping = Grouping(spec.field, spec.missing)
        query = GroupQuery(
            self._kind, scope, metrics=inline, least=spec.min_doc_count, order=spec.order, grouping=grouping
        )
        if not scope.groupings and not sorts_here:
            query.limit = spec.size
        groups = self._groups(query)
        if sorts_here:
            self._sort(groups, own, spec.order, Scope(scope.where, (*scope.groupings, grouping), {}))
        targets: dict[tuple[Any, ...], dict[str, Any]] = {}
        for keys, rows in _by_parent(groups.rows, scope.targets):
            kept, left = rows[: spec.size], rows[spec.size :]
            others = sum(row.count for row in left) or max(0, groups.total - sum(row.count for row in rows))
            buckets = [self._bucket(row, groups, inline) for row in kept]
            targets.update({row.keys: bucket for row, bucket in zip(kept, buckets, strict=True)})
            answer = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets}
            scope.targets[keys][aggregation.name] = _with_meta(aggregation, answer)
        if aggregation.children:
            grouping.allowed = list(dict.fromkeys(keys[-1] for keys in targets))
            self._fill_others(aggregation.children, Scope(scope.where, (*scope.groupings, grouping), _checked(targets)))

    def _sort(self, groups: Groups, metrics: list[NamedMetric], orders: Sequence[Order], scope: Scope) -> None:
        """Order groups by metrics over paths in the document, which come from statements of their own."""
        values: dict[str, dict[tuple[Any, ...], list[Any]]] = {}
        for metric in metrics:
            rows = self._groups(GroupQuery(self._kind, scope, metrics=[metric])).rows
            values[metric.name] = {row.keys: row.metrics[0] for row in rows}
        # Sorting is stable: the last key first. The rows came ordered by the other orders and their keys.
        for order in reversed(orders):
            if order.by in values:
                found = values[order.by]
                none = next(OF_NOTHING.get(metric.spec.kind) for metric in metrics if metric.name == order.by)

                def value(
                    row: Row, found: Any = found, place: int = order.place, none: float | None = none
                ) -> float | None:
                    at = found.get(row.keys)
                    return at[place] if at and at[place] is not None else none

                groups.rows.sort(key=lambda row: value(row) or 0, reverse=order.descending)
                groups.rows.sort(key=lambda row: value(row) is None)

    @staticmethod
    def _bucket(row: Row, groups: Groups, inline: Sequence[NamedMetric]) -> dict[str, Any]:
        bucket = {"key": groups.keys[-1].decode(row.keys[-1]), "doc_count": row.count}
        _set_metrics(inline, row, [bucket])
        return bucket

    def _histogram(self, aggregation: Aggregation, spec: Histogram, scope: Scope) -> None:
        inline = aggregation.metrics(inline=True)
        ruler = self._ruler(spec, scope)
        grouping = Grouping(spec.field, histogram=ruler)
        rows: list[Row] = []
        if ruler is not None:
            query = GroupQuery(self._kind, scope, metrics=inline, grouping=grouping, least=spec.min_doc_count)
            rows = self._groups(query).rows
        targets: dict[tuple[Any, ...], dict[str, Any]] = {}
        for keys, group in _by_parent(rows, scope.targets):
            found = {ruler.decode(row.keys[-1]): row for row in group} if ruler is not None else {}
            starts = sorted(found)
            if spec.min_doc_count == 0 and ruler is not None:
                starts = _filled(starts, spec, ruler)
            buckets = []
            for start in starts:
                row = found.get(start)
                bucket = ruler.bucket(start) | {"doc_count": row.count if row else 0} if ruler else {}
                _set_metrics(inline, row, [bucket])
                targets[row.keys if row else (*keys, None, start)] = bucket
                buckets.append(bucket)
            answer = _histogram_answer(spec, buckets)
            scope.targets[keys][aggregation.name] = _with_meta(aggregation, answer)
        if targets:
            self._fill_others(aggregation.children, Scope(scope.where, (*scope.groupings, grouping), _checked(targets)))

    def _ruler(self, spec: Histogram, scope: Scope) -> NumberRuler | DateRuler | None:
        """Return how values become buckets; None when there is no value at all and nothing to fill."""
        if not isinstance(spec.interval, Interval):
            return NumberRuler(spec, spec.interval)
        # The search's own bounds are those of the one time that is a column.
        bounded = spec.field.column is not None and spec.field.is_time and self._times.short
        times = self._times if bounded else self._bounds(spec, scope)
        if times.first is None or times.last is None:
            return None
        buckets = Buckets(spec.interval, spec.zone, int(spec.offset), times.first, times.last)
        return DateRuler(spec, buckets, bounded=bounded)

    def _bounds(self, spec: Histogram, scope: Scope) -> TimeRange:
        statement = self._engine.statement(self._kind)
        where = [condition(node, statement) for node in scope.where]
        missing = None if spec.missing is None else int(spec.missing)
        inner = statement.select([f"{statement.times(spec.field, missing)} AS v", "1 AS c"], where)
        sql = f"SELECT min(v), max(v), sum(c) FROM ({inner}) WHERE v BETWEEN {FIRST_BUCKETED} AND {LAST_BUCKETED}"  # noqa: S608
        first, last, count = self._engine.rows(sql, statement.parameters())[0]
        ends = [int(end) for end in (*((first, last) if count else ()), *(spec.bounds or ()))]
        return TimeRange(min(ends), max(ends)) if ends else TimeRange(None, None)

    def _top_hits(self, aggregation: Aggregation, spec: TopHits, scope: Scope) -> None:
        statement = self._engine.statement(self._kind)
        keys = [grouping.key(statement) for grouping in scope.groupings]
        sorts = spec.sorts or default_sort(self._kind)
        order = ordering(sorts, statement)
        names = [f"k{index}" for index in range(len(keys))]
        columns = [
            *(f"{key.sql} AS {name}" for key, name in zip(keys, names, strict=True)),
            f"{statement.column('id')} AS i",
            f"{statement.row} AS r",
            *order.columns(),
            *(f"{sql} AS o{index}" for index, (sql, _) in enumerate(order.parts)),
        ]
        inner = statement.select(columns, [condition(node, statement) for node in scope.where])
        outer = ", ".join(f"o{index} {direction}" for index, (_, direction) in enumerate(order.parts))
        first = statement.first_of_groups(inner, names or ["1"], outer, spec.start + spec.size)
        rows = self._engine.rows(first, statement.parameters()) if scope.targets else []
        hits: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
        for row in rows:
            hits.setdefault(tuple(row[: len(names)]), []).append(row[len(names) :])
        kept = {parent: hits.get(parent, [])[spec.start :] for parent in scope.targets}
        documents = self._engine.documents(self._kind, [(row[0], row[1]) for group in kept.values() for row in group])
        for parent, target in scope.targets.items():
            shaped = [
                {"_id": row[0], "_source": spec.source.of(documents.get((row[0], row[1]), {}))}
                | ({"sort": order.values(row[2:])} if spec.sorts else {})
                for row in kept[parent]
            ]
            answer = {"hits": {"total": self._count(target, scope), "hits": shaped}}
            target[aggregation.name] = _with_meta(aggregation, answer)

    def _count(self, target: dict[str, Any], scope: Scope) -> int:
        """Return the count of a bucket; the search itself is a bucket without one."""
        if "doc_count" in target:
            return int(target["doc_count"])
        return self._groups(GroupQuery(self._kind, scope)).rows[0].count


class NumberRuler:
    """Buckets of equal width on the number line."""

    def __init__(self, spec: Histogram, width: float) -> None:
        self._spec = spec
        self._width = width

    def sql(self, statement: Statement) -> str:
        """Return the SQL of the number of the bucket that a row falls into."""
        width, offset = self._width, float(self._spec.offset)
        return statement.bucketed(
            self._spec.field,
            lambda value: statement.floor(value, width, offset),
            times=False,
            missing=self._spec.missing,
        )

    def decode(self, key: float) -> float:
        """Return the start of a bucket from its number."""
        return key * self._width + self._spec.offset

    def between(self, first: float, last: float) -> Iterable[float]:
        """Return the starts of all buckets from the one that starts at ``first`` to the one that holds ``last``."""
        low, high = self._number(first + self._width / 2), self._number(last + self._width / 2)
        if high - low > MAX_BUCKETS:
            raise InvalidSearch("aggs", f"there would be more than {MAX_BUCKETS} buckets")
        return [self.decode(number) for number in range(low, high + 1)]

    def start(self, value: float) -> float:
        """Return the start of the bucket of a value."""
        return self.decode(self._number(value))

    def bucket(self, start: float) -> dict[str, Any]:
        """Return the key of a bucket as the answer has it."""
        return {"key": start}

    def _number(self, value: float) -> int:
        return int((value - self._spec.offset) / self._width // 1)


class DateRuler:
    """Buckets of the calendar. ``bounded`` says that every time has one of them."""

    def __init__(self, spec: Histogram, buckets: Buckets, *, bounded: bool) -> None:
        self._spec = spec
        self._buckets = buckets
        self._bounded = bounded

    def sql(self, statement: Statement) -> str:
        """Return the SQL of the key of the bucket that a row falls into."""
        missing = None if self._spec.missing is None else int(self._spec.missing)
        return statement.bucketed(self._spec.field, self._within, times=True, missing=missing)

    def _within(self, value: str) -> str:
        """Return the SQL of the key of a time's bucket, NULL for a time that is in none."""
        key = self._buckets.sql(value)
        inside = f"{value} BETWEEN {FIRST_BUCKETED} AND {LAST_BUCKETED}"
        return key if self._bounded else f"CASE WHEN {inside} THEN {key} END"

    def decode(self, key: float) -> float:
        """Return the start of a bucket from its key."""
        return self._buckets.decode(int(key))

    def between(self, first: float, last: float) -> Iterable[float]:
        """Return the starts of all buckets from ``first`` to the one that holds ``last``."""
        starts, start = [], int(first)
        while start <= last:
            starts.append(start)
            if len(starts) > MAX_BUCKETS:
                raise InvalidSearch("aggs", f"there would be more than {MAX_BUCKETS} buckets")
            start = self._buckets.following(start)
        return starts

    def start(self, value: float) -> float:
        """Return the start of the bucket of a time."""
        return self._buckets.start(int(value))

    def bucket(self, start: float) -> dict[str, Any]:
        """Return the key of a bucket as the answer has it."""
        return {"key_as_string": wire_millis(int(start), self._spec.zone), "key": int(start)}


def _filled(starts: list[float], spec: Histogram, ruler: NumberRuler | DateRuler) -> list[float]:
    """Return the starts with those between them, and those within the extended bounds."""
    ends = [*starts[:1], *starts[-1:]]
    if spec.bounds is not None:
        ends += [ruler.start(end) for end in spec.bounds]
    return list(ruler.between(min(ends), max(ends))) if ends else []


def _by_parent(
    rows: Sequence[Row], targets: dict[tuple[Any, ...], dict[str, Any]]
) -> Iterable[tuple[tuple[Any, ...], list[Row]]]:
    """Yield every bucket around, with the rows that belong into it."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    parent: Callable[[Row], tuple[Any, ...]] = lambda row: row.keys[:-1]  # noqa: E731
    for keys, group in groupby(rows, key=parent):
        found.setdefault(keys, []).extend(group)
    for keys in targets:
        yield keys, found.get(keys, [])


def _set_metrics(metrics: Sequence[NamedMetric], row: Row | None, targets: Iterable[dict[str, Any]]) -> None:
    for target in targets:
        for index, metric in enumerate(metrics):
            values = row.metrics[index] if row is not None and row.count else None
            target[metric.name] = _with_meta(metric, metric_answer(metric.spec, values))


def _with_meta(aggregation: Aggregation | NamedMetric, answer: dict[str, Any]) -> dict[str, Any]:
    return answer if aggregation.meta is None else {"meta": aggregation.meta, **answer}


def _checked(targets: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    if len(targets) > MAX_BUCKETS:
        raise InvalidSearch("aggs", f"there would be more than {MAX_BUCKETS} buckets")
    return targets


def _choices_answer(spec: Choices, buckets: list[dict[str, Any]]) -> dict[str, Any]:
    if spec.shape == "single":
        return buckets[0]
    pairs: list[tuple[Choice, dict[str, Any]]] = list(zip(spec.choices, buckets, strict=True))
    if spec.shape == "keyed":
        return {"buckets": {choice.key: choice.extra | bucket for choice, bucket in pairs}}
    if spec.shape == "list":
        return {"buckets": buckets}
    return {"buckets": [{"key": choice.key} | choice.extra | bucket for choice, bucket in pairs]}


def _histogram_answer(spec: Histogram, buckets: list[dict[str, Any]]) -> dict[str, Any]:
    if spec.order.by == "_count":
        buckets.sort(key=lambda bucket: bucket["doc_count"], reverse=spec.order.descending)
    elif spec.order.descending:
        buckets.reverse()
    if spec.keyed:
        return {"buckets": {str(bucket.get("key_as_string", bucket["key"])): bucket for bucket in buckets}}
    return {"buckets": buckets}


def default_sort(kind: str) -> tuple[Sort, ...]:
    """Return what documents are sorted by when a search does not say: events newest first, others by id."""
    if kind == EVENTS:
        return (Sort(field_of(kind, "request.time", "sort"), descending=True),)
    return ()
