"""What a request costs as work grows: ``python -m benchmarks.growth --out growth.svg``.

The response from 200 bytes to 10 MB, 1 to 1 000 headers, no rule to 1 000, no entity to 100 000, one request at a time
to 1 000: added microseconds on the request's thread and of all threads, compressing included and sending left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moesif_middleware.runtime.sinks import compress
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.governance import Snapshot, compile_config, compile_rules
from moesif_middleware.sansio.protocol import Answer

from . import refresh
from .contestants import Ours
from .measure import Row, paired, runs
from .svg import Chart, draw
from .workloads import HEADERS, Workload, document

LEAST = 0.5
"""Microseconds below which a difference is noise, and no number that a logarithmic axis has."""
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
    ours = Ours("ASGI", "http://127.0.0.1:9")
    ours.moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(rules)))
    size = len(load.body) + sum(map(len, load.chunks))
    count = max(4, min(200, 2_000_000 // (size + 5_000)))
    count = max(count // concurrent, 1) * concurrent
    with ours.moesif.redirected(Compressing()):
        bare, wrapped = runs("ASGI", load, ours, concurrent)
        row = paired(bare, wrapped, ours.drain, rounds, count)
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


AXES: dict[str, tuple[str, tuple[int, ...], Callable[[int, int], Row]]] = {
    "size": ("bytes of the response", (200, 2_000, 20_000, 100_000, 1_000_000, 10_000_000), of_size),
    "headers": ("headers of the request", (1, 10, 100, 1_000), of_headers),
    "rules": ("rules (left: none)", (0, 1, 10, 100, 1_000), of_rules),
    "entities": ("users in the config (left: none)", (0, 10, 1_000, 100_000), of_entities),
    "concurrency": ("requests at a time", (1, 10, 100, 1_000), of_concurrency),
}


def chart(name: str, across: str, rows: Iterable[tuple[int, Row]]) -> Chart:
    """Return the chart of one axis; none stands where a tenth would."""
    points = [(value or 0.1, row) for value, row in rows]
    lines = {
        "request's thread": [(value, max(row.path_quartile, LEAST)) for value, row in points],
        "all threads": [(value, max(row.cpu_quartile, LEAST)) for value, row in points],
    }
    return Chart(f"Added by {name}", across, "microseconds of CPU a request", lines)


def main() -> None:
    """Measure, print a table, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds and small steps: to see that it runs")
    parser.add_argument("--only", choices=AXES, help="one axis")
    parser.add_argument("--out", type=Path, help="where to draw")
    arguments: Any = parser.parse_args()
    rounds, charts = 2 if arguments.quick else 15, []
    print("| what grows | to | path / cpu, us | first quartile | load |\n|---|---|---|---|---|")
    for name, (across, values, measure) in AXES.items():
        if arguments.only not in (None, name):
            continue
        rows = []
        for value in values[:3] if arguments.quick else values:
            row = measure(value, rounds)
            rows.append((value, row))
            quartiles = f"{row.path_quartile:.1f} / {row.cpu_quartile:.0f}"
            print(f"| {name} | {value:,} | {row.path:.1f} / {row.cpu:.0f} | {quartiles} | {row.load:.1f} |", flush=True)
        charts.append(chart(name, across, rows))
    if arguments.out is not None:
        arguments.out.write_text(draw(charts))
        print(f"\ndrawn: {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
