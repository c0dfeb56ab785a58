"""A fleet, two collectors and a two by two ClickHouse cluster on one machine, with one of each killed during the run.

``python -m benchmarks.cluster [--seconds 30] [--rate 100] [--quorum 2]`` starts ZooKeeper, four ClickHouse servers (two
shards of two replicas), two collectors behind a balancer, and four processes of an application under the middleware
with one spool. It kills, each with SIGKILL, a replica, a collector and an application process, starts the first two
again, and at the end compares what was acknowledged with what every replica holds: each acknowledged event must be
there exactly once. The exit status is 1 when one is not. Needs Debian's ``clickhouse-server`` and ``zookeeper``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from moesif_middleware.collector.stores.clickhouse.address import parse_address
from moesif_middleware.collector.stores.clickhouse.client import Client
from moesif_middleware.collector.stores.clickhouse.rows import number_of
from moesif_middleware.collector.stores.clickhouse.tables import live

from .balancer import balancing
from .fleet import APP
from .servers import Cluster, cluster

DATABASE = "moesif"
CATCH_UP_SECONDS = 120.0


@dataclass
class Collector:
    """One collector process; started again, it listens where it did before."""

    store: str
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "moesif_middleware", "collector", "--port", str(self.port), "--app-id", APP]
        self.process = subprocess.Popen([*command, "--store", self.store], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main() -> int:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the fleet is called")
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second of each of the four processes")
    parser.add_argument("--quorum", type=int, default=2, help="replicas that have an event when it is acknowledged")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        servers = stack.enter_context(cluster(directory))
        store = f"{servers.url}/{DATABASE}?cluster={servers.name}&quorum={options.quorum}"
        collectors = [Collector(store), Collector(store)]
        for collector in collectors:
            stack.callback(collector.kill)
            collector.start()
        balancer = stack.enter_context(balancing([collector.port for collector in collectors]))
        url = f"http://127.0.0.1:{balancer.port}"
        ledgers, took = run(directory, url, servers, collectors, options)
        acknowledged = noted(directory)
        return report(servers, acknowledged, ledgers, took)


def run(
    directory: Path, url: str, servers: Cluster, collectors: list[Collector], options: argparse.Namespace
) -> tuple[list[dict[str, Any]], float]:
    """Run the fleet and the accidents; return the ledgers of the processes that lived, and the seconds it took."""
    began, step = time.monotonic(), options.seconds / 6
    fleet = [worker(directory, url, number, options.rate, options.seconds) for number in range(4)]

    def until(steps: float) -> None:
        time.sleep(max(0.0, began + steps * step - time.monotonic()))

    until(1)
    said(began, "kill -9 of the first replica of the first shard")
    servers.servers[0].kill()
    until(2)
    servers.servers[0].start()
    said(began, "that replica is back")
    until(3)
    said(began, "kill -9 of the first collector")
    collectors[0].kill()
    until(4)
    collectors[0].start()
    said(began, "that collector is back")
    until(5)
    said(began, "kill -9 of the first application process")
    fleet[0].kill()
    ledgers = [orjson.loads(process.communicate()[0]) for process in fleet[1:]]
    took = time.monotonic() - began
    # What the dead process had put into the spool is sent when its leases have run out.
    last = worker(directory, url, 9, 0, 75)
    ledgers.append(orjson.loads(last.communicate()[0]))
    said(began, "the spool is empty")
    return ledgers, took


def worker(directory: Path, url: str, number: int, rate: float, seconds: float) -> subprocess.Popen[bytes]:
    """Start one process of the fleet."""
    spool, acknowledged = directory / "spool.db", directory / f"acknowledged-{number}"
    arguments = [url, str(spool), str(acknowledged), str(rate), str(seconds)]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.fleet", *arguments], stdout=subprocess.PIPE)


def said(began: float, what: str) -> None:
    """Print what happened, and when."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def noted(directory: Path) -> list[str]:
    """Return the ids that were acknowledged to any process; a line that SIGKILL cut is none."""
    found: list[str] = []
    for path in sorted(directory.glob("acknowledged-*")):
        found += [line for line in path.read_text().splitlines() if len(line) == 36]
    return found


def report(servers: Cluster, acknowledged: list[str], ledgers: list[dict[str, Any]], took: float) -> int:
    """Compare and print; return the exit status."""
    unique = set(acknowledged)
    where = " AND ".join(live(number_of(APP)))
    wrong = 0
    for index, server in enumerate(servers.servers):
        client = Client(parse_address(f"{server.url}/{DATABASE}"))
        caught_up(client)
        stored = [row[0] for row in client.select(f"SELECT id FROM events WHERE {where}")]
        rows = client.select("SELECT count() FROM events_local")[0][0]
        client.close()
        missing, twice = len(unique - set(stored)), len(stored) - len(set(stored))
        wrong += missing + twice
        print(
            f"asked server {index + 1}: {len(stored):,} events, {missing} acknowledged are missing, {twice} are there"
            f" twice; it holds {rows:,} rows itself"
        )
    captured = sum(ledger["captured"] for ledger in ledgers)
    dropped = [ledger["dropped"] for ledger in ledgers if ledger["dropped"]]
    print(f"{len(unique):,} events acknowledged, {len(unique) / took:,.0f} a second, over {took:.0f} s")
    print(f"{captured:,} captured by the processes that lived; dropped: {dropped or 'none'}")
    print(
        "every acknowledged event is there exactly once" if not wrong else "NOT every acknowledged event is there once"
    )
    return 1 if wrong else 0


def caught_up(client: Client) -> None:
    """Wait until a server has all parts that its replicas have."""
    until = time.monotonic() + CATCH_UP_SECONDS
    while time.monotonic() < until:
        waiting = client.select("SELECT sum(queue_size), max(is_readonly) FROM system.replicas")[0]
        if [int(each or 0) for each in waiting] == [0, 0]:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
