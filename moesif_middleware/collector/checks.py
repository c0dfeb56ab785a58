"""What a field may hold: small checks that raise Unfit with the dotted path of what is wrong."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..errors import InvalidModel

Check = Callable[[Any], None]
"""Takes a value that is not null; raises Unfit."""

_SCHEMAS: Final[dict[Check, dict[str, Any]]] = {}

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS: Final = 253_402_300_799_999
MILLISECOND: Final = timedelta(milliseconds=1)


class Unfit(InvalidModel):
    """A value that cannot be taken. ``field`` is its dotted path, which grows on the way out of nested checks."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(field, message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.field or 'body'}: {self.message}"

    def within(self, step: str) -> Unfit:
        """Return itself, seen from the object or array whose ``step`` (a name, or ``[3]``) holds what was wrong."""
        dot = "." if step and self.field and self.field[0] != "[" else ""
        self.field = f"{step}{dot}{self.field}"
        return self


@dataclass(frozen=True, slots=True)
class Fields:
    """What an object's fields may hold, and which of them must be there. Null counts as absent.

    Fields that are not named are kept as they are, so that newer clients may send some.
    """

    checks: Mapping[str, Check]
    required: tuple[str, ...] = ()

    def __call__(self, value: Any) -> None:
        """Check an object, as a Check does."""
        if type(value) is not dict:
            raise Unfit("must be an object")
        checks = self.checks
        for name, item in value.items():
            if item is not None and (check := checks.get(name)) is not None:
                try:
                    check(item)
                except Unfit as unfit:
                    raise unfit.within(name)  # noqa: B904 - it is the same exception
        self.complete(value)

    def complete(self, value: Mapping[str, Any]) -> None:
        """Raise Unfit when a field is missing that must be there."""
        for name in self.required:
            if value.get(name) is None:
                raise Unfit("is required", name)


def described(check: Check, schema: dict[str, Any]) -> Check:
    """Note the JSON Schema of what a check accepts, and return the check."""
    _SCHEMAS[check] = schema
    return check


def schema_of(check: Check) -> dict[str, Any]:
    """Return the JSON Schema of what a check accepts; an empty one for a check that was not described."""
    if isinstance(check, Fields):
        needed = check.required
        fields = {name: _nullable(schema_of(each), required=name in needed) for name, each in check.checks.items()}
        schema: dict[str, Any] = {"type": "object", "properties": fields}
        return {**schema, "required": list(needed)} if needed else schema
    return _SCHEMAS.get(check, {})


def _nullable(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return schema if required or not schema else {"anyOf": [schema, {"type": "null"}]}


def list_of(check: Check) -> Check:
    """Return the check of an array whose items all pass ``check``."""

    def check_items(value: Any) -> None:
        if type(value) is not list:
            raise Unfit("must be an array")
        for index, item in enumerate(value):
            at(f"[{index}]", check, item)

    return described(check_items, {"type": "array", "items": schema_of(check)})


def map_of(check: Check) -> Check:
    """Return the check of an object whose values all pass ``check``, whatever their keys."""

    def check_values(value: Any) -> None:
        any_object(value)
        for name, item in value.items():
            at(name, check, item)

    return described(check_values, {"type": "object", "additionalProperties": schema_of(check)})


def at(step: str, check: Check, value: Any) -> None:
    """Check what stands at ``step`` of an object or array."""
    try:
        check(value)
    except Unfit as unfit:
        raise unfit.within(step)  # noqa: B904 - it is the same exception


def anything(value: Any) -> None:
    """Accept any JSON value."""


def any_object(value: Any) -> None:
    """Accept a JSON object."""
    if type(value) is not dict:
        raise Unfit("must be an object")


def text(value: Any) -> None:
    """Accept a string."""
    if type(value) is not str:
        raise Unfit("must be a string")


def name(value: Any) -> None:
    """Accept a string that is not empty."""
    text(value)
    if not value:
        raise Unfit("must not be empty")


def key(value: Any) -> None:
    """Accept what can be a document's key: 1 to 1 024 characters."""
    name(value)
    if len(value) > 1024:
        raise Unfit("must have at most 1024 characters")


def flag(value: Any) -> None:
    """Accept true or false."""
    if type(value) is not bool:
        raise Unfit("must be true or false")


def whole(lowest: int, highest: int) -> Check:
    """Return the check of an integer within these bounds."""

    def check_whole(value: Any) -> None:
        if type(value) is not int or not lowest <= value <= highest:
            raise Unfit(f"must be an integer from {lowest} to {highest}")

    return described(check_whole, {"type": "integer", "minimum": lowest, "maximum": highest})


def number(value: Any) -> None:
    """Accept a number."""
    if type(value) not in (int, float):
        raise Unfit("must be a number")


def percent(value: Any) -> None:
    """Accept a number from 0 to 100."""
    if type(value) not in (int, float) or not 0 <= value <= 100:
        raise Unfit("must be a number from 0 to 100")


def one_of(*choices: str) -> Check:
    """Return the check of a string that is one of ``choices``."""

    def check_choice(value: Any) -> None:
        if value not in choices:
            raise Unfit(f"must be one of {', '.join(choices)}")

    return described(check_choice, {"type": "string", "enum": list(choices)})


def text_or_list(value: Any) -> None:
    """Accept a string or an array of strings."""
    if type(value) is not str:
        list_of(text)(value)


def headers(value: Any) -> None:
    """Accept an object of strings."""
    if type(value) is not dict:
        raise Unfit("must be an object of strings")
    for header, held in value.items():
        if type(held) is not str:
            raise Unfit("must be a string; repeated headers are joined with a comma", header)


def moment(value: Any) -> None:
    """Accept a time in ISO 8601."""
    epoch_ms(value)


def epoch_ms(value: Any) -> int:
    """Return an ISO 8601 time as milliseconds since the epoch; without an offset it is UTC."""
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unfit("must be a time in ISO 8601 such as 2024-02-06T04:45:42.914Z") from None
    millis = ((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND
    if not 0 <= millis <= LAST_MS:
        raise Unfit("must be a time from 1970 to 9999")
    return millis


def base64_bytes(value: Any) -> bytes:
    """Return what base64 text stands for."""
    text(value)
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Unfit("must be base64, as transfer_encoding says") from None


int32: Final = whole(-(2**31), 2**31 - 1)
int64: Final = whole(-(2**63), 2**63 - 1)

for _check, _schema in (
    (any_object, {"type": "object"}),
    (text, {"type": "string"}),
    (name, {"type": "string", "minLength": 1}),
    (key, {"type": "string", "minLength": 1, "maxLength": 1024}),
    (flag, {"type": "boolean"}),
    (number, {"type": "number"}),
    (percent, {"type": "number", "minimum": 0, "maximum": 100}),
    (text_or_list, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    (headers, {"type": "object", "additionalProperties": {"type": "string"}}),
    (moment, {"type": "string", "format": "date-time"}),
):
    described(_check, _schema)
