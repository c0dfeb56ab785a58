"""The SQLite dialect of the search compiler, and the functions that it adds to a connection.

A path into a document is read with ``json_extract``, bare, so that an index on that expression can serve it. Only where
an array stands in the path (or a header name must be found without case) the function ``leaves`` walks the document.
"""

from __future__ import annotations

import math
import re
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import orjson
import re2  # type: ignore[import-untyped]  # it has no stubs

from .fields import EVENTS, Column, Field
from .leaves import Scalar, is_header_path, values_at
from .statement import FALSE, Found, Key, SortKey, Statement, Value
from .times import FIRST_MILLIS, LAST_MILLIS, iso_millis

FEW: Final = 50
"""Up to so many values are bound one by one; more go in as one JSON array."""

NONE_HOT: Final[Mapping[tuple[str, ...], int]] = {}
"""No path has an index of its own: see ``stores.hot``."""

_SCALARS: Final = "('text', 'integer', 'real', 'true', 'false')"
_TEXTS: Final = "('text', 'true', 'false')"
_NUMBERS: Final = "('integer', 'real')"


class SQLiteEngine:
    """Runs searches of one application on one connection; ``add_functions`` was called for it."""

    windows = True

    def __init__(self, connection: sqlite3.Connection, app: int, hot: Mapping[tuple[str, ...], int] = NONE_HOT) -> None:
        self._connection = connection
        self._app = app
        self._hot = hot

    def statement(self, kind: str) -> Statement:
        """Return a new statement over one kind of document."""
        return SQLiteStatement(self._app, kind, self._hot)

    def rows(self, sql: str, parameters: Any) -> list[Sequence[Any]]:
        """Run a statement and return its rows."""
        return self._connection.execute(sql, parameters).fetchall()

    def documents(self, kind: str, rows: Sequence[Found]) -> dict[Found, dict[str, Any]]:
        """Return the documents of rows, without those that are gone since."""
        handles = orjson.dumps([handle for _, handle in rows]).decode()
        if kind == EVENTS:
            sql = "SELECT seq, doc FROM documents WHERE seq IN (SELECT value FROM json_each(?))"
            found = self._connection.execute(sql, (handles,))
        else:
            sql = "SELECT id, doc FROM entities WHERE app = ? AND kind = ? AND id IN (SELECT value FROM json_each(?))"
            found = self._connection.execute(sql, (self._app, kind, handles))
        documents = {handle: orjson.loads(document) for handle, document in found}
        return {(name, handle): documents[handle] for name, handle in rows if handle in documents}


