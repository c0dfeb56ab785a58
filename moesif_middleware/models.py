"""The wire model: what the Collector API takes (reference, "Collector API v1", the entities' field tables).

Models are mutable and slotted, since documented mask hooks assign into an event's attributes. ``to_wire`` gives the
JSON object and leaves out what is not set.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from reprlib import recursive_repr
from typing import Any, Self

from .errors import InvalidModel

JSON = Any
"""Any value that JSON can carry, or an ``orjson.Fragment`` that stands for one."""


def wire_time(value: datetime | float | str) -> str:
    """Write a time as the wire does: UTC, ISO 8601, milliseconds, ``Z``.

    A float is seconds since the epoch; a naive datetime is taken as UTC; a string passes as it is.
    """
    if type(value) is not float:
        if isinstance(value, str):
            return value
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    # Whole milliseconds first: formatting the float would round 59.9996 s up to 60.
    millis = int(value * 1000 + 0.5)
    return _second(millis // 1000) + _MILLIS[millis % 1000]


_MILLIS = tuple(f".{millis:03d}Z" for millis in range(1000))


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    # isoformat takes half the time of strftime.
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def _fields(model: _Model | type[_Model]) -> tuple[Field[Any], ...]:
    return fields(model)  # type: ignore[arg-type]  # every subclass is a dataclass


class _Model:
    """What all wire models share: reading from and writing to JSON objects, comparing, and showing.

    The last two are not generated for each: eight dataclasses that do take every start of an application 1 ms longer.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Return whether the other is of the same class and has the same values."""
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of every value that can change

    @recursive_repr()
    def __repr__(self) -> str:
        """Show every field."""
        shown = ", ".join(f"{item.name}={value!r}" for item, value in zip(_fields(self), self._values(), strict=True))
        return f"{type(self).__qualname__}({shown})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, item.name) for item in _fields(self))

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; fields that are None are left out, times are written as text."""
        found: dict[str, Any] = {}
        for item in _fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            if isinstance(value, _Model):
                value = value.to_wire()
            elif isinstance(value, datetime) or (item.name == "modified_time" and isinstance(value, float | int)):
                value = wire_time(value)
            found[item.name] = value
        return found

    @classmethod
    def from_wire(cls, document: dict[str, Any]) -> Self:
        """Read a JSON object. Raises InvalidModel, which names the field, for unknown and missing ones."""
        known = {item.name for item in _fields(cls)}
        for name in document:
            if name not in known:
                raise InvalidModel(name, f"is not a field of {cls.__name__}; it has {', '.join(sorted(known))}")
        try:
            return cls(**document)
        except TypeError as error:
            raise InvalidModel(cls.__name__, str(error)) from None


@dataclass(slots=True, eq=False, repr=False)
class EventRequest(_Model):
    """The request of one API call. ``body`` is a JSON value, or base64 text when ``transfer_encoding`` says so."""

    time: datetime | float | str
    uri: str
    verb: str
    headers: dict[str, str] = field(default_factory=dict)
    ip_address: str | None = None
    api_version: str | None = None
    body: JSON = None
    transfer_encoding: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; a body of JSON ``null`` is kept when the transfer encoding says that it is one."""
        return _with_body(self, _Model.to_wire(self))


@dataclass(slots=True, eq=False, repr=False)
class EventResponse(_Model):
    """The response of one API call. Absent from an event whose response never started."""

    time: datetime | float | str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    ip_address: str | None = None
    body: JSON = None
    transfer_encoding: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object; a body of JSON ``null`` is kept when the transfer encoding says that it is one."""
        return _with_body(self, _Model.to_wire(self))


def _with_body(message: EventRequest | EventResponse, found: dict[str, Any]) -> dict[str, Any]:
    found["time"] = wire_time(message.time)
    if message.transfer_encoding is not None:
        found["body"] = message.body
    return found


@dataclass(slots=True, eq=False, repr=False)
class Event(_Model):
    """One API call: a request, its response when there was one, and whose it was."""

    request: EventRequest
    response: EventResponse | None = None
    user_id: str | None = None
    company_id: str | None = None
    session_token: str | None = None
    transaction_id: str | None = None
    direction: str | None = None
    weight: int | None = None
    metadata: dict[str, Any] | None = None
    blocked_by: str | None = None
    tags: str | list[str] | None = None

    @classmethod
    def from_wire(cls, document: dict[str, Any]) -> Self:
        """Read a JSON object, the nested request and response too."""
        copy = dict(document)
        for name, model in (("request", EventRequest), ("response", EventResponse)):
            if isinstance(copy.get(name), dict):
                try:
                    copy[name] = model.from_wire(copy[name])
                except InvalidModel as error:
                    raise InvalidModel(f"{name}.{error.field}", str(error).partition(": ")[2]) from None
        return super(Event, cls).from_wire(copy)


@dataclass(slots=True, eq=False, repr=False)
class Campaign(_Model):
    """Where a user or company came from (the utm parameters and the referrer)."""

    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    referrer: str | None = None
    referring_domain: str | None = None
    gclid: str | None = None


@dataclass(slots=True, eq=False, repr=False)
class User(_Model):
    """A person or key that calls the API. An upsert: new properties merge recursively into the stored ones."""

    user_id: str
    company_id: str | None = None
    metadata: dict[str, Any] | None = None
    campaign: Campaign | dict[str, Any] | None = None
    session_token: str | None = None
    ip_address: str | None = None
    user_agent_string: str | None = None
    modified_time: datetime | float | str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Company(_Model):
    """An account that users belong to. An upsert, as User."""

    company_id: str
    company_domain: str | None = None
    metadata: dict[str, Any] | None = None
    campaign: Campaign | dict[str, Any] | None = None
    session_token: str | None = None
    ip_address: str | None = None
    modified_time: datetime | float | str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Subscription(_Model):
    """A company's subscription to a plan. An upsert, as User."""

    subscription_id: str
    company_id: str
    current_period_start: datetime | str | None = None
    current_period_end: datetime | str | None = None
    status: str | None = None
    metadata: dict[str, Any] | None = None
    modified_time: datetime | float | str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Action(_Model):
    """Something a user did outside an API call, such as ``Signed Up``."""

    action_name: str
    request: dict[str, Any] | None = None
    user_id: str | None = None
    company_id: str | None = None
    session_token: str | None = None
    transaction_id: str | None = None
    metadata: dict[str, Any] | None = None
