"""One GROUP BY statement: the rows of a query by the keys of the buckets around them, with counts and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .aggregations import MAX_BUCKETS, Metric, NamedMetric, Order
from .errors import InvalidSearch
from .fields import Field
from .leaves import Scalar
from .nodes import Node
from .statement import Engine, Key, Statement, condition

FEW_GROUPS: Final = 1_000
"""So many groups are asked for at least where a store cannot count the others beside the first ones.

Mostly these are all groups, and their counts need no statement that goes through the events once more.
"""


@dataclass(slots=True)
class Grouping:
    """What one level of buckets groups by. ``allowed`` are the rows' values of the buckets that were kept, if fewer."""

    field: Field
    missing: Scalar | None = None
    histogram: Any = None
    allowed: list[Any] | None = None

    def key(self, statement: Statement) -> Key:
        """Return the SQL of the key in one statement."""
        if self.histogram is not None:
            return Key(self.histogram.sql(statement))
        return statement.key(self.field, self.missing)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents are looked at (``where``), how they are grouped, and the buckets to fill, by their keys."""

    where: tuple[Node, ...]
    groupings: tuple[Grouping, ...]
    targets: dict[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One group: its keys as the rows hold them, its count by weight, and its metrics' SQL values, one list each."""

    keys: tuple[Any, ...]
    count: int
    metrics: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Groups:
    """The rows of a GROUP BY in their order; ``keys`` decode them, ``total`` is the count of all when some are left."""

    rows: list[Row]
    keys: list[Key]
    total: int


@dataclass(slots=True)
class GroupQuery:
    """What to ask for: metrics that need no query of their own, an order, and how many rows at most."""

    kind: str
    scope: Scope
    extra: tuple[Node, ...] = ()
    metrics: Sequence[NamedMetric] = ()
    least: int = 0
    order: Sequence[Order] = ()
    limit: int | None = None
    grouping: Grouping | None = None
    aliases: dict[str, str] = field(default_factory=dict)

    def run(self, engine: Engine) -> Groups:
        """Run it. Raises InvalidSearch when there are more groups than an answer may have."""
        statement = engine.statement(self.kind)
        keys, sql = self._grouped(statement, self.metrics)
        windowed = self.limit is not None and engine.windows
        most = 0 if self.limit is None else self.limit if windowed else max(self.limit, FEW_GROUPS)
        if self.limit is not None:
            windowed_total = ", sum(c) OVER () AS total" if windowed else ""
            sql = f"SELECT *{windowed_total} FROM ({sql}) ORDER BY {self._order(keys)} LIMIT {most}"  # noqa: S608
        elif keys:
            sql = f"{sql} ORDER BY {self._order(keys)} LIMIT {MAX_BUCKETS + 1}"
        rows = engine.rows(sql, statement.parameters())
        if len(rows) > MAX_BUCKETS:
            raise InvalidSearch("aggs", f"there would be more than {MAX_BUCKETS} buckets")
        total = 0
        if windowed:
            total = int(rows[0][-1]) if rows else 0
        elif self.limit is not None and len(rows) == most:
            rows, total = rows[: self.limit], self._total(engine)
        return Groups([self._row(row, len(keys)) for row in rows], keys, total)

    def _total(self, engine: Engine) -> int:
        """Return the count of all groups; nothing but the counts is computed once more."""
        statement = engine.statement(self.kind)
        _, sql = self._grouped(statement, ())
        return int(engine.rows(f"SELECT sum(c) FROM ({sql})", statement.parameters())[0][0] or 0)  # noqa: S608

    def _grouped(self, statement: Statement, metrics: Sequence[NamedMetric]) -> tuple[list[Key], str]:
        """Return the keys and the statement of all groups with their counts and metrics."""
        groupings = [*self.scope.groupings, *([self.grouping] if self.grouping else [])]
        keys = [grouping.key(statement) for grouping in groupings]
        where = [condition(node, statement) for node in (*self.scope.where, *self.extra)]
        columns = [f"{statement.weight} AS w", *(f"{key.sql} AS k{index}" for index, key in enumerate(keys))]
        selected = ["sum(w) AS c"]
        for index, metric in enumerate(metrics):
            columns.append(f"{metric_value(metric.spec, statement)} AS v{index}")
            for place, sql in enumerate(metric_sql(metric.spec, f"v{index}", statement)):
                self.aliases[f"{metric.name}/{place}"] = f"m{index}_{place}"
                selected.append(f"{sql} AS m{index}_{place}")
        names = [f"k{index}" for index in range(len(keys))]
        kept = [f"{name} IS NOT NULL" for name in names]
        for name, grouping in zip(names, groupings, strict=True):
            if grouping.allowed is not None:
                kept.append(statement.among(name, grouping.allowed) if grouping.allowed else "1 = 0")
        sql = f"SELECT {', '.join([*names, *selected])} FROM ({statement.select(columns, where)})"  # noqa: S608
        if names:
            sql += f" WHERE {' AND '.join(kept)} GROUP BY {', '.join(names)}"
        return keys, f"{sql} HAVING c >= {self.least}" if self.least > 1 else sql

    def _order(self, keys: list[Key]) -> str:
        """Return the ORDER BY: groups of one parent stand together, in the order that is asked for."""
        parts = [f"k{index}" for index in range(len(keys) - 1)]
        last = f"k{len(keys) - 1}"
        for order in self.order:
            direction = "DESC" if order.descending else "ASC"
            if order.by == "_count":
                parts.append(f"c {direction}")
            elif order.by == "_key":
                parts += [f"{part} {direction}" for part in keys[-1].order(last)]
            elif alias := self.aliases.get(f"{order.by}/{order.place}"):
                parts += [f"CASE WHEN {alias} IS NULL THEN 1 ELSE 0 END", f"{alias} {direction}"]
        return ", ".join([*parts, *keys[-1].order(last)])

    def _row(self, row: Sequence[Any], keys: int) -> Row:
        metrics, place = [], keys + 1
        for metric in self.metrics:
            metrics.append(list(row[place : place + metric.spec.width]))
            place += metric.spec.width
        return Row(tuple(row[:keys]), int(row[keys] or 0), metrics)