class SQLiteStatement:
    """One statement on SQLite; literals are named parameters, so that fragments may stand anywhere or be left out."""

    def __init__(self, app: int, kind: str, hot: Mapping[tuple[str, ...], int] = NONE_HOT) -> None:
        self._parameters: dict[str, Any] = {}
        self._joins: list[str] = []
        self._reads_document = False
        self._events = kind == EVENTS
        self._hot = hot if self._events else NONE_HOT
        self.weight = "e.weight" if self._events else "1"
        self.row = "e.seq" if self._events else "e.id"
        self._scope = [f"e.app = {self.bind(app)}"]
        if not self._events:
            self._scope.append(f"e.kind = {self.bind(kind)}")

    def bind(self, value: str | float) -> str:
        """Return the SQL that stands for a literal."""
        name = f"p{len(self._parameters)}"
        self._parameters[name] = _held(value)
        return f":{name}"

    def parameters(self) -> Any:
        """Return what the engine binds when the statement runs."""
        return self._parameters

    def column(self, name: str) -> str:
        """Return the SQL of a column of the narrow table."""
        return f"e.{name}"

    def matching(self, sql: str, pattern: str) -> str:
        """Return the condition that a text contains a match of an RE2 pattern."""
        return f"re2_match({sql}, {self.bind(pattern)})"

    def among(self, sql: str, values: Sequence[Any]) -> str:
        """Return the condition that a value is one of several, at least one."""
        if len(values) == 1:
            return f"{sql} = {self.bind(values[0])}"
        if len(values) > FEW:
            whole = self.bind(orjson.dumps(list(values)).decode())
            return f"{sql} IN (SELECT value FROM json_each({whole}))"  # noqa: S608 - bound
        return f"{sql} IN ({', '.join(map(self.bind, values))})"

    def definite(self, condition: str) -> str:
        """Return the condition with NULL turned into false."""
        return f"ifnull({condition}, 0)"

    def any_value(self, field: Field, test: Callable[[Value], str]) -> str:
        """Return the condition that any value at a path of the document passes the test."""
        if (hot := self._hot_path(field)) is not None:
            found = test(HotValue("h.value", self))
            rows = f"SELECT h.seq FROM hot AS h WHERE h.path = {hot} AND {found}"  # noqa: S608 - bound
            return FALSE if found == FALSE else f"e.seq IN ({rows})"
        path = self._path(field)
        walked = test(JSONValue("v.value", "v.value", "v.type", self))
        if walked == FALSE:
            return FALSE
        walk = f"EXISTS (SELECT 1 FROM json_each({self._leaves(field)}) AS v WHERE {walked})"  # noqa: S608 - bound
        if path is None:
            return walk
        return f"({test(self._json_value(path))} OR (({self._arrays(field)}) AND {walk}))"

    def narrowed(self, field: Field, words: Sequence[str], found: str) -> str:
        """Return a condition over a field of the document, tried on those only that hold one of the words."""
        if self._hot_path(field) is not None or len(words) > FEW:
            return found
        held = " OR ".join(self.mentions(self.document(), word) for word in words)
        return f"(({held}) AND {found})"

    def document(self) -> str:
        """Return the SQL of the document as JSON text."""
        self._reads_document = True
        return "d.doc" if self._events else "e.doc"

    def mentions(self, sql: str, text: str) -> str:
        """Return the condition that a text contains another one, ASCII in upper or lower case."""
        if not text.isascii():
            return f"instr({sql}, {self.bind(text)}) > 0"
        pattern = re.sub(r"([%_!])", r"!\1", text)
        return f"{sql} LIKE {self.bind(f'%{pattern}%')} ESCAPE '!'"

    def exists(self, field: Field) -> str:
        """Return the condition that there is a value at a path of the document or below it."""
        path, walk = self._path(field), f"{self._leaves(field, below=True)} <> '[]'"
        if path is None:
            return walk
        kind = f"json_type({self.document()}, {path})"
        return f"({kind} IN {_SCALARS} OR (({kind} = 'object' OR {self._arrays(field)}) AND {walk}))"

    def key(self, field: Field, missing: Scalar | None) -> Key:
        """Return a grouping by the distinct values of a field; ``missing`` stands in for none."""
        if field.column is not None:
            return Key(self._column_or(field.column, missing))
        if (hot := self._hot_path(field)) is not None:
            return Key(self._hot_value(hot, missing))
        alias = self._unnested(field, missing, distinct=True)
        return Key(_word_or_value(f"{alias}.value", f"{alias}.type"))

    def values(self, field: Field, *, numeric: bool, missing: Scalar | None) -> str:
        """Return the SQL of a row's value for a metric; a path in the document gives one row for each value."""
        if field.column is not None:
            return self._column_or(field.column, missing)
        alias = self._unnested(field, missing)
        if numeric:
            return f"CASE WHEN {alias}.type IN {_NUMBERS} THEN {alias}.value END"
        return _word_or_value(f"{alias}.value", f"{alias}.type")

    def times(self, field: Field, missing: int | None) -> str:
        """Return the SQL of a field's milliseconds; a path in the document gives one row for each value."""
        if field.column is not None:
            return self._column_or(field.column, missing)
        alias = self._unnested(field, missing)
        return f"millis({_word_or_value(f'{alias}.value', f'{alias}.type')})"

    def bucketed(self, field: Field, bucket: Callable[[str], str], *, times: bool, missing: float | None = None) -> str:
        """Return the SQL of a row's bucket, ``bucket`` of its number or time; of several, one row for each bucket."""
        if field.column is not None:
            return bucket(self._column_or(field.column, missing))
        word = _word_or_value("b.value", "b.type")
        value = f"millis({word})" if times else f"CASE WHEN b.type IN {_NUMBERS} THEN b.value END"
        values = self._array(field, missing)
        array = f"SELECT json_group_array(DISTINCT {bucket(value)}) FROM json_each({values}) AS b"  # noqa: S608 - bound
        return f"{self._joined(f'({array})')}.value"

    def floor(self, value: str, interval: float, offset: float) -> str:
        """Return the SQL of the whole number of intervals from ``offset`` down to which a number is rounded."""
        return f"floor_to({value}, {self.bind(interval)}, {self.bind(offset)})"

    def percentiles(self, value: str, weight: str, percents: Sequence[float]) -> list[str]:
        """Return one aggregate for each of the percents: the smallest value that holds so much of the weight."""
        levels = self.bind(orjson.dumps([percent / 100 for percent in percents]).decode())
        return [f"json_extract(percentiles({value}, {weight}, {levels}), '$[{i}]')" for i in range(len(percents))]

    def sort_key(self, field: Field, *, descending: bool) -> SortKey:
        """Return the value by which documents are sorted: of several the highest when descending, else the least."""
        column = field.column
        if column is not None:
            name = self.column(column.name)
            return SortKey(name, f"{name} IS NULL" if column.nullable else None, self.bind)
        path = self._path(field)
        sql = f"leaf_edge({self.document()}, {self.bind(_names(field))}, {int(descending)})"
        if path is not None:
            value = self._json_value(path)
            sql = f"CASE WHEN {value.type} IN {_SCALARS} THEN {value.word} WHEN {self._arrays(field)} THEN {sql} END"
        if field.is_time:
            sql = f"millis({sql})"
        return SortKey(sql, f"{sql} IS NULL", self.bind)

    def select(self, columns: Sequence[str], where: Sequence[str]) -> str:
        """Return the SELECT over the rows that pass all conditions."""
        table = "events AS e" if self._events else "entities AS e"
        if self._events and self._reads_document:
            table += " JOIN documents AS d ON d.seq = e.seq"
        conditions = " AND ".join([*self._scope, *where])
        # Every name is this module's and every literal is bound or escaped.
        return f"SELECT {', '.join(columns)} FROM {' '.join([table, *self._joins])} WHERE {conditions}"  # noqa: S608

    def first_of_groups(self, select: str, groups: Sequence[str], order: str, limit: int) -> str:
        """Return the statement that keeps the first ``limit`` rows of each group of a SELECT."""
        window = f"row_number() OVER (PARTITION BY {', '.join(groups)} ORDER BY {order})"
        return f"SELECT * FROM (SELECT *, {window} AS place FROM ({select})) WHERE place <= {limit} ORDER BY place"  # noqa: S608

    def _hot_path(self, field: Field) -> int | None:
        return None if field.below else self._hot.get(field.members)

    def _hot_value(self, path: int, missing: Scalar | None) -> str:
        """Join one row for each value of a hot path and return the SQL of the value."""
        alias = f"u{len(self._joins)}"
        kind = "JOIN" if missing is None else "LEFT JOIN"
        self._joins.append(f"{kind} hot AS {alias} ON {alias}.path = {path} AND {alias}.seq = e.seq")
        return f"{alias}.value" if missing is None else f"coalesce({alias}.value, {self.bind(missing)})"

    def _json_value(self, path: str) -> JSONValue:
        value, kind = f"json_extract({self.document()}, {path})", f"json_type({self.document()}, {path})"
        return JSONValue(value, _word_or_value(value, kind), kind, self)

    def _path(self, field: Field) -> str | None:
        """Return the JSON path as a SQL literal (an index needs it so), None where SQLite has no path for it."""
        if field.below or is_header_path(field.members):
            return None
        return _path_literal(field.members)

    def _arrays(self, field: Field) -> str:
        """Return the condition that a member on the way is an array."""
        prefixes = (_path_literal(field.members[: end + 1]) for end in range(len(field.members)))
        return " OR ".join(f"json_type({self.document()}, {prefix}) = 'array'" for prefix in prefixes)

    def _leaves(self, field: Field, *, below: bool = False, distinct: bool = False) -> str:
        flags = f"{int(below or field.below)}, {int(distinct)}"
        return f"leaves({self.document()}, {self.bind(_names(field))}, {flags})"

    def _unnested(self, field: Field, missing: Scalar | None, *, distinct: bool = False) -> str:
        """Join one row for each value at a path and return the alias of the joined rows."""
        return self._joined(self._array(field, missing, distinct=distinct))

    def _joined(self, array: str) -> str:
        alias = f"u{len(self._joins)}"
        self._joins.append(f"JOIN json_each({array}) AS {alias}")
        return alias

    def _array(self, field: Field, missing: Scalar | None, *, distinct: bool = False) -> str:
        """Return the SQL of the JSON array of all values at a path."""
        walk = self._leaves(field, distinct=distinct)
        none = "'[]'" if missing is None else self.bind(orjson.dumps([missing]).decode())
        otherwise = walk if missing is None else f"CASE WHEN {walk} = '[]' THEN {none} ELSE {walk} END"
        array, path = otherwise, self._path(field)
        if path is not None:
            scalar = f"json_type({self.document()}, {path}) IN {_SCALARS}"
            quoted = f"'[' || ({self.document()} -> {path}) || ']'"
            array = f"CASE WHEN {scalar} THEN {quoted} WHEN {self._arrays(field)} THEN {otherwise} ELSE {none} END"
        return array

    def _column_or(self, column: Column, missing: Scalar | None) -> str:
        name = self.column(column.name)
        return name if missing is None or not column.nullable else f"coalesce({name}, {self.bind(missing)})"


