"""A real collector on a free port of this machine, in a thread of the tests, and the events that are sent to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import uvicorn

from moesif_middleware.collector.app import create_app
from moesif_middleware.collector.settings import CollectorSettings, ManagementKey
from moesif_middleware.models import wire_time


class Served:
    """A collector that runs: ``url`` is its address, ``apps`` its application ids."""

    def __init__(self, url: str, apps: tuple[str, ...]) -> None:
        self.url = url
        self.apps = apps
        self.client = httpx.Client(base_url=url, timeout=20)

    def send(self, app: str, *events: dict[str, Any]) -> None:
        headers = {"X-Moesif-Application-Id": app}
        for start in range(0, len(events), 1000):
            answer = self.client.post("/v1/events/batch", json=list(events[start : start + 1000]), headers=headers)
            assert answer.status_code == 201, answer.text

    def page(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(f"/_page/api/{path}", params=query)


@contextmanager
def serving(folder: Path, apps: tuple[str, ...], port: int = 0, **settings: Any) -> Iterator[Served]:
    settings.setdefault("management_keys", (ManagementKey("key"),))
    app = create_app(CollectorSettings(f"sqlite:///{folder / 'events.db'}", apps, **settings))
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}", apps)
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield served
    finally:
        served.client.close()
        server.should_exit = True
        thread.join(20)
        listener.close()


def event(path: str = "/items/1", verb: str = "GET", status: int | None = 200, **more: Any) -> dict[str, Any]:
    """Return one event; ``request``, ``response`` and all other keywords are merged into it. ``took`` is in ms."""
    took, ago = more.pop("took", 12), more.pop("ago", 1)
    started = time.time() - ago
    made: dict[str, Any] = {
        "transaction_id": str(uuid4()),
        "request": {
            "time": wire_time(started),
            "uri": f"https://api.example.com{path}",
            "verb": verb,
            "headers": {"Host": "api.example.com", "Accept": "*/*"},
            **more.pop("request", {}),
        },
        **more,
    }
    if status is not None:
        made["response"] = {
            "time": wire_time(started + took / 1000),
            "status": status,
            "headers": {"Content-Type": "application/json"},
            **more.get("response", {}),
        }
    return made