def metric_value(metric: Metric, statement: Statement) -> str:
    """Return the SQL of the value of one row."""
    numeric = metric.kind not in ("value_count", "cardinality")
    if numeric and metric.field.is_time:
        return statement.times(metric.field, None if metric.missing is None else int(metric.missing))
    return statement.values(metric.field, numeric=numeric, missing=metric.missing)


def metric_sql(metric: Metric, value: str, statement: Statement) -> list[str]:
    """Return the aggregates of a metric: an event of weight w counts as w events with the same values.

    The weight itself is a count already and is summed as it is (reference, "Sorting group by terms").
    """
    column = metric.field.column
    weight = "1" if column is not None and column.name == "weight" else "w"
    counted = f"sum(CASE WHEN {value} IS NOT NULL THEN {weight} END)"
    # As doubles: a sum of integers that 64 bits do not hold is an error to SQLite, and wraps around in ClickHouse.
    total = f"sum({value} * 1.0 * {weight})"
    match metric.kind:
        case "sum":
            # Nothing adds up to 0, also where it is sorted by.
            return [f"coalesce({total}, 0)"]
        case "avg":
            return [f"{total} / {counted}"]
        case "value_count":
            return [f"coalesce({counted}, 0)"]
        case "cardinality":
            return [f"coalesce(count(DISTINCT {value}), 0)"]
        case "percentiles":
            return statement.percentiles(value, weight, metric.percents)
    return [f"{metric.kind}({value})"]


OF_NOTHING: Final = {"sum": 0, "value_count": 0, "cardinality": 0}
"""Kinds of metric that have a value where there are no values."""


def metric_answer(metric: Metric, values: list[Any] | None) -> dict[str, Any]:
    """Return a metric as the answer has it; ``values`` None stands for no documents."""
    found = values or [None] * metric.width
    if metric.kind == "percentiles":
        pairs = list(zip(metric.percents, found, strict=True))
        if metric.keyed:
            return {"values": {str(percent): _double(value) for percent, value in pairs}}
        return {"values": [{"key": percent, "value": _double(value)} for percent, value in pairs]}
    if metric.kind in ("value_count", "cardinality"):
        return {"value": int(found[0] or 0)}
    if metric.kind == "sum":
        return {"value": float(found[0] or 0)}
    return {"value": _double(found[0])}


def _double(value: Any) -> float | None:
    return None if value is None else float(value)
