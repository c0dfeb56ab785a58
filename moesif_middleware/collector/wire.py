"""The fields of what the Collector API takes (reference, "Collector API v1", the field table of each entity)."""

from __future__ import annotations

from typing import Any, Final

from . import checks
from .checks import Check, Fields, at

DIRECTIONS: Final = ("Incoming", "Outgoing")
SUBSCRIPTION_STATES: Final = ("active", "cancelled", "paused", "trialing", "pending", "draft", "future")
MOST_WEIGHT: Final = 1_000_000_000

_transfer_encoding = checks.one_of("json", "base64")

# The times of events are not here: the intake checks them as it reads them.
REQUEST: Final = Fields(
    {
        "uri": checks.name,
        "verb": checks.name,
        "headers": checks.headers,
        "api_version": checks.text,
        "ip_address": checks.text,
        "route": checks.text,
        "transfer_encoding": _transfer_encoding,
    },
    required=("time", "uri", "verb", "headers"),
)

RESPONSE: Final = Fields(
    {
        "status": checks.whole(100, 999),
        "headers": checks.headers,
        "ip_address": checks.text,
        "transfer_encoding": _transfer_encoding,
    },
    required=("time", "status", "headers"),
)

_WHOSE: Final[dict[str, Check]] = {
    "user_id": checks.text,
    "company_id": checks.text,
    "session_token": checks.text,
    "transaction_id": checks.key,
    "metadata": checks.any_object,
}

EVENT: Final = Fields(
    {
        "request": REQUEST,
        "response": RESPONSE,
        **_WHOSE,
        "direction": checks.one_of(*DIRECTIONS),
        "weight": checks.whole(1, MOST_WEIGHT),
        "blocked_by": checks.text,
        "tags": checks.text_or_list,
    },
    required=("request",),
)

_ACTION_REQUEST: Final = Fields(
    {"uri": checks.name, "ip_address": checks.text, "user_agent_string": checks.text}, required=("uri",)
)

ACTION: Final = Fields(
    {"action_name": checks.name, "request": _ACTION_REQUEST, **_WHOSE}, required=("action_name", "request")
)

_CAMPAIGN_FIELDS: Final = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "referrer",
    "referring_domain",
    "gclid",
)

_PROFILE: Final[dict[str, Check]] = {
    "company_id": checks.text,
    "session_token": checks.text_or_list,
    "modified_time": checks.moment,
    "ip_address": checks.text,
    "campaign": Fields(dict.fromkeys(_CAMPAIGN_FIELDS, checks.text)),
    "metadata": checks.any_object,
}

USER: Final = Fields({**_PROFILE, "user_id": checks.key, "user_agent_string": checks.text}, required=("user_id",))

COMPANY: Final = Fields({**_PROFILE, "company_id": checks.key, "company_domain": checks.text}, required=("company_id",))

SUBSCRIPTION: Final = Fields(
    {
        "subscription_id": checks.key,
        "company_id": checks.name,
        "current_period_start": checks.moment,
        "current_period_end": checks.moment,
        "status": checks.one_of(*SUBSCRIPTION_STATES),
        "modified_time": checks.moment,
        "metadata": checks.any_object,
    },
    required=("subscription_id", "company_id"),
)


def check_event(event: Any) -> None:
    """Check one API call, its bodies too, but not its times. Raises Unfit."""
    EVENT(event)
    for side in ("request", "response"):
        message = event.get(side)
        if message is not None and message.get("transfer_encoding") == "base64" and message.get("body") is not None:
            at(f"{side}.body", _base64, message["body"])


def _base64(value: Any) -> None:
    checks.base64_bytes(value)