@dataclass(frozen=True, slots=True)
class JSONValue:
    """A value inside a document: as SQLite reads it, the same with booleans as words, and its JSON type."""

    value: str
    word: str
    type: str
    statement: SQLiteStatement

    def text(self, operator: str, value: str) -> str:
        """Compare it as text, by code points."""
        return f"({self.word} {operator} {self.statement.bind(value)} AND {self.type} IN {_TEXTS})"

    def texts(self, values: Sequence[str]) -> str:
        """Return whether its text is one of several."""
        words = [f"{self.type} = '{word}'" for word in ("true", "false") if word in values]
        # Arrays and objects read as their JSON text.
        same = f"({self.statement.among(self.value, values)} AND {self.type} = 'text')"
        return f"({' OR '.join([same, *words])})"

    def number(self, operator: str, value: float) -> str:
        """Compare it as a number."""
        return f"({self.value} {operator} {self.statement.bind(value)} AND {self.type} IN {_NUMBERS})"

    def numbers(self, values: Sequence[int | float]) -> str:
        """Return whether it is a number that equals one of several."""
        return f"({self.statement.among(self.value, values)} AND {self.type} IN {_NUMBERS})"

    def time(self, operator: str, millis: int) -> str:
        """Compare it as a time."""
        return f"millis({self.word}) {operator} {self.statement.bind(millis)}"

    def matches(self, pattern: str) -> str:
        """Return whether its text contains a match of an RE2 pattern."""
        return f"({self.type} IN {_TEXTS} AND {self.statement.matching(self.word, pattern)})"


