"""The delivery thread: takes entries, encodes them, sends batches, and decides what happens to a refused one.

One daemon thread, started with the first entry. When a batch is due while it waits for an answer, another one encodes
and sends that beside it; with a spool, yet another puts there what waits for too long. While the collector is ill no
request is begun but one at a time, and everything else waits in the bounded queue or in the spool. After a fork the
child begins with nothing.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..errors import TransportError
from ..sansio.batches import MAX_POISON, Batch, split
from ..sansio.protocol import BACKOFF_FIRST, HEALTHY, Answer, Health, Verdict, refusal, verdict
from ..settings import Settings
from .bell import Bell, Waiters
from .clock import steady
from .late import load_for_uwsgi
from .ledger import Ledger
from .losses import Losses
from .outbox import Held, Outbox
from .queue import BoundedQueue, Entry
from .sinks import Sink
from .turns import Turns

if TYPE_CHECKING:
    from .spool import Spool

_log = logging.getLogger(__name__)

Encode = Callable[[Entry], bytes]

LEASE_SECONDS = 30.0
"""How much longer a lease of the spool is than a request to the collector may be."""
_SLOW_SECONDS = 0.5
"""A request that lasts longer is a reason to put what there is into the spool."""
_WORKER, _SPOOLER = "moesif-worker", "moesif-spooler"
_BESIDE = ("moesif-beside-1", "moesif-beside-2")
"""The names of the threads. With two beside it, one encodes while the collector has two batches."""
_MUCH = 0.25
"""The share of the queue that is in use before a third request is sent at the same time."""
_TOGETHER, _MANY_TOGETHER = 16, 256
"""Entries that are prepared together, and how many when a batch more waits.

