"""The tables in ClickHouse, made and migrated at start.

``events`` holds the columns of ``schema.EVENT_COLUMNS``, the document, and its scalars in the arrays ``leaf`` (see
``search.clickhouse``). Its order is (app, time, key): an event that is sent again keeps its time, so that it is found
by its place, and what was written twice all the same is merged into the row with the highest ``seq``. Merging takes
its time and reading with FINAL is slow, so ``gone`` lists what does not count: the ``seq`` of rows that are deleted or
replaced, and the time before which the events of an application have expired. Its columns of ``ComputedColumns``
are computed by the servers: on insert, whoever inserts, and in rows that are older than these columns whenever they are
read, until ClickHouse merges and so writes them.

``entities`` holds all other documents, the row with the highest ``version`` of each; it is read with FINAL.
``app`` and ``key`` are hashes: see ``rows``.

On a cluster, ``NAME_local`` is replicated by ``{shard}`` and ``{replica}`` of each server's macros, and ``NAME``
spreads over the shards by the key, so that all rows of one event are on one of them. ``searched_events`` has the
computed columns beside those of ``events``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ....errors import ConfigurationError
from ...search.clickhouse import narrow_columns
from .. import StoreUnavailable
from ..schema import EVENT_COLUMNS
from .address import Address
from .client import Client, Refused

EVENTS: Final = "events"
ENTITIES: Final = "entities"
SEARCHED: Final = "searched_events"
APPS: Final = "apps"
GONE: Final = "gone"
COLUMN_EXISTS: Final = frozenset({15, 44})
"""ClickHouse's numbers of the error: newer versions have one of its own."""

WEEK: Final = "toMonday(toDateTime(intDiv(time_ms, 1000), 'UTC'))"

_TYPES: Final = {
    "INTEGER NOT NULL": "Int64",
    "INTEGER": "Nullable(Int64)",
    "TEXT NOT NULL": "String",
    "TEXT": "Nullable(String)",
}
_LEAF: Final = "leaf Nested(path String, kind UInt8, key String, number Float64)"
_COLUMNS: Final = ", ".join(
    f"{column.name} {'UInt64' if column.name == 'app' else _TYPES[column.type]}" for column in EVENT_COLUMNS
)
# Marks are numbers: a small granule costs little, and reading one document reads one granule of documents.
_GRANULES: Final = "SETTINGS index_granularity = 1024"


def local(table: str) -> str:
    """Return the name of the table on a server of a cluster that holds the rows of its shard."""
    return f"{table}_local"


class Table:
    """One table: its columns, its order, by which column its newest row is told, and how rows spread over shards."""

    def __init__(self, name: str, columns: str, version: str, order: str, shard: str, partition: str = "") -> None:
        self.name = name
        self._columns = columns
        self._version = version
        self._order = order
        self._shard = shard
        self._partition = f"PARTITION BY {partition} " if partition else ""

    def statements(self, address: Address) -> list[str]:
        """Return the statements that make it; each does nothing when it was run before."""
        layout = f"{self._partition}ORDER BY {self._order} {_GRANULES}"
        if address.cluster is None:
            engine = f"ReplacingMergeTree({self._version})"
            return [f"CREATE TABLE IF NOT EXISTS {self.name} ({self._columns}) ENGINE = {engine} {layout}"]
        path = f"/clickhouse/tables/{{shard}}/{address.database}/{self.name}"
        engine = f"ReplicatedReplacingMergeTree('{path}', '{{replica}}', {self._version})"
        own = f"{address.database}.{local(self.name)} ON CLUSTER `{address.cluster}`"
        return [
            f"CREATE TABLE IF NOT EXISTS {own} ({self._columns}) ENGINE = {engine} {layout}",
            self.spread(address, self.name),
        ]

    def spread(self, address: Address, name: str, *more: str) -> str:
        """Return the statement that makes, on a cluster, a table over all shards of it, with ``more`` columns."""
        columns = ", ".join((self._columns, *more))
        engine = f"Distributed('{address.cluster}', '{address.database}', '{local(self.name)}', {self._shard})"
        everywhere = f"{address.database}.{name} ON CLUSTER `{address.cluster}`"
        return f"CREATE TABLE IF NOT EXISTS {everywhere} ({columns}) ENGINE = {engine}"


class ComputedColumns:
    """Columns that a table gets when it is there already, each with its type and the expression that computes it.

    On a cluster, a table of another name has them over all shards: old servers change no ``Distributed`` one there.
    """

    def __init__(self, table: Table, spread: str, columns: Mapping[str, tuple[str, str]]) -> None:
        self._table = table
        self._spread = spread
        self._columns = columns

    def statements(self, address: Address) -> list[str]:
        """Return the statements that add them; run again, one fails with ``COLUMN_EXISTS`` or does nothing."""
        added = ", ".join(
            f"ADD COLUMN `{name}` {type_} MATERIALIZED {expression}"
            for name, (type_, expression) in self._columns.items()
        )
        if address.cluster is None:
            return [f"ALTER TABLE {self._table.name} {added}"]
        own = f"{address.database}.{local(self._table.name)} ON CLUSTER `{address.cluster}`"
        names = (f"`{name}` {type_}" for name, (type_, _) in self._columns.items())
        return [f"ALTER TABLE {own} {added}", self._table.spread(address, self._spread, *names)]


