"""``ClickHouseStore``: the ``Store`` on one ClickHouse server or on a cluster, shared by any number of collectors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Any, Final

import orjson

from ...search import Search, parse_search, run_search
from ...search.clickhouse import ClickHouseEngine, Place, literal, of_kind
from ...search.columns import transposed
from ...search.nodes import reads_documents
from .. import Appended, EventRow, Kept, Recent, StoreUnavailable
from ..grouping import GROUP_ROWS, GroupQueue, Job, carry_out
from ..recent import COLUMNS, Bind, conditions, named, rows_of
from .address import Address
from .changes import Append, Change, Changes, Expire, Remove
from .client import Client
from .puts import Put
from .rows import NAMES, Numbers, number_of
from .tables import APPS, ENTITIES, EVENTS, GONE, WEEK, changing, live, migrate, parts, searched

logger = logging.getLogger(__name__)

PIECES: Final = 8
"""Parts of a time range whose columns are read one after the other."""

SWEEP_SECONDS: Final = 60.0
SWEPT_SECONDS: Final = 900.0
"""How long after its arrival an event that two collectors wrote is looked for."""

MOST_GROUP_ROWS: Final = 10_000
"""Rows in one group, however many shards there are: the collector holds the lines of all of them at once."""

EVERY_SECONDS: Final = 0.2
"""Seconds between two inserts: each makes a part of the table that must be merged with others."""


class ClickHouseStore:
    """A ``Store`` on ClickHouse; its tables are made, unless they ``must_exist``.

    ``every`` is the seconds between two inserts. Raises ConfigurationError, StoreUnavailable.
    """

    def __init__(
        self,
        address: Address,
        clock: Callable[[], float] = time.time,
        every: float = EVERY_SECONDS,
        *,
        must_exist: bool = False,
    ) -> None:
        self._address = address
        self._clock = clock
        self._every = every
        self._client = Client(address)
        try:
            migrate(self._client, address, must_exist=must_exist)
        except BaseException:
            self._client.close()
            raise
        self._numbers = Numbers()
        self._changes = Changes(self._client, address, self._numbers)
        self._queue: GroupQueue[Change] = GroupQueue()
        self._thread = threading.Thread(target=self._run, name="moesif-store", daemon=True)
        self._thread.start()

    def append(self, app: str, rows: Iterable[EventRow]) -> Future[Appended]:
        """Return a future that is done when the rows are durable; an id that is there at its time is a duplicate."""
        batch = list(rows)
        return self._queue.submit(Append(app, batch), max(1, len(batch)))

    def recent(self, app: str, query: Recent) -> list[dict[str, Any]]:
        """Return the narrow rows of the newest events, as mappings of column to value with ``seq``, newest first."""
        where = [*live(number_of(app)), *conditions(query, literal, _begins)]
        # Column names are the schema's and every literal is escaped.
        sql = f"SELECT {', '.join(COLUMNS)} FROM {EVENTS} WHERE {' AND '.join(where)}"  # noqa: S608
        limit = rows_of(query)
        return named(self._client.select(f"{sql} ORDER BY seq DESC LIMIT {limit}")) if limit else []

    def search(
        self, app: str, kind: str, body: object, first: int | None = None, last: int | None = None, zone: tzinfo = UTC
    ) -> dict[str, Any]:
        """Return the answer of a search over the documents of a kind. Raises InvalidSearch."""
        search = parse_search(kind, body, first, last, zone, int(self._clock() * 1000))
        return run_search(self._engine(app), search)

    def counts_sooner(self, query: object) -> bool:
        """Return whether the query looks into documents: each grouping would look into all of them again."""
        return reads_documents(self._parsed(query).query)

    def columns(
        self, app: str, query: object, names: Sequence[str], times: tuple[int, int]
    ) -> Iterator[list[list[Any]]]:
        """Yield the values of columns of the events that pass a query, by time, an eighth of the time range at once."""
        first, last = times
        search, engine = self._parsed(query), self._engine(app)
        step = (last - first) // PIECES + 1
        for start in range(first, last + 1, step):
            piece = replace(search, first=start, last=min(last, start + step - 1))
            yield transposed(engine, piece, names)

    def _engine(self, app: str) -> ClickHouseEngine:
        number = number_of(app)
        place = Place(searched(self._address), ENTITIES, number, number_of, live(number))
        return ClickHouseEngine(self._client, place)

    def _parsed(self, query: object) -> Search:
        return parse_search(EVENTS, {"query": query}, None, None, UTC, int(self._clock() * 1000))

    def get(self, app: str, kind: str, key: str) -> dict[str, Any] | None:
        """Return one document; ``kind`` is ``events`` or one of the kinds of ``entities``."""
        if kind != EVENTS:
            where = f"{of_kind(number_of(app), kind)} AND id = {literal(key)} AND deleted = 0"
            rows = self._client.select(f"SELECT doc FROM {ENTITIES} FINAL WHERE {where}")  # noqa: S608 - literals
            return orjson.loads(rows[0][0]) if rows else None
        # Keys first: of the documents, only the one is read.
        where = " AND ".join([*live(number_of(app)), f"key = {number_of(key)}"])
        found = self._client.select(f"SELECT time_ms, max(seq) FROM {EVENTS} WHERE {where} GROUP BY time_ms LIMIT 1")  # noqa: S608
        if not found:
            return None
        where = f"app = {number_of(app)} AND time_ms = {found[0][0]} AND seq = {found[0][1]}"
        rows = self._client.select(f"SELECT doc FROM {EVENTS} WHERE {where} AND key = {number_of(key)}")  # noqa: S608
        return orjson.loads(rows[0][0]) if rows else None

    def documents(self, app: str, kind: str) -> list[dict[str, Any]]:
        """Return all documents of a kind that is not ``events``, in the order of their keys."""
        where = f"{of_kind(number_of(app), kind)} AND deleted = 0"
        rows = self._client.select(f"SELECT doc FROM {ENTITIES} FINAL WHERE {where} ORDER BY id")  # noqa: S608
        return [orjson.loads(row[0]) for row in rows]

    def version(self, app: str, kind: str) -> object:
        """Return a value that differs after every write to the documents of a kind, the same for every collector."""
        where = of_kind(number_of(app), kind)
        return self._client.select(f"SELECT max(version) FROM {ENTITIES} WHERE {where}")[0][0]  # noqa: S608

    def put(self, app: str, kind: str, documents: Mapping[str, dict[str, Any]], *, merge: bool = True) -> Future[None]:
        """Return a future that is done when the documents are durable, merged into those there or in their place."""
        return self._queue.submit(Put(app, kind, documents, merge), max(1, len(documents)))

    def delete(self, app: str, kind: str, key: str, time_ms: int | None = None) -> Future[bool]:
        """Return a future of whether there was such a document; without its time all events are looked through."""
        if kind == EVENTS:
            return self._queue.submit(Remove(app, key, time_ms))
        return self._queue.submit(Put(app, kind, {key: None}, merge=False))

    def apps(self) -> list[str]:
        """Return the ids of all applications that have something here."""
        return [row[0] for row in self._client.select(f"SELECT application_id FROM {APPS} FINAL ORDER BY 1")]  # noqa: S608

    def kinds(self, app: str) -> list[str]:
        """Return the kinds of its documents that are not ``events``."""
        where = f"app = {number_of(app)} AND deleted = 0"
        rows = self._client.select(f"SELECT DISTINCT kind FROM {ENTITIES} FINAL WHERE {where} ORDER BY kind")  # noqa: S608
        return [kind for (kind,) in rows]

    def items(self, app: str, kind: str) -> dict[str, dict[str, Any]]:
        """Return all documents of a kind that is not ``events`` by their keys."""
        where = f"{of_kind(number_of(app), kind)} AND deleted = 0"
        rows = self._client.select(f"SELECT id, doc FROM {ENTITIES} FINAL WHERE {where}")  # noqa: S608 - literals
        return {name: orjson.loads(document) for name, document in rows}

    def window(self, app: str, after_ms: int, rows: int) -> list[EventRow]:
        """Return the next events by time after a millisecond: about ``rows``, and all of the last one's millisecond."""
        where = " AND ".join([*live(number_of(app)), f"time_ms > {literal(after_ms)}"])
        times = f"SELECT time_ms FROM {EVENTS} WHERE {where} ORDER BY time_ms LIMIT {rows}"  # noqa: S608 - numbers
        ((count, last),) = self._client.select(f"SELECT count(), max(time_ms) FROM ({times})")  # noqa: S608
        if not count:
            return []
        columns = ", ".join([*NAMES, "doc"])
        sql = f"SELECT {columns} FROM {EVENTS} WHERE {where} AND time_ms <= {last} ORDER BY time_ms, seq"  # noqa: S608
        return [EventRow(*row) for row in self._client.select(sql)]

    def kept(self, app: str) -> Kept:
        """Return how much is stored; the bytes are those of the events on one replica of each shard."""
        where = " AND ".join(live(number_of(app)))
        ((events,),) = self._client.select(f"SELECT count() FROM {EVENTS} WHERE {where}")  # noqa: S608 - numbers
        ((rows, size),) = self._client.select(f"SELECT sum(rows), sum(bytes_on_disk) FROM {parts(self._address)}")  # noqa: S608
        share = 1 - self._expired_rows() / rows if rows else 0
        return Kept(int(events), int((size or 0) * share))

    def time_at(self, app: str, rank: int) -> int | None:
        """Return the time, in milliseconds since the epoch, of the event that has ``rank`` newer ones, if any."""
        where = " AND ".join(live(number_of(app)))
        sql = f"SELECT time_ms FROM {EVENTS} WHERE {where} ORDER BY time_ms DESC LIMIT {rank}, 1"  # noqa: S608 - numbers
        rows = self._client.select(sql)
        return int(rows[0][0]) if rows else None

    def expire(self, app: str, before_ms: int) -> int:
        """Let the events older than ``before_ms`` count no more and return how many they were.

        The disk is given back week by week, when all events of all applications in one have expired.
        """
        where = " AND ".join([*live(number_of(app)), f"time_ms < {before_ms}"])
        ((count,),) = self._client.select(f"SELECT count() FROM {EVENTS} WHERE {where}")  # noqa: S608 - numbers
        if count:
            self._queue.submit(Expire(app, before_ms)).result()
            self._drop_expired_weeks()
        return int(count)

    def interrupted_by(self, stop: Callable[[], bool]) -> AbstractContextManager[None]:
        """Give up what this thread reads within the block, with StoreUnavailable, soon after ``stop`` returns true."""
        return self._client.interrupted_by(stop)

    def close(self) -> None:
        """Write what was handed over and let go of the connections."""
        self._queue.close()
        self._thread.join()
        self._client.close()

    def _drop_expired_weeks(self) -> None:
        ends = self._expiry()
        weeks: dict[str, bool] = {}
        sql = f"SELECT toString({WEEK}) AS week, app FROM {EVENTS} GROUP BY week, app"  # noqa: S608 - constants
        for week, app in self._client.select(sql):
            end = datetime.fromisoformat(week).replace(tzinfo=UTC) + timedelta(days=7)
            weeks[week] = weeks.get(week, True) and end.timestamp() * 1000 <= ends.get(app, 0)
        for week in (week for week, over in weeks.items() if over):
            self._client.execute(f"ALTER TABLE {changing(self._address)} DROP PARTITION '{week}'")

    def _expiry(self) -> dict[int, int]:
        """Return before which time, in milliseconds, events of each application do not count."""
        sql = f"SELECT app, max(before_ms) AS end FROM {GONE} GROUP BY app HAVING end > 0"  # noqa: S608 - constants
        return {int(app): int(end) for app, end in self._client.select(sql)}

    def _expired_rows(self) -> int:
        either = [f"(app = {app} AND time_ms < {end})" for app, end in self._expiry().items()]
        if not either:
            return 0
        return int(self._client.select(f"SELECT count() FROM {EVENTS} WHERE {' OR '.join(either)}")[0][0])  # noqa: S608

    def _run(self) -> None:
        swept = float("-inf")
        for group in self._queue.groups(self._every, self._group_rows):
            for _, jobs in groupby(group, key=lambda job: type(job.work)):
                carry_out(list(jobs), self._make)
            if time.monotonic() - swept > SWEEP_SECONDS:
                self._sweep()
                swept = time.monotonic()

    def _group_rows(self) -> int:
        """Return the rows of one group: each shard gets a part of them, and an insert of few rows costs much a row."""
        return min(GROUP_ROWS * self._changes.shards, MOST_GROUP_ROWS)

    def _sweep(self) -> None:
        try:
            self._changes.sweep(int((self._clock() - SWEPT_SECONDS) * 1000))
        except StoreUnavailable as error:
            logger.warning("events that were written twice were not looked for: %s", error)

    def _make(self, jobs: Sequence[Job[Change]]) -> list[Any]:
        return self._changes.make([job.work for job in jobs])


def _begins(column: str, start: str, bind: Bind) -> str:
    return f"startsWith({column}, {bind(start)})"
