"""A small open-loop HTTP/1.1 load: a steady rate over keep-alive connections, cheap enough to leave a core."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What the clients saw: how many answers were right, what was wrong, and each answer's time in seconds."""

    good: int = 0
    errors: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return a percentile of the times, in seconds."""
        ordered = sorted(self.times)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def _client(port: int, jobs: asyncio.Queue[float | None], path: str, outcome: Outcome) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (due := await jobs.get()) is not None:
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            chunked = b"transfer-encoding: chunked" in head.lower()
            body = await reader.readuntil(b"0\r\n\r\n") if chunked else await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 200") and body:
                outcome.good += 1
                outcome.times.append(time.perf_counter() - due)
            else:
                outcome.errors.append(head[:60].decode("latin-1"))
        except (OSError, asyncio.IncompleteReadError) as error:
            outcome.errors.append(repr(error))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


async def _run(port: int, count: int, rate: float, path: str, clients: int) -> Outcome:
    outcome, jobs = Outcome(), asyncio.Queue[float | None]()
    tasks = [asyncio.create_task(_client(port, jobs, path, outcome)) for _ in range(clients)]
    start = time.perf_counter()
    for number in range(count):
        due = start + number / rate
        late = due - time.perf_counter()
        if late > 0.001:
            await asyncio.sleep(late)
        jobs.put_nowait(due)
    for _ in tasks:
        jobs.put_nowait(None)
    await asyncio.wait_for(asyncio.gather(*tasks), 120)
    return outcome


def load(port: int, count: int, rate: float, path: str = "/json", clients: int = 32) -> Outcome:
    """Send ``count`` GET requests at ``rate`` a second and return what came back."""
    return asyncio.run(_run(port, count, rate, path, clients))
