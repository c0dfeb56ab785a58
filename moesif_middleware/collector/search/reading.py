"""Reads the members of a request body, with errors that name the path of what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .errors import InvalidSearch


def at(path: str, name: str | int) -> str:
    """Return the path of a member (a name) or an element (a number) of what stands at ``path``."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def mapping(value: object, path: str) -> dict[str, Any]:
    """Return the value as an object or raise InvalidSearch."""
    if not isinstance(value, dict):
        raise InvalidSearch(path, "an object is needed here")
    return value


def known(value: dict[str, Any], names: Iterable[str], path: str) -> None:
    """Raise InvalidSearch for the first member that is none of ``names``."""
    allowed = tuple(names)
    for name in value:
        if name not in allowed:
            raise InvalidSearch(at(path, name), f"is not supported; supported here: {', '.join(sorted(allowed))}")


def single(value: object, path: str) -> tuple[str, Any]:
    """Return name and value of the one member of an object."""
    members = mapping(value, path)
    if len(members) != 1:
        raise InvalidSearch(path, f"exactly one member is needed here, there are {len(members)}")
    return next(iter(members.items()))


def listed(value: object) -> list[Any]:
    """Return a list as it is and anything else as a list of one, as the DSL allows in many places."""
    return value if isinstance(value, list) else [value]


def integer(value: object, path: str, lowest: int = 0, highest: int = 2**53) -> int:
    """Return a whole number that may be written as text, as the reference's examples do."""
    number = value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 18:
        number = int(value)
    if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= highest:
        raise InvalidSearch(path, f"a whole number from {lowest} to {highest} is needed, not {value!r}")
    return number


def number(value: object, path: str) -> int | float:
    """Return a finite number that may be written as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        found = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidSearch(path, f"a number is needed, not {value!r}")
    return found


def boolean(value: object, path: str) -> bool:
    """Return a boolean that may be written as text."""
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise InvalidSearch(path, f"true or false is needed, not {value!r}")


def text(value: object, path: str) -> str:
    """Return a string or raise InvalidSearch."""
    if not isinstance(value, str):
        raise InvalidSearch(path, f"a string is needed, not {value!r}")
    return value
