"""How an upsert joins what is stored (reference, "Create vs update"): new properties merge in recursively."""

from __future__ import annotations

from typing import Any, Final

APPEND_ONLY: Final = "session_token"


def merged(stored: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Return ``stored`` with ``update`` on top: objects merge at any depth, everything else replaces.

    ``session_token`` of users and companies is append-only: tokens set earlier stay, oldest first.
    """
    result = _merge(stored, update)
    if APPEND_ONLY in update:
        result[APPEND_ONLY] = _appended(stored.get(APPEND_ONLY), update[APPEND_ONLY])
    return result


def _merge(stored: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    result = dict(stored)
    for key, value in update.items():
        there = result.get(key)
        result[key] = _merge(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return result


def _appended(stored: Any, update: Any) -> list[str]:
    tokens = [*_tokens(stored), *_tokens(update)]
    return list(dict.fromkeys(tokens))


def _tokens(value: Any) -> list[str]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
