"""The ClickHouse dialect of the search compiler: SQL that versions from 18.16 on understand.

Old servers cannot read JSON, so every scalar of a document stands in four parallel arrays, ``leaf``: its path, its
kind, its ``key`` (one text by which values of all types are compared and ordered, see ``leaf_key``) and its number.
Those of an event's metadata and headers stand in arrays of their own too, see ``NARROW``.
Literals stand in the statement, since old servers bind none over HTTP: ``literal`` is the one place that writes them.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final, Protocol

import orjson

from .fields import EVENTS, Column, Field, Type
from .leaves import NUMBER, TIME_TEXT, Scalar, leaf_number, lower_ascii
from .statement import FALSE, Found, Key, SortKey, Statement, Value
from .times import FIRST_MILLIS, LAST_MILLIS

SEPARATOR: Final = "\0"
"""Between the members of a stored path; in a name it would be taken for one, so it is replaced there."""

NARROW: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "metadata": (("metadata",),),
    "headers": (("request", "headers"), ("response", "headers")),
}
"""Arrays for the scalars at and below some members of an event, of the parts that ``leaf`` has.

``leaf`` holds the bodies too: nearly all of what a count of one short value would read.
"""

TEXT_KEY: Final = "t"
NUMBER_KEY: Final = "n"
_NEVER: Final = r"[^\x00-\x{10FFFF}]"
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\0": "\\0", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
_ESCAPED: Final = str.maketrans(_ESCAPES)


def literal(value: str | float) -> str:
    """Return a value as a ClickHouse literal; text cannot end it, whatever it holds."""
    if isinstance(value, str):
        return f"'{value.translate(_ESCAPED)}'"
    if abs(value) < sys.float_info.min:
        # Old versions do not read a number that small.
        value = 0
    return f"({value!r})" if value < 0 else repr(value)


def of_kind(app: int, kind: str) -> str:
    """Return the condition that a row of the table of entities belongs to an application and a kind."""
    return f"app = {app} AND kind = {literal(kind)}"


def at_places(places: Sequence[tuple[int, int]]) -> str:
    """Return the condition that a row of ``events`` has one of these pairs of time and key, at least one."""
    times, keys = (", ".join(map(str, column)) for column in zip(*places, strict=True))
    # Two arrays are two literals. Of a list of pairs, old servers take each pair for an expression: ten times the work.
    pairs = f"(SELECT [{times}] AS ts, [{keys}] AS ks) ARRAY JOIN ts AS t, ks AS k"
    return f"(time_ms, key) IN (SELECT toInt64(t), toUInt64(k) FROM {pairs})"  # noqa: S608 - numbers


def stored_path(names: Sequence[str]) -> str:
    """Return member names as the column ``leaf.path`` has them."""
    return SEPARATOR.join(name.replace(SEPARATOR, "\ufffd") for name in names)


def narrow_columns() -> dict[str, tuple[str, str]]:
    """Return the columns that the server computes of ``leaf.*`` for ``NARROW``, each with its type and expression."""
    found: dict[str, tuple[str, str]] = {}
    for name, members in NARROW.items():
        below = " OR ".join(_below("p", stored_path(each)) for each in members)
        found[f"{name}.path"] = ("Array(String)", f"arrayFilter(p -> {below}, leaf.path)")
        for part, type_ in (("kind", "UInt8"), ("key", "String"), ("number", "Float64")):
            found[f"{name}.{part}"] = (f"Array({type_})", f"arrayFilter((v, p) -> {below}, leaf.{part}, leaf.path)")
    return found


def leaf_key(value: Scalar) -> str:
    """Return the text that stands for a value: equal for equal values, numbers before text, each in its order."""
    if isinstance(value, str):
        return TEXT_KEY + value
    # The bits of a double, with the sign turned, sort as the numbers do.
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    key = f"{NUMBER_KEY}{bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63:016x}"
    # Doubles do not tell such integers apart.
    return f"{key}{value}" if isinstance(value, int) and float(value) != value else key


def key_value(key: str) -> Scalar:
    """Return the value that a key stands for."""
    if key.startswith(TEXT_KEY):
        return key[1:]
    if len(key) > 17:
        return int(key[17:])
    bits = int(key[1:], 16)
    (number,) = struct.unpack(">d", struct.pack(">Q", bits ^ 1 << 63 if bits >> 63 else bits ^ (2**64 - 1)))
    return int(number) if number.is_integer() and abs(number) < 2**63 else float(number)


def leaf_arrays(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns ``leaf.*`` of a document: what ``leaves`` yields, each part in a list of its own."""
    found = _Leaves()
    for name, value in document.items():
        found.add(_clean(name), value)
    return {"leaf.path": found.paths, "leaf.kind": found.kinds, "leaf.key": found.keys, "leaf.number": found.numbers}


