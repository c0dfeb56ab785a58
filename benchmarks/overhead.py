"""What the middleware costs a request: ``python -m benchmarks.overhead``.

The application is called in process, bare and wrapped in turns within one run, and the differences are paired: the
median added CPU of the request's own thread (``path``) and of all threads, delivery included (``cpu``), in
microseconds a request. Events go to a sink that takes and forgets encoded and compressed batches.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from moesif_middleware import Moesif, Settings
from moesif_middleware.asgi import MoesifMiddleware as AsgiMiddleware
from moesif_middleware.runtime.sinks import compress
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.governance import Snapshot, compile_config, compile_rules
from moesif_middleware.sansio.protocol import Answer
from moesif_middleware.wsgi import MoesifMiddleware as WsgiMiddleware

Run = Callable[[int], None]


class Compressing:
    """A sink that does all the work of sending but the sending."""

    events = 0

    def send(self, batch: Batch, timeout: float) -> Answer:  # noqa: ARG002  # the protocol's signature
        """Compress and forget."""
        compress(batch.pieces())
        self.events += len(batch.items)
        return Answer(201)

    def close(self) -> None:
        """Nothing is open."""


def document(size: int) -> bytes:
    """Return a JSON document of about ``size`` bytes, such as APIs answer."""
    row = {"id": 12345, "name": "A thing of some kind", "price": 9.95, "tags": ["one", "two"], "active": True}
    rows = [{**row, "id": number} for number in range(max(1, size // len(json.dumps(row))))]
    return json.dumps({"items": rows, "next": None}).encode()


WORKLOADS: dict[str, tuple[str, bytes, list[bytes]]] = {
    "a: GET, 200 B JSON": ("GET", b"", [document(200)]),
    "b: POST 2 KB -> 2 KB JSON": ("POST", document(2_000), [document(2_000)]),
    "c: POST 64 KB -> 64 KB JSON": ("POST", document(64_000), [document(64_000)]),
    "d: stream of 100 x 10 KB": ("GET", b"", [b"x" * 10_240] * 100),
}
HEADERS = {
    "host": "api.example.com", "user-agent": "python-httpx/0.28.1", "accept": "*/*", "accept-encoding": "gzip, br",
    "connection": "keep-alive", "content-type": "application/json", "x-request-id": "4fa9b2c7",
}  # fmt: skip


def asgi_run(app: Any, verb: str, body: bytes) -> Run:
    """Return a function that sends a number of requests through an ASGI application."""
    raw = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        """Forget."""

    async def requests(count: int) -> None:
        for _ in range(count):
            scope = {
                "type": "http", "method": verb, "path": "/items/1", "raw_path": b"/items/1", "query_string": b"page=1",
                "scheme": "http", "headers": list(raw), "client": ("10.0.0.1", 5000), "server": ("10.0.0.2", 80),
                "root_path": "", "http_version": "1.1",
            }  # fmt: skip
            await app(scope, receive, send)

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(requests(count))


def asgi_app(chunks: list[bytes]) -> Any:
    """Return a bare ASGI application that reads its body and answers the chunks."""
    headers = [(b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001  # ASGI's signature
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunks[-1]})

    return app


def wsgi_run(app: Any, verb: str, body: bytes) -> Run:
    """Return a function that sends a number of requests through a WSGI application."""
    base = {
        "REQUEST_METHOD": verb, "PATH_INFO": "/items/1", "QUERY_STRING": "page=1", "SCRIPT_NAME": "",
        "SERVER_NAME": "h", "SERVER_PORT": "80", "REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": True, "SERVER_PROTOCOL": "HTTP/1.1", "RAW_URI": "/items/1?page=1",
        "CONTENT_LENGTH": str(len(body)),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()},
    }  # fmt: skip

    def start_response(*arguments: Any) -> None:  # PEP 3333's signature
        """Forget."""

    def requests(count: int) -> None:
        for _ in range(count):
            result = app({**base, "wsgi.input": io.BytesIO(body)}, start_response)
            for _chunk in result:
                pass

    return requests


def wsgi_app(chunks: list[bytes]) -> Any:
    """Return a bare WSGI application that reads its body and answers the chunks."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "application/json")])
        return chunks if len(chunks) == 1 else iter(chunks)

    return app


def measure(bare: Run, wrapped: Run, moesif: Moesif, rounds: int, count: int) -> dict[str, float]:
    """Return the medians of paired differences, in microseconds a request."""

    def cost(run: Run, clock: Callable[[], int], *, drain: bool) -> float:
        begun = clock()
        run(count)
        if drain:
            moesif.flush(60)
        return (clock() - begun) / count / 1000

    bare(count)
    wrapped(count)
    moesif.flush(60)
    path, cpu, base = [], [], []
    for _ in range(rounds):
        one = cost(bare, time.thread_time_ns, drain=False)
        base.append(one)
        path.append(cost(wrapped, time.thread_time_ns, drain=False) - one)
        moesif.flush(60)
        one = cost(bare, time.process_time_ns, drain=False)
        cpu.append(cost(wrapped, time.process_time_ns, drain=True) - one)
    return {"bare": statistics.median(base), "path": statistics.median(path), "cpu": statistics.median(cpu)}


def rules(count: int) -> bytes:
    """Return rules that read verb, route and headers, and match nothing of the workloads."""
    found = []
    for number in range(count):
        conditions = [
            {"path": "request.verb", "value": "DELETE"},
            {"path": "request.route", "value": f"/admin/{number}/.*"},
            {"path": "request.headers.user-agent", "value": f"bot-{number}"},
        ]
        found.append(
            {"_id": f"r{number}", "type": "regex", "block": True, "regex_config": [{"conditions": conditions}]}
        )
    return json.dumps(found).encode()


def contestants(quick: bool) -> dict[str, Callable[[], dict[str, float]]]:
    """Return the measurements by name."""
    rounds = 5 if quick else 31
    found: dict[str, Callable[[], dict[str, float]]] = {}

    def add(name: str, kind: str, load: tuple[str, bytes, list[bytes]], config: bytes, ruleset: bytes) -> None:
        verb, body, chunks = load

        def run() -> dict[str, float]:
            settings = Settings(application_id="benchmark", queue_events=1_000_000, queue_bytes=2**31)
            moesif = Moesif(settings, sink=Compressing())
            moesif.use(Snapshot().with_config(compile_config(config)).with_rules(compile_rules(ruleset)))
            make, drive = (asgi_app, asgi_run) if kind == "ASGI" else (wsgi_app, wsgi_run)
            middleware: Any = AsgiMiddleware if kind == "ASGI" else WsgiMiddleware
            app = make(chunks)
            count = 200 if len(body) < 10_000 else 60
            try:
                return measure(
                    drive(app, verb, body), drive(middleware(app, moesif), verb, body), moesif, rounds, count
                )
            finally:
                moesif.close()

        found[f"{kind} {name}"] = run

    for kind in ("ASGI", "WSGI"):
        for name, load in WORKLOADS.items():
            add(name, kind, load, b"{}", b"[]")
        small = WORKLOADS["a: GET, 200 B JSON"]
        add("a, sampled at 0", kind, small, b'{"sample_rate": 0}', b"[]")
        add("a, 100 rules", kind, small, b"{}", rules(100))
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    arguments = parser.parse_args()
    print("| microseconds a request | bare | added, path | added, cpu |\n|---|---|---|---|")
    for name, run in contestants(arguments.quick).items():
        if arguments.only in name:
            row = run()
            print(f"| {name} | {row['bare']:.1f} | {row['path']:.1f} | {row['cpu']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
