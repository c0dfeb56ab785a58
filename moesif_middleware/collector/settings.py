"""What a collector is told at start: checked once, frozen afterwards."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from ..errors import ConfigurationError
from .faults import Fault
from .retention import KEEP_ALL, Retention

_APPLICATION_ID: Final = re.compile(r"[\x21-\x7e]{1,512}")
_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


@dataclass(frozen=True, slots=True)
class ManagementKey:
    """A bearer key of the Management API. ``scopes`` is what it may do, such as ``read:events``; None is everything."""

    key: str = field(repr=False)
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How one collector runs. Raises ConfigurationError, which names the option.

    ``store`` is a URL. ``allowed_hosts`` are names beside ``localhost`` and IP addresses under which browsers and
    clients may call it. ``latency`` (seconds) and ``faults`` make it misbehave on purpose.
    ``cohorts_every`` (seconds) is how often the members of cohorts are computed.
    """

    store: str
    apps: tuple[str, ...] = field(repr=False)
    management_keys: tuple[ManagementKey, ...] = ()
    token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    latency: float = 0.0
    retention: Retention = KEEP_ALL
    cohorts_every: float = 60.0

    def __post_init__(self) -> None:
        if not self.apps:
            raise ConfigurationError("app-id", "at least one is needed")
        for app in self.apps:
            if not _APPLICATION_ID.fullmatch(app):
                raise ConfigurationError("app-id", "must be 1 to 512 printable ASCII characters without spaces")
        if any(not key.key for key in self.management_keys):
            raise ConfigurationError("management-key", "must not be empty")
        for name in ("days", "events", "bytes"):
            if (value := getattr(self.retention, name)) is not None and not value > 0:
                raise ConfigurationError(f"keep-{name}", "must be more than 0")
        if not self.cohorts_every > 0:
            raise ConfigurationError("cohorts-every", "must be more than 0 seconds")
        if self.token is not None and len(self.token) < 16:
            raise ConfigurationError("token", "must have at least 16 characters")
        if self.token is None and not is_loopback(self.host):
            raise ConfigurationError("host", f"{self.host} can be reached from other machines: give a --token as well")


def is_loopback(host: str) -> bool:
    """Return whether a bind address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOOPBACK_NAMES
