"""``moesif-middleware replay``: a spool or a file of events is sent, once, and every event is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from moesif_middleware import Moesif
from moesif_middleware.cli import main
from tests.exchanges import submit
from tests.faults import FaultServer, Reply

Replay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer().start() as made:
        yield made


@pytest.fixture
def replay(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> Replay:
    def run(file: Path, *more: str, app_id: str = "test-app") -> tuple[int, str, str]:
        status = main(["replay", str(file), "--url", server.url, "--app-id", app_id, "--quiet", *more])
        said = capsys.readouterr()
        return status, said.out.strip(), said.err.strip()

    return run


def event(number: int, **more: Any) -> dict[str, Any]:
    request = {"time": "2026-11-25T04:00:00.000Z", "uri": f"https://x.example/{number}", "verb": "GET", "headers": {}}
    return {"request": request, "response": {"time": "2026-11-25T04:00:00.010Z", "status": 200, "headers": {}}, **more}


def written(path: Path, *documents: Any) -> Path:
    path.write_bytes(b"".join((one if isinstance(one, bytes) else orjson.dumps(one)) + b"\n" for one in documents))
    return path


def spooled(server: FaultServer, path: Path, count: int) -> Path:
    """Return a spool that a process has left behind."""
    script, server.script = server.script, lambda request: Reply(503)
    moesif = Moesif(application_id="test-app", base_uri=server.url, spool_path=str(path), flush_interval=0.02)
    submit(moesif, count)
    moesif.close(2.0)
    assert moesif.stats()["spooled"] == count
    server.script = script
    return path


def test_a_spool_is_emptied(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """What a process left is delivered, once."""
    path = spooled(server, tmp_path / "spool", 250)
    assert replay(path) == (0, f"{path}: 250 delivered, 0 left", "")
    assert (len(server.stored), server.accepted) == (250, 250)
    assert replay(path) == (0, f"{path}: 0 delivered, 0 left", "")


def test_progress_is_shown_meanwhile(server: FaultServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is to be quiet; on standard error, so that the last line can be kept. A file's length is not known."""
    path = spooled(server, tmp_path / "spool", 5)
    server.script = lambda request: Reply(delay=0.3)
    options = ["--url", server.url, "--app-id", "test-app"]
    assert main(["replay", str(path), *options]) == 0
    first, *_, last = capsys.readouterr().err.splitlines()
    assert " 0 % 0 of 5 events, " in first
    assert " 100 % 5 of 5 events, " in last
    lines = written(tmp_path / "events.ndjson", event(1))
    assert main(["replay", str(lines), *options]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("1 events, ")


def test_a_spool_keeps_what_cannot_be_delivered(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """A run that ends early loses nothing, and the next one goes on."""
    path = spooled(server, tmp_path / "spool", 30)
    server.script = lambda request: Reply(503)
    status, said, why = replay(path, "--patience", "0.5")
    assert (status, said) == (1, f"{path}: 0 delivered, 30 left")
    assert "broken off" in why
    server.script = lambda request: Reply()
    assert replay(path)[:2] == (0, f"{path}: 30 delivered, 0 left")
    assert (len(server.stored), server.accepted) == (30, 30)


def test_what_another_application_spooled_stays(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """Nothing is sent under an id that it was not captured under."""
    path = spooled(server, tmp_path / "spool", 3)
    status, said, notes = replay(path, app_id="another")
    assert (status, said) == (0, f"{path}: 0 delivered, 0 left")
    assert notes == "3 events of other application ids stay where they are"
    assert server.accepted == 0


def test_a_file_of_events_is_sent_masked(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """Files are written by anybody: what leaves is masked as a captured event is."""
    secret = event(2, transaction_id="t-2")
    secret["request"]["headers"] = {"Authorization": "Bearer abc", "Accept": "a/b"}
    secret["request"] |= {"body": {"password": "p", "n": 1}, "transfer_encoding": "json"}
    path = written(tmp_path / "events", event(1), secret, b"")
    assert replay(path) == (0, f"{path}: 2 delivered, 0 left", "")
    request = server.stored["t-2"]["request"]
    assert request["body"] == {"password": "[REDACTED:password]", "n": 1}
    assert "abc" not in request["headers"]["Authorization"]


def test_a_file_that_is_sent_twice_is_stored_once(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """Events without a transaction id get the same one each time, equal ones on two lines get two."""
    path = written(tmp_path / "events", *(event(number % 3) for number in range(2_500)))
    for _ in range(2):
        assert replay(path)[0] == 0
    assert (len(server.stored), server.accepted) == (2_500, 5_000)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{nonsense", "it is no JSON object of an event"),
        (b"[1]", "it is no JSON object of an event"),
        (b'{"request": 5}', "it is no JSON object of an event"),
        (orjson.dumps({**event(1), "colour": 1}), "colour"),
    ],
)
def test_a_line_that_is_no_event_is_named_and_left_out(
    server: FaultServer, replay: Replay, tmp_path: Path, line: bytes, why: str
) -> None:
    """The others are delivered, and the exit status says that not all were."""
    path = written(tmp_path / "events", event(1), line, event(3))
    status, said, notes = replay(path)
    assert (status, said) == (1, f"{path}: 2 delivered, 1 dropped (invalid), 0 left")
    assert notes.startswith("line 2 is left out: ")
    assert why in notes
    assert len(server.stored) == 2


def test_an_account_that_is_refused_ends_it_at_once(server: FaultServer, replay: Replay, tmp_path: Path) -> None:
    """It says why, and where to go on."""
    path = written(tmp_path / "events", *(event(number) for number in range(1_200)))
    server.script = lambda request: Reply() if len(server.stored) < 1_000 else Reply(401, body=b"unknown id")
    status, said, notes = replay(path)
    assert (status, said) == (1, f"{path}: 1000 delivered, 200 left")
    assert "401" in notes
    assert notes.endswith("to go on: --from-line 1001")
    server.script = lambda request: Reply()
    assert replay(path, "--from-line", "1001")[:2] == (0, f"{path}: 200 delivered, 0 left")
    assert (len(server.stored), server.accepted) == (1_200, 1_200)


@pytest.mark.parametrize("content", [None, b"SQLite format 3\0 and then nothing of the kind"], ids=["none", "damaged"])
def test_a_file_that_cannot_be_used_is_an_error(replay: Replay, tmp_path: Path, content: bytes | None) -> None:
    """The exit status is 2, as for any other wrong call."""
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    status, _, notes = replay(tmp_path / "file")
    assert status == 2
    assert notes.startswith("moesif-middleware replay: ")
