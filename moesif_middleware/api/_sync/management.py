# Generated from _async/management.py by python -m scripts.unasync; do not edit.
"""The Management API's client: its groups of endpoints around one connection."""

from __future__ import annotations

import re

import httpx

from ...errors import ConfigurationError
from ..budget import PER_MINUTE, MinuteBudget
from ..calls import Timeouts
from .billing import BalanceTransactions, Catalog, Meters, Reports
from .events import Events, Properties
from .governance import Cohorts, GovernanceRules
from .organisation import Apps, EmailTemplates, Keystore
from .profiles import Companies, Subscriptions, Users
from .transport import Closing, Transport
from .workspaces import Dashboards, Workspaces


class ManagementClient(Closing):
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
        http: httpx.Client | None = None,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]{1,8192}", api_key):
            raise ConfigurationError("api_key", "a management key is visible ASCII without spaces")
        transport = self._transport = Transport(
            base_url,
            {"authorization": f"Bearer {api_key}"},
            timeouts=timeouts or Timeouts(),
            attempts=attempts,
            budget=MinuteBudget(per_minute),
            http=http,
        )
        self.events = Events(transport, app_id)
        self.properties = Properties(transport, app_id)
        self.users = Users(transport, app_id)
        self.companies = Companies(transport, app_id)
        self.subscriptions = Subscriptions(transport, app_id)
        self.governance_rules = GovernanceRules(transport, app_id)
        self.cohorts = Cohorts(transport, app_id)
        self.workspaces = Workspaces(transport, app_id)
        self.dashboards = Dashboards(transport, app_id)
        self.meters = Meters(transport, app_id)
        self.reports = Reports(transport, app_id)
        self.balance_transactions = BalanceTransactions(transport, app_id)
        self.catalog = Catalog(transport, app_id)
        self.apps = Apps(transport, app_id)
        self.email_templates = EmailTemplates(transport, app_id)
        self.keystore = Keystore(transport, app_id)
