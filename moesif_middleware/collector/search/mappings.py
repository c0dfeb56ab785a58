"""Property mappings: which fields documents have, of which types, and on request which values they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from .times import iso_millis

MOST_VALUES: Final = 20
"""Values that are listed of one field, the most frequent first."""

LONGEST_VALUE: Final = 100
"""Characters of a value that is listed; longer ones are content, not names to choose from."""


class _Property:
    """What was seen of one field."""

    __slots__ = ("members", "types", "values")

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.values: Counter[Any] = Counter()
        self.members: dict[str, _Property] = {}

    def see(self, value: Any) -> None:
        """Take in one value of the field; the elements of an array are its values."""
        if isinstance(value, list):
            for element in value:
                self.see(element)
        elif isinstance(value, dict):
            self.see_members(value)
        elif value is not None:
            self.types[_type_of(value)] += 1
            if not isinstance(value, str) or len(value) <= LONGEST_VALUE:
                self.values[value] += 1

    def see_members(self, document: dict[str, Any]) -> None:
        """Take in the members of an object."""
        for name, value in document.items():
            self.members.setdefault(name, _Property()).see(value)

    def mapping(self, *, include_values: bool) -> dict[str, Any]:
        """Return it as Elasticsearch writes a mapping, with ``values`` beside the type on request."""
        found: dict[str, Any] = {}
        if self.members:
            found["properties"] = {
                name: member.mapping(include_values=include_values)
                for name, member in sorted(self.members.items())
                if member.types or member.members
            }
        if self.types:
            found["type"] = _widest(self.types)
            if include_values:
                found["values"] = [
                    {"value": value, "count": count} for value, count in self.values.most_common(MOST_VALUES)
                ]
        return found


def property_mapping(
    documents: Iterable[dict[str, Any]], path: tuple[str, ...] = (), *, include_values: bool = False
) -> dict[str, Any]:
    """Return the mapping of the documents, or of what stands at ``path`` in them: ``{"properties": {...}}``."""
    root = _Property()
    for document in documents:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        root.see(value)
    return {"properties": {}, **root.mapping(include_values=include_values)}


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "keyword" if iso_millis(value) is None else "date"
    return "long" if isinstance(value, int) else "double"


def _widest(types: Counter[str]) -> str:
    """Return the one type that holds all that was seen."""
    if len(types) == 1:
        return next(iter(types))
    return "double" if set(types) == {"long", "double"} else "keyword"
