"""How processes end: within the time that they have, with what they captured delivered, spooled or counted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults import FaultServer, Reply, hang
from tests.processes import RunningServer, settings
from tests.waiting import until

from .conftest import Launch

SHUTDOWN = 0.7
"""What ``shutdown_timeout`` is here."""
LOADED = float(os.environ.get("EXIT_MARGIN", "10"))
"""What a busy machine may add to it, in seconds. ``EXIT_MARGIN=0.5`` holds a quiet one to what is promised."""
HANG = 30.0
SUMMARY = re.compile(r"^WARNING:moesif_middleware\.runtime\.client:moesif-middleware ends: .*\n?$")

PREAMBLE = """
import asyncio, atexit, logging, os, signal, sys, threading, time
logging.basicConfig(level=logging.WARNING)
from moesif_middleware import Moesif
from tests.exchanges import submit
moesif = Moesif()
def said():
    print(time.time(), flush=True)
"""

SCRIPTS = {
    "the end of the script": "submit(moesif, 3); time.sleep(0.2); said()",
    "the first event is the last thing": "said(); submit(moesif, 3)",
    "sys.exit": "submit(moesif, 3); said(); sys.exit(0)",
    "an exit handler captures the first event": "atexit.register(lambda: (said(), submit(moesif, 3)))",
    "a thread asks for the exit": """
submit(moesif, 3)
def leave():
    time.sleep(0.2)
    said()
    os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Thread(target=leave).start()
while True:
    time.sleep(0.05)
""",
    "a thread outlives the main thread": """
def serve():
    time.sleep(0.3)
    submit(moesif, 3)
    said()
threading.Thread(target=serve).start()
""",
    "SIGINT": """
submit(moesif, 3)
try:
    said()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    sys.exit(0)
""",
    "the event loop is closed": """
from moesif_middleware.asgi import MoesifMiddleware
from tests.apps import asgi
app = MoesifMiddleware(asgi, moesif)
async def request():
    scope = {"type": "http", "method": "GET", "path": "/json", "query_string": b"", "headers": []}
    async def receive(): return {"type": "http.request"}
    async def send(message): pass
    await app(scope, receive, send)
for _ in range(3):
    asyncio.run(request())
said()
""",
    "a hook asks for a flush and an end": """
from moesif_middleware import Hooks
moesif.hooks = Hooks(mask_event=lambda event: (moesif.flush(), moesif.stats()) and None)
submit(moesif, 3); time.sleep(0.1); said()
""",
    "two handles share the time": """
other = Moesif(application_id="another")
submit(moesif, 3); submit(other, 3); said()
""",
}


@dataclass
class Ended:
    """How a process ended: its status, its last words, and the seconds from ``said()`` to the end."""

    status: int
    stderr: str
    seconds: float
    arrived: tuple[int, int] = (0, 0)
    """Events that the collector has, and how many it took, repeats included."""


def ended(script: str, environ: dict[str, str]) -> Ended:
    """Run a script to its end."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREAMBLE + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, **environ},
    ) as process:  # fmt: skip
        out, err = process.communicate(timeout=60)
        return Ended(process.returncode, err, time.time() - float(out.split()[0]))


Cases = dict[str, Future[Ended]]


@pytest.fixture(scope="module")
def well(pool: ThreadPoolExecutor) -> Cases:
    """Run each script beside a collector that takes everything."""

    def run(script: str) -> Ended:
        with FaultServer().start() as server:
            found = ended(script, settings(server.url, shutdown_timeout=20.0, flush_interval=60.0))
            found.arrived = len(server.stored), server.accepted
            return found

    return {how: pool.submit(run, script) for how, script in SCRIPTS.items()}


@pytest.fixture(scope="module")
def hanging(pool: ThreadPoolExecutor) -> Cases:
    """Run each script beside a collector that hangs."""

    def run(script: str) -> Ended:
        with FaultServer().start() as server:
            server.script = lambda request: Reply(raw=hang(HANG))
            return ended(script, settings(server.url, shutdown_timeout=SHUTDOWN))

    return {how: pool.submit(run, script) for how, script in SCRIPTS.items()}


@pytest.mark.parametrize("how", SCRIPTS)
def test_what_was_captured_is_delivered_at_the_end(well: Cases, how: str) -> None:
    """With a collector that is well nothing is said and nothing is lost, whatever way the process ends."""
    found = well[how].result()
    assert (found.status, found.stderr) == (0, "")
    assert found.arrived == ((6, 6) if how.startswith("two") else (3, 3))


@pytest.mark.parametrize("how", SCRIPTS)
def test_a_process_ends_in_its_time_while_the_collector_hangs(hanging: Cases, how: str) -> None:
    """Within ``shutdown_timeout`` and half a second; one line says what was lost and why."""
    found = hanging[how].result()
    assert found.status == 0
    assert found.seconds < SHUTDOWN + LOADED
    lines = found.stderr.splitlines()
    assert len(lines) == (2 if how.startswith("two") else 1), found.stderr
    assert all(SUMMARY.match(line) and "3 dropped (shutdown)" in line for line in lines)


def test_a_process_ends_in_its_time_while_the_name_server_hangs() -> None:
    """No time-out of a socket bounds the look-up of a name; the end does not wait for it."""
    script = """
import socket
socket.getaddrinfo = lambda *arguments, **options: time.sleep(60)
submit(moesif, 3); time.sleep(0.3); said()
"""
    found = ended(script, settings("http://collector.invalid", shutdown_timeout=SHUTDOWN))
    assert found.status == 0
    assert found.seconds < SHUTDOWN + LOADED
    assert SUMMARY.match(found.stderr)
    assert "3 dropped (shutdown)" in found.stderr


