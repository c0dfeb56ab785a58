"""What is kept of the events, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moesif_middleware.collector.retention import DAY_MS, Retention, retain
from moesif_middleware.collector.stores import Recent
from moesif_middleware.collector.stores.sqlite import SQLiteStore
from moesif_middleware.errors import ConfigurationError

from .conftest import APP, OTHER_APP, event, settings
from .test_store import row

NOW_MS = 100 * DAY_MS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    found = SQLiteStore(tmp_path / "store.db")
    rows = [row(f"{age}", time_ms=NOW_MS - age * DAY_MS, doc="x" * 3000) for age in range(10)]
    found.append(APP, rows).result()
    found.append(OTHER_APP, rows).result()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(), 10),
        (Retention(days=3), 4),
        (Retention(days=0.5), 1),
        (Retention(days=1000), 10),
        (Retention(events=4), 4),
        (Retention(events=10), 10),
        (Retention(events=1), 1),
        (Retention(days=3, events=7), 4),
        (Retention(days=7, events=4), 4),
        (Retention(bytes=10**9), 10),
    ],
)
def test_the_oldest_go_first(store: SQLiteStore, retention: Retention, kept: int) -> None:
    """By age or number, whichever keeps less; the other application is left alone; a second time does nothing."""
    assert retain(store, APP, retention, NOW_MS) == 10 - kept
    assert [item["id"] for item in store.recent(APP, Recent())] == [str(age) for age in reversed(range(kept))]
    assert retain(store, APP, retention, NOW_MS) == 0
    assert len(store.recent(OTHER_APP, Recent())) == 10


def test_bytes_are_kept_under_their_bound(tmp_path: Path) -> None:
    """What the file holds shrinks under the bound, and its pages are used again."""
    store = SQLiteStore(tmp_path / "large.db")
    try:
        rows = [row(f"{number}", time_ms=number, doc="x" * 3000) for number in range(1000)]
        store.append(APP, rows).result()
        before = store.kept(APP)
        bound = before.bytes // 2
        assert 400 < retain(store, APP, Retention(bytes=bound), NOW_MS) < 600
        assert store.kept(APP).bytes <= bound
        store.append(APP, [row(f"again-{number}", doc="x" * 3000) for number in range(300)]).result()
        assert (tmp_path / "large.db").stat().st_size <= before.bytes * 1.1
    finally:
        store.close()


def test_a_collector_retains_while_it_runs(serve: Callable[..., Any]) -> None:
    """At start and every minute: a restart on the same store leaves what is kept."""
    with serve() as running:
        running.collector.post("/v1/events/batch", json=[event(), event(), event()])
    with serve(retention=Retention(events=1)) as running:
        until = time.monotonic() + 5
        while len(running.events()) > 1 and time.monotonic() < until:
            time.sleep(0.02)
        assert len(running.events()) <= 1


@pytest.mark.parametrize("bound", ["days", "events", "bytes"])
def test_a_bound_is_more_than_nothing(tmp_path: Path, bound: str) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match=f"keep-{bound}"):
        settings(tmp_path, retention=Retention(**{bound: 0}))  # type: ignore[arg-type]
