"""A plain Python evaluation of the search DSL over a list of documents: what the engines' answers are compared with.

It shares no code with the compiler. It is slow and short on purpose: every clause is a loop over values.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
import re
from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

Doc = dict[str, Any]

TIMES = {"request.time", "response.time"}
TEXT_COLUMNS = {
    "_id",
    "id",
    "transaction_id",
    "event_type",
    "action_name",
    "request.verb",
    "request.route",
    "request.uri",
    "request.ip_address",
    "user_id",
    "company_id",
    "session_token",
    "direction",
    "blocked_by",
}


def millis(text: str | float) -> int | None:
    if not isinstance(text, str):
        return int(text)
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def as_number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value) else None
    return value


def as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else repr(value)


def scalar(value: Any) -> Any:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def everything(value: Any) -> Iterable[Any]:
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from everything(inner)
    elif value is not None:
        yield scalar(value)


def walk(value: Any, names: list[str], depth: int = 0) -> Iterable[Any]:
    """Yield what stands at a path; arrays on the way and at its end stand for their elements."""
    if isinstance(value, list):
        for element in value:
            yield from walk(element, names, depth)
    elif depth == len(names):
        yield value
    elif isinstance(value, dict):
        anycase = depth == 2 and names[1] == "headers" and names[0] in ("request", "response")
        for name, inner in value.items():
            if name == names[depth] or (anycase and name.lower() == names[depth].lower()):
                yield from walk(inner, names, depth + 1)


class Oracle:
    """The documents, as pairs of id and document."""

    def __init__(self, documents: list[tuple[str, Doc]], kind: str = "events") -> None:
        self.documents = documents
        self.kind = kind

    def values(self, entry: tuple[str, Doc], name: str) -> list[Any]:
        name = name.removesuffix(".raw")
        if name in ("_id", "id") and (self.kind == "events" or name == "_id"):
            return [entry[0]]
        if name == "*":
            return list(everything(entry[1]))
        below = name.endswith(".*")
        names = [part.replace("\0", ".") for part in name.removesuffix(".*").replace("\\.", "\0").split(".")]
        found = list(walk(entry[1], names))
        if below:
            return [leaf for each in found for leaf in everything(each)]
        return [scalar(each) for each in found if each is not None and not isinstance(each, (dict, list))]

    def exists(self, entry: tuple[str, Doc], name: str) -> bool:
        return bool(self.values(entry, name) or self.values(entry, f"{name.removesuffix('.raw')}.*"))

    # Queries

    def matches(self, clause: Doc, entry: tuple[str, Doc]) -> bool:
        ((kind, body),) = clause.items()
        return bool(getattr(self, f"q_{kind}")(body, entry))

    def q_match_all(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        return True

    def q_match_none(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        return False

    def q_bool(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        def count(name: str) -> tuple[int, int]:
            clauses = body.get(name, [])
            clauses = clauses if isinstance(clauses, list) else [clauses]
            return sum(self.matches(clause, entry) for clause in clauses), len(clauses)

        must, of_must = count("must")
        kept, of_filter = count("filter")
        barred, _ = count("must_not")
        should, of_should = count("should")
        default = 1 if of_should and not (of_must or of_filter) else 0
        least = body.get("minimum_should_match", default)
        if isinstance(least, str) and least.endswith("%"):
            share = of_should * abs(int(least[:-1])) // 100
            least = share if int(least[:-1]) >= 0 else of_should - share
        least = int(least)
        least = least if least >= 0 else of_should + least
        return must == of_must and kept == of_filter and not barred and should >= least

    def _field(self, body: Doc, key: str) -> tuple[str, Any, Doc]:
        ((name, options),) = [(name, value) for name, value in body.items() if name != "boost"]
        if isinstance(options, dict):
            return name, options[key], options
        return name, options, {}

    def _equal(self, name: str, value: Any, wanted: Any) -> bool:
        wanted = scalar(wanted)
        if name.removesuffix(".raw") in TIMES:
            return millis(value) == millis(wanted)
        if isinstance(value, str):
            return value == as_text(wanted)
        number = as_number(wanted)
        return number is not None and value == number

    def q_term(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, options = self._field(body, "value")
        if options.get("case_insensitive"):
            return any(
                self._equal(name, value, wanted)
                or (isinstance(value, str) and value.lower() == as_text(wanted).lower())
                for value in self.values(entry, name)
            )
        return any(self._equal(name, value, wanted) for value in self.values(entry, name))

    def q_terms(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, _ = self._field(body, "")
        return any(self._equal(name, value, each) for value in self.values(entry, name) for each in wanted)

    def q_ids(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        return entry[0] in body["values"]

    def q_exists(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        return self.exists(entry, body["field"])

    def q_range(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        ((name, bounds),) = body.items()
        compare: dict[str, Callable[[Any, Any], bool]] = {
            "gte": lambda a, b: a >= b,
            "gt": lambda a, b: a > b,
            "lte": lambda a, b: a <= b,
            "lt": lambda a, b: a < b,
        }
        ends = [(compare[key], scalar(bound)) for key, bound in bounds.items()]
        if not ends:
            return self.exists(entry, name)
        if name in TIMES:
            return any(
                all(test(millis(value), millis(end)) for test, end in ends) for value in self.values(entry, name)
            )
        numeric = all(as_number(end) is not None for _, end in ends)

        def within(value: Any) -> bool:
            if isinstance(value, str):
                return all(test(value.encode(), as_text(end).encode()) for test, end in ends)
            return numeric and all(test(value, as_number(end)) for test, end in ends)

        return any(within(value) for value in self.values(entry, name))

    def _words(self, name: str, value: Any) -> list[str]:
        exact = name.endswith(".raw") or name in ("_id", "id", "transaction_id") or not isinstance(value, str)
        return [] if exact or name in TIMES else re.findall(r"\w+", value.lower())

    def q_match(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, options = self._field(body, "query")
        words = re.findall(r"\w+", as_text(scalar(wanted)).lower())
        values = self.values(entry, name)
        if any(self._equal(name, value, wanted) for value in values):
            return True
        if not words:
            return False
        found = [any(word in self._words(name, value) for value in values) for word in words]
        return all(found) if options.get("operator", "or") == "and" else any(found)

    def q_match_phrase(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, _ = self._field(body, "query")
        words = re.findall(r"\w+", as_text(scalar(wanted)).lower())

        def inside(value: Any) -> bool:
            there = self._words(name, value)
            return bool(words) and any(there[i : i + len(words)] == words for i in range(len(there)))

        return any(self._equal(name, value, wanted) or inside(value) for value in self.values(entry, name))

    def _text(self, entry: tuple[str, Doc], name: str, test: Callable[[str], Any]) -> bool:
        return any(isinstance(value, str) and test(value) for value in self.values(entry, name))

    def q_prefix(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, options = self._field(body, "value")
        if options.get("case_insensitive"):
            return self._text(entry, name, lambda value: value.lower().startswith(wanted.lower()))
        return self._text(entry, name, lambda value: value.startswith(wanted))

    def q_wildcard(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, options = self._field(body, "value")
        pattern = re.sub(r"\[", "[[]", wanted)
        pattern = re.sub(r"\\(.)", r"[\1]", pattern)
        flags = re.IGNORECASE if options.get("case_insensitive") else re.NOFLAG
        return self._text(entry, name, lambda value: re.match(fnmatch.translate(pattern), value, flags))

    def q_regexp(self, body: Doc, entry: tuple[str, Doc]) -> bool:
        name, wanted, _ = self._field(body, "value")
        return self._text(entry, name, lambda value: re.fullmatch(wanted, value, re.DOTALL))

    # Answers

    def weight(self, entry: tuple[str, Doc]) -> int:
        return int(entry[1].get("weight", 1)) if self.kind == "events" else 1

    def total(self, entries: Iterable[tuple[str, Doc]]) -> int:
        return sum(map(self.weight, entries))

    def search(self, body: Doc, first: int | None = None, last: int | None = None, zone: str = "UTC") -> Doc:
        query = body.get("query", {"match_all": {}})
        base = [entry for entry in self.documents if self._in_range(entry, first, last) and self.matches(query, entry)]
        hits = [entry for entry in base if self.matches(body.get("post_filter", {"match_all": {}}), entry)]
        answer: Doc = {"hits": {"total": self.total(hits), "hits": self.hits(body, hits)}}
        if body.get("aggs"):
            answer["aggregations"] = self.aggregations(body["aggs"], base, zone)
        return answer

    def _in_range(self, entry: tuple[str, Doc], first: int | None, last: int | None) -> bool:
        if self.kind != "events":
            return True
        moment = millis(entry[1]["request"]["time"])
        assert moment is not None
        return (first is None or moment >= first) and (last is None or moment <= last)

    def hits(self, body: Doc, entries: list[tuple[str, Doc]]) -> list[Doc]:
        sorts = self._sorts(body.get("sort", []))
        ordered = self.ordered(sorts or ([("request.time", True, False)] if self.kind == "events" else []), entries)
        if "search_after" in body:
            after = [self._rank(value, *sort[1:]) for value, sort in zip(body["search_after"], sorts, strict=True)]
            ordered = [entry for entry in ordered if self._ranks(entry, sorts) > after]
        start = body.get("from", 0)
        page = ordered[start : start + body.get("size", 10)]
        found = []
        for entry in page:
            hit = {"_id": entry[0], "_source": entry[1]}
            if sorts:
                hit["sort"] = [self._sort_value(entry, name, descending) for name, descending, _ in sorts]
            found.append(hit)
        return found

    def _sorts(self, given: Any) -> list[tuple[str, bool, bool]]:
        found = []
        for each in given if isinstance(given, list) else [given]:
            ((name, options),) = ({each: {}} if isinstance(each, str) else each).items()
            options = {"order": options} if isinstance(options, str) else options
            found.append((name, options.get("order") == "desc", options.get("missing") == "_first"))
        return found

    def _sort_value(self, entry: tuple[str, Doc], name: str, descending: bool) -> Any:
        values = self.values(entry, name)
        if name in TIMES:
            values = [millis(value) for value in values]
        key = lambda value: (isinstance(value, str), value.encode() if isinstance(value, str) else value)  # noqa: E731
        return (max if descending else min)(values, key=key) if values else None

    def _rank(self, value: Any, descending: bool, missing_first: bool) -> tuple[Any, ...]:
        if value is None:
            return (-1 if missing_first else 1,)
        if isinstance(value, str):
            return (0, _Reversed((1, value.encode())) if descending else (1, value.encode()))
        return (0, _Reversed((0, value)) if descending else (0, value))

    def _ranks(self, entry: tuple[str, Doc], sorts: list[tuple[str, bool, bool]]) -> list[Any]:
        return [self._rank(self._sort_value(entry, sort[0], sort[1]), *sort[1:]) for sort in sorts]

    def ordered(self, sorts: list[tuple[str, bool, bool]], entries: list[tuple[str, Doc]]) -> list[tuple[str, Doc]]:
        last = sorts[-1][1] if sorts else False
        ties = sorts if any(sort[0] == "_id" for sort in sorts) else [*sorts, ("_id", last, False)]
        return sorted(entries, key=lambda entry: self._ranks(entry, ties))

    # Aggregations

    def aggregations(self, aggs: Doc, entries: list[tuple[str, Doc]], zone: str) -> Doc:
        found = {}
        for name, body in aggs.items():
            ((kind, options),) = [(key, value) for key, value in body.items() if key not in ("aggs", "meta")]
            inner = body.get("aggs", {})
            found[name] = getattr(self, f"a_{kind}")(options, entries, inner, zone)
        return found

    def bucket(self, entries: list[tuple[str, Doc]], inner: Doc, zone: str, **key: Any) -> Doc:
        return {**key, "doc_count": self.total(entries), **self.aggregations(inner, entries, zone)}

    def a_filter(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return self.bucket([entry for entry in entries if self.matches(options, entry)], inner, zone)

    def a_filters(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        given = options["filters"]
        if isinstance(given, list):
            return {"buckets": [self.a_filter(each, entries, inner, zone) for each in given]}
        return {"buckets": {name: self.a_filter(each, entries, inner, zone) for name, each in given.items()}}

    def a_range(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        buckets = []
        for each in options["ranges"]:
            low, high = float(each.get("from", "-inf")), float(each.get("to", "inf"))
            within = [
                entry
                for entry in entries
                if any(
                    not isinstance(value, str) and low <= value < high for value in self.values(entry, options["field"])
                )
            ]
            ends = {name: float(each[name]) for name in ("from", "to") if name in each}
            key = each.get("key", "-".join(str(ends[name]) if name in ends else "*" for name in ("from", "to")))
            buckets.append((low, high, self.bucket(within, inner, zone, key=key, **ends)))
        return {"buckets": [bucket for _, _, bucket in sorted(buckets, key=lambda bucket: bucket[:2])]}

    def _grouped(self, options: Doc, entries: list[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
        groups: dict[Any, list[Any]] = {}
        for entry in entries:
            values = self.values(entry, options["field"])
            if not values and options.get("missing") is not None:
                values = [options["missing"]]
            for each in dict.fromkeys(made for value in values if (made := key(value)) is not None):
                groups.setdefault(each, []).append(entry)
        return groups

    def a_terms(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        name = options["field"].removesuffix(".raw")
        key = (lambda value: as_text(scalar(value))) if name in TEXT_COLUMNS else scalar
        groups = self._grouped(options, entries, key)
        buckets = [self.bucket(group, inner, zone, key=key) for key, group in groups.items()]
        buckets = [bucket for bucket in buckets if bucket["doc_count"] >= options.get("min_doc_count", 1)]
        rank = lambda key: (1, key.encode()) if isinstance(key, str) else (0, key)  # noqa: E731
        buckets.sort(key=lambda bucket: rank(bucket["key"]))
        order = options.get("order", {"_count": "desc"})
        pairs = [pair for each in (order if isinstance(order, list) else [order]) for pair in each.items()]
        for by, direction in reversed(pairs):
            descending = direction == "desc"
            if by == "_key":
                buckets.sort(key=lambda bucket: rank(bucket["key"]), reverse=descending)
                continue

            def value(bucket: Doc, by: str = by) -> Any:
                if by == "_count":
                    return bucket["doc_count"]
                if by in bucket:
                    return bucket[by]["value"]
                metric, _, percent = by.partition(".")
                if "values" in bucket[metric]:
                    return bucket[metric]["values"][str(float(percent))]
                return bucket[metric]["value"]

            buckets.sort(key=lambda bucket: value(bucket) or 0, reverse=descending)
            buckets.sort(key=lambda bucket: value(bucket) is None)
        size = int(options.get("size", 10))
        others = sum(bucket["doc_count"] for bucket in buckets[size:])
        return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets[:size]}

    def a_histogram(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        width, offset = float(options["interval"]), float(options.get("offset", 0))

        def index(value: Any) -> int | None:
            return None if isinstance(value, str) else math.floor((value - offset) / width)

        groups = self._grouped(options, entries, index)
        if options.get("min_doc_count", 0) == 0 and groups:
            for number in range(min(groups), max(groups)):
                groups.setdefault(number, [])
        buckets = [
            self.bucket(group, inner, zone, key=number * width + offset) for number, group in sorted(groups.items())
        ]
        return {"buckets": [each for each in buckets if each["doc_count"] >= options.get("min_doc_count", 0)]}

    def a_date_histogram(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        local = ZoneInfo(options.get("time_zone", zone))
        unit = options.get("calendar_interval") or options.get("fixed_interval") or options.get("interval")

        def start(value: Any) -> int | None:
            moment = millis(value)
            return None if moment is None else bucket_start(moment, unit, local)

        groups = self._grouped(options, entries, start)
        if options.get("min_doc_count", 0) == 0 and groups:
            moment = min(groups)
            while moment < max(groups):
                groups.setdefault(moment, [])
                # The next bucket is the first later one that any later quarter of an hour falls into: after the clocks
                # went back, a bucket's own start can lie in the one before it.
                step = moment
                while (following := bucket_start(step, unit, local)) <= moment:
                    step += 900_000
                moment = following
        buckets = []
        for moment, group in sorted(groups.items()):
            stamp = dt.datetime.fromtimestamp(moment / 1000, local).isoformat(timespec="milliseconds")
            text = stamp.replace("+00:00", "Z") if local.key == "UTC" else stamp
            buckets.append(self.bucket(group, inner, zone, key_as_string=text, key=moment))
        return {"buckets": [each for each in buckets if each["doc_count"] >= options.get("min_doc_count", 0)]}

    def a_top_hits(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"hits": {"total": self.total(entries), "hits": self.hits({"size": 3, **options}, entries)}}

    def _weighted(self, options: Doc, entries: list[Any]) -> list[tuple[Any, int]]:
        found = []
        name = options["field"].removesuffix(".raw")
        for entry in entries:
            values = self.values(entry, name)
            if not values and options.get("missing") is not None:
                values = [options["missing"]]
            weight = 1 if name == "weight" and self.kind == "events" else self.weight(entry)
            found += [(value, weight) for value in values]
        return found

    def _numbers(self, options: Doc, entries: list[Any]) -> list[tuple[float, int]]:
        if options["field"] in TIMES:
            return [(float(millis(value) or 0), weight) for value, weight in self._weighted(options, entries)]
        return [(value, weight) for value, weight in self._weighted(options, entries) if not isinstance(value, str)]

    def a_sum(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"value": sum(value * weight for value, weight in self._numbers(options, entries))}

    def a_avg(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        pairs = self._numbers(options, entries)
        total = sum(weight for _, weight in pairs)
        return {"value": sum(value * weight for value, weight in pairs) / total if total else None}

    def a_min(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"value": min((value for value, _ in self._numbers(options, entries)), default=None)}

    def a_max(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"value": max((value for value, _ in self._numbers(options, entries)), default=None)}

    def a_value_count(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"value": sum(weight for _, weight in self._weighted(options, entries))}

    def a_cardinality(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        return {"value": len({value for value, _ in self._weighted(options, entries)})}

    def a_percentiles(self, options: Doc, entries: list[Any], inner: Doc, zone: str) -> Doc:
        pairs = sorted(self._numbers(options, entries))
        total = sum(weight for _, weight in pairs)
        found: dict[str, Any] = {}
        for percent in options.get("percents", [1, 5, 25, 50, 75, 95, 99]):
            reached, found[str(float(percent))] = 0, None
            for value, weight in pairs:
                reached += weight
                if reached >= total * (percent / 100):
                    found[str(float(percent))] = value
                    break
        return {"values": found}


class _Reversed(tuple):  # type: ignore[type-arg]
    """A tuple that sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return tuple.__gt__(self, other)

    def __gt__(self, other: Any) -> bool:
        return tuple.__lt__(self, other)


