"""The main job, end to end: a collector, two applications, some forty real requests, and the events that were captured.

``python -m examples.demo`` ends with 0 when every request stands in the collector, once; with ``--serve`` it goes on
running and opens the page.
"""

from __future__ import annotations

import argparse
import sys
import time
import webbrowser
from collections.abc import Iterator
from typing import Any

import httpx

from .processes import APPLICATION_ID, Process, Stack

Call = tuple[str, str, dict[str, Any]]


def calls(fastapi: str, flask: str) -> Iterator[Call]:
    """Yield the requests: JSON, form, upload, download, stream, error, slow, 404."""
    for number in range(1, 9):
        yield "GET", f"{fastapi}/items/{number}?page={number}&api_key=secret-{number}", {}
        yield "GET", f"{flask}/books/{number}", {}
    for number in range(1, 5):
        order = {"item": f"Item {number}", "quantity": number, "card_number": "4111111111111111"}
        yield "POST", f"{fastapi}/orders", {"json": order}
        yield "POST", f"{flask}/reviews", {"json": {"stars": number}, "headers": {"Authorization": "Basic YW5uOnB3"}}
        yield "POST", f"{flask}/login", {"data": {"name": f"user-{number}", "password": "a secret"}}
    yield "POST", f"{fastapi}/upload", {"files": {"file": ("photo.jpg", bytes(50_000), "image/jpeg")}}
    yield "POST", f"{fastapi}/orders", {"json": {"quantity": "many"}}
    # The errors last: a server that met an exception ends its connection, which the next request may just be using.
    for path in ("/export", "/stream", "/slow", "/items/999", "/nowhere", "/error"):
        yield "GET", f"{fastapi}{path}", {}
    for path in ("/report", "/slow", "/books/999", "/error"):
        yield "GET", f"{flask}{path}", {}


def send(stack: Stack) -> int:
    """Send the requests and return how many were answered."""
    answered = 0
    with httpx.Client(timeout=10) as client:
        for verb, url, options in calls(stack.fastapi_url, stack.flask_url):
            client.request(verb, url, **options)
            answered += 1
    return answered


def stored(url: str, least: int, seconds: float = 20.0) -> list[dict[str, Any]]:
    """Return the collector's events, once there are ``least`` of them or the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = httpx.get(f"{url}/_page/api/events", params={"limit": 200})
        events: list[dict[str, Any]] = answer.raise_for_status().json()["events"]
        if len(events) >= least or time.monotonic() > end:
            return events
        time.sleep(0.1)


def table(events: list[dict[str, Any]]) -> str:
    """Return the events as lines of text, oldest first."""
    lines = [f"{'TIME':12} {'VERB':6} {'STATUS':6} {'MS':>6}  {'USER':12} URI"]
    for event in sorted(events, key=lambda event: event["time_ms"]):
        moment = time.strftime("%H:%M:%S", time.gmtime(event["time_ms"] / 1000))
        took = "-" if event.get("duration_ms") is None else f"{event['duration_ms']}"
        user = event.get("user_id") or "-"
        lines.append(
            f"{moment:12} {event['verb']:6} {event.get('status') or '-':6} {took:>6}  {user:12} {event['uri']}"
        )
    return "\n".join(lines)


def captured(process: Process) -> int:
    """Return how many events a stopped application says that it captured, from the one line that it logs at its end."""
    return int(process.wait_for(r"moesif-middleware ends: (\d+) captured", 1.0)[1])


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep everything running and open the page")
    parser.add_argument("--port", type=int, default=0, help="the collector's port")
    arguments = parser.parse_args()
    with Stack(arguments.port) as stack:
        print(f"A collector on {stack.url}, FastAPI under uvicorn on {stack.fastapi_url}, Flask under gunicorn on "
              f"{stack.flask_url}; application id {APPLICATION_ID}")  # fmt: skip
        answered = send(stack)
        events = stored(stack.url, answered)
        print(f"\n{table(events)}\n\nThe page: {stack.url}/")
        if arguments.serve:
            serve(stack.url)
        stack.fastapi.stop()
        stack.flask.stop()
        taken = captured(stack.fastapi) + captured(stack.flask)
        events = stored(stack.url, answered, 1.0)
    ids = {event["id"] for event in events}
    print(f"{answered} requests answered, {taken} captured, {len(events)} stored, {len(ids)} of them different")
    leaked = [word for word in ("a secret", "secret-1", "4111111111111111", "never leaves") if word in str(events)]
    good = answered == taken == len(events) == len(ids) and not leaked
    print("captured = stored, each once" if good else f"THE NUMBERS DIFFER, or something leaked: {leaked}")
    return 0 if good else 1


def serve(url: str) -> None:
    """Keep running until Ctrl-C."""
    webbrowser.open(f"{url}/")
    print("Running; stop with Ctrl-C.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
