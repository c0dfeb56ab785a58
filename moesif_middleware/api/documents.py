"""What the Collector API takes, checked before it is sent (reference, "Collector API v1", the entities' field tables).

Pure: documents in, wire documents and batches of encoded ones out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from ..errors import InvalidModel
from ..models import Action, Company, Event, Subscription, User, wire_time
from ..sansio.batches import split
from .calls import encode
from .types import RegexRule

Document = dict[str, Any]

EVENT_BYTES = 1_048_576
"""Reference, "Maximum Event Size": 1 MB, a hard limit."""


class CollectorConfig(TypedDict, total=False):
    """The answer of GET /config: sampling rates in percent, and rules by entity (reference, "Get Config")."""

    org_id: str
    app_id: str
    sample_rate: float
    user_sample_rate: dict[str, float]
    company_sample_rate: dict[str, float]
    user_rules: dict[str, list[dict[str, Any]]]
    company_rules: dict[str, list[dict[str, Any]]]
    regex_config: list[RegexRule]


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a field table: where it stands, what JSON types it may have, and which values when they are few."""

    path: str
    types: tuple[type, ...]
    required: bool = False
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of document: its model, its fields, and the limits of a batch in documents and bytes."""

    name: str
    model: type
    fields: tuple[Field, ...]
    times: tuple[str, ...] = ("modified_time",)
    batch_count: int = 1_000
    batch_bytes: int = 12_000_000
    deduplicated: bool = False


def _text(*paths: str) -> tuple[Field, ...]:
    return tuple(Field(path.rstrip("!"), (str,), path.endswith("!")) for path in paths)


_METADATA = Field("metadata", (dict,))
_STATUSES = frozenset({"active", "cancelled", "paused", "trialing", "pending", "draft", "future"})
_PROFILE = (*_text("ip_address", "modified_time"), Field("session_token", (str, list)), Field("campaign", (dict,)))

EVENT = Entity(
    "event",
    Event,
    (
        Field("request", (dict,), required=True),
        *_text("request.time!", "request.uri!", "request.verb!", "request.api_version", "request.ip_address"),
        Field("request.headers", (dict,), required=True),
        Field("response", (dict,)),
        *_text("response.time!", "response.ip_address"),
        Field("response.status", (int,), required=True),
        Field("response.headers", (dict,), required=True),
        *(
            Field(f"{side}.transfer_encoding", (str,), values=frozenset({"json", "base64"}))
            for side in ("request", "response")
        ),
        *_text("transaction_id", "session_token", "user_id", "company_id", "blocked_by"),
        Field("direction", (str,), values=frozenset({"Incoming", "Outgoing"})),
        Field("weight", (int,)),
        _METADATA,
    ),
    times=("request.time", "response.time"),
    batch_bytes=50_000_000,
    deduplicated=True,
)
ACTION = Entity(
    "action",
    Action,
    (
        *_text("action_name!", "transaction_id", "session_token", "user_id", "company_id"),
        Field("request", (dict,), required=True),
        *_text("request.uri!", "request.time", "request.ip_address", "request.user_agent_string"),
        _METADATA,
    ),
    times=("request.time",),
    deduplicated=True,
)
USER = Entity("user", User, (*_text("user_id!", "company_id", "user_agent_string"), *_PROFILE, _METADATA))
COMPANY = Entity("company", Company, (*_text("company_id!", "company_domain"), *_PROFILE, _METADATA))
SUBSCRIPTION = Entity(
    "subscription",
    Subscription,
    (
        *_text("subscription_id!", "company_id!", "current_period_start", "current_period_end", "modified_time"),
        Field("status", (str,), values=_STATUSES),
        _METADATA,
    ),
    times=("current_period_start", "current_period_end", "modified_time"),
)


def wire(entity: Entity, source: Any, new_id: Callable[[], str], prefix: str = "") -> Document:
    """Return the wire document of a model or mapping, with a transaction id where the entity is deduplicated by one.

    Raises InvalidModel, which names the field; ``prefix`` is put before its path.
    """
    document = _document(entity, source, prefix)
    for path in entity.times:
        _write_time(document, path)
    for field in entity.fields:
        _check(document, field, prefix)
    if entity.deduplicated and not document.get("transaction_id"):
        document["transaction_id"] = new_id()
    return document


def _document(entity: Entity, source: Any, prefix: str) -> Document:
    if isinstance(source, entity.model):
        found: Document = source.to_wire()  # type: ignore[attr-defined]  # every entity's model has it
        return found
    if not isinstance(source, Mapping):
        raise InvalidModel(
            prefix.rstrip(".") or entity.name, f"is {_named(source)}, not a {entity.model.__name__} or a mapping"
        )
    # One level deeper is copied too: that is as deep as times are written.
    return {name: dict(value) if isinstance(value, dict) else value for name, value in source.items()}


def _write_time(document: Document, path: str) -> None:
    parent, name = _parent(document, path)
    value = parent.get(name) if parent is not None else None
    if parent is not None and isinstance(value, datetime | float | int) and not isinstance(value, bool):
        parent[name] = wire_time(value)


def _parent(document: Document, path: str) -> tuple[Document | None, str]:
    outer, _, name = path.rpartition(".")
    parent = document.get(outer) if outer else document
    return (parent if isinstance(parent, dict) else None), name


def _check(document: Document, field: Field, prefix: str) -> None:
    parent, name = _parent(document, field.path)
    if parent is None:
        return
    path = prefix + field.path
    value = parent.get(name)
    if value is None or (field.required and value == "" and str in field.types):
        if field.required:
            raise InvalidModel(path, "is required")
    elif not isinstance(value, field.types) or (isinstance(value, bool) and bool not in field.types):
        wanted = " or ".join(kind.__name__ for kind in field.types)
        raise InvalidModel(path, f"is {_named(value)}, not {wanted}")
    elif field.values and value not in field.values:
        raise InvalidModel(path, f"is {value!r}, not one of {', '.join(sorted(field.values))}")


def _named(value: object) -> str:
    return f"of type {type(value).__name__}"


def encoded(entity: Entity, document: Document, prefix: str = "") -> bytes:
    """Return a document's JSON. Raises InvalidModel for what is not JSON and for an event over its limit."""
    try:
        body = encode(document)
    except InvalidModel as error:
        raise InvalidModel(prefix + error.field, str(error).partition(": ")[2]) from None
    limit = EVENT_BYTES if entity.deduplicated else entity.batch_bytes - len(b"[]")
    if len(body) > limit:
        where = prefix.rstrip(".") or entity.name
        raise InvalidModel(where, f"is {len(body)} bytes as JSON; the API takes at most {limit}")
    return body


def batches(entity: Entity, sources: Iterable[Any], new_id: Callable[[], str]) -> Iterator[tuple[int, bytes]]:
    """Yield the length of each batch with its JSON array, split by count and by bytes as sources arrive."""
    items = (_item(entity, source, new_id, f"[{position}].") for position, source in enumerate(sources))
    for group in split(items, entity.batch_count, entity.batch_bytes):
        yield len(group), b"[" + b",".join(group) + b"]"


def _item(entity: Entity, source: Any, new_id: Callable[[], str], prefix: str) -> bytes:
    return encoded(entity, wire(entity, source, new_id, prefix), prefix)
