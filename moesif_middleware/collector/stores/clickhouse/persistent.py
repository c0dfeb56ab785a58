"""Statements of a writer, tried until they are done.

An insert that was not answered may have been done. It is tried again all the same: of rows for the same thing only the
newest counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from .. import StoreUnavailable
from .address import Address
from .client import Client, Host, Refused
from .shards import Shards, Share
from .tables import writing

logger = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K")
Answer = TypeVar("Answer")

PATIENCE_SECONDS: Final = 8.0
"""How long a piece of work is tried: less than the 10 s that clients wait for an answer."""

_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_KEYS: Final = 2_000
"""Keys that one statement asks for."""


class Persistent:
    """Tries the statements of one piece of work until they are done or its time is over. One thread calls it."""

    def __init__(self, client: Client, address: Address) -> None:
        self._client = client
        self._settings = writing(address)
        self._shards = Shards(client, address)
        self._until = 0.0

    @property
    def shards(self) -> int:
        """How many shards share what is written, as far as is known."""
        return self._shards.count

    def begin(self) -> None:
        """Begin another piece of work."""
        self._until = time.monotonic() + PATIENCE_SECONDS

    def select(self, sql: str) -> list[list[Any]]:
        """Return the rows of a statement. Raises StoreUnavailable."""
        return self._persist(lambda: self._client.select(sql))

    def insert(self, table: str, lines: Callable[[], Sequence[bytes]]) -> None:
        """Insert the lines that ``lines`` makes for each attempt. Raises StoreUnavailable; some may be there then."""
        self._persist(lambda: self._send(table, lines()))

    def select_shares(
        self, table: str, items: Sequence[tuple[int, T]], statements: Callable[[Share[T]], Iterable[tuple[K, str]]]
    ) -> list[tuple[K, list[list[Any]]]]:
        """Ask each shard for its own items, given with their keys, all shards at once. Raises StoreUnavailable.

        ``statements`` gives those of a share, each with a name under which its rows are returned.
        """

        def attempt(shares: Sequence[Share[T]]) -> list[tuple[K, list[list[Any]]]]:
            asked = [(name, sql, share.hosts) for share in shares for name, sql in statements(share)]
            rows = _at_once([partial(self._client.select, sql, hosts) for _, sql, hosts in asked])
            return [(name, found) for (name, _, _), found in zip(asked, rows, strict=True)]

        return self._persist(lambda: self._shared(table, items, attempt))

    def insert_shares(self, table: str, keys: Sequence[int], lines: Callable[[], Sequence[bytes]]) -> None:
        """Insert lines as ``insert`` does, each at a server of the shard that its key belongs to, all at once."""

        def attempt(shares: Sequence[Share[bytes]]) -> None:
            _at_once([partial(self._send, share.table, share.items, share.hosts) for share in shares])

        self._persist(lambda: self._shared(table, list(zip(keys, lines(), strict=True)), attempt))

    def _shared(
        self, table: str, items: Sequence[tuple[int, T]], attempt: Callable[[Sequence[Share[T]]], Answer]
    ) -> Answer:
        try:
            return attempt(self._shards.shares(table, items))
        except StoreUnavailable:
            self._shards.forget()
            raise

    def _send(self, table: str, lines: Sequence[bytes], hosts: Collection[Host] = ()) -> None:
        if lines:
            statement = b"\n".join((f"INSERT INTO {table} FORMAT JSONEachRow".encode(), *lines))
            self._client.execute_once(statement, self._settings, hosts)

    def _persist(self, attempt: Callable[[], T]) -> T:
        pause = _PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except StoreUnavailable as error:
                if (isinstance(error, Refused) and not error.passing) or time.monotonic() + pause > self._until:
                    raise
                logger.debug("a statement is tried again: %s", error)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _at_once(work: Sequence[Callable[[], T]]) -> list[T]:
    """Do pieces of work, each of which waits for its own server, and return what they return."""
    if len(work) < 2:
        return [each() for each in work]
    # Leaving the block waits for all, also when one has failed.
    with ThreadPoolExecutor(len(work)) as pool:
        done = [pool.submit(each) for each in work]
    return [each.result() for each in done]


def portions(keys: Iterable[T]) -> Iterable[list[T]]:
    """Yield the keys in lists that one statement can take."""
    listed = list(keys)
    for start in range(0, len(listed), _KEYS):
        yield listed[start : start + _KEYS]
