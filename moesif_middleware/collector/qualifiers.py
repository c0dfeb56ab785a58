"""The page's filter text: ``status:5xx verb:POST route:/items/{id} took:>500 body:"..."``.

A text is words and ``name:value`` qualifiers separated by white space; all of them must hold. A comma between
values means or, a minus in front means not, a value with white space or commas stands in double quotes, in
which a backslash takes the next character as it is. Any dotted path into the stored event is a qualifier too:
``metadata.region:eu``, ``request.headers.accept:*json*``. Words are searched for in the address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .refusals import Refusal
from .stores import Recent

Clause = dict[str, Any]
"""One clause of the search DSL (reference, "Elasticsearch DSL")."""

_NAME: Final = r"[A-Za-z_][\w.-]*"
_WORD: Final = re.compile(rf'(-?)({_NAME}):("(?:[^"\\]|\\.)*"|\S*)(?=\s|$)|(-?"(?:[^"\\]|\\.)*"|\S+)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_WILD: Final = re.compile(r"([*?\\])")
_STATUS_CLASS: Final = re.compile(r"([1-5])xx", re.IGNORECASE)
_RANGE: Final = re.compile(r"(>=|<=|>|<)?(\d+(?:\.\d+)?)(ms|s|m)?(?:\.\.(\d+(?:\.\d+)?)(ms|s|m)?)?")
_AGO: Final = re.compile(r"\d{1,6}[smhdwM]")
_OPERATORS: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_MILLISECONDS: Final = {None: 1, "ms": 1, "s": 1_000, "m": 60_000}

MOST_CHARACTERS: Final = 2_000
"""A longer filter text is refused."""

MOST_QUALIFIERS: Final = 50


@dataclass(frozen=True, slots=True)
class Qualifier:
    """One condition: any of ``values`` under ``name``, which is empty for a word."""

    name: str
    values: tuple[str, ...]
    negated: bool = False

    @property
    def written(self) -> str:
        """Return it about as it was written, for sentences."""
        return f"{self.name}:{','.join(self.values)}" if self.name else self.values[0]


def parse(text: str) -> list[Qualifier]:
    """Return the qualifiers of a filter text. Raises Refusal 400 for one that is too long."""
    if len(text) > MOST_CHARACTERS:
        raise Refusal(400, f"the filter has over {MOST_CHARACTERS} characters")
    found = []
    for match in _WORD.finditer(text):
        sign, name, value, word = match.groups()
        if name is None:
            negated, word = word.startswith("-") and len(word) > 1, word.removeprefix("-") or word
            found.append(Qualifier("", (_unquoted(word) or word,), negated=negated))
        else:
            found.append(Qualifier(name if "." in name else name.lower(), _values(value), negated=sign == "-"))
    if len(found) > MOST_QUALIFIERS:
        raise Refusal(400, f"the filter has over {MOST_QUALIFIERS} qualifiers")
    return found


def _values(written: str) -> tuple[str, ...]:
    whole = _unquoted(written)
    return (whole,) if whole is not None else tuple(written.split(","))


def _unquoted(value: str) -> str | None:
    if len(value) >= 2 and value.startswith('"') and value.endswith('"'):
        return _ESCAPED.sub(r"\1", value[1:-1])
    return None


_SIMPLE: Final = {"status": "status", "verb": "verb", "route": "route", "user": "user_id", "company": "company_id"}


def recent(qualifiers: list[Qualifier]) -> Recent | None:
    """Return the store's live query when it can say all of the filter, else None: then it takes a search."""
    chosen: dict[str, str] = {}
    for item in qualifiers:
        field = _SIMPLE.get(item.name)
        if field is None or item.negated or field in chosen or len(item.values) > 1 or not item.values[0]:
            return None
        value = item.values[0]
        if "*" in (value[:-1] if field == "route" else value):
            return None
        if field == "status" and not (_STATUS_CLASS.fullmatch(value) or value.isdecimal()):
            return None
        chosen[field] = value
    return Recent(**chosen)  # type: ignore[arg-type]  # only the text fields are named in _SIMPLE


def query(qualifiers: list[Qualifier]) -> Clause:
    """Return the filter as one clause of the search DSL. Raises Refusal 400, whose sentence names the qualifier."""
    held: dict[str, list[Clause]] = {"filter": [], "must_not": []}
    for item in qualifiers:
        held["must_not" if item.negated else "filter"].append(_clause(item))
    kept = {name: clauses for name, clauses in held.items() if clauses}
    return {"bool": kept} if kept else {"match_all": {}}


