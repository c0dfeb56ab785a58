"""Measures what one contestant adds to a request: ``python -m benchmarks.measure CONTESTANT KIND WORKLOAD``.

The application is called in process, bare and wrapped in turns within one run, and the differences are paired: the
added CPU of the request's own thread (``path``) and of all threads, sending included (``cpu``), in microseconds a
request. Needs the standard library and what the contestant needs, so that it runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf

from . import workloads
from .contestants import CONTESTANTS, Contestant
from .contestants.base import KINDS
from .sinkhole import Sinkhole
from .workloads import Run, Workload

PATIENCE, SHORT = 10.0, 0.2
"""Seconds without an event after which the rest is taken as lost: more than any contestant's timer, and than a batch of
megabytes takes; and what a contestant gets of which nothing has ever come."""
LEAST = 3
"""Rounds that are made however long they take."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a contestant adds to a request: medians of paired differences, and their first quartiles, in microseconds.

    On a machine with others at work the quartile is nearer to what the code takes by itself. ``sent`` and ``delivered``
    count events, ``event_bytes`` is what one of them takes before it is compressed.
    """

    bare: float
    path: float
    cpu: float
    path_quartile: float
    cpu_quartile: float
    sent: int = 0
    delivered: int = 0
    event_bytes: float = 0.0
    rounds: int = 0
    load: float = 0.0
    """The machine's load average when it was over."""


def paired(
    bare: Run, wrapped: Run, drain: Callable[[], int | None], rounds: int, count: int, seconds: float = inf
) -> Row:
    """Return the differences of so many rounds of ``count`` requests, or of as many as fit into the seconds.

    ``drain`` returns once what was captured has been sent, with the nanoseconds of CPU that it took to look.
    """
    for run in (bare, wrapped):
        run(count)
    drain()
    path: list[float] = []
    cpu: list[float] = []
    base: list[float] = []
    until = time.monotonic() + seconds
    while len(base) < rounds and (len(base) < LEAST or time.monotonic() < until):
        gc.collect()
        base.append(_cost(bare, time.thread_time_ns, count))
        path.append(_cost(wrapped, time.thread_time_ns, count) - base[-1])
        drain()
        whole = _cost(bare, time.process_time_ns, count)
        cpu.append(_cost(wrapped, time.process_time_ns, count, drain) - whole)
    return Row(
        statistics.median(base), statistics.median(path), statistics.median(cpu), _quartile(path), _quartile(cpu),
        sent=count * (2 * len(base) + 1), rounds=len(base), load=os.getloadavg()[0],
    )  # fmt: skip


def _cost(run: Run, clock: Callable[[], int], count: int, drain: Callable[[], int | None] | None = None) -> float:
    begun = clock()
    run(count)
    looking = drain() or 0 if drain is not None else 0
    return (clock() - begun - looking) / count / 1000


def _quartile(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[0] if len(values) > 1 else values[0]


class Settling:
    """Waits for the events of a contestant to arrive."""

    def __init__(self, contestant: Contestant, sinkhole: Sinkhole) -> None:
        self._contestant, self._sinkhole = contestant, sinkhole
        self.sent = self._lost = 0
        self._patience = PATIENCE

    def counting(self, run: Run) -> Run:
        """Return a driver that counts what it sends."""

        def counted(count: int) -> None:
            self.sent += count
            run(count)

        return counted

    def drain(self) -> int:
        """Flush and wait for the arrival; return the nanoseconds of CPU that the waiting took."""
        self._contestant.flush()
        begun = time.thread_time_ns()
        expected = self.sent - self._lost
        self._lost += expected - self._sinkhole.wait_for(expected, self._patience)
        self._patience = PATIENCE if self._sinkhole.events else SHORT
        return time.thread_time_ns() - begun


def runs(kind: str, load: Workload, contestant: Contestant, concurrent: int = 1) -> tuple[Run, Run]:
    """Return the drivers of the bare and of the wrapped application."""
    if kind == "ASGI":
        app = workloads.asgi_app(load)
        bare = workloads.asgi_run(contestant.host(app), load, concurrent)
        wrapped = workloads.asgi_run(contestant.wrap(contestant.host(app)), load, concurrent)
    elif kind == "WSGI":
        app = workloads.wsgi_app(load)
        bare = workloads.wsgi_run(contestant.host(app), load)
        wrapped = workloads.wsgi_run(contestant.wrap(contestant.host(app)), load)
    else:
        bare = workloads.wsgi_run(workloads.django_app(load, (), contestant.settings), load)
        watched = workloads.django_app(load, contestant.middleware(), contestant.settings)
        wrapped = workloads.wsgi_run(watched, load)

    def aside(count: int) -> None:
        with contestant.aside():
            bare(count)

    return aside, wrapped


def measure(name: str, kind: str, load: Workload, rounds: int, seconds: float) -> Row:
    """Measure a contestant here and now."""
    with Sinkhole() as sinkhole:
        contestant = CONTESTANTS[name](kind, sinkhole.url, eager=True)
        settling = Settling(contestant, sinkhole)
        try:
            bare, wrapped = runs(kind, load, contestant)
            count = max(20, min(200, 3_000_000 // (len(load.body) + sum(map(len, load.chunks)) + 5_000)))
            row = paired(bare, settling.counting(wrapped), settling.drain, rounds, count, seconds)
            found = {"delivered": sinkhole.events, "event_bytes": sinkhole.size / max(sinkhole.events, 1)}
            return Row(**{**asdict(row), "sent": settling.sent, **found})
        finally:
            contestant.close()


def main() -> None:
    """Measure and print the row as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("workload", choices=workloads.WORKLOADS)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--seconds", type=float, default=inf, help="after which no round is begun")
    arguments = parser.parse_args()
    load = workloads.workload(arguments.workload)
    row = measure(arguments.contestant, arguments.kind, load, arguments.rounds, arguments.seconds)
    print(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