@dataclass(frozen=True, slots=True)
class HotValue:
    """A value of the table ``hot``: booleans are words there. Its column has no type, so that numbers sort before text.

    No condition asks for the type of the value: the table's key then serves all of them.
    """

    value: str
    statement: SQLiteStatement

    def text(self, operator: str, value: str) -> str:
        """Compare it as text, by code points."""
        compared = f"{self.value} {operator} {self.statement.bind(value)}"
        return f"({compared} AND {self.value} >= '')" if operator.startswith("<") else compared

    def texts(self, values: Sequence[str]) -> str:
        """Return whether its text is one of several."""
        return self.statement.among(self.value, values)

    def number(self, operator: str, value: float) -> str:
        """Compare it as a number."""
        compared = f"{self.value} {operator} {self.statement.bind(value)}"
        return f"({compared} AND {self.value} < '')" if operator.startswith(">") else compared

    def numbers(self, values: Sequence[int | float]) -> str:
        """Return whether it is a number that equals one of several."""
        return self.statement.among(self.value, values)

    def time(self, operator: str, millis: int) -> str:
        """Compare it as a time."""
        return f"millis({self.value}) {operator} {self.statement.bind(millis)}"

    def matches(self, pattern: str) -> str:
        """Return whether its text contains a match of an RE2 pattern."""
        return self.statement.matching(self.value, pattern)