def _clause(item: Qualifier) -> Clause:
    if "" in item.values:
        raise Refusal(400, f"{item.name}: a value is missing after the colon or comma")
    if item.name in _CLAUSES:
        return _any([_CLAUSES[item.name](value) for value in item.values])
    if "." in item.name:
        return _any([_at_path(item.name, value) for value in item.values])
    known = ", ".join(name for name in _CLAUSES if name)
    raise Refusal(400, f"{item.written} is no filter; there are {known}, and paths such as metadata.region")


def _any(clauses: list[Clause]) -> Clause:
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses, "minimum_should_match": 1}}


def _exact(field: str) -> Callable[[str], Clause]:
    """Return the reading of an exact value, or of one with ``*`` for anything."""
    return lambda value: {"wildcard": {field: value}} if "*" in value else {"term": {field: value}}


def _verb(value: str) -> Clause:
    return {"term": {"request.verb": value.upper()}}


def _status(value: str) -> Clause:
    if value.lower() == "none":
        return {"bool": {"must_not": [{"exists": {"field": "response.status"}}]}}
    if found := _STATUS_CLASS.fullmatch(value):
        lowest = int(found[1]) * 100
        return {"range": {"response.status": {"gte": lowest, "lte": lowest + 99}}}
    return _number("status", "response.status", value, "404, 5xx, >=400, 400..499 or none", units=False)


def _took(value: str) -> Clause:
    return _number("took", "duration_ms", value, ">500, <20ms, >1.5s or 100..200 (milliseconds)")


def _number(name: str, field: str, value: str, examples: str, *, units: bool = True) -> Clause:
    found = _RANGE.fullmatch(value)
    if found is None or (found[1] and found[4]) or (not units and (found[3] or found[5])):
        raise Refusal(400, f"{name}:{value} is not understood; write {examples}")
    operator, first, unit, last, last_unit = found.groups()
    lowest = float(first) * _MILLISECONDS[unit or (last_unit if last else None)]
    if last:
        return {"range": {field: {"gte": lowest, "lte": float(last) * _MILLISECONDS[last_unit or unit]}}}
    return {"range": {field: {_OPERATORS[operator]: lowest}}} if operator else {"term": {field: lowest}}


def _contains(*fields: str) -> Callable[[str], Clause]:
    """Return the reading of a text that may stand anywhere in the values of fields, whatever its case."""

    def clause(value: str) -> Clause:
        pattern = value if "*" in value else _WILD.sub(r"\\\1", value)
        return _any([{"wildcard": {field: {"value": f"*{pattern}*", "case_insensitive": True}}} for field in fields])

    return clause


def _time(operator: str) -> Callable[[str], Clause]:
    def clause(value: str) -> Clause:
        return {"range": {"request.time": {operator: f"now-{value}" if _AGO.fullmatch(value) else value}}}

    return clause


def _blocked(value: str) -> Clause:
    exists = {"exists": {"field": "blocked_by"}}
    if value in ("yes", "no"):
        return exists if value == "yes" else {"bool": {"must_not": [exists]}}
    return {"term": {"blocked_by": value}}


def _direction(value: str) -> Clause:
    return {"term": {"direction": value.capitalize()}}


def _type(value: str) -> Clause:
    kinds = {"call": "api_call", "action": "user_action"}
    if value not in kinds:
        raise Refusal(400, f"type:{value} is not understood; write type:call or type:action")
    return {"term": {"event_type": kinds[value]}}


def _at_path(path: str, value: str) -> Clause:
    if value == "*":
        return {"exists": {"field": path}}
    if "*" in value:
        return {"wildcard": {path: value}}
    # The text may stand for a number in the document.
    try:
        return {"terms": {path: [value, float(value)]}}
    except ValueError:
        return {"term": {path: value}}


_CLAUSES: Final[Mapping[str, Callable[[str], Clause]]] = {
    "": _contains("request.uri"),
    "status": _status,
    "verb": _verb,
    "route": _exact("request.route"),
    "user": _exact("user_id"),
    "company": _exact("company_id"),
    "took": _took,
    "body": _contains("request.body.*", "response.body.*"),
    "since": _time("gte"),
    "until": _time("lte"),
    "ip": _exact("request.ip_address"),
    "session": _exact("session_token"),
    "id": _exact("_id"),
    "blocked": _blocked,
    "direction": _direction,
    "type": _type,
    "action": _exact("action_name"),
}
