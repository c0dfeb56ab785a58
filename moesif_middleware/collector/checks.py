"""What a field may hold: small checks that raise InvalidModel with the dotted path of what is wrong."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..errors import InvalidModel

Check = Callable[[Any, str], None]
"""Takes a value that is not null and its dotted path; raises InvalidModel."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object. A field that is null counts as absent."""

    check: Check
    required: bool = False


Fields = Mapping[str, Field]


def check_fields(value: Any, path: str, fields: Fields) -> None:
    """Check an object's known fields; unknown ones are kept as they are, so that newer clients may add some."""
    if type(value) is not dict:
        raise InvalidModel(path or "body", "must be an object")
    prefix = f"{path}." if path else ""
    for name, field in fields.items():
        found = value.get(name)
        if found is not None:
            field.check(found, f"{prefix}{name}")
        elif field.required:
            raise InvalidModel(f"{prefix}{name}", "is required")


def has_fields(fields: Fields) -> Check:
    """Return the check of an object with these fields."""
    return lambda value, path: check_fields(value, path, fields)


def list_of(check: Check) -> Check:
    """Return the check of an array whose items all pass ``check``."""

    def check_items(value: Any, path: str) -> None:
        if type(value) is not list:
            raise InvalidModel(path, "must be an array")
        for index, item in enumerate(value):
            check(item, f"{path}[{index}]")

    return check_items


def map_of(check: Check) -> Check:
    """Return the check of an object whose values all pass ``check``, whatever their keys."""

    def check_values(value: Any, path: str) -> None:
        any_object(value, path)
        for name, item in value.items():
            check(item, f"{path}.{name}")

    return check_values


def anything(value: Any, path: str) -> None:
    """Accept any JSON value."""


def any_object(value: Any, path: str) -> None:
    """Accept a JSON object."""
    if type(value) is not dict:
        raise InvalidModel(path, "must be an object")


def text(value: Any, path: str) -> None:
    """Accept a string."""
    if type(value) is not str:
        raise InvalidModel(path, "must be a string")


def name(value: Any, path: str) -> None:
    """Accept a string that is not empty."""
    text(value, path)
    if not value:
        raise InvalidModel(path, "must not be empty")


def key(value: Any, path: str) -> None:
    """Accept what can be a document's key: 1 to 1 024 characters."""
    name(value, path)
    if len(value) > 1024:
        raise InvalidModel(path, "must have at most 1024 characters")


def flag(value: Any, path: str) -> None:
    """Accept true or false."""
    if type(value) is not bool:
        raise InvalidModel(path, "must be true or false")


def whole(lowest: int, highest: int) -> Check:
    """Return the check of an integer within these bounds."""

    def check_whole(value: Any, path: str) -> None:
        if type(value) is not int or not lowest <= value <= highest:
            raise InvalidModel(path, f"must be an integer from {lowest} to {highest}")

    return check_whole


def percent(value: Any, path: str) -> None:
    """Accept a number from 0 to 100."""
    if type(value) not in (int, float) or not 0 <= value <= 100:
        raise InvalidModel(path, "must be a number from 0 to 100")


def one_of(*choices: str) -> Check:
    """Return the check of a string that is one of ``choices``."""

    def check_choice(value: Any, path: str) -> None:
        if value not in choices:
            raise InvalidModel(path, f"must be one of {', '.join(choices)}")

    return check_choice


def text_or_list(value: Any, path: str) -> None:
    """Accept a string or an array of strings."""
    if type(value) is not str:
        list_of(text)(value, path)


def headers(value: Any, path: str) -> None:
    """Accept an object of strings."""
    if type(value) is not dict:
        raise InvalidModel(path, "must be an object of strings")
    for header, held in value.items():
        if type(held) is not str:
            raise InvalidModel(f"{path}.{header}", "must be a string; repeated headers are joined with a comma")


def moment(value: Any, path: str) -> None:
    """Accept a time in ISO 8601."""
    epoch_ms(value, path)


def epoch_ms(value: Any, path: str) -> int:
    """Return an ISO 8601 time as milliseconds since the epoch; without an offset it is UTC."""
    try:
        parsed = datetime.fromisoformat(value)
        return ((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND
    except (TypeError, ValueError, OverflowError):
        raise InvalidModel(path, "must be a time in ISO 8601 such as 2024-02-06T04:45:42.914Z") from None


def base64_bytes(value: Any, path: str) -> bytes:
    """Return what base64 text stands for."""
    text(value, path)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidModel(path, "must be base64, as transfer_encoding says") from None
