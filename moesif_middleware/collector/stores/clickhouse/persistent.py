"""Statements of a writer, tried until they are done.

An insert that was not answered may have been done. It is tried again all the same: of rows for the same thing only the
newest counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from .. import StoreUnavailable
from .address import Address
from .client import Client, Refused
from .tables import writing

logger = logging.getLogger(__name__)

T = TypeVar("T")

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
        self._until = 0.0

    def begin(self) -> None:
        """Begin another piece of work."""
        self._until = time.monotonic() + PATIENCE_SECONDS

    def select(self, sql: str) -> list[list[Any]]:
        """Return the rows of a statement. Raises StoreUnavailable."""
        return self._persist(lambda: self._client.select(sql))

    def insert(self, table: str, lines: Callable[[], Sequence[bytes]]) -> None:
        """Insert the lines that ``lines`` makes for each attempt. Raises StoreUnavailable; some may be there then."""
        self._persist(lambda: self._send(table, lines()))

    def _send(self, table: str, lines: Sequence[bytes]) -> None:
        if lines:
            statement = b"\n".join((f"INSERT INTO {table} FORMAT JSONEachRow".encode(), *lines))
            self._client.execute_once(statement, self._settings)

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


def portions(keys: Iterable[T]) -> Iterable[list[T]]:
    """Yield the keys in lists that one statement can take."""
    listed = list(keys)
    for start in range(0, len(listed), _KEYS):
        yield listed[start : start + _KEYS]
