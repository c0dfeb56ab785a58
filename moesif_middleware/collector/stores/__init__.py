"""Where the collector keeps what it is sent: the ``Store`` protocol and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, Protocol, runtime_checkable

from ...errors import MoesifError


class StoreUnavailable(MoesifError):
    """The store cannot take or give anything now: it is closed, full, locked or too far behind. Try again later."""


@dataclass(slots=True)
class EventRow:
    """One event on its way into a store: the columns of ``schema.EVENT_COLUMNS`` after ``app``, and the document."""

    id: str
    time_ms: int
    received_ms: int
    event_type: str
    action_name: str | None
    status: int | None
    verb: str | None
    route: str | None
    uri: str | None
    ip_address: str | None
    user_id: str | None
    company_id: str | None
    session_token: str | None
    duration_ms: int | None
    weight: int
    direction: str | None
    blocked_by: str | None
    doc: str

    def columns(self) -> tuple[str | int | None, ...]:
        """Return the values of ``schema.EVENT_COLUMNS`` after ``app``, in order."""
        return (
            self.id,
            self.time_ms,
            self.received_ms,
            self.event_type,
            self.action_name,
            self.status,
            self.verb,
            self.route,
            self.uri,
            self.ip_address,
            self.user_id,
            self.company_id,
            self.session_token,
            self.duration_ms,
            self.weight,
            self.direction,
            self.blocked_by,
        )


@dataclass(frozen=True, slots=True)
class Appended:
    """What one append did: events that are new in the store, and events that it had already."""

    stored: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How many events an application has in the store, and how many bytes the whole store takes."""

    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Recent:
    """Which events a live list asks for: newest first, ``limit`` at most.

    ``after`` and ``before`` are exclusive bounds on ``seq``, the order of arrival. ``status`` is ``404`` or a class
    such as ``4xx``; the other filters are exact, ``route`` also matches as a prefix when it ends in ``*``.
    """

    limit: int = 100
    after: int | None = None
    before: int | None = None
    status: str | None = None
    verb: str | None = None
    route: str | None = None
    user_id: str | None = None
    company_id: str | None = None


class Store(Protocol):
    """What a store does. Every call may come from any thread; ``app`` is an application id."""

    def append(self, app: str, rows: Iterable[EventRow]) -> Future[Appended]:
        """Return a future that is done when the rows are durable; an id that the app has already is a duplicate."""
        ...

    def recent(self, app: str, query: Recent) -> list[dict[str, Any]]:
        """Return the narrow rows of the newest events, as mappings of column to value with ``seq``, newest first."""
        ...

    def search(
        self, app: str, kind: str, body: object, first: int | None = None, last: int | None = None, zone: tzinfo = UTC
    ) -> dict[str, Any]:
        """Return the answer of a search body over one kind of document (``events``, ``users`` ...).

        ``first`` and ``last`` are the ends of the time range of events, inclusive milliseconds; ``zone`` is that of
        days and months. Raises InvalidSearch.
        """
        ...

    def get(self, app: str, kind: str, key: str) -> dict[str, Any] | None:
        """Return one document; ``kind`` is ``events`` or one of the kinds of ``entities``."""
        ...

    def documents(self, app: str, kind: str) -> list[dict[str, Any]]:
        """Return all documents of a kind that is not ``events``, in the order of their keys."""
        ...

    def version(self, app: str, kind: str) -> object:
        """Return a value that differs after every write to the documents of a kind; cheap to ask for."""
        ...

    def put(self, app: str, kind: str, documents: Mapping[str, dict[str, Any]], *, merge: bool = True) -> Future[None]:
        """Return a future that is done when the documents are durable.

        ``merge`` merges them recursively into the stored ones (``session_token`` is append-only), else they replace.
        """
        ...

    def delete(self, app: str, kind: str, key: str, time_ms: int | None = None) -> Future[bool]:
        """Return a future of whether there was such a document.

        ``time_ms`` is the time of an event, where it is known: a store may look for it there and nowhere else.
        """
        ...

    def apps(self) -> list[str]:
        """Return the ids of all applications that have something here."""
        ...

    def kinds(self, app: str) -> list[str]:
        """Return the kinds of its documents that are not ``events``."""
        ...

    def items(self, app: str, kind: str) -> dict[str, dict[str, Any]]:
        """Return all documents of a kind that is not ``events`` by their keys."""
        ...

    def window(self, app: str, after_ms: int, rows: int) -> list[EventRow]:
        """Return the next events by time after a millisecond: about ``rows``, and all of the last one's millisecond."""
        ...

    def kept(self, app: str) -> Kept:
        """Return how much is stored."""
        ...

    def time_at(self, app: str, rank: int) -> int | None:
        """Return the time, in milliseconds since the epoch, of the event that has ``rank`` newer ones, if any."""
        ...

    def expire(self, app: str, before_ms: int) -> int:
        """Delete the events older than ``before_ms`` (milliseconds since the epoch) and return how many they were."""
        ...

    def close(self) -> None:
        """Finish what was handed over, then let go of the files or connections."""
        ...


@runtime_checkable
class ReadsColumns(Protocol):
    """What a store can do beside that reads the columns of many events, sometimes sooner than it groups them."""

    def counts_sooner(self, query: object) -> bool:
        """Return whether to count the columns of the events that pass takes less than several groupings of them.

        Raises InvalidSearch.
        """
        ...

    def columns(
        self, app: str, query: object, names: Sequence[str], times: tuple[int, int]
    ) -> Iterator[list[list[Any]]]:
        """Yield the values of columns of the events that pass a query, some thousand events at a time, by time.

        A piece has one list for each name. ``times`` are the ends of the time range, inclusive milliseconds.
        An event that comes or goes meanwhile may be in or not. Raises InvalidSearch with the first piece.
        """
        ...


@runtime_checkable
class Interruptible(Protocol):
    """What a store can do beside that gives up a long reading."""

    def interrupted_by(self, stop: Callable[[], bool]) -> AbstractContextManager[None]:
        """Give up what this thread reads within the block, with StoreUnavailable, soon after ``stop`` returns true."""
        ...
