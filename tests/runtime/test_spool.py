"""The spool: what is put there survives, goes out once, and stays in its bounds; a bad file costs nothing else."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from moesif_middleware import Moesif
from moesif_middleware.errors import SpoolError
from moesif_middleware.runtime.ledger import balance
from moesif_middleware.runtime.spool import Spool
from moesif_middleware.sansio.batches import Batch
from tests.exchanges import submit
from tests.faults import FaultServer, Reply, Request, hang
from tests.waiting import until

MEGABYTE = 1_048_576


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def spool(path: Path, application_id: str = "app", **options: Any) -> Spool:
    """Return a spool on the file."""
    given = {"most_bytes": 16 * MEGABYTE, "age": 3600.0, "lease": 60.0, **options}
    made = Spool(str(path), application_id, **given)
    _opened.append(made)
    return made


_opened: list[Spool] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the spools that a test opened by itself: from 3.13 on an open connection is a warning, and so an error."""
    yield
    while _opened:
        _opened.pop().close()


def batch(*numbers: int, kind: str = "events", size: int = 10) -> Batch:
    """Return a batch of small items."""
    return Batch(kind, tuple(b'{"n":%d,"text":"%s"}' % (number, b"x" * size) for number in numbers))


# The file by itself


def test_what_was_put_comes_out_of_another_handle_as_it_was(tmp_path: Path) -> None:
    """Items, kind and age are kept; small rows of one kind become one batch; another's application is not touched."""
    clock = Clock()
    writer, reader = (spool(tmp_path / "spool", clock=clock) for _ in range(2))
    first, _ = writer.put(batch(1, 2), age=5.0)
    second, _ = writer.put(batch(3), age=1.0)
    updates, _ = writer.put(batch(4, kind="users"), age=0.0)
    writer.release([first, second, updates])
    assert spool(tmp_path / "spool", "another", clock=clock).claim(100, MEGABYTE) == (None, [])
    claim, gone = reader.claim(100, MEGABYTE)
    assert claim is not None
    assert (claim.batch, claim.age, claim.adopted, gone) == (batch(1, 2, 3), 5.0, 3, [])
    users, _ = reader.claim(100, MEGABYTE)
    assert users is not None
    assert users.batch == batch(4, kind="users")
    assert reader.remove(claim.tickets) == 3
    assert reader.owned() == {"users": 1}
    assert writer.owned() == {}


def test_a_lease_keeps_others_away_until_it_runs_out(tmp_path: Path) -> None:
    """The one that comes too late removes nothing: another has the batch in its books."""
    clock = Clock()
    first, second = (spool(tmp_path / "spool", clock=clock, lease=60.0) for _ in range(2))
    ticket, _ = first.put(batch(1, 2), age=0.0)
    assert second.claim(100, MEGABYTE)[0] is None
    clock.now += 50
    assert first.renew([ticket]) == 1
    clock.now += 50
    assert second.claim(100, MEGABYTE)[0] is None
    clock.now += 11
    claim, _ = second.claim(100, MEGABYTE)
    assert claim is not None
    assert first.renew([ticket]) == 0
    assert first.remove([ticket]) == 0
    assert first.replace([ticket], batch(1, 2).halves(), 0.0) == []
    assert second.remove(claim.tickets) == 2


def test_a_clock_that_was_set_back_does_not_lock_a_batch_away(tmp_path: Path) -> None:
    """A lease far in the future is none."""
    clock = Clock()
    first, second = (spool(tmp_path / "spool", clock=clock, age=2_000_000.0) for _ in range(2))
    first.put(batch(1), age=0.0)
    clock.now -= 500_000
    assert second.claim(100, MEGABYTE)[0] is not None


def test_the_file_stays_in_its_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    """Write-ahead log included; what went is told, and the newest are still there."""
    path = tmp_path / "spool"
    one = spool(path, most_bytes=2 * MEGABYTE)
    gone = []
    import random

    noise = random.Random(5)
    for number in range(200):
        item = b'{"n":%d,"noise":"%s"}' % (number, noise.randbytes(20_000).hex().encode())
        ticket, went = one.put(Batch("events", (item,)), age=0.0)
        one.release([ticket])
        gone += went
        assert sum(file.stat().st_size for file in tmp_path.iterdir() if not file.name.endswith("-shm")) <= 2 * MEGABYTE
    assert {(kind, number, own, reason) for kind, number, own, reason in gone} == {("events", 1, True, "spool_full")}
    left = one.owned()["events"]
    assert left + len(gone) == 200
    assert left > 20
    claim, _ = one.claim(1, MEGABYTE)
    assert claim is not None
    assert claim.batch.items[0].startswith(b'{"n":%d,' % (200 - left))


