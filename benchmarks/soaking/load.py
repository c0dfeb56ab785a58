"""An open-loop load: numbered requests at a steady rate, whatever becomes of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Outcome:
    """What the clients saw: who answered each request, how long it took, and how many were not answered."""

    answered: dict[int, int] = field(default_factory=dict)
    """The process id that answered, by the request's number."""
    times: list[tuple[float, float]] = field(default_factory=list)
    """When each answered request was due, on the performance counter, and the seconds that it took."""
    unanswered: int = 0

    def percentile(self, share: float, spans: Sequence[tuple[float, float]] = ((0.0, inf),)) -> float:
        """Return a percentile of the seconds, of the requests that were due within ``spans``."""
        ordered = sorted(took for due, took in self.times if any(start <= due < end for start, end in spans))
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Load:
    """Sends GET /items/NUMBER over keep-alive connections, ``rate`` a second."""

    def __init__(self, port: int, rate: float, first: int, clients: int = 32) -> None:
        self._port, self._rate, self._first, self._clients = port, rate, first, clients
        self._jobs: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()
        self.outcome = Outcome()

    async def run(self, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        start = time.perf_counter()
        for number in range(int(seconds * self._rate)):
            due = start + number / self._rate
            late = due - time.perf_counter()
            if late > 0.001:
                await asyncio.sleep(late)
            self._jobs.put_nowait((self._first + number, due))
        for _ in tasks:
            self._jobs.put_nowait(None)
        await asyncio.wait_for(asyncio.gather(*tasks), 120)

    async def _client(self) -> None:
        streams: Streams | None = None
        while (job := await self._jobs.get()) is not None:
            number, due = job
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                pid, stays = await asyncio.wait_for(_exchange(*streams, number), 30)
            except (OSError, EOFError, TimeoutError, ValueError):
                # A worker was killed, with this request or before it.
                self.outcome.unanswered += 1
                _close(streams)
                streams = None
                continue
            self.outcome.answered[number] = pid
            self.outcome.times.append((due, time.perf_counter() - due))
            if not stays:
                _close(streams)
                streams = None
        _close(streams)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> tuple[int, bool]:
    """Return the process that answered, and whether the connection can be used again."""
    writer.write(b"GET /items/%d HTTP/1.1\r\nHost: soak\r\n\r\n" % number)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.partition(b"x-pid: ")[2].partition(b"\r\n")[0]), b"connection: close" not in head


def _close(streams: Streams | None) -> None:
    if streams is not None:
        streams[1].close()
