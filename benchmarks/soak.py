"""Minutes of load while the collector misbehaves and workers are killed: ``python -m benchmarks.soak [--seconds 300]``.

gunicorn serves an application with the middleware and a spool at ``--rate`` requests a second. The collector is well,
refuses, is well, hangs, and so on with 500, 429, 413 and resets, in turn; every 20 s a worker is killed with SIGKILL.
At the end the workers end in order, and ``moesif-middleware replay`` sends what is left in the spool. Then each request
that was answered is looked for in the collector's store, and what is not there in the ledgers. The same load and kills
with a healthy collector come first, to compare the latency. The exit status is 1 when an event is not accounted for, or
a bound of memory or disk is broken; latencies on a busy machine say little, and are printed only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import orjson

from examples.processes import free_port, wait_until_open

from .soaking.collector import APP
from .soaking.load import Load, Outcome

MODES = ("refuse", "hang", "500", "429", "413", "reset")
KILL_SECONDS = 20.0
START_SECONDS = 5.0
SPOOL_BYTES = 67_108_864
QUEUE_BYTES = 33_554_432
MEBIBYTE = 1_048_576
_NUMBER = re.compile(r"/items/(\d+)")


def main() -> int:
    """Run both parts and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="of load, in each of the two parts")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        healthy = Soak(Path(directory) / "healthy", options)
        before = healthy.run(modes=("well",))
        ill = Soak(Path(directory) / "ill", options)
        outcome = ill.run(modes=tuple(name for mode in MODES for name in ("well", mode)))
        fine = ill.report(outcome)
    modes = {mode: outcome.percentile(0.99, ill.seen.spans(mode)) * 1_000 for mode in ("well", *MODES)}
    print("p99 by mode: " + ", ".join(f"{mode} {value:.1f} ms" for mode, value in modes.items()))
    compare("p50", before.percentile(0.5), outcome.percentile(0.5))
    compare("p99", before.percentile(0.99), outcome.percentile(0.99))
    quiet = before.percentile(0.99, healthy.seen.calm()), outcome.percentile(0.99, ill.seen.calm())
    compare("p99 without the seconds in which a process is started", *quiet)
    return 0 if fine else 1


def compare(name: str, before: float, after: float) -> None:
    """Print a latency with the healthy and with the ill collector."""
    change = after / max(before, 1e-9) - 1
    print(f"{name}: {before * 1_000:.1f} -> {after * 1_000:.1f} ms ({change:+.0%}; wanted: within 10%)")


@dataclass
class Watched:
    """What was seen of the processes and the files meanwhile, in bytes, and who was killed."""

    memory: dict[int, list[int]] = field(default_factory=dict)
    disk: int = 0
    killed: set[int] = field(default_factory=set)
    phases: list[tuple[str, float]] = field(default_factory=list)
    """Each mode of the collector and when it began, on the performance counter."""
    started: list[float] = field(default_factory=list)
    """When a process was started, which takes a core for a while: a worker after a kill, or the collector."""

    def calm(self) -> list[tuple[float, float]]:
        """Return the spans in which nothing was being started."""
        edges = [0.0, *(moment + START_SECONDS for moment in self.started)]
        return list(zip(edges, [*self.started, inf], strict=True))

    def spans(self, mode: str) -> list[tuple[float, float]]:
        """Return when the collector was in a mode."""
        ends = [start for _, start in self.phases[1:]] + [inf]
        return [(start, end) for (name, start), end in zip(self.phases, ends, strict=True) if name == mode]