_EVENTS: Final = Table(
    EVENTS,
    f"{_COLUMNS}, key UInt64, seq UInt64, doc String, {_LEAF}",
    "seq",
    "(app, time_ms, key)",
    "key",
    # Few partitions keep reading fast; whole ones are dropped when their events have expired.
    WEEK,
)

MIGRATIONS: Final[tuple[tuple[Table | ComputedColumns, ...], ...]] = (
    (
        _EVENTS,
        Table(
            ENTITIES,
            f"app UInt64, kind String, id String, version UInt64, deleted UInt8, doc String, {_LEAF}",
            "version",
            "(app, kind, id)",
            "cityHash64(kind, id)",
        ),
        Table(GONE, "app UInt64, seq UInt64, before_ms Int64", "seq", "(app, seq, before_ms)", "app"),
        Table(APPS, "app UInt64, application_id String, version UInt64", "version", "app", "app"),
        Table("migrations", "name String, version UInt64", "version", "name", "cityHash64(name)"),
    ),
    (ComputedColumns(_EVENTS, SEARCHED, narrow_columns()),),
)


def migrate(client: Client, address: Address, *, must_exist: bool = False) -> None:
    """Bring the tables to the newest version; there are none to begin with, unless they ``must_exist``.

    Raises StoreUnavailable for those that a newer program made, ConfigurationError when there are none.
    """
    everywhere = f" ON CLUSTER `{address.cluster}`" if address.cluster else ""
    there = client.execute(f"EXISTS TABLE {address.database}.migrations", database=False).strip() == b"1"
    if must_exist and not there:
        raise ConfigurationError("store", f"there is no store in the database {address.database}")
    version = int(client.select("SELECT max(version) FROM migrations")[0][0]) if there else 0
    if version > len(MIGRATIONS):
        raise StoreUnavailable(f"the tables have schema version {version}, this program knows {len(MIGRATIONS)}")
    if version == len(MIGRATIONS):
        return
    if not there:
        client.execute(f"CREATE DATABASE IF NOT EXISTS {address.database}{everywhere}", database=False)
    for steps in MIGRATIONS[version:]:
        for step in steps:
            for statement in step.statements(address):
                _change(client, statement)
    row = f"VALUES ('schema', {len(MIGRATIONS)})"
    client.execute(f"INSERT INTO migrations (name, version) {row}", writing(address))


def _change(client: Client, statement: str) -> None:
    try:
        client.execute(statement)
    except Refused as error:
        # Another collector came first, or an earlier attempt: old servers know no ADD COLUMN IF NOT EXISTS.
        if error.code not in COLUMN_EXISTS:
            raise


def writing(address: Address) -> dict[str, str]:
    """Return the settings of an insert: it returns when the rows are where they were promised to be."""
    if address.cluster is None:
        return {}
    # What was sent before may have failed half way, so a repeated block must not be taken for one that is there.
    settings = {"insert_distributed_sync": "1", "insert_deduplicate": "0"}
    return {**settings, "insert_quorum": str(address.quorum)} if address.quorum > 1 else settings


def live(app: int) -> list[str]:
    """Return the conditions that a row of ``events`` belongs to an application and counts."""
    return [
        f"app = {app}",
        f"time_ms >= (SELECT max(before_ms) FROM {GONE} WHERE app = {app})",  # noqa: S608 - a number
        f"seq GLOBAL NOT IN (SELECT seq FROM {GONE} WHERE app = {app} AND seq > 0)",  # noqa: S608
    ]


def searched(address: Address) -> str:
    """Return the name of the table that has all columns of events, on a cluster those of all shards."""
    return EVENTS if address.cluster is None else SEARCHED


def changing(address: Address) -> str:
    """Return the name of the table of events that holds rows itself, with the cluster that an ALTER goes to."""
    if address.cluster is None:
        return EVENTS
    return f"{address.database}.{local(EVENTS)} ON CLUSTER `{address.cluster}`"


def parts(address: Address) -> str:
    """Return the rows of ``system.parts`` that hold events, of one replica of each shard, to stand after FROM."""
    active = f"WHERE database = '{address.database}' AND active"
    if address.cluster is None:
        return f"system.parts {active} AND table = '{EVENTS}'"
    return f"cluster('{address.cluster}', system, parts) {active} AND table = '{local(EVENTS)}'"
