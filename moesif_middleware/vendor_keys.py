"""The one table of the vendor's setting keys: what each is called now, and how its value is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _same(value: Any) -> Any:
    return value


def _negated(value: Any) -> bool:
    return not value


def _seconds(value: Any) -> float:
    # The vendor's 0 means at once, which is the least that can be set here.
    return max(float(value), 0.01)


def _events(value: Any) -> int:
    return min(max(int(value), 1), 10_000)


@dataclass(frozen=True, slots=True)
class Key:
    """Where an old key has gone."""

    new: str | None
    """The setting or hook; ``masking.headers`` is a field of Masking; None: gone."""
    read: Callable[[Any], Any] = _same
    note: str = ""
    """What changes with it, in a few words."""


_BEFORE = "called with the request alone, before the application runs"
_BOTH = "called with the request and the response"
_OUTGOING = "goes into moesif.capture_outgoing(hooks=OutgoingHooks(...))"

KEYS: dict[str, Key] = {
    "APPLICATION_ID": Key("application_id"),
    "BASE_URI": Key("base_uri"),
    "LOCAL_MOESIF_BASEURL": Key("base_uri"),
    "LOG_BODY": Key("capture_body"),
    "DEBUG": Key("debug"),
    "LOCAL_DEBUG": Key("debug"),
    "API_VERSION": Key("api_version"),
    "IDENTIFY_USER": Key("identify_user", note=_BEFORE),
    "IDENTIFY_COMPANY": Key("identify_company", note=_BEFORE),
    "GET_SESSION_TOKEN": Key("get_session_token", note=_BEFORE),
    "GET_METADATA": Key("get_metadata", note=_BOTH),
    "SKIP": Key("skip", note=_BOTH),
    "MASK_EVENT_MODEL": Key("mask_event", note="called when the response's body is known; an error drops the event"),
    "REQUEST_HEADER_MASKS": Key("masking.headers", note="values are replaced, names stay"),
    "RESPONSE_HEADER_MASKS": Key("masking.headers", note="values are replaced, names stay"),
    "REQUEST_BODY_MASKS": Key("masking.extra_names", note="values are replaced, names stay"),
    "RESPONSE_BODY_MASKS": Key("masking.extra_names", note="values are replaced, names stay"),
    "AUTHORIZATION_HEADER_NAME": Key("authorization_header"),
    "AUTHORIZATION_USER_ID_FIELD": Key("authorization_user_id_field"),
    "BATCH_SIZE": Key("batch_events", _events),
    "EVENT_QUEUE_SIZE": Key("queue_events"),
    "EVENT_BATCH_TIMEOUT": Key("flush_interval", _seconds),
    "EVENT_WORKER_COUNT": Key(None, note="one thread delivers"),
    "DISABLED_TRANSACTION_ID": Key("transaction_header", _negated, "the other way round"),
    "DISABLE_TRANSACTION_ID": Key("transaction_header", _negated, "the other way round"),
    "USE_CELERY": Key(None, note="the delivery thread needs no Celery"),
    "CELERY_BROKER_URL": Key(None, note="the delivery thread needs no Celery"),
    "CAPTURE_OUTGOING_REQUESTS": Key("moesif.capture_outgoing()", note="a call on the handle"),
    "LOG_BODY_OUTGOING": Key("moesif.capture_outgoing(bodies=...)", note="an option of that call"),
    "IDENTIFY_USER_OUTGOING": Key("OutgoingHooks.identify_user", note=_OUTGOING),
    "IDENTIFY_COMPANY_OUTGOING": Key("OutgoingHooks.identify_company", note=_OUTGOING),
    "GET_SESSION_TOKEN_OUTGOING": Key("OutgoingHooks.get_session_token", note=_OUTGOING),
    "GET_METADATA_OUTGOING": Key("OutgoingHooks.get_metadata", note=_OUTGOING),
    "SKIP_OUTGOING": Key("OutgoingHooks.skip", note=_OUTGOING),
}

HOOKS = ("IDENTIFY_USER", "IDENTIFY_COMPANY", "GET_SESSION_TOKEN", "GET_METADATA", "SKIP")
"""The hooks whose arguments were others."""


@dataclass(slots=True)
class Translated:
    """An old dictionary as this package reads it."""

    settings: dict[str, Any] = field(default_factory=dict)
    masking: dict[str, list[str]] = field(default_factory=dict)
    hooks: dict[str, Any] = field(default_factory=dict)
    """By the old names, as they were given."""
    outgoing: dict[str, Any] = field(default_factory=dict)
    """The keys about outgoing calls, by the old names."""


def translate(old: Mapping[str, Any]) -> Translated:
    """Sort an old dictionary. Keys that are no old ones are taken as settings of this package; None is not set."""
    found = Translated()
    for name, value in old.items():
        key = KEYS.get(name)
        if value is None or (key is not None and key.new is None):
            continue
        if key is None or key.new is None:
            found.settings[name.lower()] = value
        elif name in HOOKS:
            found.hooks[name] = value
        elif "OUTGOING" in name:
            found.outgoing[name] = value
        elif key.new.startswith("masking."):
            found.masking.setdefault(key.new.partition(".")[2], []).extend(value)
        else:
            found.settings[key.new] = key.read(value)
    return found


def advice(name: str) -> str | None:
    """Return what to say of an old key, None for one that is none."""
    key = KEYS.get(name)
    if key is None:
        return None
    if key.new is None:
        return f"{name} has no effect any more: {key.note}"
    return f"{name} is now {key.new}{f' ({key.note})' if key.note else ''}"
