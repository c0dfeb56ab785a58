"""A balancer of TCP connections for the benchmarks: each goes to the next of several ports that answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle


class Balancer:
    """Listens on ``port`` of the loopback and passes connections on to ``targets``, which may change."""

    def __init__(self, targets: list[int]) -> None:
        self.targets = targets
        self.port = 0
        self._turn = cycle(range(1_000_000))
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, ready: threading.Event, end: asyncio.Event) -> None:
        """Serve until ``end``; ``ready`` is set when ``port`` is known."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = next(self._turn)
        targets = list(self.targets)
        for offset in range(len(targets)):
            try:
                there, onward = await asyncio.open_connection("127.0.0.1", targets[(turn + offset) % len(targets)])
                break
            except OSError:
                continue
        else:
            writer.close()
            return
        for source, sink in ((reader, onward), (there, writer)):
            task = asyncio.create_task(_copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextmanager
def balancing(targets: list[int]) -> Iterator[Balancer]:
    """Run a balancer in a thread until the block ends."""
    found, ready, loops = Balancer(targets), threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        end = asyncio.Event()
        loops.append((asyncio.get_running_loop(), end))
        await found.serve(ready, end)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    try:
        yield found
    finally:
        loop, end = loops[0]
        loop.call_soon_threadsafe(end.set)
        thread.join()
