"""``moesif-middleware store copy``: everything arrives once, wherever a run is broken off."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from benchmarks.servers import Server
from moesif_middleware.cli import main
from moesif_middleware.cli.progress import Progress
from moesif_middleware.collector.stores import Store, copying
from moesif_middleware.collector.stores.copying import COPIES, copy
from moesif_middleware.collector.stores.opening import open_store
from moesif_middleware.collector.stores.sqlite import SQLiteStore
from moesif_middleware.errors import ConfigurationError

from ..waiting import until
from .conftest import APP, OTHER_APP
from .test_store_contract import row

DOCUMENTS = {"users": {"u1": {"a": [1]}, "u2": {}}, "rules": {"r'\\": {"_id": "r"}}, "odd kind": {"": {"x": None}}}


def filled(store: Store, count: int = 1_300) -> None:
    # Three events to a millisecond, so that windows end within one.
    rows = [row(f"e{number}", time_ms=1_000 + number // 3) for number in range(count)]
    store.append(APP, rows).result()
    store.append(OTHER_APP, [row("other")]).result()
    for kind, documents in DOCUMENTS.items():
        store.put(APP, kind, documents).result()


def content(store: Store) -> dict[str, Any]:
    """Return everything that a store holds, but for what tells how far a copy is."""
    found: dict[str, Any] = {}
    for app in store.apps():
        rows = store.window(app, 0, 100_000)
        found[app] = [sorted(map(repr, rows)), {k: store.items(app, k) for k in store.kinds(app) if k != COPIES}]
    return found


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    with closing(SQLiteStore(tmp_path / "source.db")) as store:
        filled(store)
        yield store


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Store]:
    with closing(SQLiteStore(tmp_path / "target.db")) as store:
        yield store


def test_a_copy_is_the_same(source: Store, target: Store) -> None:
    """Events, documents and their keys, of every application; and a second copy finds everything there."""
    first = {each.app: each for each in copy(source, target, "a")}
    assert content(target) == content(source)
    assert (first[APP].events, first[APP].there, first[APP].documents, first[APP].missed) == (1_300, 0, 4, 0)
    second = {each.app: each for each in copy(source, target, "a")}
    assert (second[APP].events, second[APP].there) == (1_300, 1_300)
    assert content(target) == content(source)
    assert target.documents(APP, COPIES) == []


@pytest.mark.parametrize("steps", [1, 3, 5, 9, 12])
def test_a_copy_goes_on_where_it_was_broken_off(
    source: Store, target: Store, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the step was, nothing is left out and nothing is there twice."""
    monkeypatch.setattr(copying, "ROWS", 100)
    monkeypatch.setattr(copying, "_NOTED", 2)
    running = copy(source, target, "a")
    for _ in range(steps):
        next(running)
    running.close()
    last = {each.app: each for each in copy(source, target, "a")}[APP]
    assert content(target) == content(source)
    assert last.events == last.total == 1_300
    if steps > 8:
        assert last.there < 600, "it went on, it did not begin anew"


def test_what_arrives_meanwhile_is_told(source: Store, target: Store) -> None:
    """An event of a time that the copy has passed is not in it; the next run takes it."""
    for each in copy(source, target, "a"):
        if each.app == APP and each.events and source.get(APP, "events", "late") is None:
            source.append(APP, [row("late", time_ms=1)]).result()
        if each.app == APP:
            last = each
    assert last.missed == 1
    assert [each.missed for each in copy(source, target, "a")][-1] == 0
    assert content(target) == content(source)


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each application; progress goes to standard error."""
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    with closing(open_store(urls[0])) as store:
        filled(store, 5)
    assert main(["store", "copy", *urls]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{APP}: 5 events (0 were there), 4 documents",
        f"{OTHER_APP}: 1 events (0 were there), 0 documents",
    ]
    assert "100 % 6 of 6 events" in said.err
    assert main(["store", "copy", "--quiet", *urls]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.heavy
def test_a_copy_that_is_killed_goes_on(tmp_path: Path) -> None:
    """kill -9 while it copies; the same command again: everything is there once, and the most of it was there."""
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    with closing(SQLiteStore(paths[0])) as source, closing(SQLiteStore(paths[1])) as target:
        filled(source, 60_000)
        command = [sys.executable, "-m", "moesif_middleware", "store", "copy", *(f"sqlite:///{path}" for path in paths)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until(lambda: target.items(APP, COPIES) and target.kept(APP).events > 10_000, every=0.001)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        there = target.kept(APP).events
        assert there < 60_000
        again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert content(target) == content(source)
        repeated = int(again.stdout.split("(")[1].split(" ")[0].replace(",", ""))
        assert again.stdout.startswith(f"{APP}: 60,000 events (")
        assert repeated < there / 2, "it went on, it did not begin anew"


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        (["sqlite:///{}/none.db", "sqlite:///{}/two.db"], "there is no file"),
        (["sqlite:///{}/one.db", "sqlite:///{}/one.db"], "is the same store"),
        (["mysql://x", "sqlite:///{}/two.db"], "is not the scheme"),
    ],
)
def test_a_copy_that_cannot_work_is_refused(
    tmp_path: Path, urls: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one sentence, and no file that was not there."""
    assert main(["store", "copy", *(url.format(tmp_path) for url in urls)]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("done", "seconds", "text"),
    [
        (0, 0.0, "[..............................]   0 % 0 of 200 events, 0/s"),
        (50, 10.0, "[#######.......................]  25 % 50 of 200 events, 5/s, 0:30 left"),
        (200, 40.0, "[##############################] 100 % 200 of 200 events, 5/s"),
        (300, 40.0, "[##############################] 100 % 300 of 300 events, 8/s"),
    ],
)
def test_the_bar_says_how_far_how_fast_and_how_long(done: int, seconds: float, text: str) -> None:
    """Also when there turned out to be more than was thought."""
    assert Progress(200, "events").text(done, seconds) == text


@pytest.mark.heavy
def test_clickhouse_takes_and_gives_everything(source: Store, tmp_path: Path, clickhouse: Server) -> None:
    """From SQLite into ClickHouse and back: what comes back is what went in."""
    url = f"{clickhouse.url}/copy_{uuid4().hex}"
    back: Callable[[], Store] = lambda: SQLiteStore(tmp_path / "back.db")  # noqa: E731
    with closing(open_store(url)) as there:
        running = copy(source, there, "a")
        for _ in range(4):
            next(running)
        running.close()
        assert [each.events for each in copy(source, there, "a") if each.app == APP][-1] == 1_300
        assert content(there) == content(source)
        with closing(back()) as again:
            assert [each.missed for each in copy(there, again, "b")][-1] == 0
            assert content(again) == content(source)


@pytest.mark.heavy
def test_a_database_that_is_misspelt_is_not_made_to_be_copied(tmp_path: Path, clickhouse: Server) -> None:
    url = f"{clickhouse.url}/copy_{uuid4().hex}"
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="there is no store in the database copy_"):
            open_store(url, must_exist=True)
    assert main(["store", "copy", url, f"sqlite:///{tmp_path / 'new.db'}"]) == 2
    assert not (tmp_path / "new.db").exists()


def test_a_copy_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("empty", "target")]
    open_store(urls[0]).close()
    assert main(["store", "copy", "--quiet", *urls]) == 0
    assert capsys.readouterr().out == "there is nothing to copy\n"
