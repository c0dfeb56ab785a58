"""What a request costs as work grows: ``python -m benchmarks.growing AXIS VALUE`` measures one point.

The response from 200 bytes to 10 MB, 1 to 1 000 headers, no rule to 1 000, no entity to 100 000, one request at a time
to 1 000: added microseconds on the request's thread and of all threads, compressing included and sending left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from moesif_middleware.runtime.compression import compress
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.governance import Snapshot, compile_config, compile_rules
from moesif_middleware.sansio.protocol import Answer

from . import refresh
from .contestants import Ours
from .measure import Row, paired, runs
from .workloads import HEADERS, Workload, document

SMALL = Workload("small", "GET", b"", [document(200)])


class Compressing:
    """A sink that does all the work of sending but the sending."""

    def send(self, batch: Batch, timeout: float) -> Answer:  # noqa: ARG002  # the protocol's signature
        """Compress and forget."""
        compress(batch.pieces())
        return Answer(201)

    def close(self) -> None:
        """Nothing is open."""


def measured(load: Workload, rounds: int, *, config: bytes = b"{}", rules: bytes = b"[]", concurrent: int = 1) -> Row:
    """Return what one request adds."""
    ours = Ours("ASGI", "http://127.0.0.1:9", eager=True)
    ours.moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(rules)))
    size = len(load.body) + sum(map(len, load.chunks))
    count = max(4, min(200, 2_000_000 // (size + 5_000)))
    count = max(count // concurrent, 1) * concurrent
    with ours.moesif.redirected(Compressing()):
        bare, wrapped = runs("ASGI", load, ours, concurrent)
        row = paired(bare, wrapped, ours.flush, rounds, count)
    ours.moesif.worker.closed = True
    return row


def in_pieces(body: bytes, size: int = 65_536) -> list[bytes]:
    """Return a body as a server sends it."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def of_size(size: int, rounds: int) -> Row:
    """Return what a response of so many bytes adds."""
    return measured(Workload("size", "GET", b"", in_pieces(document(size))), rounds)


def of_headers(count: int, rounds: int) -> Row:
    """Return what a request with so many headers adds."""
    more = tuple((f"x-header-{number}", f"value {number}") for number in range(max(count - len(HEADERS), 0)))
    load = Workload("headers", "GET", b"", SMALL.chunks, (*HEADERS.items(), *more)[:count])
    return measured(load, rounds)


def of_rules(count: int, rounds: int) -> Row:
    """Return what so many loaded rules add."""
    return measured(SMALL, rounds, rules=refresh.rules(count))


def of_entities(count: int, rounds: int) -> Row:
    """Return what a config with so many users adds."""
    return measured(SMALL, rounds, config=refresh.config(count))


def of_concurrency(count: int, rounds: int) -> Row:
    """Return what a request adds among so many."""
    return measured(SMALL, rounds, concurrent=count)


AXES: dict[str, Callable[[int, int], Row]] = {
    "size": of_size, "headers": of_headers, "rules": of_rules, "entities": of_entities, "concurrency": of_concurrency,
}  # fmt: skip


def main() -> None:
    """Measure one point and print the row as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("axis", choices=AXES)
    parser.add_argument("value", type=int)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(json.dumps(asdict(AXES[arguments.axis](arguments.value, arguments.rounds))))


if __name__ == "__main__":
    main()
