"""The scalar values of a document and the dotted paths that lead to them.

A path names members; an array in it stands for each of its elements, so that one path may have many values, and
none of them is a ``null``. A dot inside a member's name is written ``\\.`` in a path. Header names are compared
without case: they are lower case in a path. Booleans are read as the words ``true`` and ``false``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from .times import iso_millis

Scalar = str | int | float

TEXT: Final = 0
NUMBER: Final = 1
TIME_TEXT: Final = 2
"""Kinds of a leaf: text, a number, and text that reads as a time (it has a number too, milliseconds)."""

_SPLIT: Final = re.compile(r"(?<!\\)\.")
_UPPER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def split_path(path: str) -> tuple[str, ...]:
    """Return the member names of a dotted path, header names in lower case."""
    names = tuple(name.replace("\\.", ".") for name in _SPLIT.split(path))
    if is_header_path(names):
        return (*names[:2], lower_ascii(names[2]), *names[3:])
    return names


def join_path(names: tuple[str, ...]) -> str:
    """Return the dotted path of member names."""
    return ".".join(name.replace(".", "\\.") for name in names)


def is_header_path(names: tuple[str, ...]) -> bool:
    """Return whether the third name is the name of an HTTP header."""
    return len(names) >= 3 and names[1] == "headers" and names[0] in ("request", "response")


def lower_ascii(name: str) -> str:
    """Return the name with A-Z in lower case and everything else as it is: header names are ASCII."""
    return name.translate(_UPPER)


def leaves(document: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """Yield the member names and the value of every scalar in the document, in order."""
    if isinstance(document, dict):
        below_headers = len(names) == 2 and is_header_path((*names, ""))
        for name, value in document.items():
            yield from leaves(value, (*names, lower_ascii(name) if below_headers else name))
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, names)
    elif document is not None:
        yield names, _scalar(document)


def values_at(document: Any, names: tuple[str, ...], *, below: bool = False) -> Iterator[Scalar]:
    """Yield the scalars at a path; with ``below`` also those of everything under it."""
    for place in _places(document, names, 0):
        if below:
            for _, value in leaves(place):
                yield value
        else:
            yield from _elements(place)


def _places(document: Any, names: tuple[str, ...], depth: int) -> Iterator[Any]:
    if depth == len(names):
        yield document
    elif isinstance(document, list):
        for value in document:
            yield from _places(value, names, depth)
    elif isinstance(document, dict):
        name = names[depth]
        if depth == 2 and is_header_path(names):
            for key, value in document.items():
                if lower_ascii(key) == name:
                    yield from _places(value, names, depth + 1)
        elif name in document:
            yield from _places(document[name], names, depth + 1)


def _elements(value: Any) -> Iterator[Scalar]:
    if isinstance(value, list):
        for element in value:
            yield from _elements(element)
    elif value is not None and not isinstance(value, dict):
        yield _scalar(value)


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value  # type: ignore[no-any-return]  # JSON has no other scalars


def number_text(value: float) -> str:
    """Return the one way a number is written as text: ``500`` for 500 and 500.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return repr(value)


def leaf_number(value: Scalar) -> tuple[int, float]:
    """Return the kind of a leaf and the number it reads as: its own, the milliseconds of a time, else 0."""
    if isinstance(value, str):
        millis = iso_millis(value)
        return (TEXT, 0.0) if millis is None else (TIME_TEXT, float(millis))
    return NUMBER, float(value)
