"""Forks: each process delivers its own events once, and its config and rules go on being refreshed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import pytest

from moesif_middleware import MemorySink, Moesif
from moesif_middleware.runtime.ledger import balance
from tests.exchanges import exchange
from tests.faults import FaultServer
from tests.processes import RunningServer, settings

from .conftest import Launch

ROOT = Path(__file__).parent.parent.parent
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:PORT", "--log-level", "warning", "--no-control-socket"]
UWSGI = ["--http-socket", "127.0.0.1:PORT", "--master", "--processes", "2", "--need-app", "--die-on-term",
         "--disable-logging", "--module"]  # fmt: skip

SERVERS: dict[str, list[str]] = {
    "gunicorn sync": [*GUNICORN, "-w", "2", "tests.apps:wsgi_app"],
    "gunicorn sync, preloaded": [*GUNICORN, "-w", "2", "--preload", "tests.apps:wsgi_app"],
    "gunicorn sync, preloaded after an event": [*GUNICORN, "-w", "2", "--preload", "tests.forked_app:wsgi_app"],
    "gunicorn gthread": [*GUNICORN, "-w", "2", "--threads", "4", "tests.apps:wsgi_app"],
    "gunicorn gthread, preloaded": [*GUNICORN, "-w", "2", "--threads", "4", "--preload", "tests.apps:wsgi_app"],
    "gunicorn gevent": [*GUNICORN, "-w", "2", "-k", "gevent", "tests.apps:wsgi_app"],
    "gunicorn gevent, preloaded": [*GUNICORN, "-w", "2", "-k", "gevent", "--preload", "tests.apps:wsgi_app"],
    "uvicorn": ["-m", "uvicorn", "tests.apps:asgi_app", "--port", "PORT", "--workers", "2", "--log-level", "warning"],
    "uwsgi": ["uwsgi", *UWSGI, "tests.apps:wsgi_app", "--enable-threads"],
    "uwsgi, threads": ["uwsgi", *UWSGI, "tests.apps:wsgi_app", "--threads", "2"],
    "uwsgi, lazy": ["uwsgi", *UWSGI, "tests.apps:wsgi_app", "--enable-threads", "--lazy-apps"],
    "uwsgi, loaded after an event": ["uwsgi", *UWSGI, "tests.forked_app:wsgi_app", "--enable-threads"],
    "uwsgi without threads": ["uwsgi", *UWSGI, "tests.apps:wsgi_app"],
}


@pytest.fixture
def run(launch: Launch) -> Callable[[str, dict[str, str]], RunningServer]:
    """Run one of the servers."""

    def start(name: str, environ: dict[str, str]) -> RunningServer:
        command, *more = SERVERS[name]
        arguments = [sys.executable, "-W", "error::DeprecationWarning:moesif_middleware", command, *more]
        if command == "uwsgi":
            # A program of its own: it finds the environment of this Python by its home.
            arguments = [str(Path(sys.executable).with_name("uwsgi")), "--home", sys.prefix, *more]
        return launch(arguments, {"PYTHONPATH": str(ROOT), **environ})

    return start


@pytest.mark.heavy
@pytest.mark.parametrize("name", SERVERS)
def test_each_worker_delivers_its_events_once_and_refreshes_its_rules(
    server: FaultServer, run: Callable[..., RunningServer], name: str
) -> None:
    """Two workers: as many events as requests, none twice, and config fetches that go on in both."""
    one = run(name, settings(server.url, refresh_interval=1.0, shutdown_timeout=20.0))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: one.get("/json"), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    fetches: dict[int, set[int]] = defaultdict(set)
    end = time.monotonic() + 60
    while time.monotonic() < end and (len(fetches) < 2 or min(map(max, fetches.values())) < 2):
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(lambda number: one.get("/static/state"), range(8)):
                state = answer.json()
                fetches[state["pid"]].add(state["stats"]["collector"]["config_fetches"])
    one.end()
    before_the_fork = 1 if "after an event" in name else 0
    assert len(server.stored) == server.accepted == 40 + before_the_fork
    assert len(fetches) == 2, f"only {len(fetches)} worker(s) answered"
    assert min(map(max, fetches.values())) > 1, fetches
    said = one.log.read_text()
    assert "Traceback" not in said
    assert ("add enable-threads = true" in said) == (name == "uwsgi without threads")


PREAMBLE = """
import multiprocessing, os, sys, threading, time
from moesif_middleware import Moesif
from tests.exchanges import submit
context = multiprocessing.get_context("fork")
moesif = Moesif()
moesif.start()
def child(count):
    submit(moesif, count)
def join(*processes):
    for process in processes:
        process.join()
        assert process.exitcode == 0
"""

SCRIPTS: dict[str, tuple[int, str]] = {
    "before the first event": (5, "p = context.Process(target=child, args=(5,)); p.start(); join(p)"),
    "after the first event": (
        8, "submit(moesif, 3); time.sleep(0.3); p = context.Process(target=child, args=(5,)); p.start(); join(p)",
    ),
    "with events in the queue": (
        8, "submit(moesif, 3); p = context.Process(target=child, args=(5,)); p.start(); join(p)",
    ),
    "a child of a child": (6, """
def outer():
    submit(moesif, 1)
    p = context.Process(target=child, args=(3,)); p.start(); join(p)
submit(moesif, 2)
p = context.Process(target=outer); p.start(); join(p)
"""),
    "a pool": (20, """
