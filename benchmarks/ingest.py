"""Events a second into the collector over HTTP, each acknowledged only when it is on disk.

``python -m benchmarks.ingest [--events 50000] [--clients 4] [--batch 100] [--bytes 2000]`` starts a collector on a free
port of the loopback, posts gzipped batches that were made before from as many connections, counts what was
acknowledged, and compares it with what the store holds. The collector's own processor time is given too, since the
clients share the machine with it.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import orjson

APP = "ingest-benchmark"


def main() -> int:
    """Run once and print the figures; 1 when an acknowledged event is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--clients", type=int, default=4, help="connections, each with one batch in flight")
    parser.add_argument("--batch", type=int, default=100, help="events in a batch")
    parser.add_argument("--bytes", type=int, default=2000, help="size of an event")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ingest.db"
        with collector(path) as (process, port):
            # Importing takes half a second, which is nothing that an event costs.
            started = cpu_seconds(process.pid)
            acknowledged, latencies, took = load(port, options)
            spent = cpu_seconds(process.pid) - started
        stored = sqlite3.connect(path).execute("SELECT count(*) FROM documents").fetchone()[0]
        size = sum(file.stat().st_size for file in Path(directory).iterdir())
    latencies.sort()
    print(f"{acknowledged / took:,.0f} events/s acknowledged ({acknowledged:,} in {took:.1f} s, {stored:,} stored)")
    print(f"{spent / max(acknowledged, 1) * 1e6:.0f} us of the collector's processor time an event")
    print(f"batch answered in {_at(latencies, 0.5):.1f} ms (median), {_at(latencies, 0.99):.1f} ms (p99)")
    print(f"{size / max(stored, 1):,.0f} bytes of disk an event")
    return 0 if stored >= acknowledged else 1


@contextmanager
def collector(path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a collector process on ``path`` and give it with its port."""
    command = [sys.executable, "-m", "moesif_middleware", "collector", "--port", "0", "--app-id", APP]
    process = subprocess.Popen([*command, "--store", f"sqlite:///{path}"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, user and system (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, options: argparse.Namespace) -> tuple[int, list[float], float]:
    """Post everything; return the events acknowledged, the latency of each batch in ms, and the seconds it took."""
    batches = queue.SimpleQueue[bytes]()
    for _ in range(options.events // options.batch):
        batches.put(gzip.compress(batch(options.batch, options.bytes), 1))
    latencies: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"X-Moesif-Application-Id": APP, "Content-Encoding": "gzip"}
        while True:
            try:
                body = batches.get_nowait()
            except queue.Empty:
                return
            start = time.monotonic()
            connection.request("POST", "/v1/events/batch", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, answer.status
            latencies.append((time.monotonic() - start) * 1000)

    threads = [threading.Thread(target=client) for _ in range(options.clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(latencies) * options.batch, latencies, time.monotonic() - began


def batch(count: int, size: int) -> bytes:
    """Return ``count`` events of about ``size`` bytes, each with a fresh transaction id."""
    now = time.time()
    time_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    noise = os.urandom(256).hex()
    rest = max(0, size - 700)
    body = {"note": (noise * (rest // len(noise) + 1))[:rest]}
    headers = {"Host": "api.example.com", "User-Agent": "ingest/1.0", "Accept": "application/json"}
    events = []
    for number in range(count):
        request = {
            "time": time_text,
            "uri": f"https://api.example.com/items/{number}?page=2",
            "verb": "GET",
            "headers": headers,
        }
        response = {"time": time_text, "status": 200, "headers": {"Content-Type": "application/json"}, "body": body}
        events.append(
            {
                "request": request,
                "response": response,
                "user_id": f"user-{number % 50}",
                "company_id": f"company-{number % 7}",
                "transaction_id": str(uuid4()),
                "weight": 1,
                "direction": "Incoming",
            }
        )
    return orjson.dumps(events)


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    sys.exit(main())
