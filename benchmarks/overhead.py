"""What the middleware costs a request, and whether that is what it set out to: ``python -m benchmarks.overhead``.

That measures this package and the floor with the Python at hand, to work on it; ``python -m benchmarks run`` measures
everybody. Each row comes from a process of its own (see ``measure``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from .contestants import Bare, Contestant, Floor, Ours
from .contestants.base import KINDS
from .plan import QUICK, Figures, Length, Measure, Subject, elsewhere
from .workloads import WORKLOADS

GOALS = {
    ("ASGI", "a"): (20, 50), ("ASGI", "b"): (25, 90), ("ASGI", "c"): (20, 700), ("ASGI", "d"): (40, 800),
    ("WSGI", "a"): (22, 55), ("WSGI", "b"): (28, 95), ("WSGI", "c"): (22, 700), ("Django", "a"): (35, 70),
}  # fmt: skip
"""Added microseconds on the request's thread, and of all threads, that moesif-middleware aims at."""


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return the four workloads for each kind; to the bare application nothing is added."""
    if contestant is Bare:
        return []
    return [(kind, letter) for kind in contestant.kinds for letter in WORKLOADS]


def run(subject: Subject, length: Length) -> Figures:
    """Measure one workload in a process of its own."""
    arguments = (
        subject.contestant.name,
        subject.kind,
        subject.case,
        "--rounds",
        length.rounds,
        "--seconds",
        length.cell,
    )
    return elsewhere(subject.python, "benchmarks.measure", *arguments)


MEASURE = Measure("overhead", cases, run)


def line(kind: str, case: str, name: str, row: Figures) -> str:
    """Return a row of the table."""
    goal = GOALS.get((kind, case))
    aims = f"{goal[0]} / {goal[1]}" if goal else ""
    quartiles = f"{row['path_quartile']:.0f} / {row['cpu_quartile']:.0f}"
    return (
        f"| {kind} {case} | {name} | {row['bare']:.0f} | {row['path']:.1f} / {row['cpu']:.0f} | {quartiles} | {aims} "
        f"| {row['delivered']} of {row['sent']} | {row['load']:.1f} |"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--only", default="", help="measure what has this in its name, such as 'ASGI a'")
    arguments = parser.parse_args()
    length = QUICK if arguments.quick else Length()
    print("| us a request | contestant | bare | path / cpu | first quartile | goal | delivered | load |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for letter in WORKLOADS:
            for contestant in (Ours, Floor):
                if arguments.only in f"{kind} {letter} {contestant.name}":
                    row = run(Subject(contestant, kind, letter), length)
                    print(line(kind, letter, contestant.name, row), flush=True)


if __name__ == "__main__":
    main()
