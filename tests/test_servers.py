"""Real uvicorn and gunicorn processes: streams, uploads, memory, and every event delivered once."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from moesif_middleware.runtime.ledger import balance
from tests.faults import FaultServer, Reply, hang
from tests.load import load
from tests.processes import Server, collector, running, settings

KINDS = ["uvicorn", "gunicorn"]
MEGABYTE = 1_048_576
SIZE = 200


def download(server: Server) -> tuple[str, int, float]:
    """Stream SIZE megabytes; return their hash, their size and which share of the time the first byte took."""
    digest, size, first = hashlib.sha256(), 0, 0.0
    started = time.perf_counter()
    with httpx.stream("GET", f"{server.url}/download?{SIZE}", timeout=60) as response:
        for piece in response.iter_raw():
            first = first or time.perf_counter() - started
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size, first / (time.perf_counter() - started)


def upload(server: Server) -> dict[str, Any]:
    """Send SIZE megabytes and return what the application says of them."""
    piece = b"fedcba9876543210" * 4096
    pieces = (piece for _ in range(SIZE * 16))
    headers = {"Content-Length": str(SIZE * MEGABYTE), "Content-Type": "application/octet-stream"}
    found: dict[str, Any] = httpx.post(f"{server.url}/upload", content=pieces, headers=headers, timeout=60).json()
    return found


def measure(kind: str, environ: dict[str, str]) -> dict[str, Any]:
    """Run both transfers in a fresh server and return what they gave and the growth of its peak memory in bytes."""
    with running(kind, environ) as server:
        for _ in range(50):
            httpx.get(f"{server.url}/json")
        before = server.state()["VmHWM"]
        digest, size, first = download(server)
        uploaded = upload(server)
        return {"down": (digest, size), "up": uploaded, "first": first, "growth": server.state()["VmHWM"] - before}


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_200_megabytes_pass_both_ways_as_they_are_in_the_memory_of_the_bare_application(kind: str) -> None:
    """Identical bytes, a first byte that is not delayed, and a peak at most 2 MB over the bare application's."""
    with FaultServer().start() as collecting:
        bare = measure(kind, {})
        wrapped = measure(kind, settings(collecting.url))
    assert wrapped["down"] == bare["down"]
    assert wrapped["down"][1] == SIZE * MEGABYTE
    assert wrapped["up"] == bare["up"]
    # Whoever collects first and answers then needs most of the time for it, on a busy machine too.
    assert wrapped["first"] < 0.5
    # The capture limit of two bodies, the event, and the allocator's grain.
    assert wrapped["growth"] <= bare["growth"] + 2 * MEGABYTE


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_reaches_the_client_as_it_is_made(kind: str) -> None:
    """Four chunks half a second apart: the first is there at once, the last after the rest."""
    with FaultServer().start() as collecting, running(kind, settings(collecting.url)) as server:
        httpx.get(f"{server.url}/json")
        started = time.perf_counter()
        arrived: list[tuple[bytes, float]] = []
        with httpx.stream("GET", f"{server.url}/slow-stream", timeout=10) as response:
            arrived.extend((piece, time.perf_counter() - started) for piece in response.iter_raw())
    assert b"".join(piece for piece, _ in arrived) == b"0\n1\n2\n3\n"
    # From the first to the last, three times half a second were made; held back they would come together.
    assert arrived[-1][1] - arrived[0][1] > 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_is_the_servers_500_and_an_event(kind: str) -> None:
    """What the server answers is what the event says."""
    with FaultServer().start() as collecting:
        with running(kind, settings(collecting.url)) as server:
            assert httpx.get(f"{server.url}/error").status_code == 500
        (event,) = collecting.stored.values()
    assert event["response"]["status"] == 500
    assert "ZeroDivisionError" in str(event["metadata"])


@pytest.mark.heavy
def test_ten_thousand_requests_at_1500_a_second_are_stored_once_each(tmp_path: Path) -> None:
    """Real uvicorn, real collector: nothing lost, nothing twice."""
    store = tmp_path / "collector.db"
    with collector("--store", f"sqlite:///{store}") as one, running("uvicorn", settings(one.url)) as server:
        outcome = load(server.port, 10_000, 1_500)
    assert outcome.errors == []
    assert outcome.good == 10_000
    with closing(sqlite3.connect(store)) as database:
        counted = database.execute("SELECT count(*), count(DISTINCT id) FROM events").fetchone()
    assert counted == (10_000, 10_000)


FAULTS: dict[str, Callable[[FaultServer], None]] = {
    "refuses": lambda server: server.stop(),
    "hangs": lambda server: setattr(server, "script", lambda request: Reply(raw=hang(2))),
}


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS)
def test_an_ill_collector_changes_nothing_for_the_application_and_the_sum_holds(fault: str) -> None:
    """Answers as before, memory in the byte budget, and when the collector is back every event is accounted for."""
    budget = 4 * MEGABYTE
    options = {"queue_bytes": budget, "read_timeout": 0.5, "request_timeout": 1.0}
    with FaultServer().start() as collecting, running("uvicorn", settings(collecting.url, **options)) as server:
        load(server.port, 500, 500)
        before = server.state()["VmRSS"]
        healthy, collecting.script = collecting.script, collecting.script
        FAULTS[fault](collecting)
        outcome = load(server.port, 6_000, 1_000)
        ill = server.state()
        assert outcome.errors == []
        assert outcome.good == 6_000
        assert balance(ill["stats"]) == 0
        assert ill["stats"]["collector"]["queued_bytes"] <= budget
        assert ill["VmRSS"] - before <= budget + 8 * MEGABYTE
        collecting.script = healthy
        if fault == "refuses":
            collecting.start()
        end = time.monotonic() + 30
        while (well := server.state()["stats"])["queued"] and time.monotonic() < end:
            time.sleep(0.2)
    assert balance(well) == 0
    assert well["queued"] == 0
    assert well["captured"] - well["skipped"] == 6_500
    assert well["delivered"] == len(collecting.stored)
    assert well["delivered"] + sum(well["dropped"].values()) == 6_500
