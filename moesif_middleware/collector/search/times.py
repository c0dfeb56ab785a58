"""Times of a search: absolute, relative and date math, and the zone they are meant in (reference, "Query Params").

All results are whole milliseconds since the epoch. Nothing here reads a clock: ``now_ms`` is an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

FIRST_MILLIS: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
LAST_MILLIS: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
"""The ends of the years 1 to 9999: a number beyond them is no time, whether it is asked for or stands in a document."""

_ISO: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?(Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_RELATIVE: Final = re.compile(r"[+-]?\d{1,9}[smhdwM]", re.ASCII)
_STEP: Final = re.compile(r"([+-])(\d{0,9})([yMwdhHms])|/([yMwdhHms])", re.ASCII)
_EXACT: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "H": 3_600_000}
_NEXT: Final = {2: "y", 3: "M", 4: "d", 5: "h", 6: "m", 7: "s"}
"""Unit of the last component that was written -> how long the time lasts that was meant."""


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time that a text means: ``2024-02`` is a month, a full time is one millisecond."""

    first: int
    last: int


def zone_of(name: str) -> tzinfo:
    """Return the zone of a TZ database name or an offset such as ``+02:00``. Raises ValueError for neither."""
    if name in ("UTC", "Z", ""):
        return UTC
    if re.fullmatch(r"[+-]\d\d:\d\d", name):
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not the name of a time zone") from None


def to_millis(moment: datetime) -> int:
    """Return the milliseconds since the epoch of an aware datetime."""
    return (moment - EPOCH) // MILLISECOND


def from_millis(millis: int, zone: tzinfo = UTC) -> datetime:
    """Return the datetime in ``zone``. Raises OverflowError outside the years 1 to 9999."""
    return (EPOCH + timedelta(milliseconds=millis)).astimezone(zone)


def wire_millis(millis: int, zone: tzinfo = UTC) -> str:
    """Return a time as the answers write it: ISO 8601 with milliseconds and ``Z`` or an offset."""
    text = from_millis(millis, zone).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z" if str(zone) == "UTC" else text


def iso_millis(text: str) -> int | None:
    """Return the milliseconds of a text that is an ISO 8601 date or time (UTC unless it says else), else None."""
    if not 10 <= len(text) <= 35 or text[4] != "-":
        return None
    try:
        return to_millis(_aware(datetime.fromisoformat(text), UTC))
    except ValueError:
        return None


def parse_time(value: str | float, now_ms: int, zone: tzinfo = UTC) -> Span:
    """Return what a time in a request means: milliseconds, ISO 8601, ``-1d``, ``now``, ``now-1d/d``, ``2024-01||+1M``.

    Days, weeks and months are those of ``zone``. Raises ValueError, which says what is wrong.
    """
    try:
        span = _parse_text(value.strip(), now_ms, zone) if isinstance(value, str) else Span(int(value), int(value))
    except (OverflowError, OSError):
        raise ValueError(f"{value!r} is out of range for a time") from None
    if span.first < FIRST_MILLIS or span.last > LAST_MILLIS:
        raise ValueError(f"{value!r} is out of range for a time")
    return span


def _parse_text(text: str, now_ms: int, zone: tzinfo) -> Span:
    if _RELATIVE.fullmatch(text):
        text = "now" + (text if text[0] in "+-" else f"+{text}")
    if text.startswith("now"):
        return _math(Span(now_ms, now_ms), text[3:], zone)
    if re.fullmatch(r"-?\d{5,17}", text, re.ASCII):
        return Span(int(text), int(text))
    anchor, _, math = text.partition("||")
    return _math(_absolute(anchor, zone), math, zone)


def _absolute(text: str, zone: tzinfo) -> Span:
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time: write ISO 8601, now, or [-+]N with one of s m h d w M")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    micros = int((fraction or "").ljust(6, "0")[:6])
    if offset:
        zone = UTC if offset == "Z" else zone_of(f"{offset[:3]}:{offset[3:].lstrip(':') or '00'}")
    clock = (int(hour or 0), int(minute or 0), int(second or 0), micros)
    moment = datetime(int(year), int(month or 1), int(day or 1), *clock, tzinfo=zone)
    first = to_millis(moment)
    if fraction:
        return Span(first, first)
    written = 1 + sum(part is not None for part in (year, month, day, hour, minute, second))
    return Span(first, to_millis(_shift(moment, 1, _NEXT[written])) - 1)


def _math(start: Span, steps: str, zone: tzinfo) -> Span:
    position, span = 0, start
    while position < len(steps):
        found = _STEP.match(steps, position)
        if found is None:
            raise ValueError(f"{steps[position:]!r} is not date math: write +1d, -2h or /d")
        position = found.end()
        moment = from_millis(span.first, zone)
        if unit := found[4]:
            rounded = _floor(moment, unit)
            span = Span(to_millis(rounded), to_millis(_shift(rounded, 1, unit)) - 1)
        else:
            count = int(found[2] or 1) * (-1 if found[1] == "-" else 1)
            first = to_millis(_shift(moment, count, found[3]))
            span = Span(first, first)
    return span


def _shift(moment: datetime, count: int, unit: str) -> datetime:
    if unit in _EXACT:
        return (moment.astimezone(UTC) + timedelta(milliseconds=count * _EXACT[unit])).astimezone(moment.tzinfo)
    if unit in "dw":
        return moment + timedelta(days=count * (7 if unit == "w" else 1))
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return moment.replace(year=year, month=month + 1, day=min(moment.day, _days_in(year, month + 1)))


def _days_in(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1) if (year, month) != (9999, 12) else None  # noqa: DTZ001
    return (following - timedelta(days=1)).day if following else 31


def _floor(moment: datetime, unit: str) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "y":
            return midnight.replace(month=1, day=1)
        case "M":
            return midnight.replace(day=1)
        case "w":
            return midnight - timedelta(days=midnight.weekday())
        case "d":
            return midnight
    size = _EXACT[unit]
    offset = (moment.utcoffset() or timedelta()) // MILLISECOND
    local = to_millis(moment) + offset
    return from_millis(local - local % size - offset, moment.tzinfo or UTC)


def _aware(moment: datetime, zone: tzinfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
