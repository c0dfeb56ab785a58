"""How long searches over many events take on a store: SQLite in a file, or ClickHouse servers that it starts itself.

``python -m benchmarks.search [--events 200000] [--store sqlite|clickhouse|cluster] [--runs 9]`` fills a store with
events of 2 KB over the last seven days, tells how long each append took, and runs each search several times: the
median and the slowest, in milliseconds. On SQLite ``metadata.plan`` is a hot path, on ClickHouse one like the others.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from moesif_middleware.collector.intake import Arrival, event_row
from moesif_middleware.collector.qualifiers import query
from moesif_middleware.collector.stores import EventRow, ReadsColumns, Recent, Store
from moesif_middleware.collector.stores.opening import open_store
from moesif_middleware.collector.summary import Span, summarize
from moesif_middleware.collector.tally import COLUMNS, Tally
from moesif_middleware.models import wire_time

from .servers import cluster, one

APP = "search-benchmark"
WEEK = 7 * 86_400
GROUP = 1_000
WAITING = 8
"""Groups that are handed over before the first is waited for."""

PLANS = ["free"] * 20 + ["pro"] * 10 + ["trial"]
ERRORS = {"range": {"response.status": {"gte": 500}}}
BY_COUNT = {"order": {"_count": "desc"}, "size": 20}


def _top(field: str) -> dict[str, Any]:
    return {"size": 0, "track_total_hits": False, "aggs": {"top": {"terms": {"field": field}}}}


SEARCHES: dict[str, dict[str, Any]] = {
    "recent errors, 50 with documents": {
        "query": ERRORS,
        "sort": [{"request.time": "desc"}],
        "size": 50,
        "track_total_hits": False,
    },
    "count of one user": {"query": {"term": {"user_id.raw": "user-77"}}, "size": 0},
    "top 20 companies": {
        "size": 0,
        "track_total_hits": False,
        "aggs": {"top": {"terms": {"field": "company_id.raw", **BY_COUNT}}},
    },
    "top 20 companies by errors": {
        "size": 0,
        "track_total_hits": False,
        "query": ERRORS,
        "aggs": {"top": {"terms": {"field": "company_id.raw", **BY_COUNT}}},
    },
    "p90 of the duration by route": {
        "size": 0,
        "track_total_hits": False,
        "aggs": {
            "routes": {
                "terms": {"field": "request.route", "size": 20},
                "aggs": {"p": {"percentiles": {"field": "duration_ms", "percents": [90]}}},
            }
        },
    },
    "events by hour": {
        "size": 0,
        "track_total_hits": False,
        "aggs": {"hours": {"date_histogram": {"field": "request.time", "interval": "1h"}}},
    },
    "count of one value in metadata": {"query": {"term": {"metadata.region.raw": "eu"}}, "size": 0},
    "count of a range of numbers in metadata": {"query": {"range": {"metadata.seats": {"gte": 90}}}, "size": 0},
    "top values in metadata": _top("metadata.region.raw"),
    "top numbers in metadata": _top("metadata.seats"),
    "average of a number in metadata by value": {
        "size": 0,
        "track_total_hits": False,
        "aggs": {
            "regions": {
                "terms": {"field": "metadata.region.raw"},
                "aggs": {"seats": {"avg": {"field": "metadata.seats"}}},
            }
        },
    },
    "top values of a header": _top("response.headers.content-type.raw"),
    "top values in a body": _top("response.body.items.sku.raw"),
    "count of one value at a hot path": {"query": {"term": {"metadata.plan.raw": "trial"}}, "size": 0},
    "top values at a hot path": _top("metadata.plan.raw"),
}


def main() -> int:
    """Fill one store and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--store", choices=["sqlite", "clickhouse", "cluster"], default="sqlite")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        store = opened(options.store, Path(name), stack)
        stack.callback(store.close)
        fill(store, options.events)
        print(f"{'milliseconds, ' + options.store:40} {'median':>8} {'slowest':>8}")
        last = store.recent(APP, Recent(limit=1))[0]["id"]
        timed("the newest 100", options.runs, lambda: store.recent(APP, Recent(limit=100)))
        timed("the newest 100 errors", options.runs, lambda: store.recent(APP, Recent(limit=100, status="5xx")))
        timed("one event by its id", options.runs, lambda: store.get(APP, "events", last))
        timed("the page's overview of seven days", options.runs, lambda: overview(store))
        for title, body in SEARCHES.items():
            timed(title, options.runs, partial(store.search, APP, "events", body))
    return 0


