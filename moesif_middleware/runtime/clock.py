"""The clock of deadlines, and a short wait: both go on where a test has frozen time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from .bell import Bell

# freezegun and time-machine stop time.monotonic() as well, and with it every deadline; this one they leave alone.
steady: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else time.monotonic
)
"""Seconds that only ever grow, to be compared with one another only."""


async def pause(seconds: float) -> None:
    """Let other tasks run for some seconds, a few milliseconds as it should be."""
    import anyio.lowlevel  # late, since an application that runs no event loop never comes here

    before = time.monotonic()
    await anyio.lowlevel.checkpoint()
    if time.monotonic() > before:
        await anyio.sleep(seconds)
    else:
        # Time stands still, so that no timer of the event loop would ever ring.
        Bell().wait(seconds)
