"""Query parameters of the calls: read, checked, and refused with their name (reference, "Query Params")."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final

from starlette.requests import Request

from .calls import context_of
from .refusals import Refusal
from .search.times import Span, parse_time, zone_of

MOST: Final = 10_000
"""The largest whole number that a parameter takes."""

Period = tuple[int | None, int | None, tzinfo]
"""First and last millisecond, both inclusive, and the zone of days and months."""


def whole_number(request: Request, name: str, default: int) -> int:
    """Return a parameter from 0 to 10 000. Raises Refusal 400."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MOST):
        raise Refusal(400, f"{name}: must be a whole number from 0 to {MOST}")
    return int(text)


def flag(request: Request, name: str) -> bool | None:
    """Return a parameter that is true or false, None without it. Raises Refusal 400."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise Refusal(400, f"{name}: true or false is needed")
    return text.lower() == "true"


def needed(request: Request, name: str) -> str:
    """Return a parameter that must be there. Raises Refusal 400."""
    text = request.query_params.get(name)
    if not text:
        raise Refusal(400, f"{name}: is required")
    return text


def period(request: Request, *, required: bool = False) -> Period:
    """Return the ends of ``from`` and ``to`` and the ``time_zone``. Raises Refusal 400."""
    try:
        zone = zone_of(request.query_params.get("time_zone", "UTC"))
    except ValueError as error:
        raise Refusal(400, f"time_zone: {error}") from None
    first, last = moment(request, "from", zone, required=required), moment(request, "to", zone, required=required)
    return first.first if first else None, last.last if last else None, zone


def moment(request: Request, name: str, zone: tzinfo = UTC, *, required: bool = False) -> Span | None:
    """Return what a time such as ``-1d``, ``now`` or ISO 8601 means. Raises Refusal 400."""
    written = request.query_params.get(name)
    if not written:
        if required:
            raise Refusal(400, f"{name}: a time is needed, such as -1d, now or 2024-02-06T00:00:00Z")
        return None
    # A plus sign that was not escaped has become a space.
    if written[0] == " ":
        written = f"+{written[1:]}"
    try:
        return parse_time(written, context_of(request).now_ms(), zone)
    except ValueError as error:
        raise Refusal(400, f"{name}: {error}") from None
