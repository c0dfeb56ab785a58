"""Which store a URL means: ``sqlite:///relative.db``, ``sqlite:////absolute.db``."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ...errors import ConfigurationError
from . import Store
from .sqlite import SQLiteStore


def open_store(url: str) -> Store:
    """Open the store of ``url``. Raises ConfigurationError for one that is not understood, StoreUnavailable else."""
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise ConfigurationError("store", f"{url!r} is not sqlite:///PATH")
    return SQLiteStore(path)