submit(moesif, 4)
with context.Pool(3) as pool:
    pool.map(child, [2] * 8)
    pool.close(); pool.join()
"""),
    "many forks under load": (1_040, """
def busy():
    for _ in range(100):
        submit(moesif, 10); time.sleep(0.002)
thread = threading.Thread(target=busy); thread.start()
for _ in range(20):
    p = context.Process(target=child, args=(2,)); p.start(); join(p)
thread.join()
"""),
    "os.fork and a flush": (4, """
submit(moesif, 2)
if os.fork() == 0:
    submit(moesif, 2); assert moesif.flush(3); os._exit(0)
assert os.wait()[1] == 0
"""),
    "spawn": (7, """
context = multiprocessing.get_context("spawn")
submit(moesif, 2); p = context.Process(target=child, args=(5,)); p.start(); join(p)
"""),
    "a program is run": (2, "import subprocess; submit(moesif, 1); subprocess.run(['true']); submit(moesif, 1)"),
}  # fmt: skip


@dataclass
class Ended:
    """What a script left: its status, its last words, and how many events arrived, without and with repeats."""

    status: int
    stderr: str
    arrived: tuple[int, int]


def ended(how: str, directory: Path, *, spooling: bool) -> Ended:
    """Run a script to its end, as a program of its own."""
    program = directory / "program.py"
    program.write_text(f"{PREAMBLE}\nif __name__ == '__main__':\n{indent(SCRIPTS[how][1], '    ')}\n")
    # A fork beside a thread of the test's own is the test's own warning.
    strict = ["-W", "error"] if how != "many forks under load" else ["-W", "ignore"]
    with FaultServer().start() as server:
        options = {"spool_path": directory / "spool"} if spooling else {}
        environ = {"PYTHONPATH": str(ROOT), **settings(server.url, shutdown_timeout=20.0, **options)}
        done = subprocess.run(
            [sys.executable, *strict, str(program)], capture_output=True, text=True, timeout=120,
            env={**os.environ, **environ}, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stderr, (len(server.stored), server.accepted))


Cases = dict[str, Future[Ended]]


def _all(pool: ThreadPoolExecutor, directories: pytest.TempPathFactory, *, spooling: bool) -> Cases:
    return {how: pool.submit(ended, how, directories.mktemp("fork"), spooling=spooling) for how in SCRIPTS}


@pytest.fixture(scope="module")
def in_memory(pool: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Run each script without a spool."""
    return _all(pool, tmp_path_factory, spooling=False)


@pytest.fixture(scope="module")
def spooled(pool: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Run each script with a spool."""
    return _all(pool, tmp_path_factory, spooling=True)


@pytest.mark.parametrize("how", SCRIPTS)
def test_a_process_that_forks_delivers_on_both_sides(in_memory: Cases, how: str) -> None:
    """Nothing is lost, nothing is sent twice, and no warning is given: the threads rest while a process forks."""
    count = SCRIPTS[how][0]
    assert in_memory[how].result() == Ended(0, "", (count, count))


@pytest.mark.heavy
@pytest.mark.parametrize("how", SCRIPTS)
def test_a_spool_is_used_on_both_sides_of_a_fork(spooled: Cases, how: str) -> None:
    """No connection of SQLite crosses the fork, and the file is shared."""
    count = SCRIPTS[how][0]
    assert spooled[how].result() == Ended(0, "", (count, count))


FORK_WHILE_IMPORTING = """
import importlib.machinery, os, sys, threading, time
from moesif_middleware import Moesif

parent, importing = os.getpid(), threading.Event()
execute = importlib.machinery.SourceFileLoader.exec_module

def slowly(self, module):
    if module.__name__ == "moesif_middleware.runtime.transport" and os.getpid() == parent:
        importing.set()
        time.sleep(0.5)
    return execute(self, module)

importlib.machinery.SourceFileLoader.exec_module = slowly
moesif = Moesif(application_id="x", base_uri=sys.argv[1], flush_interval=0.01)
moesif.update_user({"user_id": "before"})
assert importing.wait(30)
child = os.fork()
moesif.update_user({"user_id": "after" if child else "child"})
moesif.close(30)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""


def test_a_fork_in_the_middle_of_an_import_leaves_the_child_whole() -> None:
    """The delivery thread imports its transport with the first batch; a server that preloads may fork just then."""
    with FaultServer().start() as server:
        command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_IMPORTING, server.url]
        run = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT)
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(user["user_id"] for post in server.posts for user in post.json) == ["after", "before", "child"]


def test_the_first_requests_of_a_child_that_does_not_know_of_its_fork_are_all_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """uWSGI announces no forks, and its threads take requests at once: one begins anew, and the others wait for it."""
    sink = MemorySink()
    moesif = Moesif(application_id="x", sink=sink)
    forget, begun = moesif.worker.forget, threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)
        forget()

    def request() -> None:
        found = exchange()
        moesif.begin(found.head)
        moesif.submit(found)

    monkeypatch.setattr(moesif.worker, "forget", slow)
    moesif._pid = 0
    threads = [threading.Thread(target=request) for _ in range(4)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert moesif.flush(5)
    counts = moesif.stats()
    assert (counts["captured"], counts["delivered"], balance(counts)) == (4, 4, 0)
    assert len(sink.events) == 4
    moesif.close()
