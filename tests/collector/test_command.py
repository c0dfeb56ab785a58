"""``python -m moesif_middleware collector`` as a process: what it prints, how it ends, what survives a kill."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from moesif_middleware import __version__
from moesif_middleware.cli import main

from .conftest import APP, event

COMMAND = [sys.executable, "-W", "error", "-m", "moesif_middleware", "collector", "--port", "0"]


@contextmanager
def process(*options: str, command: Sequence[str] = COMMAND) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Run the command; give the process, its URL and the application ids that it printed."""
    running = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        lines = [running.stdout.readline().strip()]
        while lines[-1] and not lines[-1].startswith("collector: page "):
            lines.append(running.stdout.readline().strip())
        url = re.fullmatch(r"collector: listening on (http://127\.0\.0\.1:[1-9]\d*)", lines[0])
        assert url is not None, lines
        assert lines[-1] == f"collector: page {url[1]}/"
        ids = [line.removeprefix("collector: application id ") for line in lines[1:-1]]
        yield running, url[1], ids
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def ended(running: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit status and what stood on standard error."""
    running.send_signal(number)
    _, errors = running.communicate(timeout=10)
    return running.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_makes_an_application_id_and_ends_cleanly(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options: an id that it prints and takes, a store that goes with it, no word on standard error."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with process() as (running, url, (app,)):
        answer = httpx.post(f"{url}/v1/events", json=event(), headers={"X-Moesif-Application-Id": app})
        assert answer.status_code == 201
        assert any(tmp_path.iterdir())
        status, errors = ended(running, number)
        assert (status, errors) == (0, "")
    assert not any(tmp_path.iterdir())


def test_an_open_page_does_not_hold_up_the_end() -> None:
    """A live stream ends with the server: at once, without a word on standard error."""
    with process() as (running, url, _), httpx.stream("GET", f"{url}/_page/api/live", timeout=10) as live:
        chunks = live.iter_raw()
        assert next(chunks)
        running.send_signal(signal.SIGTERM)
        assert b"".join(chunks) == b""
        _, errors = running.communicate(timeout=2)
        assert (running.returncode, errors) == (0, "")


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    """SIGKILL in the middle of four writers: all acknowledged events are stored, once; a re-send adds the rest."""
    store = tmp_path / "killed.db"
    sent: list[str] = []
    acknowledged: list[str] = []
    with process("--store", f"sqlite:///{store}", "--app-id", APP) as (running, url, _):

        def post() -> None:
            with httpx.Client(headers={"X-Moesif-Application-Id": APP}) as client:
                while True:
                    ids = [str(uuid4()) for _ in range(7)]
                    sent.extend(ids)
                    try:
                        answer = client.post(f"{url}/v1/events/batch", json=[event(transaction_id=key) for key in ids])
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 201
                    acknowledged.extend(ids)
                    if len(acknowledged) > 700:
                        running.kill()

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.wait(5) == -signal.SIGKILL
    assert _ids(store) >= set(acknowledged)
    assert len(acknowledged) > 700
    with process("--store", f"sqlite:///{store}", "--app-id", APP) as (running, url, _):
        body = [event(transaction_id=key) for key in sent]
        answer = httpx.post(f"{url}/v1/events/batch", json=body, headers={"X-Moesif-Application-Id": APP})
        assert sum(answer.json().values()) == len(sent)
    assert _ids(store) == set(sent)


def _ids(store: Path) -> set[str]:
    """Return the ids whose documents are stored, after a look at the file's integrity and that each is there once."""
    connection = sqlite3.connect(store)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT e.id, d.doc FROM events e LEFT JOIN documents d USING (seq)").fetchall()
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (len(rows),)
    finally:
        connection.close()
    assert all(json.loads(doc)["transaction_id"] == key for key, doc in rows)
    return {key for key, _ in rows}


def test_options_are_used(tmp_path: Path) -> None:
    """Two ids, a key with a scope, a fault and a delay."""
    options = ("--app-id", "one", "two", "--management-key", "all==", "reader=read:governance_rules")
    with process(*options, "--store", f"sqlite:///{tmp_path}/a.db", "--latency", "1ms") as (_, url, ids):
        assert ids == ["one", "two"]
        statuses = [
            httpx.request(
                method, f"{url}/v1/~/governance/rules", headers={"Authorization": f"Bearer {key}"}
            ).status_code
            for method, key in (("GET", "all=="), ("GET", "reader"), ("POST", "reader"), ("GET", "reader=read"))
        ]
        assert statuses == [200, 200, 401, 401]
    with process("--fault", "503") as (_, url, (app,)):
        assert httpx.get(f"{url}/v1/config", headers={"X-Moesif-Application-Id": app}).status_code == 503


def test_the_garbage_collector_leaves_a_batch_alone() -> None:
    """What is imported is looked at no more, and a full batch is parsed without one collection."""
    program = """
import gc, json, orjson
from moesif_middleware.cli.collector import tune_interpreter
import moesif_middleware.collector.app
tune_interpreter()
before = [generation["collections"] for generation in gc.get_stats()]
events = orjson.loads(json.dumps([{"body": [[] for _ in range(38)]}] * 500))
after = [generation["collections"] for generation in gc.get_stats()]
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 10_000, len(events), after == before]))
"""
    answer = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [True, True, 500, True]


def test_secrets_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no other user of the machine reads them; an option wins."""
    found = {"STORE": f"sqlite:///{tmp_path}/a.db", "APP_ID": "one two", "MANAGEMENT_KEY": "all reader=read:events"}
    for name, value in {**found, "TOKEN": "a-token-of-sixteen-or-more"}.items():
        monkeypatch.setenv(f"COLLECTOR_{name}", value)
    with process("--management-key", "other") as (_, url, ids):
        assert ids == ["one", "two"]
        assert httpx.get(f"{url}/").status_code == 401
        headers = {"Authorization": "Bearer all"}
        assert httpx.get(f"{url}/v1/~/cohorts", headers=headers).status_code == 401
    with process() as (_, url, _):
        assert httpx.get(f"{url}/v1/~/cohorts", headers=headers).status_code == 200
    assert (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "host: 0.0.0.0 can be reached from other machines: give a --token as well"),
        (["--token", "short"], "token: must have at least 16 characters"),
        (["--app-id", "with space"], "app-id: must be 1 to 512 printable ASCII characters"),
        (
            ["--store", "mysql://x/y"],
            "store: 'mysql' is not the scheme of a store: write sqlite:///PATH or clickhouse://HOST/DATABASE",
        ),
        (["--store", "sqlite:////nowhere/at/all.db"], "unable to open database file"),
        (["--fault", "explode"], "fault: 'explode' is not"),
        (["--latency", "soon"], "latency: 'soon' is not a time"),
        (["--management-key", "=read:events"], "management-key: must not be empty"),
        (["--host", "256.1.1.1", "--token", "x" * 16], "port: cannot listen on 256.1.1.1"),
        (["--port", "99999"], "port: must be from 0 to 65535, not 99999"),
    ],
)
def test_options_that_cannot_work_end_with_one_sentence(
    capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    """Status 2, the option's name, no traceback."""
    assert main(["collector", "--port", "0", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("moesif-middleware collector: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Reports of faults begin with it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"moesif-middleware {__version__}\n"
