"""Reads ``query`` and ``post_filter`` clauses into a tree of tests.

Nothing is scored, so ``boost`` changes no answer and is taken; every other member that is not known is an error.
Without ``.raw``, ``match`` and ``match_phrase`` compare words without case; ``term`` and the rest compare whole values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from .conditions import (
    Context,
    between,
    checked_pattern,
    equals,
    glob_parts,
    glob_text,
    match_phrase,
    match_words,
    needle_of,
    needs_text,
    operand_of,
    quote,
    span_of,
)
from .errors import InvalidSearch
from .fields import ID, Field
from .nodes import (
    EVERYTHING,
    NOTHING,
    Between,
    Bound,
    Exists,
    Glob,
    Matches,
    Node,
    Not,
    Operator,
    Or,
    Wild,
    all_of,
    any_of,
)
from .querystring import parse_query_string
from .reading import at, boolean, integer, known, listed, mapping, single, text
from .times import zone_of

MAX_DEPTH: Final = 64
MAX_TERMS: Final = 10_000

_LUCENE: Final = re.compile(r'\\.|\[(?:\\.|[^\]\\])*\]|([~@#&<>"])', re.DOTALL)
_OPERATORS: Final[dict[str, Operator]] = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


def parse_query(clause: object, path: str, context: Context, depth: int = 0) -> Node:
    """Return the tests of one clause. Raises InvalidSearch with the path of what is wrong or not supported."""
    name, value = single(clause, path)
    place = at(path, name)
    if depth > MAX_DEPTH:
        raise InvalidSearch(path, f"clauses are nested deeper than {MAX_DEPTH}")
    if name == "bool":
        return _bool(value, place, context, depth)
    reader = _CLAUSES.get(name)
    if reader is None:
        supported = ", ".join(sorted(["bool", *_CLAUSES]))
        raise InvalidSearch(place, f"is not a supported clause; supported: {supported}")
    return reader(value, place, context)


def _bool(value: object, path: str, context: Context, depth: int) -> Node:
    members = mapping(value, path)
    known(members, ("must", "filter", "should", "must_not", "minimum_should_match", "boost"), path)

    def read(name: str) -> list[Node]:
        place = at(path, name)
        clauses = listed(members.get(name, []))
        alone = not isinstance(members.get(name), list)
        return [
            parse_query(clause, place if alone else at(place, index), context, depth + 1)
            for index, clause in enumerate(clauses)
        ]

    required = read("must") + read("filter")
    optional = read("should")
    parts = list(required)
    if "should" in members or "minimum_should_match" in members:
        asked = members.get("minimum_should_match", 0 if required or not optional else 1)
        parts.append(_at_least(asked, optional, at(path, "minimum_should_match")))
    parts += [Not(part) for part in read("must_not")]
    return all_of(parts)


def _at_least(asked: object, optional: list[Node], path: str) -> Node:
    least = _minimum(asked, len(optional), path)
    if least <= 0:
        return EVERYTHING
    if least > len(optional):
        return NOTHING
    if least == len(optional):
        return all_of(optional)
    return any_of(optional) if least == 1 else Or(tuple(optional), least)


def _minimum(asked: object, count: int, path: str) -> int:
    """Return how many of ``count`` clauses are meant by ``2``, ``-1``, ``"75%"`` or ``"-25%"``."""
    if isinstance(asked, str) and asked.endswith("%"):
        percent = integer(asked[:-1], path, -100, 100)
        share = count * abs(percent) // 100
        return share if percent >= 0 else count - share
    least = integer(asked, path, -(2**31), 2**31)
    return least if least >= 0 else count + least


def _match_all(value: object, path: str, _: Context) -> Node:
    known(mapping(value, path), ("boost",), path)
    return EVERYTHING


def _match_none(value: object, path: str, _: Context) -> Node:
    known(mapping(value, path), ("boost",), path)
    return NOTHING


def _one_field(
    value: object, path: str, context: Context, main: str, options: tuple[str, ...] = ()
) -> tuple[Field, Any, dict[str, Any], str]:
    """Read ``{field: value}`` or ``{field: {main: value, ...}}`` -> field, value, options, path of the value."""
    name, body = single(value, path)
    place = at(path, name)
    field = context.field(name, place)
    if not isinstance(body, dict):
        return field, body, {}, place
    known(body, (main, "boost", *options), place)
    if main not in body:
        raise InvalidSearch(place, f"{main} is missing")
    return field, body[main], body, at(place, main)


def _term(value: object, path: str, context: Context) -> Node:
    field, wanted, options, place = _one_field(value, path, context, "value", ("case_insensitive",))
    operand = operand_of(wanted, place)
    if _without_case(options, path):
        whole = Matches(field, f"(?is)^{quote(operand.text)}$")
        return whole if operand.number is None else any_of([equals(field, (operand,), context, place), whole])
    return equals(field, (operand,), context, place)


def _terms(value: object, path: str, context: Context) -> Node:
    members = {name: member for name, member in mapping(value, path).items() if name != "boost"}
    name, wanted = single(members, path)
    place = at(path, name)
    if not isinstance(wanted, list):
        raise InvalidSearch(place, "a list of values is needed here")
    if len(wanted) > MAX_TERMS:
        raise InvalidSearch(place, f"there are {len(wanted)} values, at most {MAX_TERMS} are allowed")
    operands = tuple(operand_of(each, at(place, index)) for index, each in enumerate(wanted))
    return equals(context.field(name, place), operands, context, place) if operands else NOTHING


def _ids(value: object, path: str, context: Context) -> Node:
    members = mapping(value, path)
    known(members, ("values", "boost"), path)
    return _terms({ID: listed(members.get("values", []))}, at(path, "values"), context)


def _exists(value: object, path: str, context: Context) -> Node:
    members = mapping(value, path)
    known(members, ("field", "boost"), path)
    return Exists(context.field(members.get("field"), at(path, "field")))


def _range(value: object, path: str, context: Context) -> Node:
    name, body = single(value, path)
    place = at(path, name)
    limits = mapping(body, place)
    known(limits, (*_OPERATORS, "format", "time_zone", "boost"), place)
    field = context.field(name, place)
    given = [(key, limits[key]) for key in _OPERATORS if limits.get(key) is not None]
    if not given:
        return Exists(field)
    if field.is_time or "format" in limits or "time_zone" in limits or any(_is_math(bound) for _, bound in given):
        return _time_range(field, limits, given, place, context)
    ends = [(_OPERATORS[key], operand_of(bound, at(place, key))) for key, bound in given]
    return between(field, ends, place)


def _is_math(bound: object) -> bool:
    return isinstance(bound, str) and (bound.startswith("now") or "||" in bound)


def _time_range(
    field: Field, limits: dict[str, Any], given: list[tuple[str, Any]], path: str, context: Context
) -> Node:
    zone = context.zone
    if "time_zone" in limits:
        try:
            zone = zone_of(text(limits["time_zone"], at(path, "time_zone")))
        except ValueError as error:
            raise InvalidSearch(at(path, "time_zone"), str(error)) from None
    scale = _scale(limits.get("format", "epoch_millis"), at(path, "format"))
    bounds = []
    for key, bound in given:
        scaled = bound * scale if isinstance(bound, (int, float)) and not isinstance(bound, bool) else bound
        if scale != 1 and isinstance(bound, str) and bound.removeprefix("-").isdigit():
            scaled = int(bound) * scale
        span = span_of(scaled, at(path, key), context, zone)
        # A bound such as 2024-02 is a month: "after" and "up to" it mean its end.
        bounds.append(Bound(_OPERATORS[key], span.last if key in ("gt", "lte") else span.first))
    return Between(field, "time", tuple(bounds))


def _scale(name: object, path: str) -> int:
    names = set(text(name, path).split("||"))
    if names <= {"epoch_millis", "strict_date_optional_time", "date_optional_time", "strict_date_time", "date_time"}:
        return 1
    if names <= {"epoch_second", "strict_date_optional_time", "date_optional_time"}:
        return 1_000
    raise InvalidSearch(path, "supported: epoch_millis, epoch_second, strict_date_optional_time, strict_date_time")


def _match(value: object, path: str, context: Context) -> Node:
    field, wanted, options, place = _one_field(value, path, context, "query", ("operator",))
    operand = operand_of(wanted, place)
    operator = str(options.get("operator", "or")).lower()
    if operator not in ("or", "and"):
        raise InvalidSearch(at(at(path, field.name), "operator"), "is either or, or and")
    return match_words(field, operand, context, place, every=operator == "and")


def _match_phrase(value: object, path: str, context: Context) -> Node:
    field, wanted, options, place = _one_field(value, path, context, "query", ("slop",))
    if options.get("slop", 0) != 0:
        raise InvalidSearch(at(at(path, field.name), "slop"), "only 0 is supported")
    return match_phrase(field, operand_of(wanted, place), context, place)


def _prefix(value: object, path: str, context: Context) -> Node:
    field, wanted, options, place = _one_field(value, path, context, "value", ("case_insensitive",))
    start = text(wanted, place)
    needs_text(field, place)
    if _without_case(options, path):
        return Matches(field, f"(?is)^{quote(start)}")
    return Glob(field, (start, Wild(many=True)))


def _wildcard(value: object, path: str, context: Context) -> Node:
    name, body = single(value, path)
    main = "wildcard" if isinstance(body, dict) and "wildcard" in body else "value"
    field, wanted, options, place = _one_field({name: body}, path, context, main, ("case_insensitive",))
    needs_text(field, place)
    parts = glob_parts(text(wanted, place))
    if _without_case(options, path):
        return Matches(field, f"(?is)^{glob_text(parts)}$", needle_of(parts))
    return Glob(field, parts)


def _regexp(value: object, path: str, context: Context) -> Node:
    field, wanted, options, place = _one_field(value, path, context, "value", ("case_insensitive", "flags"))
    pattern = text(wanted, place)
    needs_text(field, place)
    if options.get("flags", "ALL") != "NONE" and any(found[1] for found in _LUCENE.finditer(pattern)):
        raise InvalidSearch(place, 'the operators ~ @ # & < > " are not supported: escape them or send "flags": "NONE"')
    whole = f"(?{'is' if _without_case(options, path) else 's'})^(?:{pattern})$"
    checked_pattern(whole, place)
    return Matches(field, whole)


def _without_case(options: dict[str, Any], path: str) -> bool:
    return boolean(options.get("case_insensitive", False), at(path, "case_insensitive"))


_CLAUSES: Final[dict[str, Callable[[Any, str, Context], Node]]] = {
    "match_all": _match_all,
    "match_none": _match_none,
    "term": _term,
    "terms": _terms,
    "ids": _ids,
    "exists": _exists,
    "range": _range,
    "match": _match,
    "match_phrase": _match_phrase,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "regexp": _regexp,
    "query_string": parse_query_string,
}
