"""Which servers of a cluster hold which shard, so that events go straight to a server that keeps them.

A ``Distributed`` table does this too, but the server that is asked reads all lines and sends most of them on: it would
do that work for the whole cluster, however many servers there are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from .. import StoreUnavailable
from .address import Address
from .client import Client, Host
from .tables import local

logger = logging.getLogger(__name__)

T = TypeVar("T")

KNOWN_SECONDS: Final = 60.0
"""How long the layout of a cluster is taken to be as it was."""


@dataclass(frozen=True, slots=True)
class Share(Generic[T]):
    """Items of one shard: the table that has them, and the servers of it; ``()`` are all."""

    table: str
    hosts: tuple[Host, ...]
    items: list[T]


@dataclass(frozen=True, slots=True)
class Layout:
    """``slots`` are the shards, each as often as its weight says: a key belongs to that of its remainder.

    ``servers`` are the addresses of each shard that are in the store's URL and answered; a shard may have none.
    """

    slots: tuple[int, ...]
    servers: Mapping[int, tuple[Host, ...]]

    def shares(self, table: str, items: Sequence[tuple[int, T]]) -> list[Share[T]]:
        """Return the items, given with their keys, by shard; those of all shards without a server are one share."""
        found: dict[tuple[Host, ...], list[T]] = {}
        for key, item in items:
            found.setdefault(self.servers.get(self.slots[key % len(self.slots)], ()), []).append(item)
        return [Share(local(table) if hosts else table, hosts, some) for hosts, some in found.items()]


class Shards:
    """Knows the layout of the cluster, if there is one, and asks for it again every minute. One thread calls it."""

    def __init__(self, client: Client, address: Address, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._address = address
        self._clock = clock
        self._layout: Layout | None = None
        self._until = float("-inf")

    @property
    def count(self) -> int:
        """How many shards there are; 1 where the layout is not known."""
        return 1 if self._layout is None else len(set(self._layout.slots))

    def shares(self, table: str, items: Sequence[tuple[int, T]]) -> list[Share[T]]:
        """Return the items, given with their keys, by shard; all are one share where the layout is not known."""
        if self._address.cluster is not None and self._clock() >= self._until:
            self._layout = self._asked()
            self._until = self._clock() + KNOWN_SECONDS
        if self._layout is None:
            return [Share(table, (), [item for _, item in items])] if items else []
        return self._layout.shares(table, items)

    def forget(self) -> None:
        """Ask again next time: a server of one shard may be away, and another one knows how to reach its replicas."""
        self._until = float("-inf")

    def _asked(self) -> Layout | None:
        # Asked in one order, the servers name the shards alike; the weights are those of the Distributed table.
        sql = (
            "SELECT shard_num, max(shard_weight), max(is_local) FROM system.clusters"  # noqa: S608 - checked as a name
            f" WHERE cluster = '{self._address.cluster}' GROUP BY shard_num ORDER BY shard_num"
        )
        weights: set[tuple[tuple[int, int], ...]] = set()
        servers: dict[int, tuple[Host, ...]] = {}
        for host in self._address.hosts:
            try:
                rows = self._client.select(sql, (host,))
            except StoreUnavailable as error:
                logger.debug("a server does not tell its shard: %s", error)
                continue
            weights.add(tuple((int(shard), int(weight)) for shard, weight, _ in rows))
            own = [int(shard) for shard, _, local in rows if local]
            if len(own) == 1:
                servers[own[0]] = (*servers.get(own[0], ()), host)
        if len(weights) != 1:
            # None answers, or some have another configuration already: the Distributed table knows better.
            return None
        slots = tuple(shard for shard, weight in weights.pop() for _ in range(weight))
        return Layout(slots, servers) if len(set(slots)) > 1 and servers else None
