"""The page's filter text: ``status:5xx verb:POST route:/items/{id} user:42 "plain words"``.

A text is words and ``name:value`` qualifiers separated by white space; a value with white space stands in double
quotes, in which a backslash takes the next character as it is. All of them must hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .refusals import Refusal
from .stores import Recent

_WORD: Final = re.compile(r'(-?)([A-Za-z_.]+):("(?:[^"\\]|\\.)*"|\S*)(?=\s|$)|("(?:[^"\\]|\\.)*"|\S+)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_STATUS: Final = re.compile(r"[1-5]xx|[1-9]\d\d", re.IGNORECASE)

MOST_CHARACTERS: Final = 2_000
"""A longer filter text is refused."""


@dataclass(frozen=True, slots=True)
class Qualifier:
    """One condition: ``name`` is empty for plain words."""

    name: str
    value: str
    negated: bool = False


def parse(text: str) -> list[Qualifier]:
    """Return the qualifiers of a filter text, names in lower case. Raises Refusal 400."""
    if len(text) > MOST_CHARACTERS:
        raise Refusal(400, f"the filter has over {MOST_CHARACTERS} characters")
    found = []
    for match in _WORD.finditer(text):
        sign, name, value, word = match.groups()
        if name is None:
            found.append(Qualifier("", _unquoted(word)))
        else:
            found.append(Qualifier(name.lower(), _unquoted(value), negated=sign == "-"))
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value.startswith('"') and value.endswith('"'):
        return _ESCAPED.sub(r"\1", value[1:-1])
    return value


_RECENT: Final = {"status": "status", "verb": "verb", "route": "route", "user": "user_id", "company": "company_id"}


def recent(qualifiers: list[Qualifier]) -> Recent:
    """Return the store's query. Raises Refusal 400, whose sentence names the qualifier."""
    chosen: dict[str, str] = {}
    for item in qualifiers:
        field = _RECENT.get(item.name)
        if field is None:
            raise Refusal(400, f"{_written(item)} is no filter; there are {', '.join(_RECENT)}")
        if item.negated or field in chosen:
            raise Refusal(400, f"{item.name} can stand once, and without a minus")
        if not item.value:
            raise Refusal(400, f"{item.name}: a value is missing")
        if field == "status" and not _STATUS.fullmatch(item.value):
            raise Refusal(400, f"status:{item.value} is neither a status such as 404 nor a class such as 5xx")
        chosen[field] = item.value
    return Recent(**chosen)  # type: ignore[arg-type]  # only the text fields are named in _RECENT


def _written(item: Qualifier) -> str:
    return f"{item.name}:{item.value}" if item.name else f'"{item.value}"'