Then each call that lets go of the interpreter counts.
"""
_RELEASE_BYTES = 65_536
"""Bytes that encoding frees or takes before the queue is told: one lock for many small entries."""
_LEAVE_SECONDS = 0.25
"""How long the end waits for the threads, after the deadline if need be."""
_REST_SECONDS = 0.2
"""How long a fork waits for idle threads to end."""


class SampledOut(Exception):  # names what happened, and never leaves the worker
    """Raised by ``encode`` for an entry that sampling takes out: a condition may read what only the worker parses."""


class Worker:
    """Delivers entries in the background.

    ``encode`` turns an entry into the JSON that leaves; what it raises costs that one entry. ``prepare`` sees those
    that are encoded next, some at a time, and raises nothing. ``notice`` is told every answer. ``ledger`` returns the
    ledger of a kind, and ``dropped`` is told of every loss.
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
        prepare: Callable[[Sequence[Entry]], None] | None = None,
        clock: Callable[[], float] = steady,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self._settings, self.sink, self._encode, self._ledger = settings, sink, encode, ledger
        self._notice, self._prepare, self._clock = notice, prepare, clock
        self._draw = draw or random.Random().random  # noqa: S311  # jitter, not a secret
        self._losses = Losses(ledger, dropped)
        self._spool: Spool | None = None
        if settings.spool_path:
            from .spool import Spool  # late, since SQLite is not always there

            self._spool = Spool(
                settings.spool_path, settings.application_id, most_bytes=settings.spool_bytes, age=settings.spool_age,
                lease=settings.request_timeout + LEASE_SECONDS,
            )  # fmt: skip
        self._reset()

    def _reset(self) -> None:
        settings = self._settings
        self._losses.forget()
        self.queue = BoundedQueue(settings.queue_events, settings.queue_bytes, self._lost)
        self.outbox = Outbox(settings, self.queue, self._spool, self._ledger, self._losses.book, self._clock)
        self.health: Health = HEALTHY
        self._busy: set[int] = set()
        """Threads that have entries or a batch in hand."""
        self._flights: dict[int, float] = {}
        """Since when a request has been in flight, by the thread that waits for its answer."""
        self._attempted = float("-inf")
        """When the last one ended."""
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._asides: dict[str, threading.Thread] = {}
        self._turns = Turns()
        self._latest = float("-inf")
        """When the latest entry came."""
        self._starting = threading.RLock()
        self._answering = threading.RLock()
        """Held to look at the health and to replace it."""
        self._encoding = threading.RLock()
        """Held by the thread that takes entries out of the queue: hooks run on one thread at a time."""
        self._wake, self._slow, self._waiters = Bell(), Bell(), Waiters()
        self._due = {name: Bell() for name in _BESIDE}
        self._watching = False
        """Whether the spooler has seen that there is a request in flight."""
        self._resting = False
        """Whether the threads are to end, since the process is about to fork."""
        self._urgent = False
        """Whether somebody waits for a flush: age does not matter then."""
        self._probe = False
        """Whether to try once whatever the back-off says, because a flush was asked for after it began."""
        self._deadline: float | None = None
        """When the end that has begun gives up."""
        self._parked = False
        """Whether that end may turn out not to be one."""
        self.closed = False
        self._left: set[threading.Thread] = set()
        """Threads that use the sink no more, since the end has come."""
        self._sink_closed = False

    # On the request path

    def put(self, kind: str, payload: Any, cost: int, worth: int) -> None:
        """Queue one thing. Starts the thread when it is the first."""
        ledger = self._ledger(kind)
        if self.closed:
            ledger.capture("dropped", "closed")
            return
        ledger.capture("queued")
        self._latest = now = self._clock()
        count = self.queue.put(Entry(kind, payload, cost, now), worth)
        if count == 1 or count == self._settings.batch_events or self.queue.bytes > self._settings.batch_bytes:
            self._wake.ring()
            self._call_beside()
        if self._parked:
            # It was not the end after all.
            self._parked, self._deadline = False, None
        if self._thread is None:
            self.start()
        if self.closed:
            # close() came between: nobody would look at the queue again.
            self._give_up("closed")  # type: ignore[unreachable]  # mypy knows of no other threads

    def _lost(self, entry: Entry, reason: str) -> None:
        self._losses.book(entry.kind, "queued", 1, reason)

    def start(self) -> None:
        """Start the threads unless they run. At interpreter exit none can start: close() then drains by itself."""
        with self._starting:
            if self.closed or self._resting:
                return
            if self._thread is None:
                _warn_without_threads()
                load_for_uwsgi()
                self._thread = _started(_WORKER, self._run)
            if self._spool is not None and self._thread is not None:
                self._start_aside(_SPOOLER, self._run_spooler)

    def _start_aside(self, name: str, work: Callable[[], None]) -> None:
        with self._starting:
            if name in self._asides or self.closed or self._resting or self._deadline is not None:
                return
            thread = _started(name, work)
            if thread is not None:
                self._asides[name] = thread

    # From any thread

    @property
    def drained(self) -> bool:
        """Return whether nothing waits and nothing is in flight."""
        return not (self.queue.count or self._busy or self.outbox.unsent)

    def request_flush(self) -> None:
        """Ask for everything to be sent now; ``drained`` tells when it is."""
        self._urgent = self._probe = True
        self._wake.ring()

    def flush(self, timeout: float) -> bool:
        """Send everything now; return whether it was all settled within ``timeout`` seconds."""
        self.request_flush()
        return self._wait(self._clock() + timeout, until_failure=False)

    def settle(self, timeout: float) -> bool:
        """As flush(), for the end of each request: does not insist while the collector is ill."""
        if self.resigned:
            return False
        self.hurry()
        return self._wait(self._clock() + timeout, until_failure=True)

    def hurry(self) -> None:
        """Send what there is without waiting for more, but not before the back-off ends."""
        self._urgent = True
        self._wake.ring()

    @property
    def resigned(self) -> bool:
        """Return whether the collector is ill and nothing is to be sent for a while."""
        return self.health.ill and self._clock() < self.health.ready_at

    @property
    def failures(self) -> int:
        """Return how many requests to the collector have failed so far."""
        return self._failures

    @property
    def delivers_here(self) -> bool:
        """Return whether the calling thread is one that delivers: a hook that runs on it cannot wait for itself."""
        return threading.get_ident() in self._busy or threading.current_thread() in self._threads()

    def _wait(self, deadline: float, *, until_failure: bool) -> bool:
        if self.delivers_here:
            return self.drained
        thread, failures = self._thread, self._failures
        if thread is None:
            self.start()
            thread = self._thread
        if thread is None or not thread.is_alive():
            return self._drain_here(deadline, until_failure=until_failure)
        while not self.drained:
            left = deadline - self._clock()
            if left <= 0 or (until_failure and self._failures != failures):
                return False
            self._waiters.wait(min(left, 0.05))
        return True

    def _drain_here(self, deadline: float, *, until_failure: bool = False) -> bool:
        """Deliver on the calling thread, for when no thread can run any more."""
        failures = self._failures
        while not self.drained and self._clock() < deadline and not (until_failure and self._failures != failures):
            if not self._step():
                patience = self._patience()
                self._wake.wait(0.05 if patience is None else min(max(patience, 0.005), 0.05))
        return self.drained

    def close(self, timeout: float) -> None:
        """Flush within ``timeout`` seconds, then spool what is left, or count it as dropped.

        The first call sets the deadline. With a spool, everything goes there first, and then out of it.
        """
        deadline = self._prepare_to_end(timeout)
        self.request_flush()
        self._wait(deadline, until_failure=self.outbox.spools)
        self.closed = True
        self._ring()
        # A request that hangs ends with the process: the threads are daemons.
        self._join(max(min(deadline - self._clock(), 1.0), _LEAVE_SECONDS))
        self._give_up("shutdown")
        self._losses.tell()
        self._close_all()

    def park(self, timeout: float) -> None:
        """Begin what may be the end; the next entry shows that it was not."""
        self._parked = self._deadline is None
        self._prepare_to_end(timeout)
        self.start()
        self.request_flush()

    def leave(self) -> None:
        """Leave nothing in memory after park(): the process may end now without another word."""
        if self.outbox.spools:
            self._store_all(self._clock())
        self._give_up("shutdown")
        self._losses.tell()

    def reopen(self) -> None:
        """Take entries again after close(), for what exit handlers capture; close() is to be called once more."""
        if self._thread is None or not self._thread.is_alive():
            self._thread, self.closed, self._sink_closed = None, False, False

    def _prepare_to_end(self, timeout: float) -> float:
        """Set the deadline, unless an end has begun already, and put everything into the spool; return the deadline."""
        with self._starting:
            if self._deadline is None:
                self._deadline = self._clock() + timeout
            deadline = self._deadline
        if self.outbox.spools:
            self._store_all(deadline)
        return deadline

    def _threads(self) -> list[threading.Thread]:
        with self._starting:
            return [*([self._thread] if self._thread is not None else ()), *self._asides.values()]

    def _ring(self) -> None:
        for bell in (self._wake, *self._due.values(), self._slow):
            bell.ring()

    def _join(self, seconds: float) -> None:
        end = self._clock() + seconds
        for thread in self._threads():
            if thread is not threading.current_thread():
                thread.join(max(end - self._clock(), 0.001))

    def _give_up(self, reason: str) -> None:
        """Leave nothing in memory: what is encoded may go to the spool, the rest is counted as dropped."""
        self.outbox.give_up(reason)
        while entries := self.queue.take(1_000, 1 << 62):
            self.queue.release(sum(entry.cost for entry in entries))
            for entry in entries:
                self._losses.book(entry.kind, "queued", 1, reason)

    def _give_up_late(self) -> None:
        """Leave nothing of what a thread had in hand when close() gave the rest up."""
        self._give_up("shutdown")
        self._close_all()

    def _close_all(self) -> None:
        """Close the spool, and the sink unless another thread may be using it: the last one that ends does it then."""
        if self._spool is not None:
            self._spool.close()
        with self._starting:
            self._left.add(threading.current_thread())
            last = not self._sink_closed and all(
                thread in self._left or not thread.is_alive() for thread in self._threads()
            )
            self._sink_closed = self._sink_closed or last
        if last:
            try:
                self.sink.close()
            except Exception as error:  # whoever closes the handle has delivered, and can mend nothing
                self._losses.said("close", "the sink could not be closed: %s", type(error).__name__)

    # At a fork

    def rest(self) -> None:
        """End the threads before a fork, unless they are busy: a process that forks should have one thread only."""
        self._resting = True
        self._ring()
        self._join(_REST_SECONDS)
        if self._spool is not None:
            self._spool.hold()

    def resume(self) -> None:
        """Go on after a fork, in the parent."""
        if self._spool is not None:
            self._spool.let_go()
        self._resting = False
        if not self.drained:
            self.start()

    def forget(self) -> None:
        """Begin anew in a forked child: what was queued is the parent's, and so are its connections and its dice."""
        abandon = getattr(self.sink, "abandon", None)
        if abandon is not None:
            abandon()
        if self._spool is not None:
            self._spool.forget()
        self._draw = random.Random().random  # noqa: S311  # jitter, not a secret
        self._reset()

    # On the delivery thread

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            # A hook of the user's that calls sys.exit() ends one event, not the delivery.
            self._losses.said("thread", "the delivery thread was ended by %s and begins anew", type(error).__name__)
        with self._starting:
            if self._thread is threading.current_thread() and not self.closed:
                self._thread = None
        if self.closed:
            self._give_up_late()
        elif not self.drained:
            self.start()

    def _work(self) -> None:
        while not (self.closed or self._resting):
            self._wake.wait(self._patience())
            while not (self.closed or self._resting) and self._step():
                self._losses.tell()
            self._losses.tell()
            if self._urgent:
                # In this order: whoever comes after the look says after it that there is a hurry.
                self._urgent = False
                if not self.drained:
                    self._urgent = True
            self._waiters.tell()

    def _patience(self) -> float | None:
        """Return the seconds until something is due; None when nothing is waiting."""
        ready_at, outbox = self.health.ready_at, self.outbox
        due: list[float] = []
        oldest = self.queue.oldest()
        if outbox.waits:
            # Before it is gone nothing is taken out of the queue.
            due.append(min(ready_at, outbox.next_putting) if outbox.spools else ready_at)
        elif oldest is not None:
            due.append(oldest + self._settings.flush_interval)
            if not outbox.spools:
                due[0] = max(due[0], ready_at)
        if outbox.spools and (look := outbox.next_look) is not None:
            due.append(max(look, ready_at))
        return max(min(due) - self._clock(), 0.0) if due else None

    def _step(self) -> bool:
        """Do one thing that is due; return whether there was one."""
        me = threading.get_ident()
        self._busy.add(me)
        held: Held | None = None
        try:
            ready = self._ready()
            if not self.outbox.waits and (ready or self.outbox.spools) and self._queue_due():
                self._fill()
                if not ready:
                    self.outbox.put_back()
                return True
            if not ready and self.outbox.spools and self.outbox.waits and self._clock() >= self.outbox.next_putting:
                # The spool did not take it before.
                self.outbox.put_back()
                return True
            held = self.outbox.next() if ready else None
            if held is None:
                return False
            self._deliver(held)
            return True
        except Exception as error:
            # A fault of ours must not end the delivery; what it costs is counted.
            self._losses.said("internal_error", "delivery failed, what was in hand is dropped: %r", error)
            if held is None:
                self.outbox.lose("internal_error")
            else:
                self.outbox.settle(held, "dropped", "internal_error")
            return True
        except BaseException:
            # This ends the thread, and another one is to find the batch.
            if held is not None:
                self.outbox.land(held, exhausted=False)
            raise
        finally:
            self._busy.discard(me)

    def _ready(self) -> bool:
        """Return whether something may be sent now."""
        health, now = self.health, self._clock()
        if self._probe:
            self._probe = False
            # However often a flush is asked for, an ill collector gets no storm, and what it asked for is kept.
            soonest = max(health.earliest, self._attempted + BACKOFF_FIRST)
            sooner = health._replace(ready_at=soonest)
            if soonest < health.ready_at and self._replace_health(health, sooner):
                health = sooner
        return now >= health.ready_at

    def _queue_due(self) -> bool:
        queue, settings = self.queue, self._settings
        if not queue.count:
            return False
        if self._urgent or queue.count >= settings.batch_events or queue.bytes >= settings.batch_bytes:
            return True
        oldest = queue.oldest()
        return oldest is not None and self._clock() - oldest >= settings.flush_interval

    def _fill(self) -> None:
        """Encode the next entries into the outbox."""
        settings = self._settings
        with self._encoding:
            entries = deque(self.queue.take(settings.batch_events, settings.batch_bytes))
            prepared = 0
            self._turns.begin()
            born = min((entry.born for entry in entries), default=0.0)
            encoded: dict[str, list[bytes]] = {}
            freed = 0
            try:
                while entries:
                    if not prepared:
                        prepared = self._prepare_next(entries)
                    item = self._encoded(entries[0])
                    entry = entries.popleft()
                    prepared -= 1
                    freed += entry.cost - len(item or b"")
                    if abs(freed) >= _RELEASE_BYTES:
                        self.queue.release(freed)
                        freed = 0
                    if item is not None:
                        encoded.setdefault(entry.kind, []).append(item)
                    if self._deadline is None:
                        self._turns.step(self.queue.count, self._latest)
            finally:
                for entry in entries:  # something that is no Exception ended the loop
                    freed += entry.cost
                    self._losses.book(entry.kind, "queued", 1, "internal_error")
                self.queue.release(freed)
                for kind, items in encoded.items():
                    groups = split(items, settings.batch_events, settings.batch_bytes)
                    self.outbox.add(Batch(kind, group, born) for group in groups)

    def _prepare_next(self, entries: Iterable[Entry]) -> int:
        """Prepare the first of the entries together; return how many."""
        behind = self.queue.count >= self._settings.batch_events
        chosen = list(islice(entries, _MANY_TOGETHER if behind else _TOGETHER))
        if self._prepare is not None:
            self._prepare(chosen)
        return len(chosen)

    def _encoded(self, entry: Entry) -> bytes | None:
        """Return the JSON of an entry, None when there is none and the ledger knows why."""
        try:
            return self._encode(entry)
        except SampledOut:
            self._ledger(entry.kind).move("queued", "sampled_out")
        except BaseException as error:  # whatever a hook or a body does costs this one event, sys.exit() too
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                # Ctrl-C, while the end of the process drains the queue here.
                raise
            reason = getattr(error, "reason", "encode_failed")
            self._losses.book(entry.kind, "queued", 1, reason)
            self._losses.said(reason, "an event was dropped: %s", type(error).__name__)
        return None

    def _deliver(self, held: Held) -> None:
        me, before = threading.get_ident(), self.health
        self._flights[me] = self._clock()
        # After that: the others look at the flights before they wait, and this one at them.
        if self._wanted_beside():
            self._start_beside()
            self._call_beside()
        if self._spool is not None and not self._watching:
            self._start_aside(_SPOOLER, self._run_spooler)
            self._slow.ring()
        try:
            answer = self.sink.send(held.batch, self._time_allowed())
        except TransportError as error:
            self._fail(held, before, before.failed(self._clock(), str(error), self._draw()))
            return
        except BaseException as error:
            if not isinstance(error, Exception) and threading.current_thread() is not threading.main_thread():
                # It ends the thread; the one that comes after it would be ended as soon as it begins.
                said = f"the sink raised {type(error).__name__}"
                self._fail(held, before, before.failed(self._clock(), said, self._draw()))
            raise
        finally:
            self._flights.pop(me, None)
            self._attempted = self._clock()
        _log.debug("sent: %d %s, HTTP %d", len(held.batch.items), held.batch.kind, answer.status)
        self._notice(answer)
        found = verdict(answer.status)
        if found is Verdict.DELIVERED:
            self.outbox.settle(held, "delivered")
            self._recover(before)
        elif found is Verdict.SPLIT:
            self._recover(before)
            self._halve(held, answer)
        elif found is Verdict.RETRY:
            reason = refusal(answer.status, answer.message)
            self._fail(held, before, before.failed(self._clock(), reason, self._draw(), answer.retry_after))
        else:
            self._fail(held, before, before.refused(self._clock(), refusal(answer.status, answer.message)))

    def _time_allowed(self) -> float:
        most, deadline = self._settings.request_timeout, self._deadline
        return most if deadline is None else max(min(most, deadline - self._clock()), 0.05)

    def _fail(self, held: Held, before: Health, after: Health) -> None:
        """Keep the batch for later, unless it is in memory only and has been tried for long enough."""
        changed = not before.ill or before.paused != after.paused
        # At the end it is said in the one line that closes the ledger.
        if self._replace_health(before, after) and changed and self._deadline is None:
            where = "the spool" if self.outbox.spools else "memory"
            _log.warning("the collector does not take events now, they wait in %s: %s", where, after.reason)
        self._failures += 1
        tried = self._clock() - held.batch.born
        self.outbox.land(held, exhausted=not after.paused and tried > self._settings.retry_seconds)

    def _recover(self, before: Health) -> None:
        if self._replace_health(before, HEALTHY) and before.ill:
            _log.warning("the collector takes events again, after %.0f s", self._clock() - before.since)

    def _replace_health(self, before: Health, after: Health) -> bool:
        """Put one health in the place of another, unless an answer has replaced that meanwhile."""
        with self._answering:
            if self.health is not before:
                return False
            self.health = after
            return True

    def _halve(self, held: Held, answer: Answer) -> None:
        """Find the items that the collector refuses: halve, until each is alone."""
        trial, count = held.trial, len(held.batch.items)
        if count > 1 and trial.poison <= MAX_POISON:
            self.outbox.halve(held)
            return
        trial.poison += 1
        reason = f"rejected_{answer.status}"
        self._losses.said(
            reason, "the collector refused %d item(s): HTTP %d %.200s", count, answer.status, answer.message
        )
        self.outbox.settle(held, "dropped", reason)

    # Beside the delivery thread, and at the end

    def _start_beside(self) -> None:
        """Start one more thread that sends, when each of those that there are waits for an answer."""
        missing = [name for name in _BESIDE if name not in self._asides]
        if missing and len(self._flights) > len(_BESIDE) - len(missing):
            self._start_aside(missing[0], partial(self._run_beside, missing[0]))

    def _call_beside(self) -> None:
        for name, bell in self._due.items():
            if name in self._asides:
                bell.ring()

    def _run_beside(self, name: str) -> None:
        while not (self.closed or self._resting):
            self._due[name].wait(None)
            while self._wanted_beside() and self._aside(self._step):
                pass
        self._leave_aside(name)

    def _wanted_beside(self) -> bool:
        """Return whether something may be sent beside what is in flight.

        A third request takes more than another batch that is due: threads that work side by side take the interpreter
        from requests.
        """
        flights = len(self._flights)
        if (
            not flights
            or self.closed
            or self._resting
            or self.health.ill
            or not getattr(self.sink, "concurrent", False)
        ):
            return False
        queue, settings = self.queue, self._settings
        if flights == 1:
            return self._queue_due() or self.outbox.waits
        return queue.count >= settings.queue_events * _MUCH or queue.bytes >= settings.queue_bytes * _MUCH

    def _run_spooler(self) -> None:
        while not (self.closed or self._resting):
            self._watching = False
            if not self._flights:
                self._slow.wait(None)
            self._watching = True
            since = min(tuple(self._flights.values()), default=None)
            if since is None or self.closed:
                continue
            left = since + _SLOW_SECONDS - self._clock()
            if not self.outbox.spools:
                self._slow.wait(None)
            elif left > 0:
                self._slow.wait(left)
            elif not self._aside(self._store_due):
                self._slow.wait(_SLOW_SECONDS / 2)
        self._watching = False
        self._leave_aside(_SPOOLER)

    def _leave_aside(self, name: str) -> None:
        """Note that this thread ends, so that another one can be started in its place."""
        with self._starting:
            if self._asides.get(name) is threading.current_thread() and not self.closed:
                del self._asides[name]
        if self.closed:
            self._give_up_late()

    def _aside(self, work: Callable[[], bool]) -> bool:
        """Do work beside the delivery thread; return what it returns, False when it failed."""
        me = threading.get_ident()
        self._busy.add(me)
        try:
            return work()
        except BaseException as error:  # hooks run here too, and may call sys.exit()
            self._losses.said("aside", "work beside the delivery failed: %s", type(error).__name__)
            return False
        finally:
            self._busy.discard(me)
            # The delivery thread may have found nothing and gone to sleep while this one had it in hand.
            self._wake.ring()

    def _store_due(self) -> bool:
        """Store the batches in flight and what is due in the queue; return whether there may be more of it."""
        if self._queue_due():
            self._fill()
        return self.outbox.store() and self._queue_due()

    def _store_all(self, deadline: float) -> None:
        """Put everything into the spool before the last attempts to send it."""
        left = deadline - self._clock()
        # Not for ever: a hook that hangs on the other thread holds this.
        if not self._encoding.acquire(timeout=max(left, _LEAVE_SECONDS)):
            return
        me = threading.get_ident()
        self._busy.add(me)
        try:
            while self.queue.count and self._clock() < deadline + _LEAVE_SECONDS:
                self._fill()
                self.outbox.store()
            self.outbox.store()
        finally:
            self._busy.discard(me)
            self._encoding.release()


def _started(name: str, target: Callable[[], None]) -> threading.Thread | None:
    """Return a daemon thread that runs, None where none can be started any more."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        _log.debug("no thread can be started now: %s", error)
        return None
    return thread


def _warn_without_threads() -> None:
    """Say what is missing where uWSGI runs no threads: its options say so, and nothing else does."""
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if isinstance(options, dict) and not (
        {"enable-threads", "threads", b"enable-threads", b"threads"} & options.keys()
    ):
        _log.warning(
            "uWSGI runs without threads, so that events are delivered while requests run and at the end only, and rules"
            " are refreshed late: add enable-threads = true to its configuration"
        )
