"""The tests of one field that clauses and query strings are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # it has no stubs

from .errors import InvalidSearch
from .fields import Field, Type, field_of
from .leaves import number_text
from .nodes import NOTHING, Between, Bound, Equals, Matches, Node, Operand, Operator, Wild, all_of, any_of
from .times import Span, parse_time

# Printable ASCII that JSON does not escape, and the same without what RE2 takes for other letters too (``FOLDED``).
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]+")
_UNFOLDED: Final = re.compile(r"[ !#-JL-RT-\[\]-jl-rt-~]+")

MAX_PATTERN: Final = 1_000

RARE_ENOUGH: Final = 6
"""Characters of a text that few documents hold by chance."""

WORTH_LOOKING: Final = 3
"""Characters of the shortest text that is looked for in a document as it stands: nearly every one holds a shorter."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_WORD: Final = re.compile(r"\w+")
_BEFORE: Final = r"(?:^|[^\pL\pN_])"
_BETWEEN: Final = r"[^\pL\pN_]+"
_AFTER: Final = r"(?:$|[^\pL\pN_])"


@dataclass(frozen=True, slots=True)
class Context:
    """What a clause is read against: the kind of document, the clock and the zone of the request."""

    kind: str
    now_ms: int
    zone: tzinfo = UTC

    def field(self, name: object, path: str) -> Field:
        """Return the field of a name that stands at ``path``."""
        return field_of(self.kind, name, path)


def operand_of(value: object, path: str) -> Operand:
    """Return a JSON scalar as something to compare with."""
    if isinstance(value, bool):
        return Operand("true" if value else "false")
    if isinstance(value, str):
        return Operand(value, _number_in(value))
    if isinstance(value, (int, float)):
        return Operand(number_text(value), _bounded(value))
    raise InvalidSearch(path, "a string, a number or a boolean is needed here")


def _number_in(value: str) -> int | float | None:
    if not _NUMBER.fullmatch(value):
        return None
    return _bounded(int(value) if value.removeprefix("-").isdigit() else float(value))


def _bounded(value: float) -> int | float | None:
    if isinstance(value, int):
        # What JSON has beyond 64 bits is a double already when it is read.
        return value if -(2**63) <= value < 2**64 else float(value)
    return value if abs(value) < float("inf") else None


def equals(field: Field, operands: tuple[Operand, ...], context: Context, path: str) -> Node:
    """Return the test that a value equals one of the operands; for a time, that it lies in what the text means."""
    if not field.is_time:
        return Equals(field, operands)
    spans = [span_of(operand.text, path, context, context.zone) for operand in operands]
    return any_of([Between(field, "time", (Bound(">=", span.first), Bound("<=", span.last))) for span in spans])


def between(field: Field, ends: list[tuple[Operator, Operand]], path: str) -> Node:
    """Return the test that a text or a number lies within bounds: numbers as numbers, text by its code points."""
    texts = Between(field, "text", tuple(Bound(operator, end.text) for operator, end in ends))
    numbers = tuple(Bound(operator, end.number) for operator, end in ends if end.number is not None)
    numeric = Between(field, "number", numbers) if len(numbers) == len(ends) else None
    if field.column is None:
        return any_of([numeric, texts]) if numeric else texts
    if field.column.type is Type.TEXT:
        return texts
    if numeric is None:
        raise InvalidSearch(path, f"{field.name} is a number, the bounds are not")
    return numeric


def span_of(value: Any, path: str, context: Context, zone: tzinfo) -> Span:
    """Return the milliseconds that a time in a clause means."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidSearch(path, "a time is needed here")
    try:
        return parse_time(value, context.now_ms, zone)
    except ValueError as error:
        raise InvalidSearch(path, str(error)) from None


def match_words(field: Field, operand: Operand, context: Context, path: str, *, every: bool) -> Node:
    """Return the test that a field has one of the words, or every word, of a text."""
    whole = equals(field, (operand,), context, path)
    if not _has_words(field):
        return whole
    words = _WORD.findall(operand.text)
    if every:
        found = all_of([Matches(field, _words_pattern(word)) for word in words]) if words else NOTHING
    else:
        found = Matches(field, f"(?i){_BEFORE}(?:{'|'.join(map(quote, words))}){_AFTER}") if words else NOTHING
    return any_of([whole, found]) if found != NOTHING else whole


def _has_words(field: Field) -> bool:
    if field.exact or field.is_time:
        return False
    return field.column is None or (field.column.type is Type.TEXT and field.column.name != "id")


def match_phrase(field: Field, operand: Operand, context: Context, path: str) -> Node:
    """Return the test that a field has the words of a text one after the other."""
    whole = equals(field, (operand,), context, path)
    words = _WORD.findall(operand.text)
    return any_of([whole, Matches(field, _words_pattern(*words))]) if words and _has_words(field) else whole


def _words_pattern(*words: str) -> str:
    return f"(?i){_BEFORE}{_BETWEEN.join(map(quote, words))}{_AFTER}"


def glob_parts(pattern: str) -> tuple[str | Wild, ...]:
    """Return the parts of a wildcard pattern, in which a backslash takes the meaning from ``*`` and ``?``."""
    parts: list[str | Wild] = []
    for found in re.finditer(r"\\(.)|([*?])|([^*?\\]+|\\$)", pattern, re.DOTALL):
        escaped, wild, plain = found.groups()
        if wild:
            parts.append(Wild(many=wild == "*"))
        else:
            parts.append(escaped or plain)
    return tuple(parts)


def glob_text(parts: tuple[str | Wild, ...]) -> str:
    """Return the part of an RE2 pattern that means the same as the parts of a Glob."""
    return "".join(quote(part) if isinstance(part, str) else ".*" if part.many else "." for part in parts)


def needle_of(parts: tuple[str | Wild, ...]) -> str:
    """Return the longest text that a document with a match of a Glob holds as it stands, whatever its case."""
    texts = [part for part in parts if isinstance(part, str)]
    plain, unfolded = (
        max((run for text in texts for run in runs.findall(text)), key=len, default="") for runs in (_PLAIN, _UNFOLDED)
    )
    # One that needs no look for other letters is worth some of its length.
    return unfolded if len(unfolded) >= RARE_ENOUGH else plain


def stands_plainly(text: str) -> bool:
    """Return whether a text stands in JSON as it is, and is long enough to be looked for there."""
    return len(text) >= WORTH_LOOKING and _PLAIN.fullmatch(text) is not None


def checked_pattern(pattern: str, path: str) -> None:
    """Raise InvalidSearch for a pattern that RE2 does not take."""
    if len(pattern) > MAX_PATTERN:
        raise InvalidSearch(path, f"the pattern is longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        raise InvalidSearch(path, f"not a regular expression that RE2 takes: {error}") from None


def needs_text(field: Field, path: str) -> None:
    """Raise InvalidSearch for a column that holds no text."""
    if field.column is not None and field.column.type is not Type.TEXT:
        raise InvalidSearch(path, f"{field.name} is not text: use term or range")


def quote(literal: str) -> str:
    """Return the RE2 pattern of a literal."""
    return re2.escape(literal)  # type: ignore[no-any-return]