class Soak:
    """One part: a collector, a server and a load."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        directory.mkdir()
        self._directory, self._options = directory, options
        self._store, self._spool = directory / "store.db", directory / "spool"
        self._collector_port, self._port = free_port(), free_port()
        self._collector: subprocess.Popen[bytes] | None = None
        self.seen = Watched()

    def run(self, modes: tuple[str, ...]) -> Outcome:
        """Apply the load while the collector goes through ``modes``; return what the clients saw."""
        options = self._options
        server = self._serve()
        try:
            self._set("well")
            load = Load(self._port, options.rate, 1)
            asyncio.run(self._all(load, modes))
            self._set("well")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        self._replay()
        if self._collector is not None:
            stop(self._collector)
        return load.outcome

    async def _all(self, load: Load, modes: tuple[str, ...]) -> None:
        others = [asyncio.create_task(self._torment(load, modes)), asyncio.create_task(self._watch())]
        try:
            await load.run(self._options.seconds)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _torment(self, load: Load, modes: tuple[str, ...]) -> None:
        """Change the collector's mode, and kill a worker now and then."""
        phase = max(self._options.seconds / 30, 1.5)
        start = time.monotonic()
        turn, next_kill = 0, min(KILL_SECONDS, self._options.seconds / 4)
        every = next_kill
        while True:
            if time.monotonic() - start >= turn * phase:
                await asyncio.to_thread(self._set, modes[turn % len(modes)])
                self.seen.phases.append((modes[turn % len(modes)], time.perf_counter()))
                turn += 1
            if time.monotonic() - start >= next_kill:
                self._kill(load.outcome)
                next_kill += every
            await asyncio.sleep(0.1)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            for worker in self._workers():
                self.seen.memory.setdefault(worker, []).append(resident(worker))
            self.seen.disk = max(self.seen.disk, sum(size(path) for path in self._directory.glob("spool*")))

    def _kill(self, outcome: Outcome) -> None:
        recent = [pid for pid in list(outcome.answered.values())[-200:] if pid not in self.seen.killed]
        if recent:
            victim = random.choice(recent)
            self.seen.killed.add(victim)
            self.seen.started.append(time.perf_counter())
            os.kill(victim, signal.SIGKILL)

    def _workers(self) -> list[int]:
        return [int(path.name.partition("-")[2]) for path in self._directory.glob("trace-*") if alive(path)]

    # Processes

    def _serve(self) -> subprocess.Popen[bytes]:
        environ = {
            "MOESIF_APPLICATION_ID": APP, "MOESIF_BASE_URI": f"http://127.0.0.1:{self._collector_port}",
            "MOESIF_SPOOL_PATH": str(self._spool), "MOESIF_SPOOL_BYTES": str(SPOOL_BYTES),
            "MOESIF_QUEUE_BYTES": str(QUEUE_BYTES), "SOAK_DIRECTORY": str(self._directory),
        }  # fmt: skip
        command = ["-m", "gunicorn", "benchmarks.soaking.application:wrapped()", "--bind", f"127.0.0.1:{self._port}"]
        quiet = ["--threads", "4", "--log-level", "critical", "--no-control-socket", "--keep-alive", "60"]
        server = subprocess.Popen(
            [sys.executable, *command, "--workers", str(self._options.workers), *quiet], env={**os.environ, **environ}
        )
        wait_until_open(self._port)
        return server

    def _set(self, mode: str) -> None:
        """Put the collector into a mode: ``refuse`` ends it, any other one starts it if need be."""
        if mode == "refuse":
            if self._collector is not None:
                stop(self._collector, signal.SIGKILL)
            self._collector = None
            return
        if self._collector is None:
            self.seen.started.append(time.perf_counter())
            command = ["-m", "benchmarks.soaking.collector", str(self._collector_port), str(self._store)]
            self._collector = subprocess.Popen([sys.executable, *command])
            wait_until_open(self._collector_port)
        request = urllib.request.Request(f"http://127.0.0.1:{self._collector_port}/soak/{mode}", method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def _replay(self) -> None:
        """Send what the workers left in the spool: leases of the killed ones end after a minute."""
        url = f"http://127.0.0.1:{self._collector_port}"
        command = ["-m", "moesif_middleware", "replay", str(self._spool), "--url", url, "--app-id", APP, "--quiet"]
        subprocess.run([sys.executable, *command], check=False)

    # Afterwards

    def report(self, outcome: Outcome) -> bool:
        """Print what became of every event, and of memory and disk; return whether all is as it should be."""
        found = account(self._directory, self._store, outcome, self.seen.killed)
        answered, unanswered, killed = len(outcome.answered), outcome.unanswered, len(self.seen.killed)
        print(f"{answered:,} requests answered, {unanswered} not; {killed} workers killed")
        print(f"{found.stored:,} events stored, {found.repeated} of them more than once")
        print(f"{found.reached:,} of the answered reached spool or collector: {found.lost} of them are not stored")
        print(f"{found.in_memory} were in the memory of a worker that was killed, and had not reached either")
        print(f"{found.missing} of a worker that lived are not stored; its ledgers have {found.dropped or 'no drops'}")
        print(f"ledgers of {found.ledgers} workers: {found.unbalanced} out of balance")
        grown = max((max(sizes) - sizes[0] for sizes in self.seen.memory.values()), default=0)
        print(f"memory grew by {grown / MEBIBYTE:.1f} MiB at most (bound of the queue: {QUEUE_BYTES / MEBIBYTE:.0f})")
        print(f"the spool took {self.seen.disk / MEBIBYTE:.1f} MiB at most (bound: {SPOOL_BYTES / MEBIBYTE:.0f})")
        bounds = grown <= QUEUE_BYTES + 16 * MEBIBYTE and self.seen.disk <= SPOOL_BYTES
        return found.fine and bounds


@dataclass
class Account:
    """What became of the events of requests that were answered."""

    stored: int
    repeated: int
    reached: int
    lost: int
    in_memory: int
    missing: int
    dropped: Counter[str]
    ledgers: int
    unbalanced: int

    @property
    def fine(self) -> bool:
        """Return whether nothing was lost in silence, nor stored twice."""
        told = sum(self.dropped.values())
        return not (self.repeated or self.unbalanced) and self.lost + self.missing <= told


def account(directory: Path, store: Path, outcome: Outcome, killed: set[int]) -> Account:
    """Compare what was answered, what left a trace, what is stored, and what the ledgers say."""
    stored = stored_numbers(store)
    reached = {
        int(line[1:]) for path in directory.glob("trace-*") for line in path.read_text().split("\n") if line[1:]
    } & outcome.answered.keys()
    absent = outcome.answered.keys() - stored.keys()
    ledgers = [orjson.loads(path.read_bytes()) for path in directory.glob("ledger-*.json")]
    dropped: Counter[str] = Counter()
    for ledger in ledgers:
        dropped.update(ledger["dropped"])
    rest = absent - reached
    return Account(
        stored=len(stored),
        repeated=sum(count > 1 for count in stored.values()),
        reached=len(reached),
        lost=len(absent & reached),
        in_memory=sum(outcome.answered[number] in killed for number in rest),
        missing=sum(outcome.answered[number] not in killed for number in rest),
        dropped=dropped,
        ledgers=len(ledgers),
        unbalanced=sum(balance(ledger) != 0 for ledger in ledgers),
    )


def balance(ledger: dict[str, object]) -> int:
    """Return captured minus everything that became of it."""
    dropped = ledger["dropped"]
    parts = [ledger[name] for name in ("delivered", "queued", "spooled", "sampled_out", "skipped")]
    parts += list(dropped.values()) if isinstance(dropped, dict) else []
    return int(str(ledger["captured"])) - sum(int(str(part)) for part in parts)


def stored_numbers(store: Path) -> Counter[int]:
    """Return how often each request's event is stored."""
    connection = sqlite3.connect(store)
    try:
        rows = connection.execute("SELECT doc FROM documents")
        return Counter(int(found[1]) for (text,) in rows if (found := _NUMBER.search(str(text))))
    finally:
        connection.close()


def alive(path: Path) -> bool:
    """Return whether the process of a trace runs."""
    return Path(f"/proc/{path.name.partition('-')[2]}/statm").exists()


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 when it is gone (Linux)."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def size(path: Path) -> int:
    """Return the size of a file, 0 when it is gone."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process and wait for it."""
    process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
