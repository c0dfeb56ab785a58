"""Typed clients of the Collector API and the Management API, for asyncio and without it."""

from __future__ import annotations

from ._async.collector import AsyncCollectorClient
from ._async.management import AsyncManagementClient
from ._sync.collector import CollectorClient
from ._sync.management import ManagementClient
from .calls import Timeouts

__all__ = ["AsyncCollectorClient", "AsyncManagementClient", "CollectorClient", "ManagementClient", "Timeouts"]
