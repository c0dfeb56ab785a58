"""``sort`` and ``search_after``: keyset paging on one or several keys (reference, "Sorting List of Items")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .conditions import Context, operand_of
from .errors import InvalidSearch
from .fields import ID, Field, Type
from .leaves import Scalar
from .reading import at, known, listed, single, text
from .statement import FALSE, SortKey, Statement
from .times import parse_time


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of a sort; documents without a value come last, or first with ``missing_first``."""

    field: Field
    descending: bool = False
    missing_first: bool = False


def parse_sort(value: object, path: str, context: Context) -> tuple[Sort, ...]:
    """Read ``sort``: a name, an object or a list of them. Raises InvalidSearch."""
    several = isinstance(value, list)
    return tuple(
        _parse_one(each, at(path, index) if several else path, context) for index, each in enumerate(listed(value))
    )


def _parse_one(value: object, path: str, context: Context) -> Sort:
    if isinstance(value, str):
        value = {value: {}}
    name, options = single(value, path)
    place = at(path, name)
    if name in ("_score", "_doc"):
        raise InvalidSearch(place, "nothing is scored here: sort by fields")
    if isinstance(options, str):
        options = {"order": options}
    if not isinstance(options, dict):
        raise InvalidSearch(place, "asc, desc or an object is needed here")
    known(options, ("order", "unmapped_type", "missing", "mode"), place)
    descending = _choice(options.get("order", "asc"), at(place, "order"), "asc", "desc") == "desc"
    missing = _choice(options.get("missing", "_last"), at(place, "missing"), "_last", "_first")
    # Of several values the least counts when ascending, the highest when descending: what Elasticsearch does unasked.
    mode = "max" if descending else "min"
    _choice(options.get("mode", mode), at(place, "mode"), mode)
    field = context.field(name, place)
    if field.below:
        raise InvalidSearch(place, f"{name} is many fields, not one to sort by")
    return Sort(field, descending, missing == "_first")


def _choice(value: object, path: str, *choices: str) -> str:
    word = text(value, path).lower()
    if word not in choices:
        raise InvalidSearch(path, f"{word!r} is not supported; supported: {', '.join(choices)}")
    return word


def parse_search_after(value: object, path: str, sorts: Sequence[Sort], now_ms: int) -> tuple[Scalar | None, ...]:
    """Read the sort values of the last document seen, one for each key. Raises InvalidSearch."""
    if not isinstance(value, list) or len(value) != len(sorts):
        raise InvalidSearch(path, f"a list of {len(sorts)} values is needed, as many as there are sort keys")
    return tuple(
        None if each is None else _typed(each, sort.field, at(path, index), now_ms)
        for index, (each, sort) in enumerate(zip(value, sorts, strict=True))
    )


def _typed(value: Any, field: Field, path: str, now_ms: int) -> Scalar:
    operand = operand_of(value, path)
    if field.is_time:
        try:
            return parse_time(value, now_ms).first
        except ValueError as error:
            raise InvalidSearch(path, str(error)) from None
    if field.column is None:
        return operand.text if isinstance(value, (bool, str)) else value
    if field.column.type is Type.TEXT:
        return operand.text
    if operand.number is None:
        raise InvalidSearch(path, f"{field.name} is a number")
    return operand.number


@dataclass(frozen=True, slots=True)
class Ordering:
    """The SQL of a sort in one statement: the keys, and the (SQL, direction) pairs of the ORDER BY."""

    keys: tuple[SortKey, ...]
    parts: tuple[tuple[str, str], ...]

    @property
    def sql(self) -> str:
        """The ORDER BY."""
        return ", ".join(f"{sql} {direction}" for sql, direction in self.parts)

    def columns(self) -> list[str]:
        """Return the select list, one alias ``s0``, ``s1`` ... for each key."""
        return [f"{key.sql} AS s{index}" for index, key in enumerate(self.keys)]

    def values(self, row: Sequence[Any]) -> list[Any]:
        """Return the sort values of a document from its selected columns."""
        return [key.decode(value) for key, value in zip(self.keys, row, strict=False)]


def ordering(sorts: Sequence[Sort], statement: Statement) -> Ordering:
    """Return the SQL of the sort; the id always comes last, so that every order is total."""
    keys = tuple(statement.sort_key(sort.field, descending=sort.descending) for sort in sorts)
    parts = []
    for sort, key in zip(sorts, keys, strict=True):
        if key.missing is not None:
            parts.append((f"CASE WHEN {key.missing} THEN 1 ELSE 0 END", "DESC" if sort.missing_first else "ASC"))
        parts.append((key.sql, "DESC" if sort.descending else "ASC"))
    if all(sort.field.name != ID for sort in sorts):
        parts.append((statement.column("id"), "DESC" if sorts and sorts[-1].descending else "ASC"))
    return Ordering(keys, tuple(parts))


def after(sorts: Sequence[Sort], keys: Sequence[SortKey], values: Sequence[Scalar | None]) -> str:
    """Return the condition that a document comes after the one with these sort values."""
    alternatives, equal = [], ""
    for sort, key, value in zip(sorts, keys, values, strict=True):
        beyond = _beyond(sort, key, value)
        alternatives.append(f"({equal}{beyond})")
        equal += f"{_equal(key, value)} AND "
    whole = f"({' OR '.join(alternatives)})"
    if len(values) == 1 or keys[0].missing is not None or values[0] is None:
        return whole
    # Implied by the rest, but one range that an index can serve.
    operator = "<=" if sorts[0].descending else ">="
    return f"({keys[0].sql} {operator} {keys[0].literal(values[0])} AND {whole})"


def _equal(key: SortKey, value: Scalar | None) -> str:
    if value is None:
        return f"({key.missing})" if key.missing is not None else FALSE
    return f"{key.sql} = {key.literal(value)}"


def _beyond(sort: Sort, key: SortKey, value: Scalar | None) -> str:
    if value is None:
        return f"NOT ({key.missing})" if key.missing is not None and sort.missing_first else FALSE
    further = f"{key.sql} {'<' if sort.descending else '>'} {key.literal(value)}"
    if key.missing is None:
        return further
    return f"(NOT ({key.missing}) AND {further})" if sort.missing_first else f"({key.missing} OR {further})"