_HEADERS: Final = frozenset({f"request{SEPARATOR}headers", f"response{SEPARATOR}headers"})


def _clean(name: str) -> str:
    return name.replace(SEPARATOR, "\ufffd") if SEPARATOR in name else name


class _Leaves:
    """Collects the scalars below a path: each document of a store passes here, so nothing is made on the way."""

    __slots__ = ("keys", "kinds", "numbers", "paths")

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.kinds: list[int] = []
        self.keys: list[str] = []
        self.numbers: list[float] = []

    def add(self, path: str, value: Any) -> None:
        if isinstance(value, dict):
            lower = path in _HEADERS
            for name, member in value.items():
                self.add(f"{path}{SEPARATOR}{_clean(lower_ascii(name) if lower else name)}", member)
        elif isinstance(value, list):
            for element in value:
                self.add(path, element)
        elif value is not None:
            if isinstance(value, bool):
                value = "true" if value else "false"
            kind, number = leaf_number(value)
            self.paths.append(path)
            self.kinds.append(kind)
            self.keys.append(TEXT_KEY + value if kind != NUMBER else leaf_key(value))
            self.numbers.append(number)


class Connection(Protocol):
    """What an engine needs of the connection to the servers."""

    def select(self, sql: str) -> list[list[Any]]:
        """Return the rows of a statement."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where an application's documents are: the tables, its number, and how the key of an event is made of its id.

    ``live`` are the conditions that a row of ``events`` belongs to the application and counts.
    """

    events: str
    entities: str
    app: int
    key_of: Callable[[str], int]
    live: Sequence[str]


class ClickHouseEngine:
    """Runs searches of one application on one connection."""

    windows = False

    def __init__(self, connection: Connection, place: Place) -> None:
        self._connection = connection
        self._place = place

    def statement(self, kind: str) -> Statement:
        """Return a new statement over one kind of document."""
        return ClickHouseStatement(self._place, kind)

    def rows(self, sql: str, parameters: Any) -> list[Sequence[Any]]:  # noqa: ARG002 - literals stand in the statement
        """Run a statement and return its rows."""
        return [*self._connection.select(sql)]

    def documents(self, kind: str, rows: Sequence[Found]) -> dict[Found, dict[str, Any]]:
        """Return the documents of rows, without those that are gone since; the handle of an event is its time."""
        place = self._place
        if not rows:
            return {}
        if kind == EVENTS:
            where = f"app = {place.app} AND {at_places([(time, place.key_of(name)) for name, time in rows])}"
            by = "id, time_ms"
            sql = f"SELECT {by}, argMax(doc, seq) FROM {place.events} WHERE {where} GROUP BY {by}"  # noqa: S608 - numbers
        else:
            names = ", ".join(literal(name) for name, _ in rows)
            where = f"{of_kind(place.app, kind)} AND id IN ({names})"
            sql = f"SELECT id, id, argMax(doc, version) FROM {place.entities} WHERE {where} GROUP BY id"  # noqa: S608
        found = self._connection.select(sql)
        return {(name, handle): orjson.loads(document) for name, handle, document in found if document}


