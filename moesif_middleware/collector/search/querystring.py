"""Reads ``query_string``: ``status:500 AND (verb:POST OR NOT user_id:u*) took:>500 body:"no such"``.

The simple part of the language: ``field:value``, phrases in quotes, ``*`` and ``?``, ``[a TO b]`` and ``{a TO b}``,
``>``, ``>=``, ``<``, ``<=``, ``/regexp/``, ``_exists_:field``, AND, OR, NOT, ``+``, ``-`` and brackets. What it does
not know, such as ``~`` and ``^``, is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .conditions import (
    Context,
    between,
    checked_pattern,
    glob_parts,
    match_phrase,
    match_words,
    needs_text,
    operand_of,
    span_of,
)
from .errors import InvalidSearch
from .fields import Field
from .nodes import EVERYTHING, NOTHING, Between, Bound, Exists, Glob, Matches, Node, Not, Operator, Wild, all_of, any_of
from .reading import at, known, listed, mapping, text

MAX_DEPTH: Final = 64
MAX_LENGTH: Final = 10_000

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<open>\() | (?P<close>\)) |
    (?P<quoted>"(?:[^"\\]|\\.)*") |
    (?P<pattern>/(?:[^/\\]|\\.)*/) |
    (?P<range>[\[{]\s*(?P<low>\S+)\s+TO\s+(?P<high>[^\s\]}]+)\s*[\]}]) |
    (?P<sign>[+!-](?=\S)) |
    (?P<word>(?:[^\s()"\[\]{}\\]|\\.)+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_FIELD: Final = re.compile(r"((?:[^\s:\\<>=]|\\.)+):")
_COMPARE: Final = re.compile(r"(>=|<=|>|<)(.+)", re.DOTALL)
_OPERATORS: Final[dict[str, Operator]] = {">=": ">=", "<=": "<=", ">": ">", "<": "<"}
_UNSUPPORTED: Final = re.compile(r"(?<!\\)[~^]")


def parse_query_string(value: object, path: str, context: Context) -> Node:
    """Return the tests of a ``query_string`` clause. Raises InvalidSearch for what is not understood."""
    members = mapping(value, path)
    known(
        members, ("query", "default_field", "fields", "default_operator", "boost", "analyze_wildcard", "lenient"), path
    )
    given = "fields" if "fields" in members else "default_field"
    place = at(path, "query")
    fields = tuple(context.field(name, at(path, given)) for name in listed(members.get(given, "*")))
    operator = text(members.get("default_operator", "or"), at(path, "default_operator")).lower()
    parser = _Parser(text(members.get("query"), place), place, context, fields, every=operator == "and")
    return parser.parse()


@dataclass(slots=True)
class _Parser:
    source: str
    path: str
    context: Context
    fields: tuple[Field, ...]
    every: bool
    position: int = 0
    depth: int = 0

    def parse(self) -> Node:
        """Return the tests of the whole text."""
        if len(self.source) > MAX_LENGTH:
            raise InvalidSearch(self.path, f"it is longer than {MAX_LENGTH} characters")
        if not self.source.strip() or self.source.strip() in ("*", "*:*"):
            return EVERYTHING
        node = self._clauses(self.fields)
        if self._rest():
            raise self._error("an opening bracket is missing")
        return node

    def _clauses(self, fields: tuple[Field, ...]) -> Node:
        """Read ``a AND b OR c ...`` up to a closing bracket; AND binds more than OR."""
        alternatives: list[list[Node]] = [[]]
        required: list[Node] = []
        joined = True
        while (rest := self._rest()) and not rest.startswith(")"):
            if self._keyword("OR", "||"):
                alternatives.append([])
                joined = True
            elif self._keyword("AND", "&&"):
                joined = True
            else:
                if not joined and not self.every:
                    alternatives.append([])
                must, node = self._clause(fields)
                (required if must else alternatives[-1]).append(node)
                joined = False
        groups = [all_of(group) for group in alternatives if group]
        # As in the language itself: beside a required clause the others add nothing but score.
        if required:
            return all_of(required)
        return any_of(groups) if groups else NOTHING

    def _clause(self, fields: tuple[Field, ...]) -> tuple[bool, Node]:
        """Read one clause; the first value tells whether it is required whatever stands beside it (``+``, ``-``)."""
        token = self._token()
        if token["sign"]:
            self._deeper()
            _, node = self._clause(fields)
            self.depth -= 1
            return token["sign"] != "!", node if token["sign"] == "+" else Not(node)
        if token["word"] == "NOT":
            self._deeper()
            _, node = self._clause(fields)
            self.depth -= 1
            return False, Not(node)
        named = _FIELD.match(token["word"]) if token["word"] else None
        if named is None:
            return False, self._value(token, fields)
        self.position = token.start("word") + named.end()
        name = re.sub(r"\\([^.])", r"\1", named[1])
        if name == "_exists_":
            return False, Exists(self.context.field(self._token()["word"], self.path))
        return False, self._value(self._token(), (self.context.field(name, self.path),))

    def _value(self, token: re.Match[str], fields: tuple[Field, ...]) -> Node:
        if token["open"]:
            return self._group(fields)
        return any_of([self._test(token, field) for field in fields])

    def _group(self, fields: tuple[Field, ...]) -> Node:
        self._deeper()
        node = self._clauses(fields)
        if not self._rest().startswith(")"):
            raise self._error("a closing bracket is missing")
        self._token()
        self.depth -= 1
        return node

    def _test(self, token: re.Match[str], field: Field) -> Node:
        if token["quoted"]:
            return match_phrase(
                field, operand_of(_unescaped(token["quoted"][1:-1]), self.path), self.context, self.path
            )
        if token["pattern"]:
            needs_text(field, self.path)
            pattern = f"(?s)^(?:{token['pattern'][1:-1]})$"
            checked_pattern(pattern, self.path)
            return Matches(field, pattern)
        if token["range"]:
            return self._range(field, token)
        word = token["word"]
        if not word or _UNSUPPORTED.search(word):
            raise self._error(f"{token[0].strip()!r} is not supported here")
        return self._word(word, field)

    def _word(self, word: str, field: Field) -> Node:
        if compared := _COMPARE.fullmatch(word):
            return self._ends(field, [(_OPERATORS[compared[1]], _unescaped(compared[2]))])
        if word == "*":
            return Exists(field)
        parts = glob_parts(word)
        if any(isinstance(part, Wild) for part in parts):
            needs_text(field, self.path)
            return Glob(field, parts)
        return match_words(field, operand_of(_unescaped(word), self.path), self.context, self.path, every=self.every)

    def _range(self, field: Field, token: re.Match[str]) -> Node:
        opening, closing = token["range"][0], token["range"][-1]
        ends: list[tuple[Operator, str]] = []
        if token["low"] != "*":
            ends.append((">=" if opening == "[" else ">", _unescaped(token["low"])))
        if token["high"] != "*":
            ends.append(("<=" if closing == "]" else "<", _unescaped(token["high"])))
        return self._ends(field, ends) if ends else Exists(field)

    def _ends(self, field: Field, ends: list[tuple[Operator, str]]) -> Node:
        if not field.is_time:
            return between(field, [(operator, operand_of(end, self.path)) for operator, end in ends], self.path)
        bounds = []
        for operator, end in ends:
            span = span_of(end, self.path, self.context, self.context.zone)
            bounds.append(Bound(operator, span.last if operator in (">", "<=") else span.first))
        return Between(field, "time", tuple(bounds))

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"it is nested deeper than {MAX_DEPTH}")

    def _keyword(self, *words: str) -> bool:
        rest = self._rest()
        for word in words:
            if rest.startswith(word) and (len(rest) == len(word) or rest[len(word)] in ' \t\r\n("+-'):
                self.position = len(self.source) - len(rest) + len(word)
                return True
        return False

    def _rest(self) -> str:
        return self.source[self.position :].lstrip()

    def _token(self) -> re.Match[str]:
        found = _TOKEN.match(self.source, self.position)
        if found is None:
            raise self._error(f"{self._rest()[:40]!r} is not understood")
        self.position = found.end()
        return found

    def _error(self, message: str) -> InvalidSearch:
        return InvalidSearch(self.path, f"{message} (at character {self.position})")


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL)
