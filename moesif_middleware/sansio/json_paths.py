"""Paths in JSON documents: ``$.a.b[*].c``, ``$..name``, ``$.items[0]['odd name']``.

A compiled set of paths is walked together with the document: the state of a node says which steps its children may
take.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import ConfigurationError

State = tuple[tuple[int, int], ...]
"""Pairs of path and step that the children of a node may take."""

_STEP = r"""(?P<deep>\.\.)?(?:
    (?P<dot>\.)?(?P<name>[^\s.\[\]'"*$]+) | (?P<dot_any>\.)?\*
    | \[(?:(?P<any>\*) | (?P<index>\d{1,9}) | '(?P<single>[^']*)' | "(?P<double>[^"]*)")\])"""
_SHAPES = "$.a.b, $.a[*].b, $.a[0], $..name, $.*, $['odd name']"


class _Step(NamedTuple):
    key: str | int | None
    """The name or the index; None takes any."""
    deep: bool

    def takes(self, key: str | int) -> bool:
        return self.key is None or self.key == key


class JsonPaths:
    """Compiled paths. Raises ConfigurationError, which names the path and the place, for one that cannot be read."""

    __slots__ = ("_paths", "start")

    def __init__(self, paths: Iterable[str], setting: str = "body_paths") -> None:
        self._paths = tuple(_parse(path, setting) for path in paths)
        self.start: State = tuple((number, 0) for number in range(len(self._paths)))
        """The state of the document itself."""

    def enter(self, state: State, key: str | int) -> tuple[bool, State]:
        """Return whether a path ends at a child, and the child's state."""
        following: list[tuple[int, int]] = []
        for number, place in state:
            steps = self._paths[number]
            step = steps[place]
            if step.takes(key):
                if place + 1 == len(steps):
                    return True, ()
                following.append((number, place + 1))
            if step.deep:
                following.append((number, place))
        return False, tuple(dict.fromkeys(following))


def _parse(path: str, setting: str) -> tuple[_Step, ...]:
    place = 1 if path.startswith("$") else 0
    step = re.compile(_STEP, re.VERBOSE)  # here, since most applications have no such path
    steps: list[_Step] = []
    while place < len(path):
        match = step.match(path, place)
        if match is None or not _joined(match, first=not steps and place == 0):
            raise ConfigurationError(
                setting, f"{path!r} cannot be read from {path[place:]!r} on; a path looks like {_SHAPES}"
            )
        steps.append(_Step(_key(match), match["deep"] is not None))
        place = match.end()
    if not steps:
        raise ConfigurationError(setting, f"{path!r} names nothing below the document; a path looks like {_SHAPES}")
    return tuple(steps)


def _joined(match: re.Match[str], *, first: bool) -> bool:
    """Return whether a bare step has its dot. The first of a path without ``$`` needs none, nor one behind ``..``."""
    bracket = match[0].removeprefix("..").startswith("[")
    dots = sum(1 for name in ("deep", "dot", "dot_any") if match[name])
    return dots <= 1 if bracket or first else dots == 1


def _key(match: re.Match[str]) -> str | int | None:
    if match["index"] is not None:
        return int(match["index"])
    for name in ("name", "single", "double"):
        if match[name] is not None:
            return match[name]
    return None
