"""A progress bar: written over and over on one line of a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

_WIDTH = 30
_TERMINAL_SECONDS = 0.2
_LINE_SECONDS = 5.0


class Progress:
    """Shows on standard error how much of ``total`` is done, how fast, and for how long it will go on.

    Without a total, how much is done and how fast.
    """

    def __init__(self, total: int | None, noun: str, *, quiet: bool = False) -> None:
        self.total = total
        """How much there is to do, None while nobody knows."""
        self._noun = noun
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet
        self._began = time.monotonic()
        self._first: int | None = None
        self._said = float("-inf")

    def show(self, done: int) -> None:
        """Show it, unless that was done just now."""
        now = time.monotonic()
        if self._first is None:
            # What an earlier run did says nothing about how fast this one is.
            self._first = done
        if self._quiet or now - self._said < (_TERMINAL_SECONDS if self._terminal else _LINE_SECONDS):
            return
        self._said = now
        self._write(self.text(done, now - self._began))

    def end(self, done: int) -> None:
        """Show it for the last time."""
        if not self._quiet:
            self._write(self.text(done, time.monotonic() - self._began))
            if self._terminal:
                print(file=sys.stderr)

    def text(self, done: int, seconds: float) -> str:
        """Return the bar after so many seconds."""
        speed = (done - (self._first or 0)) / seconds if seconds > 0 else 0.0
        if self.total is None:
            return f"{done:,} {self._noun}, {speed:,.0f}/s"
        total = max(self.total, done, 1)
        filled = _WIDTH * done // total
        left = f", {_duration((total - done) / speed)} left" if speed and done < total else ""
        bar = "#" * filled + "." * (_WIDTH - filled)
        return f"[{bar}] {100 * done // total:3d} % {done:,} of {total:,} {self._noun}, {speed:,.0f}/s{left}"

    def _write(self, text: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
