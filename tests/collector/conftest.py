"""A real uvicorn on a free port of the loopback, and a client that speaks to it."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from benchmarks.servers import Server, one
from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.server import CollectorServer, listen
from moesif_middleware.collector.settings import CollectorSettings, ManagementKey
from moesif_middleware.collector.stores.sqlite import SQLiteStore

# Reading the certificates takes longer than many a test, and nothing here speaks TLS.
CONTEXT = ssl.create_default_context()

APP, OTHER_APP, KEY, READ_KEY = "app-one", "app-two", "key-of-everything", "key-that-reads"


@dataclass
class Running:
    """A collector that listens: its store, and clients with each kind of credentials."""

    url: str
    store: SQLiteStore
    collector: httpx.Client
    management: httpx.Client
    anonymous: httpx.Client
    app: str = APP

    def events(self, app: str | None = None) -> list[dict[str, Any]]:
        """Return the stored documents of an application's events, oldest first."""
        app = app or self.app
        number = self.store.app_number(app)
        with self.store.reading() as connection:
            ids = connection.execute("SELECT id FROM events WHERE app = ? ORDER BY seq", (number,)).fetchall()
        return [self.store.get(app, "events", key) or {} for (key,) in ids]


@contextmanager
def serving(settings: CollectorSettings, clock: Callable[[], float] = time.time) -> Iterator[Running]:
    """Serve ``settings`` in a thread until the block ends."""
    app = create_app(settings, clock=clock)
    server = CollectorServer(app)
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with (
            httpx.Client(verify=CONTEXT, base_url=url, headers={"X-Moesif-Application-Id": APP}) as collector,
            httpx.Client(verify=CONTEXT, base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as management,
            httpx.Client(verify=CONTEXT, base_url=url) as anonymous,
        ):
            yield Running(url, app.state.context.store, collector, management, anonymous)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def settings(path: Path, **changes: Any) -> CollectorSettings:
    """Return the settings of a collector whose store is in ``path``."""
    keys = (ManagementKey(KEY), ManagementKey(READ_KEY, frozenset({"read:governance_rules"})))
    values: dict[str, Any] = {"store": f"sqlite:///{path}/events.db", "apps": (APP, OTHER_APP), "management_keys": keys}
    return CollectorSettings(**values | changes)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(settings(tmp_path)) as found:
        yield found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Iterator[str]]]:
    """One collector for a module, and application ids to share it with."""
    apps = [f"app-{number}" for number in range(500)]
    with serving(settings(tmp_path_factory.mktemp("many"), apps=tuple(apps))) as found:
        yield found, iter(apps)


@pytest.fixture
def fresh(many: tuple[Running, Iterator[str]]) -> Iterator[Running]:
    """An application of its own in a collector that runs already; its management client speaks for the first one."""
    server, apps = many
    app = next(apps)
    with httpx.Client(verify=CONTEXT, base_url=server.url, headers={"X-Moesif-Application-Id": app}) as collector:
        yield replace(server, collector=collector, app=app)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One collector for a module's tests that store nothing."""
    with serving(settings(tmp_path_factory.mktemp("shared"))) as found:
        yield found


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all tests; each uses databases of its own."""
    with one(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.heavy)])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """A collector on each kind of store."""
    changes = {}
    if request.param == "clickhouse":
        changes["store"] = f"{request.getfixturevalue('clickhouse').url}/test_{uuid4().hex}"
    with serving(settings(tmp_path, **changes)) as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """Serve with other settings than usual: ``with serve(token=...) as running``."""
    return lambda **changes: serving(settings(tmp_path, **changes))


def moment(seconds_ago: float = 0) -> str:
    """Return a time of the wire."""
    at = time.time() - seconds_ago
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"


def event(**changes: Any) -> dict[str, Any]:
    """Return an event; ``request`` and ``response`` change fields within, None takes a field out."""
    found: dict[str, Any] = {
        "request": {"time": moment(1), "uri": "https://api.example.com/items/7?page=2", "verb": "GET", "headers": {}},
        "response": {"time": moment(0.9), "status": 200, "headers": {"Content-Type": "application/json"}},
    }
    for side in ("request", "response"):
        if isinstance(changes.get(side), dict):
            found[side].update(changes.pop(side))
            found[side] = {name: value for name, value in found[side].items() if value is not None}
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def action(**changes: Any) -> dict[str, Any]:
    """Return a user action."""
    return {"action_name": "Signed Up", "request": {"uri": "https://example.com/pricing"}, **changes}
