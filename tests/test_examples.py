"""Every file of examples/ runs under the server that its own first lines name, and its events arrive."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.processes import Process, free_port, wait_until_open

from .faults import FaultServer
from .processes import settings

ROOT = Path(__file__).parent.parent / "examples"
# Each of them starts a server or more.
pytestmark = pytest.mark.heavy

Expected = dict[tuple[str, str], tuple[int, str | None]]
"""By verb and path: the status and the route template of the event, None for none."""

FASTAPI: Expected = {
    ("GET", "/items/5"): (200, "/items/{item_id}"), ("GET", "/items/999"): (404, "/items/{item_id}"),
    ("POST", "/orders"): (201, "/orders"), ("GET", "/stream"): (200, "/stream"), ("GET", "/error"): (500, "/error"),
}  # fmt: skip
FLASK: Expected = {
    ("GET", "/books/5"): (200, "/books/<int:book_id>"), ("POST", "/reviews"): (201, "/reviews"),
    ("GET", "/report"): (200, "/report"), ("GET", "/error"): (500, "/error"),
}  # fmt: skip
DJANGO: Expected = {
    ("GET", "/books/5/"): (200, "/books/<int:number>/"), ("POST", "/login/"): (200, "/login/"),
    ("GET", "/report/"): (200, "/report/"), ("GET", "/error/"): (500, "/error/"),
}  # fmt: skip
LITESTAR: Expected = {
    ("GET", "/items/5"): (200, "/items/{item_id}"), ("POST", "/reviews"): (201, "/reviews"),
    ("GET", "/error"): (500, "/error"), ("GET", "/nowhere"): (404, None),
}  # fmt: skip
FALCON: Expected = {
    ("GET", "/books/5"): (200, "/books/{number:int}"), ("PUT", "/books/5"): (200, "/books/{number:int}"),
}  # fmt: skip
STARLETTE: Expected = {
    ("POST", "/acme/orders"): (201, "/{tenant}/orders"), ("GET", "/acme/weather"): (200, "/{tenant}/weather"),
}  # fmt: skip
EXAMPLES: dict[str, tuple[str, str, Expected]] = {
    "FastAPI": ("fastapi_app", "uvicorn", FASTAPI),
    "Starlette": ("starlette_app", "uvicorn", STARLETTE),
    "Litestar": ("litestar_app", "uvicorn", LITESTAR),
    "Flask": ("flask_app", "gunicorn", FLASK),
    "Falcon": ("falcon_app", "gunicorn", FALCON),
    "Django sync": ("django_app", "gunicorn", DJANGO),
    "Django async": ("django_app", "uvicorn", DJANGO),
}
SENT = {
    "/orders": {"item": "a thing"}, "/acme/orders": {"item": "a thing"}, "/reviews": {"stars": 3},
    "/login/": {"name": "customer-7"}, "/books/5": {"title": "a book"},
}  # fmt: skip


def test_every_example_is_run() -> None:
    """By this module: the applications here, the demo, which runs the rest, below."""
    files = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "demo", "processes"}
    assert {module for module, _, _ in EXAMPLES.values()} == files


def command(module: str, server: str, port: int) -> list[str]:
    """Return the arguments for Python of the command that the example's first lines give."""
    (target,) = re.findall(rf"{server} (examples\.{module}:\w+)``", (ROOT / f"{module}.py").read_text())
    where = ["--port", str(port)] if server == "uvicorn" else ["--bind", f"127.0.0.1:{port}", "--threads", "4"]
    return ["-m", server, target, *where]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_says_and_its_events_arrive(name: str) -> None:
    """Each request's status and route template, and not one of its secrets."""
    module, server, expected = EXAMPLES[name]
    port = free_port()
    with FaultServer().start() as collecting, FaultServer().start() as elsewhere:
        process = Process(name, command(module, server, port), settings(collecting.url))
        try:
            wait_until_open(port)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
                for verb, path in expected:
                    sent = SENT.get(path) if verb != "GET" else None
                    client.request(verb, path, json=sent, params={"of": f"{elsewhere.url}/weather"})
        finally:
            process.stop()
        events = list(collecting.stored.values())
    assert found(events, port) == expected
    outgoing = [event["request"]["uri"] for event in events if event["direction"] == "Outgoing"]
    assert outgoing == ([f"{elsewhere.url}/weather"] if name == "Starlette" else [])
    assert "never leaves" not in str(events)
    assert not any("Traceback" in line for line in process.lines if "moesif" in line)


def found(events: list[dict[str, Any]], port: int) -> Expected:
    """Return the incoming ones as they are expected."""
    return {
        (event["request"]["verb"], event["request"]["uri"].partition(f":{port}")[2].partition("?")[0]): (
            event["response"]["status"],
            (event.get("metadata") or {}).get("route"),
        )
        for event in events
        if event["direction"] == "Incoming"
    }


def test_the_demo_proves_its_point() -> None:
    """A collector and two applications in processes of their own: captured is stored, each once."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], capture_output=True, text=True, check=False, cwd=ROOT.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "captured = stored, each once" in done.stdout
