"""A body that is read asynchronously, as aiohttp's servers and clients have it, looked at as it is read."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


def put_back(stream: Any, data: bytes) -> None:
    """Let an ``aiohttp.StreamReader`` give some bytes again that were read of it."""
    with warnings.catch_warnings():
        # It is to go when aiohttp itself, which reads forms so, can do without.
        warnings.simplefilter("ignore", DeprecationWarning)
        stream.unread_data(data)


class Content:
    """Reads from an ``aiohttp.StreamReader``, which does all the reading itself.

    ``saw`` gets every piece once; ``failed``, where there is one, the exception that reading ended with. The first
    ``again`` bytes were read before and put back.
    """

    def __init__(
        self,
        stream: Any,
        saw: Callable[[bytes], None],
        failed: Callable[[BaseException], None] | None = None,
        again: int = 0,
    ) -> None:
        self._stream, self._saw, self._failed, self._again = stream, saw, failed, again

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _note(self, data: bytes) -> bytes:
        known = min(self._again, len(data))
        self._again -= known
        if known < len(data):
            self._saw(data[known:])
        return data

    async def _look(self, reading: Awaitable[bytes]) -> bytes:
        try:
            return self._note(await reading)
        except Exception as error:
            if self._failed is not None:
                self._failed(error)
            raise

    def unread_data(self, data: bytes) -> None:
        """Put back what was read too much, as aiohttp does between the parts of a form."""
        self._again += len(data)
        self._stream.unread_data(data)

    async def read(self, *size: int, **named: int) -> bytes:
        """Read up to ``size`` bytes, all of them when it is negative."""
        return await self._look(self._stream.read(*size, **named))

    async def readany(self) -> bytes:
        """Read what there is."""
        return await self._look(self._stream.readany())

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read what there is of a chunk of the transfer coding, and whether it ends there."""
        data, end = await self._stream.readchunk()
        return self._note(data), end

    async def readexactly(self, n: int) -> bytes:
        """Read ``n`` bytes."""
        return await self._look(self._stream.readexactly(n))

    async def readline(self, **options: Any) -> bytes:
        """Read a line."""
        return await self._look(self._stream.readline(**options))

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        """Read up to and with the separator."""
        return await self._look(self._stream.readuntil(separator, **options))

    def read_nowait(self, n: int = -1) -> bytes:
        """Read what has arrived."""
        return self._note(self._stream.read_nowait(n))

    def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Iterate over pieces of at most ``n`` bytes."""
        return self._pieces(lambda: self.read(n))

    def iter_any(self) -> AsyncIterator[bytes]:
        """Iterate over what there is."""
        return self._pieces(self.readany)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces(self.readline)

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Iterate over the chunks of the transfer coding."""
        while True:
            data, end = await self.readchunk()
            if not data and not end:
                return
            yield data, end

    async def _pieces(self, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        while data := await read():
            yield data