def test_with_a_spool_the_end_is_quick_and_nothing_is_lost(server: FaultServer, tmp_path: Path) -> None:
    """What is safe on disk need not wait for the collector."""
    server.script = lambda request: Reply(503)
    environ = settings(server.url, shutdown_timeout=60.0, spool_path=tmp_path / "spool")
    found = ended("submit(moesif, 3); time.sleep(0.6); said()", environ)
    assert found.seconds < 15.0
    assert "dropped" not in found.stderr
    server.script = lambda request: Reply()
    assert (
        ended("submit(moesif, 1); said()\nwhile moesif.stats()['delivered'] < 4: time.sleep(0.01)", environ).status == 0
    )
    assert len(server.stored) == 4


def test_sigterm_is_an_orderly_exit_when_that_is_asked_for(server: FaultServer) -> None:
    """A plain script has no handler: by default SIGTERM ends it at once, as it did before."""
    script = "submit(moesif, 3); said(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)"
    bare = ended(script, settings(server.url, flush_interval=60.0))
    assert (bare.status, len(server.stored)) == (-signal.SIGTERM, 0)
    asked = ended(script, settings(server.url, flush_interval=60.0, exit_on_sigterm=True))
    assert (asked.status, asked.stderr, len(server.stored)) == (128 + signal.SIGTERM, "", 3)


def test_a_handler_of_the_applications_own_stays(server: FaultServer) -> None:
    """exit_on_sigterm takes the place of the default only."""
    script = """
signal.signal(signal.SIGTERM, lambda *_: None)
moesif = Moesif()
submit(moesif, 3); said(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)
"""
    found = ended(script, settings(server.url, exit_on_sigterm=True))
    assert (found.status, found.stderr, len(server.stored)) == (0, "", 3)


# Servers

SERVERS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", "tests.apps:asgi_app", "--port", "PORT", "--log-level", "warning"],
    "hypercorn": ["hypercorn", "tests.apps:asgi_app", "--bind", "127.0.0.1:PORT", "--log-level", "warning"],
    "gunicorn sync": ["gunicorn", "tests.apps:wsgi_app", "--bind", "127.0.0.1:PORT"],
    "gunicorn gthread": ["gunicorn", "tests.apps:wsgi_app", "--bind", "127.0.0.1:PORT", "--threads", "4"],
    "gunicorn gevent": ["gunicorn", "tests.apps:wsgi_app", "--bind", "127.0.0.1:PORT", "-k", "gevent"],
    "waitress": ["waitress", "--listen", "127.0.0.1:PORT", "tests.apps:wsgi_app"],
}
QUIET = {"gunicorn": ["--log-level", "critical", "--no-control-socket"]}


Run = Callable[..., RunningServer]


@pytest.fixture
def run(launch: Launch) -> Run:
    """Run one of the servers, with more words after its own."""

    def start(name: str, environ: dict[str, str], *more: str) -> RunningServer:
        arguments = list(SERVERS[name])
        arguments[1:1] = [*QUIET.get(arguments[0], []), *more]
        return launch([sys.executable, "-m", *arguments], environ)

    return start


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "number"),
    [*((name, signal.SIGTERM) for name in SERVERS), ("uvicorn", signal.SIGINT), ("gunicorn gthread", signal.SIGINT)],
)
def test_a_server_that_is_told_to_end_delivers_first(server: FaultServer, run: Run, name: str, number: int) -> None:
    """Every request that was answered is an event that arrived, and stderr stays empty."""
    one = run(
        name, settings(server.url, flush_interval=60.0, exit_on_sigterm=name == "waitress", shutdown_timeout=20.0)
    )
    for _ in range(5):
        assert one.get().status_code == 200
    one.end(number)
    assert len(server.stored) == server.accepted == 5
    assert _own_lines(one.log) == []


@pytest.mark.heavy
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_ends_in_its_time_while_the_collector_hangs(server: FaultServer, run: Run, name: str) -> None:
    """The middleware adds its time-out to what the bare server needs, and the one line counts the loss."""
    bare = run(name, {})
    bare.get()
    alone = bare.end()
    server.script = lambda request: Reply(raw=hang(HANG))
    environ = settings(server.url, exit_on_sigterm=name == "waitress", shutdown_timeout=SHUTDOWN)

    one = run(name, environ)
    for _ in range(5):
        assert one.get().status_code == 200
    until(lambda: server.posts)
    assert one.end() < alone + SHUTDOWN + LOADED
    said = "\n".join(_own_lines(one.log))
    assert SUMMARY.match(said)
    assert "5 captured" in said
    assert "5 dropped (shutdown)" in said


def _own_lines(log: Path) -> list[str]:
    """Return what stderr has that is not the server's own business."""
    usual = ("INFO:waitress", "Serving on", "ERROR:waitress")
    return [line for line in log.read_text().splitlines() if line and not line.startswith(usual)]


@pytest.mark.heavy
def test_workers_that_are_recycled_lose_nothing(server: FaultServer, run: Run) -> None:
    """``max_requests``: each worker delivers what it has before the next one takes its place."""
    one = run("gunicorn gthread", settings(server.url, flush_interval=60.0), "--max-requests", "5", "--workers", "2")
    good = 0
    for _ in range(25):
        try:
            good += one.get().status_code == 200
        except httpx.TransportError:  # a worker that ends takes no connections meanwhile
            time.sleep(0.05)
    one.end()
    assert good > 15
    assert good <= len(server.stored) <= 25
    assert server.accepted == len(server.stored)
    assert _own_lines(one.log) == []