def _word_or_value(value: str, kind: str) -> str:
    return f"CASE {kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {value} END"


def _names(field: Field) -> str:
    return orjson.dumps(field.members).decode()


def _path_literal(members: Sequence[str]) -> str | None:
    """Return a JSON path as a SQL literal; None when a name has what SQLite compares in its escaped form."""
    if any(character in '"\\' or character < " " for name in members for character in name):
        return None
    path = "".join(f'."{name}"' for name in members).replace("'", "''")
    return f"'${path}'"


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the dialect uses."""
    matcher = _Matcher()
    connection.create_function("re2_match", 2, matcher, deterministic=True)
    connection.create_function("leaves", 4, _leaves, deterministic=True)
    connection.create_function("leaf_edge", 3, _leaf_edge, deterministic=True)
    connection.create_function("millis", 1, _millis, deterministic=True)
    connection.create_function("floor_to", 3, _floor_to, deterministic=True)
    connection.create_aggregate("percentiles", 3, _Percentiles)  # type: ignore[arg-type]  # typeshed wants ints


class _Matcher:
    """Compiles a pattern once for all rows of a statement."""

    def __init__(self) -> None:
        self._pattern: str | None = None
        self._search: Callable[[str], object] = str

    def __call__(self, text: object, pattern: str) -> bool:
        if not isinstance(text, str):
            return False
        if pattern != self._pattern:
            options = re2.Options()
            options.log_errors = False
            self._search = re2.compile(pattern, options).search
            self._pattern = pattern
        return self._search(text) is not None


def _values(document: str, names: str, *, below: bool = False) -> Iterator[Scalar]:
    return values_at(orjson.loads(document), tuple(orjson.loads(names)), below=below)


def _leaves(document: str, names: str, below: int, distinct: int) -> str:
    found = list(_values(document, names, below=bool(below)))
    return orjson.dumps(list(dict.fromkeys(found)) if distinct else found).decode()


def _leaf_edge(document: str, names: str, highest: int) -> Scalar | None:
    edge = max if highest else min
    found = edge(_values(document, names), key=_rank, default=None)
    return None if found is None else _held(found)


def _held(value: Scalar) -> Scalar:
    """Return a value as SQLite holds it: an integer that is too large for it is a double in the JSON it reads, too."""
    large = isinstance(value, int) and not -(2**63) <= value < 2**63
    return float(value) if large else value


def _rank(value: Scalar) -> tuple[int, float, bytes]:
    return (1, 0.0, value.encode()) if isinstance(value, str) else (0, value, b"")


def _millis(value: object) -> int | None:
    if isinstance(value, str):
        return iso_millis(value)
    return int(value) if isinstance(value, (int, float)) and FIRST_MILLIS <= value <= LAST_MILLIS else None


def _floor_to(value: object, interval: float, offset: float) -> float | None:
    if not isinstance(value, (int, float)):
        return None
    number = (value - offset) / interval // 1
    # SQLite writes the doubles of an array with fifteen digits, integers with all.
    return int(number) if abs(number) < 2**63 else number if math.isfinite(number) else None


class _Percentiles:
    """The aggregate ``percentiles(value, weight, levels)``: a JSON list, for each level the nearest-rank value."""

    def __init__(self) -> None:
        self._values: list[tuple[float, int]] = []
        self._levels = "[]"

    def step(self, value: float | None, weight: int, levels: str) -> None:
        """Take in one row."""
        if value is not None:
            self._values.append((value, weight))
            self._levels = levels

    def finalize(self) -> str | None:
        """Return the values as JSON; NULL when there were none."""
        if not self._values:
            return None
        return orjson.dumps(weighted_percentiles(self._values, orjson.loads(self._levels))).decode()


def weighted_percentiles(values: list[tuple[float, int]], levels: Sequence[float]) -> list[float]:
    """Return for each level (0 to 1) the smallest value at or below which that share of the weight lies."""
    values.sort()
    reached = list(accumulate(weight for _, weight in values))
    places = (bisect_left(reached, reached[-1] * level) for level in levels)
    return [values[min(place, len(values) - 1)][0] for place in places]
