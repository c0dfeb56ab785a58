"""The buckets of a ``date_histogram``: calendar and fixed intervals, in a time zone, over its clock changes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from .errors import InvalidSearch
from .times import from_millis, to_millis

DAY: Final = 86_400_000

FIRST_BUCKETED: Final = to_millis(datetime(1900, 1, 1, tzinfo=UTC))
LAST_BUCKETED: Final = to_millis(datetime(2200, 1, 1, tzinfo=UTC)) - 1
"""The ends of the times that are in a bucket: those beyond, such as the year 9999 or 1, mean never.

Each month, or each clock change, between the first and the last time is a branch of the SQL.
"""

LONGEST: Final = 36_525 * DAY
"""The longest interval, and the longest offset."""

_FIXED: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY}
_CALENDAR: Final = {
    "minute": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
    "month": "M",
    "quarter": "q",
    "year": "y",
}
_MONTHS: Final = {"M": 1, "q": 3, "y": 12}


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of the buckets: ``months``, whole local ``days``, or ``millis`` of the clock; the others are 0."""

    millis: int = 0
    days: int = 0
    months: int = 0


def parse_interval(text: str, path: str, *, calendar: bool | None = None) -> Interval:
    """Read ``1d``, ``month``, ``90m``. ``calendar`` allows one kind only, None (the old ``interval``) allows both."""
    found = re.fullmatch(r"(\d{1,9})(ms|[smhdwMqy])", f"1{_CALENDAR[text]}" if text in _CALENDAR else text, re.ASCII)
    if found is None or int(found[1]) == 0:
        raise InvalidSearch(path, f"{text!r} is not an interval such as 1d, 90m or month")
    count, unit = int(found[1]), found[2]
    if count * _FIXED.get(unit, DAY) > LONGEST:
        raise InvalidSearch(path, f"{text!r} is over a hundred years")
    if calendar is False and (unit in "wMqy" or text in _CALENDAR):
        raise InvalidSearch(path, f"{text!r} is not of a fixed length: use calendar_interval")
    if unit in _MONTHS or unit == "w" or calendar:
        if count != 1 or unit in ("s", "ms"):
            raise InvalidSearch(path, f"{text!r} is not one calendar unit")
        if unit in _MONTHS:
            return Interval(months=_MONTHS[unit])
    if unit in "dw" and calendar is not False:
        return Interval(days=count * (7 if unit == "w" else 1))
    return Interval(millis=count * _FIXED[unit])


