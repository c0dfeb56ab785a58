"""How a thread that has much to do leaves others their turn.

A thread that wants the interpreter waits 5 ms (``sys.getswitchinterval()``) until the one that has it must let go, and
a request wants it several times: encoding one batch without a rest would hold a request up for all the time that takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .clock import steady

_SPELL_SECONDS = 0.0004
"""Work between two rests, while little else waits to be done."""
_REST_SECONDS = 0.00005
"""A rest; asking for none at all would not let the interpreter change hands."""
_BACKLOG = 1000
"""As many things that wait make a spell longer by its length.

Beside a thread that never sleeps each rest takes all of those 5 ms: who falls behind rests less.
"""
_LULL_SECONDS = 0.02
"""After so long without a request nobody rests: a rest costs some 50 us of the processor, and few would want it."""


def give_way() -> None:
    """Let other threads have the interpreter."""
    time.sleep(_REST_SECONDS)


class Turns:
    """Rests now and then during work in small steps. Used by one thread at a time."""

    __slots__ = ("_clock", "_rest", "_rested")

    def __init__(self, clock: Callable[[], float] = steady, rest: Callable[[], None] = give_way) -> None:
        self._clock, self._rest = clock, rest
        self._rested = clock()

    def begin(self) -> None:
        """Begin to work."""
        self._rested = self._clock()

    def step(self, backlog: int, latest: float) -> None:
        """Rest when it is time: so many things wait, and then the latest of them came."""
        now = self._clock()
        if now - self._rested >= _SPELL_SECONDS * (1 + backlog / _BACKLOG) and now - latest < _LULL_SECONDS:
            self._rest()
            self._rested = self._clock()