def test_what_is_older_than_the_bound_is_not_sent(tmp_path: Path) -> None:
    """The server refuses what is over 30 days old."""
    clock = Clock()
    one = spool(tmp_path / "spool", clock=clock, age=100.0)
    old, _ = one.put(batch(1, 2), age=90.0)
    new, _ = one.put(batch(3), age=0.0)
    one.release([old, new])
    clock.now += 11
    claim, gone = one.claim(100, MEGABYTE)
    assert claim is not None
    assert claim.batch == batch(3)
    assert gone == [("events", 2, True, "too_old")]


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600, and so the write-ahead log; a file that was readable by others is not any more."""
    path = tmp_path / "spool"
    path.touch(0o644)
    one = spool(path)
    one.put(batch(1), age=0.0)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == dict.fromkeys(
        ("spool", "spool-wal", "spool-shm"), "0o600"
    )


def test_one_damaged_row_costs_itself(tmp_path: Path) -> None:
    """The others are sent, and what it held is counted."""
    one = spool(tmp_path / "spool")
    tickets = [one.put(batch(number), age=0.0)[0] for number in range(3)]
    one.release(tickets)
    with closing(sqlite3.connect(tmp_path / "spool")) as connection, connection:
        connection.execute("UPDATE batches SET body = x'1f8b0000' WHERE id = ?", (tickets[1],))
    claim, gone = one.claim(100, MEGABYTE)
    assert claim is not None
    assert claim.batch == batch(0, 2)
    assert gone == [("events", 1, True, "spool_corrupt")]


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database at all, only some text" * 100)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE accounts (id INTEGER)")


def _damaged(path: Path) -> None:
    one = spool(path)
    for number in range(50):
        one.put(batch(number, size=5_000), age=0.0)
    one.close()
    data = bytearray(path.read_bytes())
    data[8_192:] = b"\xee" * (len(data) - 8_192)
    path.write_bytes(bytes(data))


def _directory(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "garbage": _garbage,
    "a database of something else": _foreign,
    "a damaged spool": _damaged,
    "a directory": _directory,
    "a link to somewhere": _link,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_said_once_and_everything_goes_on_in_memory(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """One clear error; the events wait in memory and are delivered from there."""
    path = tmp_path / "spool"
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(path))
    with caplog.at_level(logging.WARNING, logger="moesif_middleware"):
        for _ in range(3):
            submit(moesif, 3)
            assert not moesif.flush(0.3)
        assert moesif.stats()["queued"] == 9
        server.script = lambda request: Reply()
        assert moesif.flush(5)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert str(path) in errors[0]
    assert len(server.stored) == 9
    if damage == "a database of something else":
        assert path.read_bytes() == before


# In the worker


def test_while_the_collector_is_ill_events_wait_on_disk_and_not_in_memory(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """The ledger has them as spooled; when the collector is well, they are delivered once."""
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(tmp_path / "spool"))
    submit(moesif, 5)
    until(lambda: moesif.stats()["spooled"] == 5)
    submit(moesif, 5)
    until(lambda: moesif.stats()["spooled"] == 10)
    # A batch is counted as spooled as soon as it is on disk, and leaves memory right after.
    until(lambda: moesif.stats()["collector"]["queued_bytes"] == 0)
    assert moesif.stats()["queued"] == 0
    server.script = lambda request: Reply()
    assert moesif.flush(5)
    assert (len(server.stored), server.accepted) == (10, 10)
    assert moesif.stats()["delivered"] == 10
    assert spool(tmp_path / "spool", "test-app").owned() == {}


def test_while_a_request_hangs_it_and_what_comes_after_it_reach_the_disk(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """Long before the time-out: a process that is killed meanwhile loses nothing of it."""
    server.script = lambda request: Reply(raw=hang(6))
    moesif = make(spool_path=str(tmp_path / "spool"), read_timeout=5.0, request_timeout=5.0)
    submit(moesif, 3)
    until(lambda: server.posts)
    submit(moesif, 4)
    until(lambda: moesif.stats()["spooled"] == 7, 2.0)
    assert len(server.posts) == 1
    with closing(sqlite3.connect(tmp_path / "spool")) as connection:
        assert connection.execute("SELECT sum(count) FROM batches").fetchone() == (7,)
    server.script = lambda request: Reply()


def test_what_is_left_at_shutdown_is_delivered_by_the_next_process(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """Nothing is dropped; the next one adopts it, and both ledgers add up."""
    server.script = lambda request: Reply(503)
    first = make(spool_path=str(tmp_path / "spool"))
    submit(first, 7)
    first.update_user({"user_id": "u1"})
    started = time.monotonic()
    first.close(3)
    assert time.monotonic() - started < 2, "what is safe on disk need not be waited for"
    assert first.stats()["spooled"] == 7
    assert first.stats()["dropped"] == {}
    server.script = lambda request: Reply()
    second = make(spool_path=str(tmp_path / "spool"))
    submit(second)
    until(lambda: len(server.stored) == 8)
    until(lambda: second.stats()["delivered"] == 8)
    assert second.stats()["captured"] == 8
    until(lambda: second.stats()["updates"]["delivered"] == 1)
    assert server.accepted == 8


def test_what_another_process_delivers_leaves_the_books_of_the_one_that_captured_it(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """Two processes on one file: their ledgers together have every event once."""
    server.script = lambda request: Reply(503)
    handles = [make(spool_path=str(tmp_path / "spool")) for _ in range(2)]
    for handle in handles:
        submit(handle, 300)
    until(lambda: not any(handle.stats()["queued"] for handle in handles))
    server.script = lambda request: Reply()
    for handle in handles:
        assert handle.flush(10)
    stats = [handle.stats() for handle in handles]
    assert sum(found["delivered"] for found in stats) == 600
    assert sum(found["captured"] for found in stats) == 600
    assert (len(server.stored), server.accepted) == (600, 600)


def test_a_poison_event_in_the_spool_is_found(server: FaultServer, make: Callable[..., Moesif], tmp_path: Path) -> None:
    """Halves replace their batch on the disk too."""
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(tmp_path / "spool"))
    submit(moesif, 10)
    submit(moesif, 1, path="/poison")
    submit(moesif, 10)
    until(lambda: moesif.stats()["spooled"] == 21)

    def refuse(request: Request) -> Reply:
        return Reply(400 if any("poison" in event["request"]["uri"] for event in request.json) else 201)

    server.script = refuse
    assert moesif.flush(10)
    assert len(server.stored) == 20
    assert moesif.stats()["dropped"] == {"rejected_400": 1}


def test_a_batch_in_the_spool_is_tried_for_longer_than_one_in_memory(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """``retry_seconds`` is for memory; ``spool_age`` ends it there."""
    server.script = lambda request: Reply(503)
    moesif = make(spool_path=str(tmp_path / "spool"), retry_seconds=0.0, spool_age=2.0)
    submit(moesif, 2)
    assert not moesif.flush(1.0)
    assert moesif.stats()["spooled"] == 2
    until(lambda: moesif.flush(0.1))
    assert moesif.stats()["dropped"] == {"too_old": 2}


CHILD = """
import itertools, os, sys
from moesif_middleware import Moesif
from tests.exchanges import submit
moesif = Moesif(application_id="test-app", base_uri=sys.argv[1], spool_path=sys.argv[2], flush_interval=0.02)
for number in itertools.count():
    submit(moesif, path=f"/{os.getpid()}/{number}")
    if number % 20 == 0:
        moesif.flush(0.02)
        if not moesif.stats()["queued"]:
            print(number, flush=True)
