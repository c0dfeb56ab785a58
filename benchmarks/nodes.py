"""What each server of a ClickHouse cluster spends on an event, with one shard and with more.

``python -m benchmarks.nodes [--events 40000] [--shards 1 2] [--replicas 1] [--collectors 2] [--rounds 3]`` appends the
same events to clusters of several sizes in turns, through as many stores as there would be collectors, and reads the
processor time of each server process from the kernel, with the merging of what was written.

All servers, ZooKeeper and the load share one machine, so that events a second say nothing of the cluster here: they are
not printed. Shown is how the work divides. Where each of two servers spends on an event half of what a single one did,
two machines take twice the events before one of them is full; what the busiest spends over its share is lost. Not shown
are the network between machines, their disks, and ZooKeeper, which every insert into a replicated table asks and whose
processor time is in no figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.client import Client
from moesif_middleware.collector.stores.opening import open_store

from .ingest import cpu_seconds
from .search import APP, groups
from .servers import Cluster, cluster

DATABASE = "nodes"
WAITING = 4
"""Groups for each shard that each collector has handed over and not heard of."""

QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run cost: microseconds of each server's processor time for each event of the whole cluster."""

    servers: tuple[float, ...]

    @property
    def busiest(self) -> float:
        """The one that is full first."""
        return max(self.servers)

    @property
    def all(self) -> float:
        """What the cluster spent."""
        return sum(self.servers)


def main() -> int:
    """Run the rounds and print the figures; 1 when an event is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--replicas", type=int, default=1, help="servers of each shard; all of them acknowledge")
    parser.add_argument("--collectors", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[int, list[Spent]] = {shards: [] for shards in options.shards}
    for number in range(options.rounds):
        for shards in options.shards:
            spent = measured(shards, options)
            if spent is None:
                print(f"{shards} shards: NOT every event was stored")
                return 1
            found[shards].append(spent)
            each = " + ".join(f"{share:.0f}" for share in spent.servers)
            print(f"round {number + 1}, {shards} shards of {options.replicas}: {each} us an event", flush=True)
    report(found)
    return 0


def measured(shards: int, options: argparse.Namespace) -> Spent | None:
    """Append the events to a new cluster; None when one is missing at the end."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        servers = stack.enter_context(cluster(Path(name), shards, options.replicas))
        url = f"{servers.url}/{DATABASE}?cluster={servers.name}&quorum={options.replicas}"
        stores = [open_store(url) for _ in range(options.collectors)]
        for store in stores:
            stack.callback(store.close)
        before = used(servers)
        waiting = []
        for number, (rows, _) in enumerate(groups(options.events)):
            waiting.append(stores[number % len(stores)].append(APP, rows))
            if len(waiting) >= WAITING * shards * len(stores):
                waiting.pop(0).result()
        wait(waiting)
        settled(servers)
        spent = [(after - start) / options.events * 1e6 for start, after in zip(before, used(servers), strict=True)]
        return Spent(tuple(spent)) if stores[0].kept(APP).events == options.events else None


def used(servers: Cluster) -> list[float]:
    """Return the processor time of each server so far, in seconds."""
    return [cpu_seconds(server.process.pid) for server in servers.servers if server.process is not None]


def settled(servers: Cluster) -> None:
    """Wait until no server merges or copies: that is a part of what was written."""
    until = time.monotonic() + QUIET_SECONDS
    for server in servers.servers:
        client = Client(parse_address(f"{server.url}/{DATABASE}"))
        calm = 0
        while calm < 5 and time.monotonic() < until:
            merges, queued = client.select(
                "SELECT (SELECT count() FROM system.merges), sum(queue_size) FROM system.replicas"
            )[0]
            calm = calm + 1 if not int(merges or 0) + int(queued or 0) else 0
            time.sleep(0.2)
        client.close()


def report(found: dict[int, list[Spent]]) -> None:
    """Print the medians, and what they mean beside the smallest cluster."""
    print(f"{'microseconds an event, medians':34} {'busiest server':>14} {'all servers':>11} {'one is full after':>17}")
    first = statistics.median(spent.busiest for spent in next(iter(found.values())))
    for shards, runs in found.items():
        busiest = statistics.median(spent.busiest for spent in runs)
        whole = statistics.median(spent.all for spent in runs)
        name = f"{len(runs[0].servers)} servers, {shards} shards"
        print(f"{name:34} {busiest:14.0f} {whole:11.0f} {first / busiest:10.2f} x events")


if __name__ == "__main__":
    sys.exit(main())
