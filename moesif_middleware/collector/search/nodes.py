"""A query as a tree of tests, free of any request syntax and of any engine.

Every test of a field is true when *any* value of the field passes it, so a missing field passes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .fields import Field

Operator = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Operand:
    """A value to compare with: its text, and the number that it reads as, if any."""

    text: str
    number: int | float | None = None


@dataclass(frozen=True, slots=True)
class Always:
    """True or false for every document."""

    value: bool


@dataclass(frozen=True, slots=True)
class And:
    """All parts are true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts is true, or ``least`` of them."""

    parts: tuple[Node, ...]
    least: int = 1


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true."""

    part: Node


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value, itself or anywhere below it."""

    field: Field


@dataclass(frozen=True, slots=True)
class Equals:
    """A value equals one of the operands: as text, or as a number where it is one."""

    field: Field
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range: text for text, int or float for numbers, int milliseconds for times."""

    operator: Operator
    value: str | int | float


@dataclass(frozen=True, slots=True)
class Between:
    """A value of the given type lies within all bounds; values of other types do not."""

    field: Field
    type: Literal["text", "number", "time"]
    bounds: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Glob:
    """A text value matches the whole pattern: parts of literal text, with ``*`` and ``?`` as their own parts."""

    field: Field
    parts: tuple[str | Wild, ...]


@dataclass(frozen=True, slots=True)
class Wild:
    """``*`` (any text) or ``?`` (any one character) in a Glob."""

    many: bool


@dataclass(frozen=True, slots=True)
class Matches:
    """A text value contains a match of an RE2 pattern.

    ``needle`` is text that every such value holds, and its document as JSON, in upper or lower case of ASCII; what else
    RE2 takes for one of its letters is in ``statement.FOLDED``.
    """

    field: Field
    pattern: str
    needle: str = ""


Node = Always | And | Or | Not | Exists | Equals | Between | Glob | Matches

EVERYTHING: Final = Always(value=True)
NOTHING: Final = Always(value=False)


def reads_documents(node: Node) -> bool:
    """Return whether a test looks into the document, which takes longer than all tests of columns."""
    match node:
        case Always():
            return False
        case And() | Or():
            return any(map(reads_documents, node.parts))
        case Not():
            return reads_documents(node.part)
        case _:
            return node.field.column is None


def all_of(parts: list[Node]) -> Node:
    """Return the conjunction in its smallest form."""
    kept = tuple(part for part in parts if part != EVERYTHING)
    if not kept:
        return EVERYTHING
    return kept[0] if len(kept) == 1 else And(kept)


def any_of(parts: list[Node]) -> Node:
    """Return the disjunction in its smallest form; of nothing it is false."""
    if not parts:
        return NOTHING
    return parts[0] if len(parts) == 1 else Or(tuple(parts))
