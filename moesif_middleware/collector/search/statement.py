"""One SQL statement in the making: what the compiler asks of an engine, and how tests of a query become SQL.

An engine's statement knows how to write a literal, a column, a value inside a document and an aggregate. Tests are
written once, against an ``Operands``: the SQL of one value. Positive tests stay bare, so that indexes serve them; a
test that may be NULL is only made definite where it is negated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeGuard

from .conditions import glob_text, stands_plainly
from .fields import Field, Type
from .leaves import Scalar
from .nodes import (
    Always,
    And,
    Between,
    Equals,
    Exists,
    Glob,
    Matches,
    Node,
    Not,
    Or,
    Wild,
)

FALSE = "1 = 0"
TRUE = "1 = 1"

FOLDED: Final[Mapping[str, str]] = {"k": "\u212a", "s": "\u017f"}
"""What RE2 takes for a letter of ASCII without case, beside its upper case: the Kelvin sign and the long s."""


class Value(Protocol):
    """The SQL of one value of a field; every method returns a condition that is false for other types of value."""

    def text(self, operator: str, value: str) -> str:
        """Compare it as text, by code points."""
        ...

    def texts(self, values: Sequence[str]) -> str:
        """Return whether its text is one of several."""
        ...

    def number(self, operator: str, value: float) -> str:
        """Compare it as a number."""
        ...

    def numbers(self, values: Sequence[int | float]) -> str:
        """Return whether it is a number that equals one of several."""
        ...

    def time(self, operator: str, millis: int) -> str:
        """Compare it as a time."""
        ...

    def matches(self, pattern: str) -> str:
        """Return whether its text contains a match of an RE2 pattern."""
        ...


def _same(value: Any) -> Any:
    return value


def _by_itself(alias: str) -> list[str]:
    return [alias]


@dataclass(frozen=True, slots=True)
class Key:
    """What a statement groups by.

    ``decode`` turns what a row holds into the key of a bucket; ``order`` gives the SQL that orders groups by the
    alias of the key: numbers first, then text by code points.
    """

    sql: str
    decode: Callable[[Any], Scalar] = _same
    order: Callable[[str], list[str]] = _by_itself


@dataclass(frozen=True, slots=True)
class SortKey:
    """What documents are sorted by: its SQL, the condition that it is missing (None when it never is).

    ``literal`` writes a value of ``search_after`` as SQL, ``decode`` turns what a row holds into such a value.
    """

    sql: str
    missing: str | None
    literal: Callable[[Scalar], str]
    decode: Callable[[Any], Any] = _same


class Statement(Protocol):
    """One statement over the rows of one application and one kind of document. It is used once."""

    weight: str
    """SQL of how many documents a row stands for."""
    row: str
    """SQL of the handle by which ``Engine.documents`` finds the row's document."""

    def bind(self, value: str | float) -> str:
        """Return the SQL that stands for a literal."""
        ...

    def column(self, name: str) -> str:
        """Return the SQL of a column of the narrow table."""
        ...

    def matching(self, sql: str, pattern: str) -> str:
        """Return the condition that a text contains a match of an RE2 pattern."""
        ...

    def among(self, sql: str, values: Sequence[Any]) -> str:
        """Return the condition that a value is one of several, at least one."""
        ...

    def any_value(self, field: Field, test: Callable[[Value], str]) -> str:
        """Return the condition that any value at a path of the document passes the test."""
        ...

    def document(self) -> str:
        """Return the SQL of the document as JSON text."""
        ...

    def mentions(self, sql: str, text: str) -> str:
        """Return the condition that a text contains another one, ASCII in upper or lower case."""
        ...

    def exists(self, field: Field) -> str:
        """Return the condition that there is a value at a path of the document or below it."""
        ...

    def narrowed(self, field: Field, words: Sequence[str], found: str) -> str:
        """Return the condition ``found`` over a field of the document, tried on those only that hold one of the words.

        Where an index or an array of values makes it quick, it is returned as it is.
        """
        ...

    def definite(self, condition: str) -> str:
        """Return the condition with NULL turned into false."""
        ...

    def key(self, field: Field, missing: Scalar | None) -> Key:
        """Return a grouping by the distinct values of a field; ``missing`` stands in for none."""
        ...

    def values(self, field: Field, *, numeric: bool, missing: Scalar | None) -> str:
        """Return the SQL of a row's value for a metric; a path in the document gives one row for each value."""
        ...

    def times(self, field: Field, missing: int | None) -> str:
        """Return the SQL of a field's milliseconds; a path in the document gives one row for each value."""
        ...

    def bucketed(self, field: Field, bucket: Callable[[str], str], *, times: bool, missing: float | None = None) -> str:
        """Return the SQL of a row's bucket, ``bucket`` of its number or time; of several, one row for each bucket."""
        ...

    def floor(self, value: str, interval: float, offset: float) -> str:
        """Return the SQL of the whole number of intervals from ``offset`` down to which a number is rounded."""
        ...

    def percentiles(self, value: str, weight: str, percents: Sequence[float]) -> list[str]:
        """Return one aggregate for each of the percents: the smallest value that holds so much of the weight."""
        ...

    def sort_key(self, field: Field, *, descending: bool) -> SortKey:
        """Return the value by which documents are sorted: of several the highest when descending, else the least."""
        ...

    def select(self, columns: Sequence[str], where: Sequence[str]) -> str:
        """Return the SELECT over the rows that pass all conditions."""
        ...

    def first_of_groups(self, select: str, groups: Sequence[str], order: str, limit: int) -> str:
        """Return the statement that keeps the first ``limit`` rows of each group of a SELECT."""
        ...

    def parameters(self) -> Any:
        """Return what the engine binds when the statement runs."""
        ...


