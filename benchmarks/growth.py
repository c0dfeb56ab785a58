"""What a request costs as work grows: five axes, on which the cost of this package should be flat or in proportion.

The response from 200 bytes to 10 MB, 1 to 1 000 headers, no rule to 1 000, no entity to 100 000, one request at a time
to 1 000. ``growing`` measures a point in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .contestants import Contestant, Ours
from .plan import Figures, Length, Measure, Subject, elsewhere


@dataclass(frozen=True, slots=True)
class Axis:
    """What grows, in words, and the values at which it is measured."""

    across: str
    values: tuple[int, ...]


AXES = {
    "size": Axis("bytes of the response", (200, 2_000, 20_000, 100_000, 1_000_000, 10_000_000)),
    "headers": Axis("headers of the request", (1, 10, 100, 1_000)),
    "rules": Axis("rules (left: none)", (0, 1, 10, 100, 1_000)),
    "entities": Axis("users in the config (left: none)", (0, 10, 1_000, 100_000)),
    "concurrency": Axis("requests at a time", (1, 10, 100, 1_000)),
}


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:
    """Return a case for each point, such as ``size 200``, for this package."""
    if contestant is not Ours:
        return []
    return [
        ("ASGI", f"{name} {value}")
        for name, axis in AXES.items()
        for value in (axis.values[:3] if length.quick else axis.values)
    ]


def run(subject: Subject, length: Length) -> Figures:
    """Measure one point."""
    name, value = subject.case.split()
    return elsewhere(subject.python, "benchmarks.growing", name, value, "--rounds", max(length.rounds // 2, 2))


MEASURE = Measure("growth", cases, run)
