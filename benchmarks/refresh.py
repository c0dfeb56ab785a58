"""What config and rules cost: a refresh with 100 000 entities and 100 rules, and each request once they are loaded.

Run as ``python -m benchmarks.refresh``. The pauses are those of a thread that asks for a millisecond's sleep again and
again while the refresh runs beside it, over what it sleeps on the idle machine.
"""

from __future__ import annotations

import threading
import time
import timeit
import tracemalloc
from collections.abc import Callable

import orjson

from moesif_middleware.runtime.turns import give_way
from moesif_middleware.sansio.conditions import Subject
from moesif_middleware.sansio.exchange import ScopeHead
from moesif_middleware.sansio.governance import EMPTY, Ruleset, Snapshot, compile_config, compile_rules

ENTITIES = 100_000
RULES = 100
NAP = 0.001

HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer 0123456789abcdef"),
    (b"x-tier-3", b"tier-3"),
    (b"x-tier-7", b"tier-7"),
]
SCOPE = {"method": "GET", "path": "/api/v7/12345"}


def config(entities: int) -> bytes:
    """Return a config with a rate and a cohort for each of so many users."""
    users = [f"user-{number}" for number in range(entities)]
    return orjson.dumps(
        {
            "sample_rate": 100,
            "user_sample_rate": {user: number % 101 for number, user in enumerate(users)},
            "user_rules": {
                user: [{"rules": "64ca685a833073c6b41b15f3", "values": {"0": "Free", "1": str(number)}}]
                for number, user in enumerate(users)
            },
        }
    )


def rules(count: int) -> bytes:
    """Return so many rules with conditions on verb, route and one of ten headers."""
    return orjson.dumps([_rule(number) for number in range(count)])


def _rule(number: int) -> dict[str, object]:
    conditions = {
        "request.verb": "GET|POST",
        "request.route": f"^/api/v{number}/[0-9]+",
        f"request.headers.X-Tier-{number % 10}": f"^tier-{number}$",
    }
    pairs = [{"path": path, "value": value} for path, value in conditions.items()]
    return {"_id": str(number), "type": "regex", "regex_config": [{"conditions": pairs}], "response": {"status": 403}}


class Pauses(threading.Thread):
    """Measures by how much its own naps are late, in seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0
        self.over = False

    def run(self) -> None:
        """Nap until told to stop."""
        while not self.over:
            started = time.perf_counter()
            time.sleep(NAP)
            self.worst = max(self.worst, time.perf_counter() - started - NAP)


def worst_pause(work: Callable[[], object]) -> float:
    """Return the longest pause of another thread while some work runs, in seconds."""
    pauses = Pauses()
    pauses.start()
    work()
    pauses.over = True
    pauses.join()
    return pauses.worst


def refresh(data: bytes) -> None:
    """Print what one refresh takes."""
    started, cpu = time.perf_counter(), time.thread_time()
    worst = worst_pause(lambda: compile_config(data, pause=give_way))
    took, cpu = time.perf_counter() - started, time.thread_time() - cpu
    idle = worst_pause(lambda: time.sleep(took))
    tracemalloc.start()
    kept = compile_config(data)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    print(f"config of {len(data) / 2**20:.1f} MiB: {took * 1e3:.0f} ms, {cpu * 1e3:.0f} ms of CPU")
    print(f"  worst pause of another thread {worst * 1e3:.1f} ms, on the idle machine {idle * 1e3:.1f} ms")
    print(f"  keeps {size / 2**20:.1f} MiB")


def per_request(snapshot: Snapshot, user_id: str) -> float:
    """Return the CPU microseconds that a decision takes, heads and headers included."""

    def decide() -> object:
        subject = Subject(ScopeHead(SCOPE, HEADERS))
        subject.head.headers  # noqa: B018  # the event needs them anyway; the bare figure has them too
        return snapshot.rules.decide(subject, user_id, None, snapshot.entities) if snapshot.rules.rules else None

    return min(timeit.repeat(decide, timer=time.thread_time, number=2000, repeat=9)) / 2000 * 1e6


def main() -> None:
    """Print all figures."""
    many, few = config(ENTITIES), config(10)
    refresh(many)
    started = time.perf_counter()
    compiled: Ruleset = compile_rules(rules(RULES))
    print(f"{RULES} rules: compiled in {(time.perf_counter() - started) * 1e3:.0f} ms")
    bare = per_request(EMPTY, "user-7")
    for label, data in (("10", few), (str(ENTITIES), many)):
        loaded = EMPTY.with_rules(compiled).with_config(compile_config(data))
        print(f"{RULES} rules, {label} entities: {per_request(loaded, 'user-7') - bare:.1f} us more per request")


if __name__ == "__main__":
    main()
