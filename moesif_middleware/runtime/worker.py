"""The delivery thread: takes entries, encodes them, sends batches, and decides what happens to a refused one.

One daemon thread, started with the first entry. While the collector is ill there is one request in flight and
everything else waits in the bounded queue (or goes to the spool). After a fork the child begins with nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import TransportError
from ..sansio.batches import MAX_POISON, Batch, split
from ..sansio.protocol import HEALTHY, Answer, Health, Verdict, verdict
from ..settings import Settings
from .ledger import Ledger
from .queue import BoundedQueue, Entry
from .sinks import Sink

_log = logging.getLogger(__name__)

Encode = Callable[[Entry], bytes]


class SampledOut(Exception):  # names what happened, and never leaves the worker
    """Raised by ``encode`` for an entry that sampling takes out: a condition may read what only the worker parses."""


class Worker:
    """Delivers entries in the background.

    ``encode`` turns an entry into the JSON that leaves; what it raises costs that one entry. ``notice`` is told every
    answer. ``ledgers`` has the ledger of each kind, by kind, and ``dropped`` is told of every loss.
    """

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        encode: Encode,
        ledger: Callable[[str], Ledger],
        *,
        notice: Callable[[Answer], None],
        dropped: Callable[[str, int], None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self._settings, self.sink, self._encode, self._ledger = settings, sink, encode, ledger
        self._notice, self._dropped, self._clock = notice, dropped, clock
        self._draw = draw or random.Random().random  # noqa: S311  # jitter, not a secret
        self._reset()

    def _reset(self) -> None:
        settings = self._settings
        self.queue = BoundedQueue(settings.queue_events, settings.queue_bytes, self._lost)
        self.health: Health = HEALTHY
        self._held: list[Batch] = []
        """Encoded batches of one take, the next one last."""
        self._poison = 0
        self._busy = False
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._urgent = False
        """Whether somebody waits for a flush: age does not matter then."""
        self._probe = False
        """Whether to try once whatever the back-off says, because a flush was asked for after it began."""
        self._deadline: float | None = None
        """When close() gives up; set once."""
        self.closed = False

    # On the request path

    def put(self, kind: str, payload: Any, cost: int, worth: int) -> None:
        """Queue one thing. Starts the thread when it is the first."""
        ledger = self._ledger(kind)
        if self.closed:
            ledger.capture("dropped", "closed")
            return
        ledger.capture("queued")
        count = self.queue.put(Entry(kind, payload, cost, self._clock()), worth)
        if count == 1 or count == self._settings.batch_events or self.queue.bytes > self._settings.batch_bytes:
            self._idle.clear()
            self._wake.set()
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Start the thread unless it runs. At interpreter exit none can start: close() then drains by itself."""
        with self._starting:
            if self._thread is not None or self.closed:
                return
            thread = threading.Thread(target=self._run, name="moesif-worker", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                _log.debug("no thread can be started now: %s", error)
                return
            self._thread = thread

    # From any thread

    @property
    def drained(self) -> bool:
        """Return whether nothing waits and nothing is in flight."""
        return not (self.queue.count or self._held or self._busy)

    def request_flush(self) -> None:
        """Ask for everything to be sent now; ``drained`` tells when it is."""
        self._urgent = self._probe = True
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Send everything now; return whether it was all settled within ``timeout`` seconds."""
        deadline = self._clock() + timeout
        self.start()
        if self._thread is None:
            return self._drain_here(deadline)
        self.request_flush()
        while not self.drained:
            left = deadline - self._clock()
            if left <= 0:
                return False
            self._idle.wait(min(left, 0.05))
        return True

    def close(self, timeout: float) -> None:
        """Flush within ``timeout`` seconds, then count what is left as dropped. The first call sets the deadline."""
        with self._starting:
            if self._deadline is None:
                self._deadline = self._clock() + timeout
            thread = self._thread
        left = max(self._deadline - self._clock(), 0.0)
        if thread is None or not thread.is_alive():
            self._drain_here(self._deadline)
        else:
            self.flush(left)
        self.closed = True
        self._give_up("shutdown")
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            # A request that hangs ends with the process: the thread is a daemon.
            thread.join(max(min(self._deadline - self._clock(), 1.0), 0.05))
        if thread is None or not thread.is_alive():
            self.sink.close()

    def forget(self) -> None:
        """Begin anew in a forked child: what was queued is the parent's, and so are its connection and its dice."""
        abandon = getattr(self.sink, "abandon", None)
        if abandon is not None:
            abandon()
        self._draw = random.Random().random  # noqa: S311  # jitter, not a secret
        self._reset()

    # On the thread

    def _run(self) -> None:
        while not self.closed:
            self._wake.wait(self._patience())
            self._wake.clear()
            while not self.closed and self._due():
                self._step()
            if self.drained:
                self._urgent = False
                self._idle.set()

    def _patience(self) -> float | None:
        """Return the seconds until something is due; None when nothing is waiting."""
        now = self._clock()
        if self._held:
            return max(self.health.ready_at - now, 0.0)
        oldest = self.queue.oldest()
        if oldest is None:
            return None
        return max(oldest + self._settings.flush_interval, self.health.ready_at) - now

    def _due(self) -> bool:
        now = self._clock()
        if self._probe:
            self._probe = False
            self.health = replace(self.health, ready_at=now)
        if now < self.health.ready_at:
            return False
        if self._held:
            return True
        queue, settings = self.queue, self._settings
        if not queue.count:
            return False
        if self._urgent or queue.count >= settings.batch_events or queue.bytes >= settings.batch_bytes:
            return True
        oldest = queue.oldest()
        return oldest is not None and now - oldest >= settings.flush_interval

    def _step(self) -> None:
        self._busy = True
        try:
            if not self._held:
                self._poison = 0
                self._fill()
            if self._held:
                self._deliver(self._held[-1])
        except Exception:
            _log.exception("delivery failed; what was in hand is dropped and counted")
            self._give_up_held("internal_error")
        finally:
            self._busy = False

    def _fill(self) -> None:
        """Encode the next entries into held batches."""
        settings = self._settings
        entries = self.queue.take(settings.batch_events, settings.batch_bytes)
        encoded: dict[str, list[bytes]] = {}
        reserved = 0
        for entry in entries:
            try:
                item = self._encode(entry)
            except SampledOut:
                self._ledger(entry.kind).move("queued", "sampled_out")
                continue
            except Exception as error:  # whatever a hook or a body does costs this one event
                self._drop(entry.kind, "queued", 1, getattr(error, "reason", "encode_failed"))
                _log.warning("an event was dropped: %s", type(error).__name__)
                continue
            encoded.setdefault(entry.kind, []).append(item)
            reserved += len(item)
        self.queue.release(sum(entry.cost for entry in entries) - reserved)
        born = min((entry.born for entry in entries), default=0.0)
        for kind, items in encoded.items():
            for group in split(items, settings.batch_events, settings.batch_bytes):
                self._held.append(Batch(kind, group, born))

    def _deliver(self, batch: Batch) -> None:
        now = self._clock()
        try:
            answer = self.sink.send(batch, self._time_allowed(now))
        except TransportError as error:
            self._hold(batch, self.health.failed(self._clock(), str(error), self._draw()))
            return
        self._notice(answer)
        found = verdict(answer.status)
        if found is Verdict.DELIVERED:
            if self._settle(batch):
                self._ledger(batch.kind).move("queued", "delivered", len(batch.items))
            self._recover()
        elif found is Verdict.SPLIT:
            self._recover()
            self._halve(batch, answer)
        elif found is Verdict.RETRY:
            reason = f"HTTP {answer.status}"
            self._hold(batch, self.health.failed(self._clock(), reason, self._draw(), answer.retry_after))
        else:
            self._hold(batch, self.health.refused(self._clock(), f"HTTP {answer.status} {answer.message}"))

    def _time_allowed(self, now: float) -> float:
        most = self._settings.request_timeout
        return most if self._deadline is None else max(min(most, self._deadline - now), 0.05)

    def _hold(self, batch: Batch, health: Health) -> None:
        """Keep the batch for later, unless it has been tried for long enough."""
        if not self.health.ill or health.paused != self.health.paused:
            _log.warning("the collector does not take events now, they wait in memory: %s", health.reason)
        self.health = health
        tried = self._clock() - batch.born
        if not health.paused and tried > self._settings.retry_seconds and self._settle(batch):
            self._drop(batch.kind, "queued", len(batch.items), "retries_exhausted")

    def _recover(self) -> None:
        if self.health.ill:
            _log.warning("the collector takes events again, after %.0f s", self._clock() - self.health.since)
        self.health = HEALTHY

    def _halve(self, batch: Batch, answer: Answer) -> None:
        """Find the items that the collector refuses: halve, until each is alone."""
        if not self._settle(batch):
            return
        if len(batch.items) > 1 and self._poison <= MAX_POISON:
            halves = batch.halves()
            self._held.extend(halves)
            self.queue.release(-sum(len(item) for item in batch.items))
            return
        self._poison += 1
        if self._poison == 1 or len(batch.items) > 1:
            _log.warning("the collector refused %d item(s): HTTP %d", len(batch.items), answer.status)
        self._drop(batch.kind, "queued", len(batch.items), f"rejected_{answer.status}")

    def _settle(self, batch: Batch) -> bool:
        """Take a batch out of the held ones; False when close() has given it up and counted it meanwhile."""
        try:
            self._held.remove(batch)
        except ValueError:
            return False
        self.queue.release(sum(len(item) for item in batch.items))
        return True

    # Losses

    def _lost(self, entry: Entry, reason: str) -> None:
        self._drop(entry.kind, "queued", 1, reason)

    def _drop(self, kind: str, source: str, count: int, reason: str) -> None:
        self._ledger(kind).move(source, "dropped", count, reason)
        self._dropped(reason, count)

    def _give_up_held(self, reason: str) -> None:
        for batch in tuple(self._held):
            if self._settle(batch):
                self._drop(batch.kind, "queued", len(batch.items), reason)

    def _give_up(self, reason: str) -> None:
        """Count everything that is still here as dropped."""
        self._give_up_held(reason)
        while entries := self.queue.take(1_000, 1 << 62):
            self.queue.release(sum(entry.cost for entry in entries))
            for entry in entries:
                self._drop(entry.kind, "queued", 1, reason)

    def _drain_here(self, deadline: float) -> bool:
        """Deliver on the calling thread, for when no thread can run any more."""
        self._urgent = self._probe = True
        while not self.drained and self._clock() < deadline:
            if self._due():
                self._step()
            else:
                self._wake.wait(min(max(self.health.ready_at - self._clock(), 0.01), 0.1))
        return self.drained
