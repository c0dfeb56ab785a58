"""What config and rules of this package add to a request: one that is not sampled, one that a hundred rules look at.

``python -m benchmarks.governed KIND CASE`` prints the figures as JSON; nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from .contestants import Contestant, Ours
from .measure import Row, paired, runs
from .plan import Figures, Length, Measure, Subject, elsewhere
from .workloads import workload

CASES = ("sampled at 0", "100 rules")


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return both cases, for this package."""
    return [(kind, case) for kind in ("ASGI", "WSGI") for case in CASES] if contestant is Ours else []


def run(subject: Subject, length: Length) -> Figures:
    """Measure one case in a process of its own."""
    return elsewhere(subject.python, "benchmarks.governed", subject.kind, subject.case, "--rounds", length.rounds)


MEASURE = Measure("governed", cases, run)


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


class Nowhere:
    """A sink that forgets."""

    def send(self, batch: Any, timeout: float) -> Any:  # noqa: ARG002  # the protocol's signature
        """Take it."""
        from moesif_middleware.sansio.protocol import Answer

        return Answer(201)

    def close(self) -> None:
        """Nothing is open."""


def governed(kind: str, config: bytes, ruleset: bytes, rounds: int) -> Row:
    """Measure workload a under a config and rules."""
    from moesif_middleware.sansio.governance import Snapshot, compile_config, compile_rules

    ours = Ours(kind, "http://127.0.0.1:9", eager=True)
    ours.moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(ruleset)))
    with ours.moesif.redirected(Nowhere()):
        bare, wrapped = runs(kind, workload("a"), ours)
        row = paired(bare, wrapped, ours.flush, rounds, 200)
    ours.moesif.worker.closed = True
    return row


def main() -> None:
    """Measure and print the row as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=("ASGI", "WSGI"))
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    sampled = arguments.case == CASES[0]
    config, ruleset = (b'{"sample_rate": 0}', b"[]") if sampled else (b"{}", rules(100))
    print(json.dumps(asdict(governed(arguments.kind, config, ruleset, arguments.rounds))))


if __name__ == "__main__":
    main()
