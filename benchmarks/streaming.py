"""A stream through a server: when its first byte comes, and how much memory it takes to send and to take it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Iterator

from .contestants import Contestant, Floor
from .plan import Figures, Length, Measure, Subject
from .serving import STREAM, Server, serving
from .sinkhole import Sinkhole
from .streams import PIECE
from .workloads import PATH

TIMEOUT = 60.0
"""Seconds until a stream that does not come is given up."""


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return the stream for each kind; the floor keeps whole answers, and says nothing here."""
    return [] if contestant is Floor else [(kind, STREAM) for kind in contestant.kinds]


def run(subject: Subject, length: Length) -> Figures:
    """Return the milliseconds to the first byte and to the end, and the bytes by which memory grew at most."""
    with Sinkhole() as sinkhole, serving(subject, sinkhole.url, length.stream) as server:
        small(server)
        before = server.served().memory
        first, last, size = download(server)
        after_down = server.served().memory
    with Sinkhole() as sinkhole, serving(subject, sinkhole.url, length.stream) as server:
        small(server)
        before_up = server.served().memory
        status, took = upload(server, length.stream)
        after_up = server.served().memory
    return {
        "first_byte": first, "last_byte": last, "received": size, "grown_down": after_down - before,
        "upload": took, "status": status, "grown_up": after_up - before_up,
    }  # fmt: skip


MEASURE = Measure("stream", cases, run)


def small(server: Server) -> None:
    """Send a few small requests, so that all that is loaded late has been loaded."""
    for _ in range(5):
        _exchange(server, [b"x" * 1_000], 1_000)


def download(server: Server) -> tuple[float, float, int]:
    """Return when the first and the last byte came, in milliseconds, and how many bytes did."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    begun = time.perf_counter()
    connection.request("GET", PATH)
    answer = connection.getresponse()
    size = len(answer.read(1))
    first = time.perf_counter() - begun
    while piece := answer.read(PIECE):
        size += len(piece)
    last = time.perf_counter() - begun
    connection.close()
    return first * 1000, last * 1000, size


def upload(server: Server, size: int) -> tuple[int, float]:
    """Send so many bytes; return the status and the milliseconds it took."""
    return _exchange(server, (b"x" * PIECE for _ in range(size // PIECE)), size // PIECE * PIECE)


def _exchange(server: Server, pieces: Iterable[bytes] | Iterator[bytes], size: int) -> tuple[int, float]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
    begun = time.perf_counter()
    headers = {"Content-Length": str(size), "Content-Type": "text/plain"}
    connection.request("POST", PATH, pieces, headers)
    status = connection.getresponse().status
    connection.close()
    return status, (time.perf_counter() - begun) * 1000
