"""Reads ``aggs`` into a tree: buckets, with metrics and further buckets inside them, to any depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final

from .conditions import Context, between, operand_of
from .errors import InvalidSearch
from .fields import Field, Type
from .intervals import FIRST_BUCKETED, LAST_BUCKETED, Interval, parse_interval
from .leaves import Scalar
from .nodes import Between, Bound, Exists, Node, Not, Operator, any_of
from .query import parse_query
from .reading import at, boolean, integer, known, listed, mapping, number, single, text
from .sorting import Sort, parse_sort
from .source import Source, parse_source
from .times import parse_time, zone_of

MAX_DEPTH: Final = 32
MAX_BUCKETS: Final = 65_536
MAX_AGGREGATIONS: Final = 500

DEFAULT_PERCENTS: Final = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
METRICS: Final = ("sum", "avg", "min", "max", "value_count", "cardinality", "percentiles")


@dataclass(frozen=True, slots=True)
class Metric:
    """A number, or for ``percentiles`` several, of the values of a field."""

    kind: str
    field: Field
    missing: Scalar | None = None
    percents: tuple[float, ...] = ()
    keyed: bool = True

    @property
    def inline(self) -> bool:
        """Whether a row of the narrow table has the value, so that it needs no query of its own."""
        return self.field.column is not None

    @property
    def width(self) -> int:
        """How many SQL aggregates it takes."""
        return len(self.percents) if self.kind == "percentiles" else 1


@dataclass(frozen=True, slots=True)
class NamedMetric:
    """A metric with the name and the ``meta`` that its answer has."""

    name: str
    spec: Metric
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What the buckets of ``terms`` are ordered by: ``_count``, ``_key``, or a value of the metric of that name."""

    by: str
    descending: bool
    place: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """One bucket for each distinct value, the first ``size`` of them in ``order``."""

    field: Field
    size: int
    order: tuple[Order, ...]
    missing: Scalar | None
    min_doc_count: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One bucket of the documents that pass a test; ``extra`` stands beside its count in the answer."""

    key: str
    node: Node
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """``filter`` (one bucket, ``shape`` single), ``filters`` and ``range`` (a list, or keyed by name)."""

    choices: tuple[Choice, ...]
    shape: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Buckets of equal width; ``interval`` of numbers or of the calendar. ``bounds`` are filled in all the same."""

    field: Field
    interval: float | Interval
    offset: float
    min_doc_count: int
    bounds: tuple[float, float] | None
    missing: float | None
    keyed: bool
    order: Order
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class TopHits:
    """The first documents of each bucket."""

    size: int
    start: int
    sorts: tuple[Sort, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One named aggregation and those inside it. ``path`` is where it stands in the request."""

    name: str
    path: str
    spec: Metric | Terms | Choices | Histogram | TopHits
    children: tuple[Aggregation, ...] = ()
    meta: dict[str, Any] | None = None

    def metrics(self, *, inline: bool) -> list[NamedMetric]:
        """Return the metrics directly inside it that need no query of their own, or those that do."""
        return metrics_of(self.children, inline=inline)


def metrics_of(aggregations: Iterable[Aggregation], *, inline: bool) -> list[NamedMetric]:
    """Return the metrics among aggregations that need no query of their own, or those that do."""
    return [
        NamedMetric(each.name, each.spec, each.meta)
        for each in aggregations
        if isinstance(each.spec, Metric) and each.spec.inline is inline
    ]


def parse_aggregations(value: object, path: str, context: Context, depth: int = 0) -> tuple[Aggregation, ...]:
    """Read the object of named aggregations. Raises InvalidSearch."""
    if depth > MAX_DEPTH:
        raise InvalidSearch(path, f"aggregations are nested deeper than {MAX_DEPTH}")
    members = mapping(value, path)
    found = tuple(_parse_one(name, body, at(path, name), context, depth) for name, body in members.items())
    if sum(map(_count, found)) > MAX_AGGREGATIONS:
        raise InvalidSearch(path, f"there are more than {MAX_AGGREGATIONS} aggregations")
    return found


def _count(aggregation: Aggregation) -> int:
    return 1 + sum(map(_count, aggregation.children))


def _parse_one(name: str, body: object, path: str, context: Context, depth: int) -> Aggregation:
    members = dict(mapping(body, path))
    inner = [key for key in ("aggs", "aggregations") if key in members]
    if len(inner) > 1:
        raise InvalidSearch(path, "aggs and aggregations are the same: send one of them")
    nested = members.pop(inner[0]) if inner else {}
    meta = members.pop("meta", None)
    kind, options = single(members, path)
    place = at(path, kind)
    children = parse_aggregations(nested, at(path, inner[0] if inner else "aggs"), context, depth + 1)
    spec: Metric | Terms | Choices | Histogram | TopHits
    if kind in METRICS:
        spec = _metric(kind, mapping(options, place), place, context)
    elif kind == "terms":
        spec = _terms(mapping(options, place), place, context, children)
    elif kind in _BUCKETS:
        spec = _BUCKETS[kind](options, place, context)
    else:
        supported = ", ".join(sorted([*METRICS, "terms", *_BUCKETS]))
        raise InvalidSearch(place, f"is not a supported aggregation; supported: {supported}")
    if children and isinstance(spec, (Metric, TopHits)):
        raise InvalidSearch(at(path, inner[0]), f"{kind} takes no aggregations inside it")
    return Aggregation(name, path, spec, children, meta)


def _field(options: dict[str, Any], path: str, context: Context) -> Field:
    field = context.field(options.get("field"), at(path, "field"))
    if field.below:
        raise InvalidSearch(at(path, "field"), f"{field.name} is many fields, not one")
    return field


def _metric(kind: str, options: dict[str, Any], path: str, context: Context) -> Metric:
    extra = {"percentiles": ("percents", "keyed", "tdigest", "hdr"), "cardinality": ("precision_threshold",)}
    # The hints about precision change nothing: all answers here are exact.
    known(options, ("field", "missing", *extra.get(kind, ())), path)
    field = _field(options, path, context)
    numeric = kind not in ("value_count", "cardinality")
    if numeric and field.column is not None and field.column.type is Type.TEXT:
        raise InvalidSearch(at(path, "field"), f"{field.name} is text: {kind} is of numbers")
    missing = _missing(options, path, field, context, numeric=numeric)
    percents: tuple[float, ...] = ()
    if kind == "percentiles":
        percents = _percents(options.get("percents", DEFAULT_PERCENTS), at(path, "percents"))
    return Metric(kind, field, missing, percents, boolean(options.get("keyed", True), at(path, "keyed")))


def _percents(value: object, path: str) -> tuple[float, ...]:
    percents = tuple(float(number(each, path)) for each in (value if isinstance(value, (list, tuple)) else [value]))
    if not percents or len(percents) > 100 or not all(0 <= percent <= 100 for percent in percents):
        raise InvalidSearch(path, "a list of up to 100 numbers from 0 to 100 is needed")
    return percents


def _missing(
    options: dict[str, Any], path: str, field: Field, context: Context, *, numeric: bool = False
) -> Scalar | None:
    value = options.get("missing")
    if value is None:
        return None
    place = at(path, "missing")
    if field.is_time:
        return _millis(value, place, context, context.zone)
    operand = operand_of(value, place)
    is_number = field.column is not None and field.column.type is Type.NUMBER
    if numeric or (is_number and operand.number is not None):
        return number(value, place)
    if field.column is not None and field.column.type is Type.TEXT:
        return operand.text
    return operand.text if isinstance(value, (str, bool)) else number(value, place)


def _millis(value: Any, path: str, context: Context, zone: tzinfo) -> int:
    try:
        return parse_time(value, context.now_ms, zone).first
    except (ValueError, TypeError) as error:
        raise InvalidSearch(path, str(error)) from None


def _terms(options: dict[str, Any], path: str, context: Context, children: tuple[Aggregation, ...]) -> Terms:
    # shard_size is about approximation; nothing here is approximate.
    known(options, ("field", "size", "order", "missing", "min_doc_count", "shard_size"), path)
    field = _field(options, path, context)
    size = integer(options.get("size", 10), at(path, "size"), 1, MAX_BUCKETS)
    least = integer(options.get("min_doc_count", 1), at(path, "min_doc_count"), 1)
    order = _terms_order(options.get("order", {"_count": "desc"}), at(path, "order"), children)
    return Terms(field, size, order, _missing(options, path, field, context), least)


def _terms_order(value: object, path: str, children: tuple[Aggregation, ...]) -> tuple[Order, ...]:
    found = []
    for each in listed(value):
        for name, direction in mapping(each, path).items():
            place = at(path, name)
            if name in ("_count", "_key", "_term"):
                found.append(Order("_key" if name == "_term" else name, _descending(direction, place)))
            else:
                found.append(_metric_order(name, _descending(direction, place), place, children))
    return tuple(found)


def _metric_order(name: str, descending: bool, path: str, children: tuple[Aggregation, ...]) -> Order:
    """Find the metric that ``name`` or ``name.value`` or ``name.90`` means; names have dots of their own."""
    for child in sorted(children, key=lambda child: len(child.name), reverse=True):
        if not isinstance(child.spec, Metric) or not (name == child.name or name.startswith(f"{child.name}.")):
            continue
        part = name[len(child.name) + 1 :]
        if child.spec.kind != "percentiles" and part in ("", "value"):
            return Order(child.name, descending)
        if child.spec.kind == "percentiles" and part:
            wanted = number(part, path)
            if wanted in child.spec.percents:
                return Order(child.name, descending, child.spec.percents.index(wanted))
    raise InvalidSearch(path, "is not the name of a metric directly inside this aggregation (percentiles: name.90)")


def _descending(value: object, path: str) -> bool:
    word = text(value, path).lower()
    if word not in ("asc", "desc"):
        raise InvalidSearch(path, "is either asc or desc")
    return word == "desc"


def _filter(options: object, path: str, context: Context) -> Choices:
    return Choices((Choice("", parse_query(options, path, context), {}),), "single")


def _filters(options: object, path: str, context: Context) -> Choices:
    members = mapping(options, path)
    known(members, ("filters", "other_bucket", "other_bucket_key"), path)
    given, place = members.get("filters"), at(path, "filters")
    pairs: list[tuple[str | int, Any]] = (
        list(enumerate(given)) if isinstance(given, list) else list(mapping(given, place).items())
    )
    choices = [Choice(str(key), parse_query(clause, at(place, key), context), {}) for key, clause in pairs]
    if "other_bucket_key" in members or boolean(members.get("other_bucket", False), at(path, "other_bucket")):
        name = text(members.get("other_bucket_key", "_other_"), at(path, "other_bucket_key"))
        choices.append(Choice(name, Not(any_of([choice.node for choice in choices])), {}))
    if not choices or len(choices) > 1_000:
        raise InvalidSearch(place, "from 1 to 1000 filters are needed")
    return Choices(tuple(choices), "list" if isinstance(given, list) else "keyed")


def _range(options: object, path: str, context: Context) -> Choices:
    members = mapping(options, path)
    known(members, ("field", "ranges", "keyed"), path)
    field = _field(members, path, context)
    ranges, place = members.get("ranges"), at(path, "ranges")
    if not isinstance(ranges, list) or not 0 < len(ranges) <= 1_000:
        raise InvalidSearch(place, "a list of 1 to 1000 ranges is needed")
    choices = sorted(
        (_one_range(each, at(place, index), field, context) for index, each in enumerate(ranges)),
        key=lambda choice: (choice.extra.get("from", float("-inf")), choice.extra.get("to", float("inf"))),
    )
    return Choices(tuple(choices), "keyed" if boolean(members.get("keyed", False), at(path, "keyed")) else "list+key")


def _one_range(value: object, path: str, field: Field, context: Context) -> Choice:
    members = mapping(value, path)
    known(members, ("from", "to", "key"), path)
    ends: list[tuple[Operator, float]] = []
    extra: dict[str, Any] = {}
    for name, operator in (("from", ">="), ("to", "<")):
        if members.get(name) is not None:
            limit = _limit(members[name], at(path, name), field, context)
            ends.append((operator, limit))  # type: ignore[arg-type]  # both are operators
            extra[name] = float(limit)
    key = "-".join(str(extra[name]) if name in extra else "*" for name in ("from", "to"))
    return Choice(text(members.get("key", key), at(path, "key")), _within(field, ends, path), extra)


def _limit(value: object, path: str, field: Field, context: Context) -> float:
    return _millis(value, path, context, context.zone) if field.is_time else number(value, path)


def _within(field: Field, ends: list[tuple[Operator, float]], path: str) -> Node:
    if field.column is not None and field.column.type is Type.TEXT:
        raise InvalidSearch(path, f"{field.name} is text: range is of numbers")
    if not ends:
        return Exists(field)
    if field.is_time:
        return Between(field, "time", tuple(Bound(operator, limit) for operator, limit in ends))
    if field.column is not None:
        return between(field, [(operator, operand_of(limit, path)) for operator, limit in ends], path)
    return Between(field, "number", tuple(Bound(operator, limit) for operator, limit in ends))


def _histogram(options: object, path: str, context: Context) -> Histogram:
    members = mapping(options, path)
    known(
        members,
        ("field", "interval", "offset", "min_doc_count", "extended_bounds", "missing", "keyed", "order"),
        path,
    )
    field = _field(members, path, context)
    if field.is_time or (field.column is not None and field.column.type is not Type.NUMBER):
        raise InvalidSearch(at(path, "field"), f"{field.name} is not a number")
    width = number(members.get("interval"), at(path, "interval"))
    if not 0 < width < float("inf"):
        raise InvalidSearch(at(path, "interval"), "is greater than 0")
    return Histogram(
        field,
        float(width),
        float(number(members.get("offset", 0), at(path, "offset"))),
        integer(members.get("min_doc_count", 0), at(path, "min_doc_count")),
        _bounds(members, path, lambda value, place: number(value, place)),
        None if members.get("missing") is None else number(members["missing"], at(path, "missing")),
        boolean(members.get("keyed", False), at(path, "keyed")),
        _histogram_order(members, path),
        context.zone,
    )


def _date_histogram(options: object, path: str, context: Context) -> Histogram:
    members = mapping(options, path)
    intervals = ("interval", "fixed_interval", "calendar_interval")
    others = ("field", "time_zone", "offset", "min_doc_count", "extended_bounds", "missing", "keyed", "order")
    known(members, (*intervals, *others), path)
    chosen = [name for name in intervals if name in members]
    if len(chosen) != 1:
        raise InvalidSearch(path, f"exactly one of {', '.join(intervals)} is needed")
    width = parse_interval(
        text(members[chosen[0]], at(path, chosen[0])),
        at(path, chosen[0]),
        calendar={"calendar_interval": True, "fixed_interval": False}.get(chosen[0]),
    )
    zone = _zone(members, path, context)
    field = _field(members, path, context)
    if field.column is not None and field.column.type is Type.TEXT:
        raise InvalidSearch(at(path, "field"), f"{field.name} is not a time")
    missing = members.get("missing")
    return Histogram(
        field,
        width,
        _date_offset(members.get("offset", "0s"), at(path, "offset")),
        integer(members.get("min_doc_count", 0), at(path, "min_doc_count")),
        _bounds(members, path, lambda value, place: _bucketed(_millis(value, place, context, zone), place)),
        None if missing is None else _millis(missing, at(path, "missing"), context, zone),
        boolean(members.get("keyed", False), at(path, "keyed")),
        _histogram_order(members, path),
        zone,
    )


def _bucketed(millis: int, path: str) -> int:
    if not FIRST_BUCKETED <= millis <= LAST_BUCKETED:
        raise InvalidSearch(path, "lies outside of the years 1900 to 2199, of which there are buckets")
    return millis


def _zone(members: dict[str, Any], path: str, context: Context) -> tzinfo:
    if "time_zone" not in members:
        return context.zone
    try:
        return zone_of(text(members["time_zone"], at(path, "time_zone")))
    except ValueError as error:
        raise InvalidSearch(at(path, "time_zone"), str(error)) from None


def _date_offset(value: object, path: str) -> int:
    written = text(value, path)
    sign = -1 if written.startswith("-") else 1
    plain = written.lstrip("+-")
    return sign * parse_interval(plain, path, calendar=False).millis if plain.strip("0smhd") else 0


def _bounds(members: dict[str, Any], path: str, read: Callable[[Any, str], float]) -> tuple[float, float] | None:
    if "extended_bounds" not in members:
        return None
    place = at(path, "extended_bounds")
    given = mapping(members["extended_bounds"], place)
    known(given, ("min", "max"), place)
    low, high = (read(given.get(name), at(place, name)) for name in ("min", "max"))
    if low > high:
        raise InvalidSearch(place, "min is above max")
    return low, high


def _histogram_order(members: dict[str, Any], path: str) -> Order:
    place = at(path, "order")
    name, direction = single(members.get("order", {"_key": "asc"}), place)
    if name not in ("_key", "_count"):
        raise InvalidSearch(at(place, name), "is not supported; supported: _key, _count")
    return Order(name, _descending(direction, at(place, name)))


def _top_hits(options: object, path: str, context: Context) -> TopHits:
    members = mapping(options, path)
    known(members, ("size", "from", "sort", "_source"), path)
    return TopHits(
        integer(members.get("size", 3), at(path, "size"), 0, 100),
        integer(members.get("from", 0), at(path, "from"), 0, 10_000),
        parse_sort(members.get("sort", []), at(path, "sort"), context),
        parse_source(members.get("_source", True), at(path, "_source")),
    )


_BUCKETS: Final[dict[str, Callable[[Any, str, Context], Choices | Histogram | TopHits]]] = {
    "filter": _filter,
    "filters": _filters,
    "range": _range,
    "histogram": _histogram,
    "date_histogram": _date_histogram,
    "top_hits": _top_hits,
}
