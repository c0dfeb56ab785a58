"""A walk over a JSON value that makes a masked copy, without recursion: no depth is too deep for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
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
_CONTAINERS = frozenset((dict, list))
_NUMBERS = frozenset((int, float))
# Texts that are looked at in one search.
_TOGETHER = 256
# Of so few, each gets its own.
_FEW = 4


def pair_rule(source: dict[str, Any], key_rule: Callable[[str], str | None]) -> str | None:
    """Return the rule for the value of an object such as ``{"name": "password", "value": "x"}``."""
    for key in PAIR_NAMES:
        name = source.get(key)
        # With a space in it, it is more often a title than a name.
        if type(name) is str and len(name) <= _LONGEST_NAME and " " not in name and (rule := key_rule(name)):
            return rule
    if "op" in source and type(where := source.get("path")) is str:
        # A JSON patch (RFC 6902) names what it changes by a path.
        return key_rule(where.rpartition("/")[2])
    return None


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
        paired = None if PAIR_VALUES.isdisjoint(source) else pair_rule(source, key_rule)
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


class QuickWalk:
    """The same walk in less than half the time, where there are no body paths and nobody wants a report.

    Containers are copied as a whole and then changed where they have to be. Objects with the same names are judged by
    their names once. Texts are put together for ``finds``, which tells whether ``leaf`` may change one of them.
    """

    __slots__ = ("_finds", "_key_rule", "_leaf", "_markers", "_places", "_shapes", "_texts", "_todo")

    def __init__(
        self,
        key_rule: Callable[[str], str | None],
        leaf: Leaf | None,
        finds: Callable[[str], bool],
        markers: frozenset[str],
    ) -> None:
        self._key_rule = key_rule
        self._leaf = leaf
        self._finds = finds
        self._markers = markers
        self._shapes: dict[tuple[str, ...], tuple[dict[str, str], bool] | None] = {}
        self._todo: list[tuple[Any, Any]] = []
        self._places: list[tuple[Any, Any]] = []
        self._texts: list[str] = []

    def run(self, value: Any) -> Any:
        """Return the masked copy of a value."""
        holder = [value]
        self._put(holder, 0, value)
        while self._todo:
            source, target = self._todo.pop()
            if type(source) is dict:
                self._members(source, target)
            else:
                self._each(target, enumerate(source), source)
            if len(self._texts) >= _TOGETHER:
                self._settle()
        self._settle()
        return holder[0]

    def _put(self, target: Any, key: Any, value: Any) -> None:
        """Mask what stands in a copy as it was; of a container make a copy that a later step changes."""
        kind = type(value)
        if kind in _CONTAINERS:
            target[key] = copy = value.copy()
            if kind is dict or self._leaf is not None or not _CONTAINERS.isdisjoint(map(type, value)):
                self._todo.append((value, copy))
        elif self._leaf is None:
            return
        elif kind is str:
            self._places.append((target, key))
            self._texts.append(value)
        elif kind in _NUMBERS or kind not in _LEAVES:
            target[key] = self._leaf(value, None, "")

    def _each(self, target: Any, members: Iterable[tuple[Any, Any]], values: Collection[Any]) -> None:
        if self._leaf is None:
            if not _CONTAINERS.isdisjoint(map(type, values)):
                for key, value in members:
                    if type(value) in _CONTAINERS:
                        self._put(target, key, value)
            return
        # Most of what needs a look are texts.
        places, texts = self._places, self._texts
        for key, value in members:
            if type(value) is str:
                places.append((target, key))
                texts.append(value)
            else:
                self._put(target, key, value)

    def _members(self, source: dict[str, Any], target: dict[str, Any]) -> None:
        shape = tuple(source)
        if shape not in self._shapes:
            self._shapes[shape] = self._judged(shape)
        judged = self._shapes[shape]
        if judged is None:
            # A name is masked by its value: the copy has other names.
            target.clear()
            target.update(Walk(self._key_rule, self._leaf, JsonPaths(()), self._markers).run(source, ""))
            return
        rules, may_be_pair = judged
        if may_be_pair and (paired := pair_rule(source, self._key_rule)) is not None:
            rules = {**dict.fromkeys(PAIR_VALUES & source.keys(), paired), **rules}
        if not rules:
            self._each(target, source.items(), source.values())
            return
        for name, value in source.items():
            if name not in rules:
                self._put(target, name, value)
            elif type(value) is not str or value not in self._markers:
                target[name] = marker(rules[name])

    def _judged(self, shape: tuple[str, ...]) -> tuple[dict[str, str], bool] | None:
        """Return the rules for names that stand together, and whether they may be a name and a value.

        None when one of the names has to be masked.
        """
        leaf = self._leaf
        if leaf is not None and self._finds("\n".join(shape)) and any(leaf(name, None, "") != name for name in shape):
            return None
        rules = {name: rule for name in shape if (rule := self._key_rule(name)) is not None}
        return rules, not PAIR_VALUES.isdisjoint(shape)

    def _settle(self) -> None:
        """Mask the texts that are waiting."""
        places, texts = self._places, self._texts
        self._places, self._texts = [], []
        halves = [(0, len(texts))]
        while halves:
            start, stop = halves.pop()
            if start == stop or not self._finds("\n".join(texts[start:stop])):
                continue
            if stop - start > _FEW:
                middle = (start + stop) // 2
                halves += ((start, middle), (middle, stop))
                continue
            for (target, key), text in zip(places[start:stop], texts[start:stop], strict=True):
                target[key] = self._leaf(text, None, "") if self._leaf is not None else text
