"""A transport that is made with its first request: what it imports takes as long as all the rest of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..settings import Settings

if TYPE_CHECKING:
    import httpx

    from .transport import Transport


class LateTransport:
    """Does what ``transport.Transport`` does. Used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.made: Transport | None = None

    def request(self, *arguments: Any) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body of the answer. Raises TransportError."""
        if self.made is None:
            from .transport import Transport

            self.made = Transport(self._settings)
        return self.made.request(*arguments)

    def close(self) -> None:
        """Close the connection, if there is one; the next request opens a new one."""
        if self.made is not None:
            self.made.close()

    def abandon(self) -> None:
        """Forget the connection without a word on it: after a fork it is the parent's."""
        if self.made is not None:
            self.made.abandon()
