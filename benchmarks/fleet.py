"""One application process of the cluster benchmark: a WSGI application under the middleware, called at a steady rate.

``python -m benchmarks.fleet URL SPOOL ACKNOWLEDGED RATE SECONDS`` appends the transaction id of every event that the
collector acknowledged to a file, and prints what the middleware counted. With a rate of 0 it only sends what the spool
still has from a process before it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from werkzeug.test import EnvironBuilder, run_wsgi_app

from moesif_middleware import Moesif, Settings
from moesif_middleware.runtime.sinks import CollectorSink
from moesif_middleware.sansio.batches import Batch
from moesif_middleware.sansio.protocol import Answer
from moesif_middleware.wsgi import MoesifMiddleware

APP = "cluster-benchmark"


class NotedSink:
    """Sends to the collector and notes what was acknowledged."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._sink = CollectorSink(settings)
        # Unbuffered: what is written survives the process.
        self._file = path.open("ab", buffering=0)

    def send(self, batch: Batch, timeout: float) -> Answer:
        """Send the batch."""
        answer = self._sink.send(batch, timeout)
        if 200 <= answer.status < 300 and batch.kind == "events":
            ids = [orjson.loads(item)["transaction_id"] for item in batch.items]
            self._file.write("".join(f"{each}\n" for each in ids).encode())
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._sink.close()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer some JSON; one in fifty is an error."""
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    body = orjson.dumps({"number": number, "note": "x" * 600})
    start_response(
        "500 Internal Server Error" if number % 50 == 0 else "200 OK", [("Content-Type", "application/json")]
    )
    return [body]


def main() -> int:
    """Run until the time is over, flush, and print the ledger."""
    url, spool, acknowledged, rate, seconds = sys.argv[1:]
    settings = Settings(application_id=APP, base_uri=url, spool_path=spool, shutdown_timeout=60.0)
    moesif = Moesif(settings, sink=NotedSink(settings, Path(acknowledged)))
    wrapped = MoesifMiddleware(application, moesif)
    began, number = time.monotonic(), 0
    while float(rate) and (now := time.monotonic()) < began + float(seconds):
        while number < (now - began) * float(rate):
            number += 1
            headers = [("User-Agent", "fleet/1"), ("Accept", "application/json")]
            builder = EnvironBuilder(path=f"/items/{number}", headers=headers, base_url="https://api.example.com")
            run_wsgi_app(wrapped, builder.get_environ())
        time.sleep(0.005)
    moesif.flush(timeout=60)
    if not float(rate):
        moesif.flush(timeout=float(seconds))
    moesif.close()
    print(orjson.dumps(moesif.stats()).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
