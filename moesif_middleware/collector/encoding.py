"""Writing what was posted as JSON again, with room for the answers that put it some levels deeper."""

from __future__ import annotations

from typing import Any, Final

import orjson

from .checks import Unfit

ROOM: Final = 16
"""Levels that answers put around a document. The encoder takes 254: a document that fills them could not be shown."""


def encoded(value: Any) -> bytes:
    """Return a JSON value as it is stored. Raises Unfit for one that is nested too deeply."""
    wrapped = [[[[[[[[[[[[[[[[value]]]]]]]]]]]]]]]]
    try:
        return orjson.dumps(wrapped)[ROOM:-ROOM]
    except TypeError as error:
        raise Unfit(f"cannot be stored as JSON: {error}") from None
