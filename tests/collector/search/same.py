"""Compares two answers: equal in everything, floats to twelve digits."""

from __future__ import annotations

import math
from typing import Any


def difference(found: Any, expected: Any, path: str = "") -> str | None:
    """Return where two answers differ, None when they do not."""
    if isinstance(found, dict) and isinstance(expected, dict):
        if list(found) != list(expected) and set(found) != set(expected):
            return f"{path}: has {sorted(found)}, not {sorted(expected)}"
        return next((at for key in expected if (at := difference(found[key], expected[key], f"{path}.{key}"))), None)
    if isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            return f"{path}: has {len(found)} elements, not {len(expected)}: {found} {expected}"[:600]
        pairs = zip(found, expected, strict=True)
        return next((at for i, (a, b) in enumerate(pairs) if (at := difference(a, b, f"{path}[{i}]"))), None)
    if isinstance(found, (int, float)) and isinstance(expected, (int, float)):
        close = math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
        return None if close else f"{path}: {found!r}, not {expected!r}"
    return None if found == expected and type(found) is type(expected) else f"{path}: {found!r}, not {expected!r}"
