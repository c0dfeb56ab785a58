"""The layout of the tables, on which the stores and the search compiler agree.

Two tables hold the events. ``events`` is narrow: the columns that lists, counts and group-bys read. ``documents`` holds
the whole event as JSON text, one row for each row of ``events`` with the same ``seq``, and is read by key after
the narrow table has found the rows. ``entities`` holds everything that is one document under a key: users, companies,
subscriptions, rules, config, cohorts, workspaces.

``app`` is a small integer that stands for the application id (table ``apps``): ids may be hundreds of characters
long and would stand in every index. All times are whole milliseconds since the epoch.

The document of an event is what was sent, with what the server adds: ``_id`` is not in it (it is ``events.id``);
``event_type`` is ``api_call`` or ``user_action``; ``request.time`` and ``response.time`` are UTC with milliseconds
and ``Z``; ``request.verb`` is upper case; ``request.route``, ``duration_ms``, ``weight`` and ``direction`` are always
set where they can be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``events``: its name, its type, and the dotted path of the same value in the document."""

    name: str
    type: str
    path: str | None = None


EVENT_COLUMNS: Final = (
    Column("app", "INTEGER NOT NULL"),
    Column("id", "TEXT NOT NULL", "transaction_id"),
    Column("time_ms", "INTEGER NOT NULL", "request.time"),
    Column("received_ms", "INTEGER NOT NULL"),
    Column("event_type", "TEXT NOT NULL", "event_type"),
    Column("action_name", "TEXT", "action_name"),
    Column("status", "INTEGER", "response.status"),
    Column("verb", "TEXT", "request.verb"),
    Column("route", "TEXT", "request.route"),
    Column("uri", "TEXT", "request.uri"),
    Column("ip_address", "TEXT", "request.ip_address"),
    Column("user_id", "TEXT", "user_id"),
    Column("company_id", "TEXT", "company_id"),
    Column("session_token", "TEXT", "session_token"),
    Column("duration_ms", "INTEGER", "duration_ms"),
    Column("weight", "INTEGER NOT NULL", "weight"),
    Column("direction", "TEXT", "direction"),
    Column("blocked_by", "TEXT", "blocked_by"),
)
"""The columns of ``events`` after ``seq``, in order. ``(app, id)`` is unique."""

COLUMN_BY_PATH: Final = {column.path: column.name for column in EVENT_COLUMNS if column.path}
"""Dotted path in the document -> column of ``events`` that holds the same value."""

API_CALL: Final = "api_call"
USER_ACTION: Final = "user_action"

_EVENTS = ",\n    ".join(f"{column.name} {column.type}" for column in EVENT_COLUMNS)

MIGRATIONS: Final = (
    (
        "CREATE TABLE apps (app INTEGER PRIMARY KEY, application_id TEXT NOT NULL UNIQUE)",
        # AUTOINCREMENT: a live reader asks for what came after the last seq it saw, so none may be used twice.
        f"CREATE TABLE events (\n    seq INTEGER PRIMARY KEY AUTOINCREMENT,\n    {_EVENTS},\n    UNIQUE (app, id)\n)",
        "CREATE TABLE documents (seq INTEGER PRIMARY KEY, doc TEXT NOT NULL)",
        "CREATE INDEX events_by_time ON events (app, time_ms)",
        "CREATE INDEX events_by_status ON events (app, status, time_ms)",
        "CREATE INDEX events_by_user ON events (app, user_id, time_ms, weight) WHERE user_id IS NOT NULL",
        "CREATE INDEX events_by_company ON events (app, company_id, time_ms, weight) WHERE company_id IS NOT NULL",
        """CREATE TABLE entities (
    app INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (app, kind, id)
)""",
        # How often the documents of a kind were written, so that who keeps a copy of them knows when to look again.
        "CREATE TABLE versions (app INTEGER, kind TEXT, version INTEGER NOT NULL, PRIMARY KEY (app, kind))",
    ),
    (
        # Newest first with the id to break ties, and the status beside them: lists of errors read nothing else.
        "DROP INDEX events_by_time",
        "CREATE INDEX events_by_time ON events (app, time_ms, id, status)",
    ),
    (
        "CREATE TABLE hot_paths (path INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE)",
        "CREATE TABLE hot (path INTEGER, value, seq INTEGER, PRIMARY KEY (path, value, seq)) WITHOUT ROWID",
        "CREATE INDEX hot_by_seq ON hot (seq, path)",
        "CREATE TRIGGER hot_deleted AFTER DELETE ON documents BEGIN DELETE FROM hot WHERE seq = old.seq; END",
    ),
)
"""The statements that take the schema from version N to N + 1; the version is ``PRAGMA user_version``."""
