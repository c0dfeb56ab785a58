"""Measures one contestant: ``python -m benchmarks.measure CONTESTANT KIND WORKLOAD``, or ``elsewhere`` from Python.

The application is called in process, bare and wrapped in turns within one run, and the differences are paired: the
added CPU of the request's own thread (``path``) and of all threads, sending included (``cpu``), in microseconds a
request. Needs the standard library and what the contestant needs, so that it runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import workloads
from .sinkhole import Sinkhole
from .workloads import Run, Workload

ROOT = Path(__file__).parent.parent
KINDS = ("ASGI", "WSGI", "Django")


@dataclass(frozen=True, slots=True)
class Row:
    """What a contestant adds to a request: medians of paired differences, and their first quartiles, in microseconds.

    On a machine with others at work the quartile is nearer to what the code takes by itself. ``sent`` and ``delivered``
    count events.
    """

    bare: float
    path: float
    cpu: float
    path_quartile: float
    cpu_quartile: float
    sent: int = 0
    delivered: int = 0
    load: float = 0.0
    """The machine's load average when it was over."""


def paired(bare: Run, wrapped: Run, drain: Callable[[], Any], rounds: int, count: int) -> Row:
    """Return the differences of so many rounds of ``count`` requests."""
    for run in (bare, wrapped):
        run(count)
    drain()
    path: list[float] = []
    cpu: list[float] = []
    base: list[float] = []
    for _ in range(rounds):
        gc.collect()
        base.append(_cost(bare, time.thread_time_ns, count))
        path.append(_cost(wrapped, time.thread_time_ns, count) - base[-1])
        drain()
        whole = _cost(bare, time.process_time_ns, count)
        cpu.append(_cost(wrapped, time.process_time_ns, count, drain) - whole)
    return Row(
        statistics.median(base), statistics.median(path), statistics.median(cpu), _quartile(path), _quartile(cpu),
        sent=count * (2 * rounds + 1), load=os.getloadavg()[0],
    )  # fmt: skip


def _cost(run: Run, clock: Callable[[], int], count: int, drain: Callable[[], Any] | None = None) -> float:
    begun = clock()
    run(count)
    if drain is not None:
        drain()
    return (clock() - begun) / count / 1000


def _quartile(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[0] if len(values) > 1 else values[0]


def runs(kind: str, load: Workload, contestant: Any, concurrent: int = 1) -> tuple[Run, Run]:
    """Return the drivers of the bare and of the wrapped application."""
    if kind == "ASGI":
        app = workloads.asgi_app(load)
        wrapped = contestant.wrap(app)
        return workloads.asgi_run(app, load, concurrent), workloads.asgi_run(wrapped, load, concurrent)
    if kind == "WSGI":
        app = workloads.wsgi_app(load)
        return workloads.wsgi_run(app, load), workloads.wsgi_run(contestant.wrap(app), load)
    bare = workloads.django_app(load)
    watched = workloads.django_app(load, contestant.middleware, contestant.settings)
    return workloads.wsgi_run(bare, load), workloads.wsgi_run(watched, load)


def measure(name: str, kind: str, load: Workload, rounds: int) -> Row:
    """Measure a contestant, named ``module:class``, here and now."""
    module, _, attribute = name.partition(":")
    with Sinkhole() as sinkhole:
        contestant = getattr(importlib.import_module(module), attribute)(kind, sinkhole.url)
        try:
            bare, wrapped = runs(kind, load, contestant)
            count = max(20, min(200, 3_000_000 // (len(load.body) + sum(map(len, load.chunks)) + 5_000)))
            row = paired(bare, wrapped, contestant.drain, rounds, count)
            return Row(**{**asdict(row), "delivered": sinkhole.events})
        finally:
            contestant.close()


def elsewhere(name: str, kind: str, letter: str, rounds: int = 31, python: str = sys.executable) -> Row:
    """Measure a contestant in a process of its own, with the Python of its environment."""
    command = [python, "-m", "benchmarks.measure", name, kind, letter, "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Row(**json.loads(done.stdout))


def main() -> None:
    """Measure and print the row as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contestant", help="module:class, such as benchmarks.contestants:Ours")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("workload", choices=[load.name for load in workloads.workloads()])
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    load = next(load for load in workloads.workloads() if load.name == arguments.workload)
    print(json.dumps(asdict(measure(arguments.contestant, arguments.kind, load, arguments.rounds))))


if __name__ == "__main__":
    main()
