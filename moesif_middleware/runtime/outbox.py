"""The outbox: encoded batches that are not settled yet, in memory or in the spool, and their moves in the ledger.

Each batch is settled once: whoever takes it out of the hand first, the thread that sends it or ``close()``, books it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..sansio.batches import Batch
from ..sansio.protocol import IN_ORDER, PATHS
from ..settings import Settings
from .ledger import Ledger
from .queue import BoundedQueue

if TYPE_CHECKING:
    from .spool import Gone, Spool

LOOK_SECONDS = 5.0
"""How often the spool is looked at for what other processes have left there."""
_SOON = 0.5
"""The same while something of this process lies there, which another one may be sending."""
_RENEW_SECONDS = 10.0
_AGAIN_SECONDS = 5.0
"""How long a spool that did not take something is left alone."""


class Trial:
    """How the search for refused items in one batch goes; its halves share it."""

    __slots__ = ("poison",)

    def __init__(self) -> None:
        self.poison = 0


class Held:
    """A batch in memory. With ``tickets`` it is in the spool as well, under a lease of this process."""

    __slots__ = ("batch", "flying", "leased", "tickets", "trial")

    def __init__(self, batch: Batch, trial: Trial, tickets: tuple[int, ...] = (), leased: float = 0.0) -> None:
        self.batch, self.trial, self.tickets = batch, trial, tickets
        self.leased = leased
        """When the lease began or was renewed."""
        self.flying = False
        """Whether a thread has it in hand and sends it."""


class Outbox:
    """Batches in the order in which they are to go. ``drop`` books a loss: kind, state, count and reason."""

    def __init__(
        self,
        settings: Settings,
        queue: BoundedQueue,
        spool: Spool | None,
        ledger: Callable[[str], Ledger],
        drop: Callable[[str, str, int, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._queue, self._spool = settings, queue, spool
        self._ledger, self._drop, self._clock = ledger, drop, clock
        self._lock = threading.RLock()
        self._held: list[Held] = []
        self._removable: list[tuple[int, ...]] = []
        """Tickets of settled batches that could not be removed from the spool at once."""
        self._spool_turn = False
        self._next_reconciling = 0.0
        self._next_look = 0.0
        self.next_putting = 0.0
        """When the spool is to be asked again to take what waits in memory, on the clock."""

    @property
    def spools(self) -> bool:
        """Return whether there is a spool that works."""
        return self._spool is not None and not self._spool.broken

    @property
    def waits(self) -> bool:
        """Return whether there is a batch in memory that may be sent now."""
        with self._lock:
            return any(map(self._may_fly, self._held))

    @property
    def next_look(self) -> float | None:
        """Return when the spool is to be looked at again, on the clock; None while a batch from there waits."""
        with self._lock:
            return None if self._has_leased() else self._next_look

    def _has_leased(self) -> bool:
        return any(held.tickets and not held.flying for held in self._held)

    @property
    def unsent(self) -> bool:
        """Return whether anything of this process waits here, in memory or in a spool that works."""
        return bool(self._held) or (self.spools and self._spooled() > 0)

    def _spooled(self) -> int:
        return sum(ledger.count("spooled") for ledger in self._ledgers().values())

    def _ledgers(self) -> dict[int, Ledger]:
        return {id(ledger): ledger for ledger in map(self._ledger, PATHS)}

    def add(self, batches: Iterable[Batch]) -> None:
        """Take batches that were just encoded; their bytes are reserved in the queue by now."""
        with self._lock:
            self._held.extend(Held(batch, Trial()) for batch in batches)

    def next(self) -> Held | None:
        """Return the batch to send now: from memory, and in turn from the spool when something may be there.

        It is the caller's until it is settled, halved or landed.
        """
        with self._lock:
            self._spool_turn = not self._spool_turn
            self._remove_settled()
            self._line_up()
            found = self._head()
            if found is None or (self._spool_turn and not found.tickets):
                found = self._claim() or found
            if found is not None:
                found.flying = True
            return found

    def _line_up(self) -> None:
        """Put what has to come after something in the spool behind it; what the spool does not take goes as it is."""
        if not self.spools or self._clock() < self.next_putting:
            return
        for held in tuple(self._held):
            kind = held.batch.kind
            if kind not in IN_ORDER or held.tickets or not self._ledger(kind).count("spooled"):
                continue
            if not (self.secure(held) if held.flying else self._put_away(held)):
                self.next_putting = self._clock() + _AGAIN_SECONDS
                return

    def _may_fly(self, held: Held) -> bool:
        """Return whether nothing is in flight that a batch has to come after."""
        kind = held.batch.kind
        return not held.flying and (
            kind not in IN_ORDER or not any(other.flying and other.batch.kind == kind for other in self._held)
        )

    def _head(self) -> Held | None:
        """Return the first batch in memory that may be sent and is still ours to send."""
        for head in tuple(self._held):
            if not self._may_fly(head):
                continue
            if self._spool is None or not head.tickets or self._clock() - head.leased < _RENEW_SECONDS:
                return head
            try:
                ours = self._spool.renew(head.tickets)
            except SpoolError:
                return head
            if ours == len(head.tickets):
                head.leased = self._clock()
                return head
            self._forget(head)
        return None

    def _claim(self) -> Held | None:
        """Lease a batch from the spool into memory; None when there is nothing to do there now, or not yet."""
        now, settings = self._clock(), self._settings
        if self._spool is None or self._spool.broken or now < self._next_look or self._has_leased():
            return None
        most_bytes = min(settings.batch_bytes, settings.queue_bytes // 4)
        try:
            claim, gone = self._spool.claim(settings.batch_events, most_bytes)
            self._book(gone)
            if claim is not None and claim.adopted:
                self._ledger(claim.batch.kind).adopt(claim.adopted)
            if claim is None or now >= self._next_reconciling:
                self._reconcile()
        except SpoolError:
            self._next_look = now + LOOK_SECONDS
            return None
        if claim is None:
            self._next_look = now + (_SOON if self._spooled() else LOOK_SECONDS)
            return None
        batch = Batch(claim.batch.kind, claim.batch.items, now - claim.age)
        held = Held(batch, Trial(), claim.tickets, now)
        self._held.insert(0, held)
        self._queue.release(-_bytes(batch))
        return held if self._may_fly(held) else None

    def _reconcile(self) -> None:
        """Take out of the books what other processes have taken over."""
        self._next_reconciling = self._clock() + LOOK_SECONDS
        if self._spool is None or not self._spooled():
            return
        owned = self._spool.owned()
        for ledger in self._ledgers().values():
            left = sum(count for kind, count in owned.items() if self._ledger(kind) is ledger)
            if ledger.count("spooled") > left:
                ledger.hand_over(ledger.count("spooled") - left)

    def settle(self, held: Held, state: str, reason: str = "") -> bool:
        """Book a batch as ``delivered`` or ``dropped``; False when close() has given it up and booked it meanwhile."""
        with self._lock:
            if not self._let_go(held):
                return False
            kind, count = held.batch.kind, len(held.batch.items)
            source = "spooled" if held.tickets else "queued"
            if held.tickets and self._spool is not None:
                try:
                    ours = self._spool.remove(held.tickets)
                except SpoolError:
                    ours = count
                    self._removable.append(held.tickets)
                if ours < count:
                    self._ledger(kind).hand_over(count - ours)
                    count = ours
            if state == "dropped":
                self._drop(kind, source, count, reason)
            else:
                self._ledger(kind).move(source, state, count)
            return True

    def halve(self, held: Held) -> None:
        """Put two halves in the place of a batch that was refused."""
        with self._lock:
            if held not in self._held:
                return
            halves = held.batch.halves()
            tickets: Sequence[tuple[int, ...]] = ((), ())
            if held.tickets and self._spool is not None:
                try:
                    made = self._spool.replace(held.tickets, halves, self._age(held))
                except SpoolError:
                    held.flying = False
                    self._put_away(held)
                    return
                if not made:
                    self._forget(held)
                    return
                tickets = [(ticket,) for ticket in made]
            where = self._held.index(held)
            self._held[where : where + 1] = [
                Held(half, held.trial, ticket, self._clock()) for half, ticket in zip(halves, tickets, strict=True)
            ]

    def land(self, held: Held, *, exhausted: bool) -> None:
        """Take a batch back that was not taken: for later, or for good when it has been tried for long enough."""
        with self._lock:
            held.flying = False
            self.put_back()
            if exhausted and held in self._held and not held.tickets:
                self.settle(held, "dropped", "retries_exhausted")

    def put_back(self) -> None:
        """Leave what is not in flight for later: in the spool when it takes it, out of memory then; else in memory."""
        with self._lock:
            self._put_all(IN_ORDER)

    def store(self) -> bool:
        """Put all batches in memory into the spool, where those in flight have a lease; return whether these are."""
        with self._lock:
            return self._put_all(PATHS)

    def _put_all(self, also_in_flight: Collection[str]) -> bool:
        """Put what is not in flight into the spool, and of these kinds what is; return whether that all is there.

        The spool gives out what came in first, so that one of a kind that goes in order goes there after the former.
        """
        missing: set[str] = set()
        for held in tuple(self._held):
            kind = held.batch.kind
            if kind in missing and kind in IN_ORDER:
                continue
            if held.flying and kind not in also_in_flight:
                continue
            if not (self.secure(held) if held.flying else self._put_away(held)):
                missing.add(kind)
        if missing:
            self.next_putting = self._clock() + _AGAIN_SECONDS
        return not missing

    def _put_away(self, held: Held) -> bool:
        """Put a batch into the spool, and out of memory; False when it has to stay there."""
        if held not in self._held:
            return True
        if not (self.spools and self.secure(held)):
            return False
        self._let_go(held)
        self._release_lease(held)
        return True

    def secure(self, held: Held) -> bool:
        """Put a batch that is in memory into the spool as well, leased; return whether it is there."""
        with self._lock:
            if held.tickets:
                return True
            if self._spool is None or held not in self._held:
                return False
            try:
                ticket, gone = self._spool.put(held.batch, self._age(held))
            except SpoolError:
                return False
            held.tickets, held.leased = (ticket,), self._clock()
            self._ledger(held.batch.kind).move("queued", "spooled", len(held.batch.items))
            self._book(gone)
            return True

    def lose(self, reason: str) -> None:
        """Count what is in memory, and in nobody's hand, as dropped."""
        with self._lock:
            for held in tuple(self._held):
                if not held.flying:
                    self.settle(held, "dropped", reason)

    def give_up(self, reason: str) -> None:
        """Empty the memory, of what is in flight as well: into the spool, or counted as dropped."""
        with self._lock:
            for held in tuple(self._held):
                self._put_away(held)
            for held in tuple(self._held):
                if held.tickets:
                    self._let_go(held)
                    self._release_lease(held)
                else:
                    self.settle(held, "dropped", reason)

    # Inside, under the lock

    def _let_go(self, held: Held) -> bool:
        """Take a batch out of memory; False when it is not there any more."""
        if held not in self._held:
            return False
        self._held.remove(held)
        self._queue.release(_bytes(held.batch))
        return True

    def _forget(self, held: Held) -> None:
        """Let go of a batch that another process took over when our lease had run out."""
        if self._let_go(held):
            self._reconcile()

    def _release_lease(self, held: Held) -> None:
        self._next_look = min(self._next_look, self._clock())
        if self._spool is not None:
            try:
                self._spool.release(held.tickets)
            except SpoolError:
                return  # said by the spool; the lease runs out by itself

    def _remove_settled(self) -> None:
        while self._removable and self._spool is not None:
            try:
                self._spool.remove(self._removable[-1])
            except SpoolError:
                return  # said by the spool; the next round tries again
            self._removable.pop()

    def _book(self, gone: Iterable[Gone]) -> None:
        """Enter what left the spool unsent; what was another process's becomes ours to count."""
        for kind, count, own, reason in gone:
            if not own:
                self._ledger(kind).adopt(count)
            self._drop(kind, "spooled", count, reason)

    def _age(self, held: Held) -> float:
        return max(self._clock() - held.batch.born, 0.0)


def _bytes(batch: Batch) -> int:
    return sum(map(len, batch.items))
