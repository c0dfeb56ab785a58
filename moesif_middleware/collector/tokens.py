"""Access tokens of public workspaces: signed with the management key that asked for them, kept nowhere.

A token opens the workspaces that are public, and nothing else, until it expires or its key is no longer a key of
this collector.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any, Final

import orjson

LIFETIME: Final = 24 * 3600
"""Seconds that a token is good for."""

_PREFIX: Final = "mmw1"
_MOST_CHARACTERS: Final = 2_048


def sign(key: str, claims: dict[str, Any]) -> str:
    """Return the token that says ``claims`` in the name of ``key``."""
    payload = urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    return f"{_PREFIX}.{payload}.{_signature(key, payload)}"


def verified(token: str, keys: Iterable[str], now: float) -> tuple[str, dict[str, Any]] | None:
    """Return the key that signed a token and what it claims; None when nobody did or its time is over."""
    parts = token.split(".")
    if len(token) > _MOST_CHARACTERS or len(parts) != 3 or parts[0] != _PREFIX:
        return None
    _, payload, signature = parts
    # All are compared, so that the time does not tell which one was near.
    signers = [key for key in keys if hmac.compare_digest(_signature(key, payload).encode(), signature.encode())]
    if not signers:
        return None
    try:
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        return None
    return (signers[0], claims) if claims["expires"] > now else None


def _signature(key: str, payload: str) -> str:
    secret = hashlib.sha256(b"public workspaces\0" + key.encode("utf-8", "surrogateescape")).digest()
    return hmac.new(secret, payload.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
