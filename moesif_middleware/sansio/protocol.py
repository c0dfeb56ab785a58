"""How the Collector API is asked and what its answers mean: pure decisions, clock and dice as arguments.

Wire facts: reference, "Collector API v1" and "Status codes"; `Retry-After` is RFC 9110 10.2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

APPLICATION_ID_HEADER = "X-Moesif-Application-Id"
TRANSACTION_HEADER = "X-Moesif-Transaction-Id"
CONFIG_TAG_HEADER = "X-Moesif-Config-ETag"
RULES_TAG_HEADER = "X-Moesif-Rules-Tag"

PATHS = {
    "events": "/v1/events/batch",
    "actions": "/v1/actions/batch",
    "users": "/v1/users/batch",
    "companies": "/v1/companies/batch",
    "subscriptions": "/v1/subscriptions/batch",
}
"""The path that takes a batch of each kind."""
IN_ORDER = frozenset(("users", "companies", "subscriptions"))
"""Kinds of which a later thing replaces an earlier one: what is sent first must arrive first."""

MAX_RETRY_AFTER = 300.0
"""Seconds; a server that asks for more is asked again after this."""
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
PAUSE_FIRST, PAUSE_MOST = 60.0, 900.0

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 411, 413, 414, 415, 422, 431})


_ADVICE = {
    401: "application_id is none that this collector knows; correct it, or base_uri",
    402: "the subscription of this application id is not active",
    403: "this collector, or a proxy before it, does not let us in; check application_id and base_uri",
    407: "the proxy that the environment names wants credentials",
}


class Verdict(Enum):
    """What to do with a batch after an answer."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Send it again after a back-off."""
    SPLIT = "split"
    """Something in it is refused: halve it until the one bad item is alone, and drop that."""
    PAUSE = "pause"
    """The account or the address is not right: keep everything, ask again slowly."""


def verdict(status: int) -> Verdict:
    """Return what an HTTP status means for the batch that it answers."""
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status in _TRANSIENT:
        return Verdict.RETRY
    return Verdict.SPLIT if status in _REFUSED else Verdict.PAUSE


class Answer(NamedTuple):
    """What the collector said to one request. ``message`` is its own words, cut short."""

    status: int
    message: str = ""
    retry_after: float | None = None
    """Seconds."""
    config_tag: str | None = None
    rules_tag: str | None = None


def read_answer(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    """Return the Answer for a response; ``now`` is seconds since the epoch, for a ``Retry-After`` date."""
    return Answer(
        status=status,
        message=own_words(body),
        retry_after=retry_after(headers.get("retry-after"), now),
        config_tag=headers.get(CONFIG_TAG_HEADER.lower()) or None,
        rules_tag=headers.get(RULES_TAG_HEADER.lower()) or None,
    )


def own_words(body: bytes) -> str:
    """Return what a server says in the body of an answer, fit for a line of a log; nothing of a page for people."""
    text = " ".join(body[:1000].decode("utf-8", "replace").split())
    return "" if text.startswith("<") else "".join(filter(str.isprintable, text[:300]))


def refusal(status: int, message: str) -> str:
    """Return in one line what an answer that is no success means, what mends it, and the server's own words."""
    advice = _ADVICE.get(status)
    if advice is None and verdict(status) is Verdict.PAUSE:
        advice = "base_uri leads to a server that has no Collector API there; correct it"
    return "".join((f"HTTP {status}", f": {advice}" if advice else "", f" (it says: {message})" if message else ""))


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` asks for, from 0 to MAX_RETRY_AFTER; None for none or junk."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Cut before int(): a header of a thousand digits is junk, not a number to compute with.
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now, 0.0), MAX_RETRY_AFTER)


def backoff(attempt: int, draw: float, asked: float | None = None) -> float:
    """Return the seconds to wait before attempt ``attempt + 1``: doubled each time, full jitter.

    ``draw`` is from 0 to 1. What the server asked for is the least; the jitter comes on top of it, since a fleet that
    was told the same number would otherwise come back at once.
    """
    ceiling = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(attempt - 1, 16))
    if asked is not None:
        return asked + draw * min(ceiling, 1.0)
    return ceiling * draw


def pause(attempt: int) -> float:
    """Return the seconds before the next probe while the account or the address is not right."""
    return min(PAUSE_MOST, PAUSE_FIRST * 2.0 ** min(attempt - 1, 16))


class Health(NamedTuple):
    """How the collector is, as a value: replaced by each answer. Times are on the caller's monotonic clock."""

    failures: int = 0
    """Failures in a row; 0 is healthy."""
    since: float = 0.0
    """When the first of them was."""
    ready_at: float = 0.0
    """Not before this is anything sent again."""
    reason: str = ""
    paused: bool = False
    earliest: float = 0.0
    """Not before this even if somebody is in a hurry: the collector's own Retry-After."""

    @property
    def ill(self) -> bool:
        """Return whether the last answer was a failure."""
        return self.failures > 0

    def failed(self, now: float, reason: str, draw: float, asked: float | None = None) -> Health:
        """Return the health after an error that time may mend."""
        failures = 1 if self.paused else self.failures + 1
        since = self.since if self.failures else now
        return Health(failures, since, now + backoff(failures, draw, asked), reason, earliest=now + (asked or 0.0))

    def refused(self, now: float, reason: str) -> Health:
        """Return the health after an answer that only somebody's hand mends."""
        failures = self.failures + 1 if self.paused else 1
        since = self.since if self.failures else now
        return Health(failures, since, now + pause(failures), reason, paused=True)


HEALTHY = Health()
