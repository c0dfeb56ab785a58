"""Events a second from one process into a collector: ``python -m benchmarks.throughput [--rate 15000] [--seconds 5]``.

The process captures requests with answers of ``--bytes`` bytes at ``--rate`` a second, no faster than its worker takes
them, and delivers them through the real sink to a real collector on the loopback, which acknowledges what is on disk.
Then the collector's store is counted. The exit status is 1 when an event is missing. The processor times tell what a
machine with a core for each of the two would do.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from moesif_middleware import Moesif, Settings
from moesif_middleware.sansio.exchange import BodyBuffer, Exchange, ScopeHead

from .ingest import APP, collector, cpu_seconds
from .workloads import document

TICK = 0.005
"""Seconds between two bursts of requests."""


def main() -> int:
    """Run once and print the figures; 1 when an event is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=15_000, help="events a second; 0 is as fast as it goes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--bytes", type=int, default=2_000, help="size of an answer's body")
    parser.add_argument("--batch", type=int, default=500, help="events in a request to the collector")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "store.db"
        with collector(path) as (process, port):
            settings = Settings(application_id=APP, base_uri=f"http://127.0.0.1:{port}", batch_events=options.batch)
            moesif = Moesif(settings)
            began, used, started = time.perf_counter(), time.process_time(), cpu_seconds(process.pid)
            count = capture(moesif, options)
            captured = time.perf_counter() - began
            settled = moesif.flush(60)
            took = time.perf_counter() - began
            spent, theirs = time.process_time() - used, cpu_seconds(process.pid) - started
            stats = moesif.stats()
            moesif.close()
        stored = sqlite3.connect(path).execute("SELECT count(*) FROM documents").fetchone()[0]
    print(
        f"{count / captured:,.0f} events/s captured, {count / took:,.0f} events/s delivered ({count:,} in {took:.1f} s)"
    )
    print(f"{stored / max(count, 1):.2%} stored; dropped: {stats['dropped'] or 'none'}")
    print(f"{spent / count * 1e6:.0f} us of this process an event, {theirs / count * 1e6:.0f} us of the collector's")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0 if settled and stored == count else 1


def capture(moesif: Moesif, options: argparse.Namespace) -> int:
    """Submit exchanges at the rate, while there is room in the queue; return how many."""
    body, room = document(options.bytes), moesif.settings.queue_events // 2
    start, count = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < options.seconds:
        due = int(options.rate * now) if options.rate else count + 100
        while count < due and moesif.worker.queue.count < room:
            moesif.submit(exchange(count, body))
            count += 1
        time.sleep(TICK if options.rate or moesif.worker.queue.count >= room else 0)
    return count


def exchange(number: int, body: bytes) -> Exchange:
    """Return the exchange of a finished request."""
    scope = {"method": "GET", "path": f"/items/{number}", "query_string": b"page=2", "scheme": "http"}
    found = Exchange(ScopeHead(scope, [(b"host", b"api.example.com"), (b"accept", b"application/json")]), time.time())
    found.status = 200
    found.response_headers = [(b"content-type", b"application/json")]
    found.response_body = BodyBuffer(100_000)
    found.response_body.feed(body)
    return found


if __name__ == "__main__":
    sys.exit(main())