@dataclass(frozen=True, slots=True)
class Buckets:
    """The starts of buckets, in milliseconds, for times from ``first`` to ``last`` of a zone.

    Buckets of local days start at local midnight, so that one of them may be 23 or 25 hours long. Shorter ones and
    those of a fixed length keep their length; the hour that a clock change repeats is two buckets.
    """

    interval: Interval
    zone: tzinfo
    offset: int
    first: int
    last: int

    def sql(self, value: str) -> str:
        """Return the SQL of the bucket's key for the SQL of a time; ``decode`` makes its start of it."""
        value = f"({value} - {self.offset})" if self.offset else value
        if self.interval.months:
            starts = list(self._month_starts())
            # Of branches with and without a sign ClickHouse makes no type.
            whens = " ".join(f"WHEN {value} < {end} THEN CAST({start} AS Int64)" for start, end in pairwise(starts))
            start = f"CASE {whens} ELSE CAST({starts[-1]} AS Int64) END" if whens else str(starts[-1])
            # The difference keeps a missing time missing.
            return f"({value} - {value} + {start})"
        shift = self._shift_sql(value)
        local = f"({value} + {shift})"
        if self.interval.days:
            # Monday is the first day of a week and the epoch was a Thursday.
            size, origin = self.interval.days * DAY, (3 * DAY if self.interval.days == 7 else 0)
            return _floor_sql(f"({local} + {origin})" if origin else local, size)
        return f"({_floor_sql(local, self.interval.millis)} - {shift})"

    def decode(self, key: int) -> int:
        """Return the start of the bucket whose key a row holds."""
        if not self.interval.days:
            return key + self.offset
        origin = 3 * DAY if self.interval.days == 7 else 0
        return self._midnight(key - origin) + self.offset

    def start(self, millis: int) -> int:
        """Return the start of the bucket that a time falls into."""
        millis -= self.offset
        moment = from_millis(millis, self.zone)
        if self.interval.months:
            month = (moment.year * 12 + moment.month - 1) // self.interval.months * self.interval.months
            return self._month_start(month) + self.offset
        shift = _utc_offset(moment)
        local = millis + shift
        if self.interval.days:
            size, origin = self.interval.days * DAY, (3 * DAY if self.interval.days == 7 else 0)
            return self._midnight((local + origin) // size * size - origin) + self.offset
        return local // self.interval.millis * self.interval.millis - shift + self.offset

    def following(self, start: int) -> int:
        """Return the start of the bucket after the one that starts at ``start``."""
        start -= self.offset
        if self.interval.months:
            moment = from_millis(start, self.zone) + timedelta(hours=2)
            return self._month_start(moment.year * 12 + moment.month - 1 + self.interval.months) + self.offset
        if self.interval.days:
            # From the middle of the day: midnight itself may not exist or be there twice.
            local = start + _utc_offset(from_millis(start, self.zone)) + self.interval.days * DAY + DAY // 4
            return self._midnight(local // DAY * DAY) + self.offset
        following = self.start(start + self.offset + self.interval.millis)
        return following if following > start + self.offset else start + self.offset + self.interval.millis

    def _midnight(self, local: int) -> int:
        """Return the first moment of a local day that is given as milliseconds of local time."""
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=local)).replace(tzinfo=self.zone)
        start = to_millis(day)
        if _utc_offset(from_millis(start, self.zone)) + start < local:
            # The clocks skipped midnight: the day starts where they were set to.
            later = to_millis(day.replace(fold=1))
            return max(start, later)
        return start

    def _month_start(self, month: int) -> int:
        year, index = divmod(month, 12)
        return self._midnight(to_millis(datetime(year, index + 1, 1, tzinfo=UTC)))

    def _month_starts(self) -> Iterator[int]:
        start = self.start(self.first) - self.offset
        while start <= max(self.last - self.offset, self.first - self.offset):
            yield start
            start = self.following(start + self.offset) - self.offset

    def _shift_sql(self, value: str) -> str:
        changes = zone_changes(self.zone, self.first - self.offset, self.last - self.offset)
        if len(changes) == 1:
            return str(changes[0][1])
        whens = " ".join(f"WHEN {value} < {until} THEN {shift}" for (_, shift), (until, _) in pairwise(changes))
        return f"CASE {whens} ELSE {changes[-1][1]} END"


def _floor_sql(value: str, size: int) -> str:
    # Both engines' remainder has the sign of the dividend; times before 1970 need it positive. ClickHouse gives it the
    # width of the divisor, with a sign: without the cast, the remainder of 60000 would have to fit into 16 bits.
    wide = f"CAST({size} AS Int64)"
    return f"({value} - (({value} % {wide}) + {wide}) % {wide})"


def _utc_offset(moment: datetime) -> int:
    return (moment.utcoffset() or timedelta()) // timedelta(milliseconds=1)


def zone_changes(zone: tzinfo, first: int, last: int) -> list[tuple[int, int]]:
    """Return (moment, offset from then on) in milliseconds: the offset at ``first`` and every change up to ``last``."""
    changes = [(first, _utc_offset(from_millis(first, zone)))]
    step, moment = 7 * DAY, first
    while moment < last:
        following = min(moment + step, last)
        if (shift := _utc_offset(from_millis(following, zone))) != changes[-1][1]:
            changes.append((_change_between(zone, moment, following), shift))
        moment = following
    return changes


def _change_between(zone: tzinfo, low: int, high: int) -> int:
    before = _utc_offset(from_millis(low, zone))
    moments = range(low, high + 1, 1_000)
    index = bisect_right(moments, 0, key=lambda moment: int(_utc_offset(from_millis(moment, zone)) != before))
    # Clocks change on whole seconds.
    return moments[index] // 1_000 * 1_000 if index < len(moments) else high
