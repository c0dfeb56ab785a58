"""Which store a URL means: ``sqlite:///relative.db``, ``sqlite:////absolute.db?hot=metadata.plan``, ``clickhouse://host/database``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from ...errors import ConfigurationError
from . import Store
from .clickhouse.address import parse_address
from .clickhouse.store import ClickHouseStore
from .sqlite import SQLiteStore


def open_store(url: str, *, must_exist: bool = False) -> Store:
    """Open the store of ``url``; what is not there is made, unless it ``must_exist``.

    Raises ConfigurationError for a URL that is not understood, StoreUnavailable else.
    """
    parts = urlsplit(url)
    if parts.scheme == "clickhouse":
        return ClickHouseStore(parse_address(url), must_exist=must_exist)
    path = unquote(parts.path[1:])
    if parts.scheme != "sqlite":
        known = "write sqlite:///PATH or clickhouse://HOST/DATABASE"
        raise ConfigurationError("store", f"{parts.scheme!r} is not the scheme of a store: {known}")
    if parts.netloc or not path:
        raise ConfigurationError("store", f"{url!r} is not sqlite:///PATH")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if unknown := [name for name, _ in options if name != "hot"]:
        raise ConfigurationError("store", f"{unknown[0]} is not an option of SQLite; there is hot=PATH")
    if must_exist and not Path(path).is_file():
        raise ConfigurationError("store", f"there is no file {path}")
    return SQLiteStore(path, hot=[value for _, value in options])
