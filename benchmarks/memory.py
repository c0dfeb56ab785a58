"""Memory and lost events over many requests at a steady rate: the collector up, down or hanging.

``python -m benchmarks.memory CONTESTANT KIND STATE`` prints the figures as JSON. The application is called in process,
with the settings that the contestant comes with.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from array import array
from collections.abc import Iterable
from pathlib import Path

from .contestants import CONTESTANTS, Bare, Contestant
from .contestants.base import KINDS
from .measure import runs
from .plan import Figures, Length, Measure, Subject, elsewhere
from .sinkhole import SENDING, STATES, Sinkhole
from .workloads import Run, workload

RATE = 1_500
"""Requests a second."""
TICK = 0.005
"""Seconds between two bursts of requests."""
WARMING = 300
"""Requests before the memory is looked at for the first time."""
STARTING, ENDING = 60.0, 10.0
"""Seconds that a contestant has to start on top of the load, and to deliver the rest when it ends."""
LOAD = "b"


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return the three states of the collector, for the first kind of a contestant; a bare application has one."""
    states = STATES[:1] if contestant is Bare else STATES
    return [(contestant.kinds[0], state) for state in states]


def run(subject: Subject, length: Length) -> Figures:
    """Measure one state in a process of its own."""
    arguments = (subject.contestant.name, subject.kind, subject.case, "--requests", length.requests)
    # On a busy machine the load falls behind its rate.
    seconds = 3 * length.requests / RATE + STARTING + SENDING + ENDING
    return elsewhere(subject.python, "benchmarks.memory", *arguments, seconds=seconds)


MEASURE = Measure("memory", cases, run)


def memory(name: str, kind: str, state: str, requests: int) -> Figures:
    """Send so many requests and return how far memory grew in bytes, the latencies in microseconds, and the events."""
    load = workload(LOAD)
    with Sinkhole(state) as sinkhole:
        contestant = CONTESTANTS[name](kind, sinkhole.url)
        _, wrapped = runs(kind, load, contestant)
        # Made before, so that the memory is the contestant's.
        latencies = array("d", bytes(8 * requests))
        wrapped(WARMING)
        gc.collect()
        forget_peak()
        before = peak()
        paced(wrapped, latencies)
        grown = peak() - before
        at_once = sinkhole.events
        if state == "up" and name != Bare.name:
            sinkhole.wait_for(WARMING + requests, SENDING, SENDING)
        ending = threading.Thread(target=contestant.close, daemon=True)
        ending.start()
        ending.join(ENDING)
        ordered = sorted(latencies)
        return {
            "grown": grown, "sent": WARMING + requests, "delivered": sinkhole.wait_for(WARMING + requests, 0.5),
            "delivered_at_once": at_once, "p50": ordered[requests // 2], "p99": ordered[requests * 99 // 100],
            "load": os.getloadavg()[0],
        }  # fmt: skip


def paced(run: Run, latencies: array[float]) -> None:
    """Send as many requests as there is room for latencies, at the rate and each on its own; microseconds go there."""
    requests = len(latencies)
    done = 0
    start = time.perf_counter()
    while done < requests:
        due = min(int((time.perf_counter() - start) * RATE), requests)
        while done < due:
            begun = time.perf_counter_ns()
            run(1)
            latencies[done] = (time.perf_counter_ns() - begun) / 1000
            done += 1
        time.sleep(TICK)


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak(pid: int | str = "self") -> int:
    """Return the most memory that a process has had resident, in bytes (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("state", choices=STATES)
    parser.add_argument("--requests", type=int, default=Length().requests)
    arguments = parser.parse_args()
    figures = memory(arguments.contestant, arguments.kind, arguments.state, arguments.requests)
    print(json.dumps(figures), flush=True)
    sys.stdout.flush()
    # A contestant that waits for a collector that hangs would not let the process end.
    os._exit(0)


if __name__ == "__main__":
    main()