def bucket_start(moment: int, unit: str, zone: ZoneInfo) -> int:
    """Return the start of the bucket a moment falls into: by the wall clock, minute by minute where it is odd."""
    count, name = re.fullmatch(r"(\d*)(\w+)", unit).groups()  # type: ignore[union-attr]
    local = dt.datetime.fromtimestamp(moment // 1000, zone)
    names = {"minute": "m", "hour": "h", "day": "d", "week": "w", "month": "M", "quarter": "q", "year": "y"}
    name = names.get(name, name)
    if name in "smh":
        size = int(count or 1) * {"s": 1_000, "m": 60_000, "h": 3_600_000}[name]
        offset = (local.utcoffset() or dt.timedelta()) // dt.timedelta(milliseconds=1)
        return (moment + offset) // size * size - offset
    date = local.date()
    if name == "w":
        date -= dt.timedelta(days=date.weekday())
    elif name == "M":
        date = date.replace(day=1)
    elif name == "q":
        date = date.replace(month=(date.month - 1) // 3 * 3 + 1, day=1)
    elif name == "y":
        date = date.replace(month=1, day=1)
    midnight = dt.datetime.combine(date, dt.time(), zone)
    while midnight.astimezone(dt.UTC).astimezone(zone).date() < date:
        midnight += dt.timedelta(minutes=1)
    return int(midnight.timestamp()) * 1000