def opened(kind: str, directory: Path, stack: ExitStack) -> Store:
    """Return an empty store of a kind; what it needs runs until the stack ends."""
    if kind == "sqlite":
        return open_store(f"sqlite:///{directory}/search.db?hot=metadata.plan")
    if kind == "clickhouse":
        return open_store(f"{stack.enter_context(one(directory)).url}/search")
    servers = stack.enter_context(cluster(directory))
    return open_store(f"{servers.url}/search?cluster={servers.name}")


def fill(store: Store, count: int) -> None:
    """Append events and print how many were durable in a second."""
    made, waiting, began = 0.0, [], time.perf_counter()
    for rows in groups(count):
        made += rows[1]
        waiting.append(store.append(APP, rows[0]))
        if len(waiting) > WAITING:
            waiting.pop(0).result()
    for future in waiting:
        future.result()
    took = time.perf_counter() - began
    print(f"{count:,} events stored in {took:.1f} s, {count / took:,.0f} a second, of which {made:.1f} s to make them")


def groups(count: int) -> Iterator[tuple[list[EventRow], float]]:
    """Yield events in the order of their times, and the seconds that making them took."""
    draw = random.Random(1)
    now = time.time()
    for start in range(0, count, GROUP):
        began = time.perf_counter()
        numbers = range(start, min(start + GROUP, count))
        moments = [(n, now - WEEK * (count - n) / count) for n in numbers]
        arrival = Arrival(int(now * 1000), None)
        rows = [event_row(event(draw, n, moment), arrival) for n, moment in moments]
        yield rows, time.perf_counter() - began


def event(draw: random.Random, number: int, moment: float) -> dict[str, Any]:
    """Return one event of about 2 KB."""
    took = draw.expovariate(1 / 0.08)
    headers = {"Host": "api.example.com", "User-Agent": "search/1.0", "Accept": "application/json"}
    items = [{"sku": f"s{draw.randrange(99)}", "qty": place} for place in range(4)]
    body = {"note": os.urandom(550).hex(), "items": items}
    return {
        "transaction_id": f"{number:08x}-{draw.getrandbits(64):016x}",
        "request": {
            "time": wire_time(moment),
            "uri": f"https://api.example.com/items/{number % 977}?page={number % 7}",
            "verb": draw.choice(["GET", "GET", "GET", "POST", "DELETE"]),
            "route": f"/items/{{id}}/part-{draw.randrange(40)}",
            "headers": headers,
        },
        "response": {
            "time": wire_time(moment + took),
            "status": draw.choice([200] * 90 + [404] * 6 + [500] * 4),
            "headers": {"Content-Type": "application/json"},
            "body": body,
        },
        "user_id": f"user-{draw.randrange(5_000)}",
        "company_id": f"company-{draw.randrange(300)}",
        "metadata": {
            "plan": draw.choice(["free"] * 20 + ["pro"] * 10 + ["trial"]),
            "region": draw.choice(["eu", "us"]),
            "seats": draw.randrange(1, 100),
        },
        "weight": 1,
        "direction": "Incoming",
    }


def overview(store: Store) -> dict[str, Any]:
    """Return the figures of the page's overview, as its endpoint does."""
    now = int(time.time() * 1000)
    span = Span(now - WEEK * 1000, now)
    if not (isinstance(store, ReadsColumns) and store.counts_sooner(query([]))):
        return summarize(store, APP, [], span)
    tally = Tally(span)
    for piece in store.columns(APP, query([]), COLUMNS, (span.first, span.last)):
        tally.add(piece)
    return tally.answer()


def timed(title: str, runs: int, work: Callable[[], Any]) -> None:
    """Run the work several times and print how long it took."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    found.sort()
    print(f"{title:40} {found[len(found) // 2]:8.1f} {found[-1]:8.1f}")


if __name__ == "__main__":
    sys.exit(main())