"""


@pytest.mark.heavy
def test_four_processes_that_are_killed_lose_nothing_that_was_in_the_spool(
    server: FaultServer, make: Callable[..., Moesif], tmp_path: Path
) -> None:
    """SIGKILL in the middle of writing; what each had said to be spooled is delivered by another process, once."""
    server.script = lambda request: Reply(503)
    path = str(tmp_path / "spool")
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, server.url, path], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    # All of them are at it before the first one is killed.
    first = {child.pid: [child.stdout.readline() for _ in range(3)] for child in children if child.stdout}
    for child in children:
        child.send_signal(signal.SIGKILL)
    said: set[str] = set()
    for child in children:
        out = "".join(first[child.pid]) + child.communicate()[0]
        said.update(f"/{child.pid}/{number}" for number in range(int(out.rpartition("\n")[0].split()[-1]) + 1))
    assert len(said) > 100
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE batches SET lease = 0")
        total = connection.execute("SELECT sum(count) FROM batches").fetchone()[0]
    server.script = lambda request: Reply()
    survivor = make(spool_path=path)
    submit(survivor)
    until(lambda: survivor.stats()["delivered"] == total + 1)
    assert (len(server.stored), server.accepted) == (total + 1, total + 1)
    stored = {urlsplit(event["request"]["uri"]).path for event in server.stored.values()}
    assert said - stored == set()
    assert balance(survivor.stats()) == 0


def test_a_spool_that_is_full_for_one_batch_says_no(tmp_path: Path) -> None:
    """A batch larger than the whole spool stays in memory."""
    import random

    one = spool(tmp_path / "spool", most_bytes=MEGABYTE)
    with pytest.raises(SpoolError):
        one.put(Batch("events", (random.Random(1).randbytes(3 * MEGABYTE),)), age=0.0)
    assert not one.broken
