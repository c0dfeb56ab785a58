"""gzip, with isal where it has a wheel. A module of its own, so that isal is imported with the transport (``late``)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable
from types import ModuleType

_deflate: ModuleType
try:
    _deflate = importlib.import_module("isal.isal_zlib")
except ImportError:  # no wheel for this platform
    _deflate = zlib

_GZIP = 31
"""A window of 32 KiB, as gzip."""


def compress(pieces: Iterable[bytes]) -> bytes:
    """Return the pieces, one behind the other, as gzip."""
    packer = _deflate.compressobj(1, zlib.DEFLATED, _GZIP)
    return b"".join([*map(packer.compress, pieces), packer.flush()])
