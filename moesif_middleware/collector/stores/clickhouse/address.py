"""Which servers a URL means: ``clickhouse://user:password@host1:8123,host2/database?cluster=name&quorum=2``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ....errors import ConfigurationError

PORT: Final = 8123
SECURE_PORT: Final = 8443
DATABASE: Final = "moesif"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """Servers that know the same tables, and how to speak to them.

    ``hosts`` are tried in turn. With ``cluster``, tables are replicated and sharded over the servers of that name in
    their configuration, and an insert is acknowledged when ``quorum`` replicas of its shard have it.
    """

    hosts: tuple[tuple[str, int], ...]
    database: str = DATABASE
    cluster: str | None = None
    quorum: int = 1
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False


def parse_address(url: str) -> Address:
    """Read a store URL. Raises ConfigurationError, which does not repeat the password."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = _options(parts.query)
    secure = options.get("secure", "0") in ("1", "true")
    cluster = options.get("cluster")
    if cluster is not None and not _CLUSTER.fullmatch(cluster):
        raise ConfigurationError("store", "cluster is not the name of a cluster")
    database = unquote(parts.path.strip("/")) or DATABASE
    if not _NAME.fullmatch(database):
        raise ConfigurationError("store", "the database is letters, digits and underscores")
    return Address(
        hosts=tuple(_host(host, SECURE_PORT if secure else PORT) for host in hosts.split(",")),
        database=database,
        cluster=cluster,
        quorum=_quorum(options.get("quorum"), cluster),
        user=unquote(user) or "default",
        password=unquote(password),
        secure=secure,
    )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - {"cluster", "quorum", "secure"}):
        raise ConfigurationError("store", f"{unknown[0]} is not an option; there are cluster, quorum and secure")
    return options


def _quorum(text: str | None, cluster: str | None) -> int:
    if text is None:
        return 1 if cluster is None else 2
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 99:
        raise ConfigurationError("store", "quorum is a number of replicas, at least 1")
    if cluster is None and int(text) > 1:
        raise ConfigurationError("store", "quorum needs a cluster")
    return int(text)


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found[2] or port) < 65536:
        raise ConfigurationError("store", "write clickhouse://HOST[:PORT][,HOST...]/DATABASE[?cluster=NAME&quorum=2]")
    return found[1].strip("[]"), int(found[2] or port)
