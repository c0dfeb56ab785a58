"""Throughput and latency through a server under wrk, what the server's process used, and the events that arrived.

Sixteen connections for the throughput, then one, whose latency is that of a server with nothing else to do. The
contestants have the settings they come with. The events are counted once the server has ended in order, for which it
is asked when all have come, or after some seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .contestants import Bare, Contestant
from .plan import Failed, Figures, Length, Measure, Subject
from .serving import Server, serving
from .sinkhole import SENDING, Sinkhole
from .workloads import PATH, QUERY, Workload, workload

CONNECTIONS = 16
CASE = "b"
_SCRIPT = """
wrk.method = "{verb}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
done = function(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('{{"requests": %d, "seconds": %.6f, "failed": %d, "p50": %.1f, "p99": %.1f}}\\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50), latency:percentile(99)))
end
"""
"""wrk's script in Lua; its latencies are microseconds."""


def cases(contestant: type[Contestant], length: Length) -> Iterable[tuple[str, str]]:  # noqa: ARG001  # a measure's
    """Return one workload for each kind."""
    return [(kind, CASE) for kind in contestant.kinds]


def run(subject: Subject, length: Length) -> Figures:
    """Load a server; return its requests a second, latencies in microseconds, CPU in microseconds a request."""
    load = workload(subject.case)
    with Sinkhole() as sinkhole:
        with serving(subject, sinkhole.url) as server:
            wrk(server, load, CONNECTIONS, min(length.seconds, 1.0))
            before = server.served()
            many = wrk(server, load, CONNECTIONS, length.seconds)
            after = server.served()
            alone = wrk(server, load, 1, length.seconds / 2)
            sent = server.served().requests
            if subject.contestant is not Bare:
                sinkhole.wait_for(sent, SENDING, SENDING)
        cpu = (after.cpu - before.cpu) / max(after.requests - before.requests, 1) * 1e6
        return {
            "rate": many["requests"] / many["seconds"], "p50": many["p50"], "p99": many["p99"], "cpu": cpu,
            "p50_alone": alone["p50"], "p99_alone": alone["p99"], "failures": many["failed"] + alone["failed"],
            "sent": sent, "delivered": sinkhole.wait_for(sent, 0.5),
        }  # fmt: skip


MEASURE = Measure("served", cases, run)


def wrk(server: Server, load: Workload, connections: int, seconds: float) -> Figures:
    """Load a server with wrk; return what its script wrote. Raises Failed."""
    program = shutil.which("wrk")
    if program is None:
        raise Failed("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "load.lua"
        script.write_text(_SCRIPT.format(verb=load.verb, body=load.body.decode()))
        # wrk takes whole seconds.
        options = ["-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "-s", str(script)]
        done = subprocess.run(
            [program, *options, f"{server.url}{PATH}?{QUERY}"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise Failed(f"wrk failed: {done.stderr}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found