class ClickHouseStatement:
    """One statement on ClickHouse. Documents that were replaced or deleted are merged away as it reads (FINAL)."""

    def __init__(self, place: Place, kind: str) -> None:
        self._events = kind == EVENTS
        self._lambdas = 0
        self.weight = "weight" if self._events else "1"
        self.row = "time_ms" if self._events else "id"
        self._table = place.events if self._events else f"{place.entities} FINAL"
        self._scope = place.live if self._events else [of_kind(place.app, kind), "deleted = 0"]

    def bind(self, value: str | float) -> str:
        """Return the SQL that stands for a literal."""
        return literal(value)

    def parameters(self) -> Any:
        """Return what the engine binds when the statement runs."""
        return None

    def column(self, name: str) -> str:
        """Return the SQL of a column of the narrow table."""
        return name

    def matching(self, sql: str, pattern: str) -> str:
        """Return the condition that a text contains a match of an RE2 pattern."""
        # ClickHouse lets a dot match a line break unless it is told. Old versions first look for a text that every
        # match must hold, and overlook "(?i)" there: an alternative that never matches keeps them from it.
        return f"match({sql}, {literal(f'(?-s)(?:{pattern})|{_NEVER}')})"

    def among(self, sql: str, values: Sequence[Any]) -> str:
        """Return the condition that a value is one of several, at least one."""
        return f"{sql} IN ({', '.join(map(literal, values))})"

    def definite(self, condition: str) -> str:
        """Return the condition with NULL turned into false."""
        return f"ifNull({condition}, 0)"

    def any_value(self, field: Field, test: Callable[[Value], str]) -> str:
        """Return the condition that any value at a path of the document passes the test."""
        at = _at(field, "p", below=field.below)
        value = LeafValue(at, self)
        condition = test(value)
        if condition == FALSE:
            return FALSE
        # Arrays that no part of the test looks at are not read.
        names = {"p": "path", **{name: part for name, part in _PARTS.items() if name in value.reads}}
        columns = ", ".join(self._leaf(field, part) for part in names.values())
        return f"arrayExists(({', '.join(names)}) -> {at} AND {condition}, {columns})"

    def narrowed(self, field: Field, words: Sequence[str], found: str) -> str:  # noqa: ARG002 - a Statement
        """Return a condition over a field of the document: its values are read without it."""
        return found

    def document(self) -> str:
        """Return the SQL of the document as JSON text."""
        return "doc"

    def mentions(self, sql: str, text: str) -> str:
        """Return the condition that a text contains another one, ASCII in upper or lower case."""
        return f"positionCaseInsensitive({sql}, {literal(text)}) > 0"

    def exists(self, field: Field) -> str:
        """Return the condition that there is a value at a path of the document or below it."""
        return f"arrayExists(p -> {_at(field, 'p', below=True)}, {self._leaf(field, 'path')})"

    def key(self, field: Field, missing: Scalar | None) -> Key:
        """Return a grouping by the distinct values of a field; ``missing`` stands in for none."""
        column = field.column
        if column is not None:
            sql = _column_or(column, missing)
            mixed = isinstance(missing, str) and column.type is not Type.TEXT and column.nullable
            return Key(sql, _word_or_number, _numbers_first) if mixed else Key(sql)
        keys = self._or_missing(f"arrayDistinct({self._at(field, 'key')})", missing)
        return Key(f"arrayJoin({keys})", key_value)

    def values(self, field: Field, *, numeric: bool, missing: Scalar | None) -> str:
        """Return the SQL of a row's value for a metric; a path in the document gives one row for each value."""
        if field.column is not None:
            return _column_or(field.column, missing)
        if numeric:
            return f"arrayJoin({self._numbers(field, None if isinstance(missing, str) else missing)})"
        return f"arrayJoin({self._or_missing(self._at(field, 'key'), missing)})"

    def times(self, field: Field, missing: int | None) -> str:
        """Return the SQL of a field's milliseconds; a path in the document gives one row for each value."""
        if field.column is not None:
            return _column_or(field.column, missing)
        return f"arrayJoin({self._times(field, missing)})"

    def bucketed(self, field: Field, bucket: Callable[[str], str], *, times: bool, missing: float | None = None) -> str:
        """Return the SQL of a row's bucket, ``bucket`` of its number or time; of several, one row for each bucket."""
        if field.column is not None:
            return bucket(_column_or(field.column, missing))
        values = self._times(field, missing) if times else self._numbers(field, missing)
        return f"arrayJoin(arrayDistinct(arrayMap(b -> {bucket('b')}, {values})))"

    def floor(self, value: str, interval: float, offset: float) -> str:
        """Return the SQL of the whole number of intervals from ``offset`` down to which a number is rounded."""
        # Without the zero, -0.0 is a group of its own.
        number = f"(floor(({value} - {literal(offset)}) / {literal(interval)}) + 0)"
        return f"if(isFinite({number}), {number}, NULL)"

    def percentiles(self, value: str, weight: str, percents: Sequence[float]) -> list[str]:
        """Return one aggregate for each of the percents: the smallest value that holds so much of the weight."""
        return [f"quantileExactWeighted({literal(percent / 100)})({value}, {weight})" for percent in percents]

    def sort_key(self, field: Field, *, descending: bool) -> SortKey:
        """Return the value by which documents are sorted: of several the highest when descending, else the least."""
        column = field.column
        if column is not None:
            return SortKey(column.name, f"{column.name} IS NULL" if column.nullable else None, literal)
        edge = "max" if descending else "min"
        values = self._times(field, None) if field.is_time else self._at(field, "key")
        sql = f"if(empty({values}), NULL, arrayReduce('{edge}', {values}))"
        if field.is_time:
            return SortKey(sql, f"empty({values})", literal)
        return SortKey(sql, f"empty({values})", lambda value: literal(leaf_key(value)), _decoded)

    def select(self, columns: Sequence[str], where: Sequence[str]) -> str:
        """Return the SELECT over the rows that pass all conditions."""
        conditions = " AND ".join([*self._scope, *where])
        # Every name is this module's and every literal is escaped.
        return f"SELECT {', '.join(columns)} FROM {self._table} WHERE {conditions}"  # noqa: S608

    def first_of_groups(self, select: str, groups: Sequence[str], order: str, limit: int) -> str:
        """Return the statement that keeps the first ``limit`` rows of each group of a SELECT."""
        by = f" BY {', '.join(groups)}" if any(name != "1" for name in groups) else ""
        return f"SELECT * FROM ({select}) ORDER BY {order} LIMIT {limit}{by}"  # noqa: S608 - see select

    def _leaf(self, field: Field, part: str) -> str:
        """Return the shortest array of a part of the leaves that has all of the field's."""
        for name, members in NARROW.items() if self._events else ():
            if any(field.members[: len(each)] == each for each in members):
                return f"{name}.{part}"
        return f"leaf.{part}"

    def _at(self, field: Field, part: str, kinds: str = "") -> str:
        """Return the array of what a part of the leaves is at a path, of those kinds if any are given."""
        # Equal expressions are one to ClickHouse, and two arrayJoin of one are no product: each has names of its own.
        self._lambdas += 1
        value, path, kind = (f"{name}{self._lambdas}" for name in "vpd")
        at = _at(field, path, below=field.below)
        arrays = f"{self._leaf(field, part)}, {self._leaf(field, 'path')}"
        if kinds:
            tested = f"{at} AND {kind} {kinds}"
            return f"arrayFilter(({value}, {path}, {kind}) -> {tested}, {arrays}, {self._leaf(field, 'kind')})"
        return f"arrayFilter(({value}, {path}) -> {at}, {arrays})"

    def _numbers(self, field: Field, missing: float | None) -> str:
        numbers = self._at(field, "number", f"= {NUMBER}")
        return numbers if missing is None else self._instead(numbers, field, f"toFloat64({literal(missing)})")

    def _times(self, field: Field, missing: float | None) -> str:
        numbers = self._at(field, "number", f"IN ({NUMBER}, {TIME_TEXT})")
        millis = f"arrayMap(m -> toInt64(m), arrayFilter(m -> {_is_time('m')}, {numbers}))"
        return millis if missing is None else self._instead(millis, field, f"toInt64({literal(int(missing))})")

    def _instead(self, values: str, field: Field, missing: str) -> str:
        """Return the SQL of an array of values, or of one that stands in when the field has no value of any type."""
        some = f"arrayExists(p -> {_at(field, 'p', below=field.below)}, {self._leaf(field, 'path')})"
        return f"if({some}, {values}, [{missing}])"

    def _or_missing(self, keys: str, missing: Scalar | None) -> str:
        return keys if missing is None else f"if(empty({keys}), [{literal(leaf_key(missing))}], {keys})"


