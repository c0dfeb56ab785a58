"""Whoever has much to do leaves others their turn, and less often the more waits."""

from __future__ import annotations

import threading
import time

from moesif_middleware import MemorySink, Moesif, Settings
from moesif_middleware.runtime.turns import Turns
from tests.exchanges import submit


def rests(steps: int, backlog: int, latest: float = 1.0) -> int:
    """Return how often somebody rests who takes steps of a tenth of a millisecond."""
    now = [0.0]
    found: list[float] = []
    turns = Turns(lambda: now[0], lambda: found.append(now[0]))
    turns.begin()
    for _ in range(steps):
        now[0] += 0.0001
        turns.step(backlog, latest)
    return len(found)


def test_work_is_done_in_short_spells():
    assert 180 <= rests(1000, 0) <= 350


def test_spells_grow_with_what_waits():
    """Beside a thread that never sleeps each rest takes 5 ms: without this the queue would only grow."""
    few, many = rests(1000, 1000), rests(1000, 10_000)
    assert few < rests(1000, 0)
    assert 0 < many < few / 4


def test_nobody_rests_for_nobody():
    """When no request came for a while, there is hardly one that would be held up."""
    assert rests(1000, 0, latest=-1.0) == 0
    assert 0 < rests(1000, 0, latest=0.0) < rests(1000, 0) / 3


def test_no_rest_is_due_when_work_begins():
    now, found = [0.0], list[float]()
    turns = Turns(lambda: now[0], lambda: found.append(now[0]))
    now[0] = 100.0
    turns.begin()
    turns.step(0, 100.0)
    assert not found


def test_a_batch_is_encoded_with_rests(monkeypatch):
    """The delivery thread does so, however many entries it has taken at once."""
    rested: list[str] = []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: rested.append(threading.current_thread().name) or sleep(seconds))
    moesif = Moesif(Settings(application_id="x", batch_events=1000, flush_interval=60.0), sink=MemorySink())
    submit(moesif, 900, body=b'{"a": [%b]}' % b", ".join([b'"some text"'] * 100))
    moesif.worker._latest += 60
    assert moesif.flush(20)
    moesif.close()
    assert rested.count("moesif-worker") >= 5
