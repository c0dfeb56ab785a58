"""What the middleware costs a request, and whether that is what it set out to: ``python -m benchmarks.overhead``.

Each contestant is measured in a process of its own (see ``measure``), on ASGI, WSGI and Django. Then, with nothing to
deliver, a request whose sample rate is 0 and one that a hundred rules look at, and what importing the package takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from moesif_middleware.sansio.governance import Snapshot, compile_config, compile_rules

from .contestants import CONTESTANTS, Ours
from .measure import KINDS, Row, elsewhere, paired, runs
from .workloads import workloads

GOALS = {
    ("ASGI", "a"): (20, 50), ("ASGI", "b"): (25, 90), ("ASGI", "c"): (20, 700), ("ASGI", "d"): (40, 800),
    ("WSGI", "a"): (22, 55), ("WSGI", "b"): (28, 95), ("WSGI", "c"): (22, 700), ("Django", "a"): (35, 70),
}  # fmt: skip
"""Added microseconds on the request's thread, and of all threads."""
_IMPORT = (
    "import time, httpx; begun = time.process_time(); import moesif_middleware; print(time.process_time() - begun)"
)


def rules(count: int) -> bytes:
    """Return rules that read verb, route and headers, and match nothing of the workloads."""
    found = []
    for number in range(count):
        conditions = [
            {"path": "request.verb", "value": "DELETE"},
            {"path": "request.route", "value": f"/admin/{number}/.*"},
            {"path": "request.headers.user-agent", "value": f"bot-{number}"},
        ]
        found.append(
            {"_id": f"r{number}", "type": "regex", "block": True, "regex_config": [{"conditions": conditions}]}
        )
    return json.dumps(found).encode()


def governed(kind: str, config: bytes, ruleset: bytes, rounds: int) -> Row:
    """Measure workload a under a config and rules; nothing is sent anywhere."""
    ours = Ours(kind, "http://127.0.0.1:9")
    ours.moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(ruleset)))
    with ours.moesif.redirected(_Nowhere()):
        bare, wrapped = runs(kind, workloads()[0], ours)
        row = paired(bare, wrapped, ours.drain, rounds, 200)
    ours.moesif.worker.closed = True
    return row


class _Nowhere:
    """A sink that forgets."""

    def send(self, batch: Any, timeout: float) -> Any:  # noqa: ARG002  # the protocol's signature
        """Take it."""
        from moesif_middleware.sansio.protocol import Answer

        return Answer(201)

    def close(self) -> None:
        """Nothing is open."""


def import_time(times: int) -> float:
    """Return the CPU that importing the package takes over httpx's own, in milliseconds: the least of some."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    outputs = [
        subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True, env=environment)
        for _ in range(times)
    ]
    return min(float(done.stdout) for done in outputs) * 1000


def line(kind: str, letter: str, name: str, row: Row) -> str:
    """Return a row of the table."""
    goal = GOALS.get((kind, letter))
    aims = f"{goal[0]} / {goal[1]}" if goal else ""
    quartiles = f"{row.path_quartile:.0f} / {row.cpu_quartile:.0f}"
    return (
        f"| {kind} {letter} | {name} | {row.bare:.0f} | {row.path:.1f} / {row.cpu:.0f} | {quartiles} | {aims} "
        f"| {row.delivered} of {row.sent} | {row.load:.1f} |"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--only", default="", help="measure what has this in its name, such as 'ASGI a'")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 31
    print("| us a request | contestant | bare | path / cpu | first quartile | goal | delivered | load |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for load in workloads():
            for name, contestant in CONTESTANTS.items():
                if arguments.only in f"{kind} {load.name} {name}":
                    full = f"{contestant.__module__}:{contestant.__name__}"
                    print(line(kind, load.name, name, elsewhere(full, kind, load.name, rounds)), flush=True)
    for kind in KINDS[:2]:
        for title, config, ruleset in (
            ("sampled at 0", b'{"sample_rate": 0}', b"[]"),
            ("100 rules", b"{}", rules(100)),
        ):
            if arguments.only in f"{kind} a {title}":
                print(
                    line(kind, f"a, {title}", "moesif-middleware", governed(kind, config, ruleset, rounds)), flush=True
                )
    if arguments.only in "import":
        print(f"\nimport over httpx: {import_time(3 if arguments.quick else 15):.0f} ms of CPU (goal 25)")


if __name__ == "__main__":
    main()