Found = tuple[str, Any]
"""A document that a statement found: its id and the handle of its row. Two events may have one id, not one handle."""


class Engine(Protocol):
    """Runs statements for one application of one store."""

    windows: bool
    """Whether the engine has window functions."""

    def statement(self, kind: str) -> Statement:
        """Return a new statement over one kind of document."""
        ...

    def rows(self, sql: str, parameters: Any) -> list[Sequence[Any]]:
        """Run a statement and return its rows."""
        ...

    def documents(self, kind: str, rows: Sequence[Found]) -> dict[Found, dict[str, Any]]:
        """Return the documents of rows, without those that are gone since."""
        ...


def condition(node: Node, statement: Statement) -> str:
    """Return the SQL condition of a tree of tests. NULL counts as false wherever it stands."""
    match node:
        case Always():
            return TRUE if node.value else FALSE
        case And():
            return _joined(" AND ", (condition(part, statement) for part in node.parts))
        case Or() if node.least == 1 and _same_needle(node.parts):
            # One look through the document for all its fields.
            found = _joined(" OR ", (_tested(part, statement) for part in node.parts))
            return f"({_mentioned(node.parts[0], statement)} AND {found})"
        case Or() if node.least == 1:
            return _joined(" OR ", (condition(part, statement) for part in node.parts))
        case Or():
            counted = (f"CASE WHEN {condition(part, statement)} THEN 1 ELSE 0 END" for part in node.parts)
            return f"{_joined(' + ', counted)} >= {node.least}"
        case Not():
            return f"NOT {statement.definite(condition(node.part, statement))}"
        case Exists():
            column = node.field.column
            if column is None:
                return statement.exists(node.field)
            return f"{statement.column(column.name)} IS NOT NULL" if column.nullable else TRUE
        case Matches() if node.needle:
            # A pattern takes long, and reading every document's values longest: only those that can match are tried.
            return f"({_mentioned(node, statement)} AND {_tested(node, statement)})"
        case Equals() if node.field.column is None and (words := _words(node)):
            return statement.narrowed(node.field, words, _tested(node, statement))
        case _:
            return _tested(node, statement)


def _tested(node: Equals | Between | Glob | Matches, statement: Statement) -> str:
    return _any_value(node.field, lambda value: _test(node, value), statement)


def _words(node: Equals) -> list[str]:
    """Return texts of which every document that passes holds one, as it stands; none when that cannot be said."""
    texts = [operand.text for operand in node.operands if operand.number is None]
    certain = len(texts) == len(node.operands) and all(map(stands_plainly, texts))
    return texts if certain else []


