"""A transport that is made with its first request: what it imports takes as long as all the rest of the package."""

from __future__ import annotations

import codecs
import importlib
import os
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..settings import Settings

if TYPE_CHECKING:
    import httpx

    from .transport import Transport


_importing = threading.RLock()


class LateTransport:
    """Does what ``transport.Transport`` does. Used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.made: Transport | None = None

    def request(self, *arguments: Any) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body of the answer. Raises TransportError."""
        if self.made is None:
            load()
            from .transport import Transport

            self.made = Transport(self._settings)
        return self.made.request(*arguments)

    def compressed(self, pieces: Iterable[bytes]) -> bytes:
        """Return the pieces, one behind the other, as gzip."""
        load()
        from .compression import compress

        return compress(pieces)

    def close(self) -> None:
        """Close the connection, if there is one; the next request opens a new one."""
        if self.made is not None:
            self.made.close()

    def abandon(self) -> None:
        """Forget the connection without a word on it: after a fork it is the parent's."""
        if self.made is not None:
            self.made.abandon()


def load() -> None:
    """Import it, what it imports with its first connection, what compresses, and what reads over bodies."""
    with _importing:
        importlib.import_module(".transport", __package__)
        importlib.import_module(".compression", __package__)
        importlib.import_module("msgspec")
        codecs.lookup("idna")  # or Python imports it when the first connection looks up its host


def announces_forks() -> bool:
    """Return whether Python is told of forks. uWSGI tells it nothing: a thread at work leaves the child hanging."""
    return "uwsgi" not in sys.modules


def load_for_uwsgi() -> None:
    """Import it before a thread does where forks are not announced."""
    if not announces_forks():
        load()


# A fork in the middle of an import leaves the child with modules that are half there, for good.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )
