"""What the name of a field in a search means: a column of the narrow table, or a path into the stored document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..stores.schema import EVENT_COLUMNS
from .errors import InvalidSearch
from .leaves import join_path, split_path

ID: Final = "_id"
EVENTS: Final = "events"
MAX_DEPTH: Final = 32
METRICS: Final = "metrics"
MEASURED: Final = frozenset({"users", "companies"})
"""Kinds whose documents are answered with ``metrics`` of their events, which are not stored."""


class Type(Enum):
    """What a column holds. A path into a document has no type of its own: each of its values has."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the narrow table that holds the value of a field; ``nullable`` when it may be missing."""

    name: str
    type: Type
    nullable: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``column`` when the narrow table has it, else the members of the document that lead to it.

    ``exact`` is the ``.raw`` suffix: the whole value, not its words. ``below`` means everything under the path
    (written ``path.*``; ``*`` alone is every value of the document).
    """

    name: str
    members: tuple[str, ...]
    column: Column | None = None
    exact: bool = False
    below: bool = False

    @property
    def path(self) -> str:
        """The dotted path in the document."""
        return join_path(self.members)

    @property
    def is_time(self) -> bool:
        """Whether the reference says that the field is a time."""
        return self.column.type is Type.TIME if self.column else self.path in TIME_PATHS


TIME_PATHS: Final = frozenset(
    {
        "response.time",
        "modified_time",
        "created_time",
        "created",
        "updated_time",
        "first_seen_time",
        "last_seen_time",
        "current_period_start",
        "current_period_end",
    }
)
"""Fields that the reference calls times and that stand in the document as ISO 8601 text."""

_ID_COLUMN: Final = Column("id", Type.TEXT, nullable=False)


def _event_columns() -> Mapping[str, Column]:
    columns = {ID: _ID_COLUMN, "id": _ID_COLUMN}
    for column in EVENT_COLUMNS:
        if column.path is not None:
            numeric = Type.NUMBER if column.type.startswith("INTEGER") else Type.TEXT
            kind = Type.TIME if column.name == "time_ms" else numeric
            columns[column.path] = Column(column.name, kind, nullable="NOT NULL" not in column.type)
    return columns


_COLUMNS: Final[Mapping[str, Mapping[str, Column]]] = {EVENTS: _event_columns()}
_ENTITY_COLUMNS: Final[Mapping[str, Column]] = {ID: _ID_COLUMN}


def columns_of(kind: str) -> Mapping[str, Column]:
    """Return the fields of a kind of document that have a column."""
    return _COLUMNS.get(kind, _ENTITY_COLUMNS)


def field_of(kind: str, name: object, path: str) -> Field:
    """Read the name of a field. Raises InvalidSearch for what cannot be one; ``path`` is where it stands."""
    if not isinstance(name, str) or not name:
        raise InvalidSearch(path, "the name of a field is a string")
    if name == "*":
        return Field(name, (), below=True)
    plain = name
    below, exact = plain.endswith(".*"), plain.endswith(".raw")
    if below:
        plain = plain[:-2]
    elif exact:
        plain = plain[:-4]
    members = split_path(plain)
    if "" in members or len(members) > MAX_DEPTH or "*" in plain or "\0" in plain:
        raise InvalidSearch(path, f"{name!r} is not the path of a field")
    if kind in MEASURED and members[0] == METRICS:
        raise InvalidSearch(path, f"{name!r} is computed for the answer: it cannot be searched, sorted or grouped by")
    column = None if below else columns_of(kind).get(plain)
    return Field(name, members, column, exact, below)
