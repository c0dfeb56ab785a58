"""The fields of what the Collector API takes (reference, "Collector API v1", the field table of each entity)."""

from __future__ import annotations

from typing import Any, Final

from . import checks
from .checks import Field, Fields, check_fields, has_fields

DIRECTIONS: Final = ("Incoming", "Outgoing")
SUBSCRIPTION_STATES: Final = ("active", "cancelled", "paused", "trialing", "pending", "draft", "future")

_text = Field(checks.text)
_moment = Field(checks.moment)
_object = Field(checks.any_object)
_encoding = Field(checks.one_of("json", "base64"))

REQUEST: Final[Fields] = {
    "time": Field(checks.moment, required=True),
    "uri": Field(checks.name, required=True),
    "verb": Field(checks.name, required=True),
    "headers": Field(checks.headers, required=True),
    "api_version": _text,
    "ip_address": _text,
    "route": _text,
    "transfer_encoding": _encoding,
}

RESPONSE: Final[Fields] = {
    "time": Field(checks.moment, required=True),
    "status": Field(checks.whole(100, 999), required=True),
    "headers": Field(checks.headers, required=True),
    "ip_address": _text,
    "transfer_encoding": _encoding,
}

_WHOSE: Final[Fields] = {
    "user_id": _text,
    "company_id": _text,
    "session_token": _text,
    "transaction_id": Field(checks.key),
    "metadata": _object,
}

EVENT: Final[Fields] = {
    "request": Field(has_fields(REQUEST), required=True),
    "response": Field(has_fields(RESPONSE)),
    **_WHOSE,
    "direction": Field(checks.one_of(*DIRECTIONS)),
    "weight": Field(checks.whole(1, 1_000_000_000)),
    "blocked_by": _text,
    "tags": Field(checks.text_or_list),
}

ACTION: Final[Fields] = {
    "action_name": Field(checks.name, required=True),
    "request": Field(
        has_fields(
            {
                "time": _moment,
                "uri": Field(checks.name, required=True),
                "ip_address": _text,
                "user_agent_string": _text,
            }
        ),
        required=True,
    ),
    **_WHOSE,
}

_CAMPAIGN: Final = Field(
    has_fields(
        dict.fromkeys(
            (
                "utm_source",
                "utm_medium",
                "utm_campaign",
                "utm_term",
                "utm_content",
                "referrer",
                "referring_domain",
                "gclid",
            ),
            _text,
        )
    )
)

USER: Final[Fields] = {
    "user_id": Field(checks.key, required=True),
    "company_id": _text,
    "session_token": Field(checks.text_or_list),
    "modified_time": _moment,
    "ip_address": _text,
    "user_agent_string": _text,
    "campaign": _CAMPAIGN,
    "metadata": _object,
}

COMPANY: Final[Fields] = {
    "company_id": Field(checks.key, required=True),
    "company_domain": _text,
    "session_token": Field(checks.text_or_list),
    "modified_time": _moment,
    "ip_address": _text,
    "campaign": _CAMPAIGN,
    "metadata": _object,
}

SUBSCRIPTION: Final[Fields] = {
    "subscription_id": Field(checks.key, required=True),
    "company_id": Field(checks.name, required=True),
    "current_period_start": _moment,
    "current_period_end": _moment,
    "status": Field(checks.one_of(*SUBSCRIPTION_STATES)),
    "modified_time": _moment,
    "metadata": _object,
}


def check_event(event: Any, path: str) -> None:
    """Check one API call, its bodies too. Raises InvalidModel."""
    check_fields(event, path, EVENT)
    prefix = f"{path}." if path else ""
    for side in ("request", "response"):
        message = event.get(side)
        if message is not None and message.get("transfer_encoding") == "base64" and message.get("body") is not None:
            checks.base64_bytes(message["body"], f"{prefix}{side}.body")


def check_action(action: Any, path: str) -> None:
    """Check one user action. Raises InvalidModel."""
    check_fields(action, path, ACTION)
