"""The Management API's client: its groups of endpoints around one connection."""

from __future__ import annotations

import re

import httpx

from ...errors import ConfigurationError
from ..budget import PER_MINUTE, MinuteBudget
from ..calls import Timeouts
from .billing import AsyncBalanceTransactions, AsyncCatalog, AsyncMeters, AsyncReports
from .events import AsyncEvents, AsyncProperties
from .governance import AsyncCohorts, AsyncGovernanceRules
from .organisation import AsyncApps, AsyncEmailTemplates, AsyncKeystore
from .profiles import AsyncCompanies, AsyncSubscriptions, AsyncUsers
from .transport import AsyncClosing, AsyncTransport
from .workspaces import AsyncDashboards, AsyncWorkspaces


class AsyncManagementClient(AsyncClosing):
    """Reads and manages what was collected (reference, "Management API v1").

    ``api_key`` is a management key, sent as a bearer token. ``app_id`` is the application that calls are about unless
    they name one; ``~`` is the key's own. ``base_url`` may have a path, as the secure proxy's ``/api/v1`` has.
    ``attempts`` counts the first one; ``per_minute`` None lifts the client's own rate limit. Proxies come from the
    environment, or from an ``http`` client that stays the caller's to close.
    """

    def __init__(
        self,
        api_key: str,
        *,
        app_id: str = "~",
        base_url: str = "https://api.moesif.com/v1",
        timeouts: Timeouts | None = None,
        attempts: int = 4,
        per_minute: int | None = PER_MINUTE,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]{1,8192}", api_key):
            raise ConfigurationError("api_key", "a management key is visible ASCII without spaces")
        transport = self._transport = AsyncTransport(
            base_url,
            {"authorization": f"Bearer {api_key}"},
            timeouts=timeouts or Timeouts(),
            attempts=attempts,
            budget=MinuteBudget(per_minute),
            http=http,
        )
        self.events = AsyncEvents(transport, app_id)
        self.properties = AsyncProperties(transport, app_id)
        self.users = AsyncUsers(transport, app_id)
        self.companies = AsyncCompanies(transport, app_id)
        self.subscriptions = AsyncSubscriptions(transport, app_id)
        self.governance_rules = AsyncGovernanceRules(transport, app_id)
        self.cohorts = AsyncCohorts(transport, app_id)
        self.workspaces = AsyncWorkspaces(transport, app_id)
        self.dashboards = AsyncDashboards(transport, app_id)
        self.meters = AsyncMeters(transport, app_id)
        self.reports = AsyncReports(transport, app_id)
        self.balance_transactions = AsyncBalanceTransactions(transport, app_id)
        self.catalog = AsyncCatalog(transport, app_id)
        self.apps = AsyncApps(transport, app_id)
        self.email_templates = AsyncEmailTemplates(transport, app_id)
        self.keystore = AsyncKeystore(transport, app_id)