_PARTS: Final = {"d": "kind", "k": "key", "n": "number"}
"""What the names in the test of a leaf stand for, beside ``p`` for its path."""


def _at(field: Field, path: str, *, below: bool) -> str:
    """Return the condition that the path of a leaf is that of a field, or with ``below`` leads through it."""
    if not field.members:
        return "1"
    whole = stored_path(field.members)
    return _below(path, whole) if below else f"{path} = {literal(whole)}"


def _below(path: str, whole: str) -> str:
    return f"({path} = {literal(whole)} OR startsWith({path}, {literal(whole + SEPARATOR)}))"


def _is_time(number: str) -> str:
    """Return the condition that a number lies within the years that a time may have."""
    return f"{number} >= {literal(FIRST_MILLIS)} AND {number} <= {literal(LAST_MILLIS)}"


def _column_or(column: Column, missing: Scalar | None) -> str:
    if missing is None or not column.nullable:
        return column.name
    name = column.name
    if isinstance(missing, str) and column.type is not Type.TEXT:
        name, missing = f"toString({name})", TEXT_KEY + missing
    elif not isinstance(missing, str):
        # Integers have no type in common with doubles there, nor those with a sign with large ones without.
        cast = "toInt64" if isinstance(missing, int) and abs(missing) < 2**63 else "toFloat64"
        return f"ifNull({cast}({name}), {cast}({literal(missing)}))"
    return f"ifNull({name}, {literal(missing)})"


