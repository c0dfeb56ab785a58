"""Batches of encoded items: split by count and bytes, halved when refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_POISON = 16
"""A batch with more bad items than this is dropped whole: the fault is not in single items."""


class Batch(NamedTuple):
    """Some encoded JSON values of one kind that go to the collector in one request."""

    kind: str
    """A key of protocol.PATHS."""
    items: tuple[bytes, ...]
    born: float = 0.0
    """When its first item was captured, on the worker's clock, in seconds."""

    @property
    def body(self) -> bytes:
        """Return the JSON array."""
        return b"[" + b",".join(self.items) + b"]"

    def pieces(self, least: int = 65_536) -> Iterator[bytes]:
        """Yield the JSON array in pieces, so that it is never in memory as one.

        Items of ``least`` bytes are pieces as they are; smaller ones are joined until they have as many.
        """
        group, size, separator = [b"["], 0, b""
        for item in self.items:
            group.append(separator)
            separator = b","
            if len(item) >= least:
                yield b"".join(group)
                yield item
                group, size = [], 0
                continue
            group.append(item)
            size += len(item)
            if size >= least:
                yield b"".join(group)
                group, size = [], 0
        yield b"".join((*group, b"]"))

    @property
    def size(self) -> int:
        """Return the encoded bytes, separators included."""
        return sum(map(len, self.items)) + len(self.items) + 1

    def halves(self) -> tuple[Batch, Batch]:
        """Return the batch as two; it must have two items or more."""
        middle = len(self.items) // 2
        return self._replace(items=self.items[:middle]), self._replace(items=self.items[middle:])


def split(items: Iterable[bytes], most: int, most_bytes: int) -> Iterator[tuple[bytes, ...]]:
    """Yield the items in their order, in groups of at most ``most`` items and ``most_bytes`` bytes as a JSON array.

    An item that is larger than the bound alone goes alone.
    """
    group: list[bytes] = []
    size = 2
    for item in items:
        if group and (len(group) >= most or size + len(item) + 1 > most_bytes):
            yield tuple(group)
            group, size = [], 2
        group.append(item)
        size += len(item) + 1
    if group:
        yield tuple(group)