def _same_needle(parts: Sequence[Node]) -> TypeGuard[Sequence[Matches]]:
    """Return whether all parts are patterns over the document that hold the same text."""
    needles = {part.needle if isinstance(part, Matches) and part.field.column is None else "" for part in parts}
    return len(needles) == 1 and needles != {""}


def _mentioned(node: Matches, statement: Statement) -> str:
    text = statement.document() if node.field.column is None else statement.column(node.field.column.name)
    others = (other for letter, other in FOLDED.items() if letter in node.needle.lower())
    return _joined(" OR ", (statement.mentions(text, word) for word in (node.needle, *others)))


def _joined(operator: str, parts: Iterable[str]) -> str:
    return f"({operator.join(parts)})"


def _any_value(field: Field, test: Callable[[Value], str], statement: Statement) -> str:
    if field.column is not None:
        return test(ColumnValue(statement.column(field.column.name), field.column.type, statement))
    return statement.any_value(field, test)


def _test(node: Equals | Between | Glob | Matches, value: Value) -> str:
    match node:
        case Equals():
            numbers = [operand.number for operand in node.operands if operand.number is not None]
            texts = value.texts([operand.text for operand in node.operands])
            either = [part for part in (texts, value.numbers(numbers) if numbers else FALSE) if part != FALSE]
            return _joined(" OR ", either) if either else FALSE
        case Between():
            compare: Any = {"text": value.text, "number": value.number, "time": value.time}[node.type]
            return _joined(" AND ", (compare(end.operator, end.value) for end in node.bounds))
        case Glob():
            return _glob(node, value)
        case Matches():
            return value.matches(node.pattern)


def _glob(node: Glob, value: Value) -> str:
    start = node.parts[0] if node.parts and isinstance(node.parts[0], str) else ""
    rest = node.parts[1:] if start else node.parts
    if not rest:
        return value.texts([start])
    conditions = []
    if start:
        # A range that an index can serve; the pattern then looks at what is left.
        conditions.append(value.text(">=", start))
        if after := _after(start):
            conditions.append(value.text("<", after))
    if not (start and len(rest) == 1 and isinstance(rest[0], Wild) and rest[0].many):
        conditions.append(value.matches(f"(?s)^{glob_text(node.parts)}$"))
    return _joined(" AND ", conditions)


def _after(start: str) -> str:
    """Return the smallest text after all that begin with ``start``, empty when there is none."""
    while start:
        last = ord(start[-1]) + 1
        if 0xD800 <= last < 0xE000:
            last = 0xE000
        if last <= 0x10FFFF:
            return start[:-1] + chr(last)
        start = start[:-1]
    return ""


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """The value of a typed column, on any engine."""

    sql: str
    type: Type
    statement: Statement

    def text(self, operator: str, value: str) -> str:
        """Compare it as text, by code points."""
        return self._compared(operator, value, Type.TEXT)

    def texts(self, values: Sequence[str]) -> str:
        """Return whether its text is one of several."""
        return self.statement.among(self.sql, values) if self.type is Type.TEXT else FALSE

    def number(self, operator: str, value: float) -> str:
        """Compare it as a number."""
        return self._compared(operator, value, Type.NUMBER)

    def numbers(self, values: Sequence[int | float]) -> str:
        """Return whether it is a number that equals one of several."""
        if self.type is not Type.NUMBER:
            return FALSE
        whole = sorted({int(value) for value in values if value == int(value) and abs(value) < 2**63})
        return self.statement.among(self.sql, whole) if whole else FALSE

    def time(self, operator: str, millis: int) -> str:
        """Compare it as a time."""
        return self._compared(operator, millis, Type.TIME)

    def matches(self, pattern: str) -> str:
        """Return whether its text contains a match of an RE2 pattern."""
        return self.statement.matching(self.sql, pattern) if self.type is Type.TEXT else FALSE

    def _compared(self, operator: str, value: str | float, wanted: Type) -> str:
        return f"{self.sql} {operator} {self.statement.bind(value)}" if self.type is wanted else FALSE
