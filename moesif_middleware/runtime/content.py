"""A body that is read asynchronously, as aiohttp's servers and clients have it, looked at as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


class Content:
    """Reads from an ``aiohttp.StreamReader``; what was read ahead of the application comes first.

    ``saw`` gets every piece once; ``failed``, where there is one, the exception that reading ended with.
    """

    def __init__(
        self,
        stream: Any,
        saw: Callable[[bytes], None],
        failed: Callable[[BaseException], None] | None = None,
        ahead: bytes = b"",
    ) -> None:
        self._stream, self._saw, self._failed, self._ahead = stream, saw, failed, ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def _look(self, reading: Awaitable[bytes]) -> bytes:
        try:
            data = await reading
        except Exception as error:
            if self._failed is not None:
                self._failed(error)
            raise
        self._saw(data)
        return data

    def _take(self, size: int) -> bytes:
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    async def read(self, n: int = -1) -> bytes:
        """Read up to ``n`` bytes, all of them when it is negative."""
        if n >= 0 and self._ahead:
            return self._take(n)
        ahead = self._take(len(self._ahead))
        return ahead + await self._look(self._stream.read(n))

    async def readany(self) -> bytes:
        """Read what there is."""
        return self._take(len(self._ahead)) if self._ahead else await self._look(self._stream.readany())

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read what there is of a chunk of the transfer coding, and whether it ends there."""
        if self._ahead:
            return self._take(len(self._ahead)), False
        data, end = await self._stream.readchunk()
        self._saw(data)
        return data, end

    async def readexactly(self, n: int) -> bytes:
        """Read ``n`` bytes."""
        ahead = self._take(n)
        return ahead if len(ahead) == n else ahead + await self._look(self._stream.readexactly(n - len(ahead)))

    async def readline(self, **options: Any) -> bytes:
        """Read a line."""
        return await self.readuntil(b"\n", **options)

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        """Read up to and with the separator."""
        if not self._ahead:
            return await self._look(self._stream.readuntil(separator, **options))
        # It may begin in what was read ahead, and end in what was not.
        while separator not in self._ahead:
            more = await self._look(self._stream.readany())
            if not more:
                return self._take(len(self._ahead))
            self._ahead += more
        return self._take(self._ahead.index(separator) + len(separator))

    def read_nowait(self, n: int = -1) -> bytes:
        """Read what has arrived."""
        if self._ahead:
            return self._take(len(self._ahead) if n < 0 else n)
        data: bytes = self._stream.read_nowait(n)
        self._saw(data)
        return data

    def at_eof(self) -> bool:
        """Return whether everything was read."""
        return not self._ahead and bool(self._stream.at_eof())

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