def _word_or_number(value: str) -> Scalar:
    """Return the value of a column of numbers in which a text stands for none."""
    return value[len(TEXT_KEY) :] if value.startswith(TEXT_KEY) else int(value)


def _numbers_first(alias: str) -> list[str]:
    return [f"startsWith({alias}, {literal(TEXT_KEY)})", f"toInt64OrZero({alias})", alias]


def _decoded(key: Any) -> Any:
    return key if key is None else key_value(key)


@dataclass(frozen=True, slots=True)
class LeafValue:
    """One leaf inside a lambda: ``p`` its path, ``d`` its kind, ``k`` its key and ``n`` its number.

    ``reads`` are those of the last three that the conditions read. The key tells text from numbers by itself.
    """

    at: str
    statement: ClickHouseStatement
    reads: set[str] = dataclass_field(default_factory=set)

    def text(self, operator: str, value: str) -> str:
        """Compare it as text, by code points."""
        self.reads.add("k")
        compared = f"k {operator} {literal(TEXT_KEY + value)}"
        return f"({_IS_TEXT} AND {compared})" if operator.startswith("<") else compared

    def texts(self, values: Sequence[str]) -> str:
        """Return whether its text is one of several."""
        self.reads.add("k")
        return self.statement.among("k", [TEXT_KEY + value for value in values])

    def number(self, operator: str, value: float) -> str:
        """Compare it as a number."""
        self.reads.update("dn")
        return f"(d = {NUMBER} AND n {operator} {literal(value)})"

    def numbers(self, values: Sequence[int | float]) -> str:
        """Return whether it is a number that equals one of several."""
        self.reads.add("k")
        return self.statement.among("k", [leaf_key(value) for value in values])

    def time(self, operator: str, millis: int) -> str:
        """Compare it as a time."""
        self.reads.update("dn")
        return f"(d IN ({NUMBER}, {TIME_TEXT}) AND {_is_time('n')} AND toInt64(n) {operator} {literal(millis)})"

    def matches(self, pattern: str) -> str:
        """Return whether its text contains a match of an RE2 pattern."""
        self.reads.add("k")
        # Both sides of an AND are evaluated: the pattern looks at values of this path only, at nothing elsewhere.
        text = f"if({self.at} AND {_IS_TEXT}, substring(k, {len(TEXT_KEY) + 1}), '')"
        return f"({_IS_TEXT} AND {self.statement.matching(text, pattern)})"


_IS_TEXT: Final = f"startsWith(k, {literal(TEXT_KEY)})"
