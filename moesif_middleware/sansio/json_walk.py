"""A walk over a JSON value that makes a masked copy, without recursion: no depth is too deep for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .json_paths import JsonPaths, State
from .markers import Report, marker, note

Leaf = Callable[[Any, Report | None, str], Any]
PAIR_NAMES = (
    "name",
    "key",
    "field",
    "header",
    "parameter",
    "param",
    "property",
    "attribute",
    "variable",
    "Name",
    "Key",
)
"""What the name stands under in objects that have a name and a value."""
PAIR_VALUES = frozenset(("value", "values", "Value", "Values"))
"""What the value stands under in such objects."""
_LONGEST_NAME = 64
_LEAVES = frozenset((str, int, float, bool, type(None)))


class Walk:
    """One walk. What it is given decides what it looks at.

    ``key_rule`` returns the rule for a name; ``leaf`` masks a scalar by its value and is None when names are enough;
    ``paths`` are the body paths, which ``state`` says where to begin; ``markers`` are what an earlier walk left.
    """

    __slots__ = ("_key_rule", "_leaf", "_markers", "_paths", "_report", "_todo")

    def __init__(
        self,
        key_rule: Callable[[str], str | None],
        leaf: Leaf | None,
        paths: JsonPaths,
        markers: frozenset[str],
        report: Report | None = None,
    ) -> None:
        self._key_rule = key_rule
        self._leaf = leaf
        self._paths = paths
        self._markers = markers
        self._report = report
        self._todo: list[tuple[Any, Any, str, State]] = []

    def run(self, value: Any, path: str, state: State = ()) -> Any:
        """Return the masked copy of a value that stands at ``path``."""
        copy = self._copy(value, path, state)
        while self._todo:
            source, target, path, state = self._todo.pop()
            if type(source) is dict:
                self._members(source, target, path, state)
            else:
                self._items(source, target, path, state)
        return copy

    def _copy(self, value: Any, path: str, state: State) -> Any:
        """Return a leaf masked; for a container, an empty one that a later step fills."""
        kind = type(value)
        if kind is dict or kind is list:
            target: Any = {} if kind is dict else []
            self._todo.append((value, target, path, state))
            return target
        return value if self._leaf is None else self._leaf(value, self._report, path)

    def _members(self, source: dict[str, Any], target: dict[str, Any], path: str, state: State) -> None:
        key_rule, leaf, report = self._key_rule, self._leaf, self._report
        paired = None if PAIR_VALUES.isdisjoint(source) else self._pair_rule(source)
        for name, value in source.items():
            rule, inner = key_rule(name), state
            if paired is not None and name in PAIR_VALUES:
                rule = rule or paired
            if state:
                rule, inner = self._path_rule(name, rule, state)
            where = path if report is None else f"{path}.{name}"
            if rule is not None:
                # What an earlier pass masked keeps its marker.
                copy: Any = value if type(value) is str and value in self._markers else marker(rule)
                note(report, where, rule)
            elif leaf is None and type(value) in _LEAVES:
                copy = value
            else:
                copy = self._copy(value, where, inner)
            target[name if leaf is None else leaf(name, report, where)] = copy

    def _pair_rule(self, source: dict[str, Any]) -> str | None:
        """Return the rule for the value of an object such as ``{"name": "password", "value": "x"}``."""
        for key in PAIR_NAMES:
            name = source.get(key)
            # With a space in it, it is more often a title than a name.
            if type(name) is str and len(name) <= _LONGEST_NAME and " " not in name and (rule := self._key_rule(name)):
                return rule
        if "op" in source and type(where := source.get("path")) is str:
            # A JSON patch (RFC 6902) names what it changes by a path.
            return self._key_rule(where.rpartition("/")[2])
        return None

    def _items(self, source: list[Any], target: list[Any], path: str, state: State) -> None:
        report = self._report
        for index, value in enumerate(source):
            rule, inner = None, state
            if state:
                rule, inner = self._path_rule(index, None, state)
            where = path if report is None else f"{path}[{index}]"
            if rule is not None:
                target.append(marker(rule))
                note(report, where, rule)
            else:
                target.append(self._copy(value, where, inner))

    def _path_rule(self, key: str | int, rule: str | None, state: State) -> tuple[str | None, State]:
        ends, inner = self._paths.enter(state, key)
        return rule or ("body_path" if ends else None), inner
