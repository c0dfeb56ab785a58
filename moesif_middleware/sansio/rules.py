"""One governance rule, from its JSON to what applies it: whom it concerns, when it matches, what it answers.

Reference, "Rules". Everything but ``_id`` and ``type`` may be missing. A rule that cannot be used is skipped, and why
is recorded: governance fails open.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from .conditions import Condition, ConditionCompiler, Problems, scalar_text
from .templates import Template, compile_template, json_escape, plain

KINDS = ("regex", "company", "user")
"""The types of rules, in the order in which they are applied."""
HEADER_LIMIT = 64
"""Headers that rules add to one answer at most."""
VALUE_LIMIT = 8 * 1024
"""Characters of a header's value at most."""
DEFAULT_STATUS = 403
FIRST_FINAL_STATUS = 200

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUES = re.compile(r"[^\t\x20-\x7e]+")
# The server's own: they frame the message or belong to one connection.
_RESERVED = frozenset(
    ("content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "date", "server")
)
_NO_VALUES: Mapping[str, str] = {}
_NO_BODY = Template((), "null")


def sanitise(value: str) -> str:
    """Return a header's value with all but TAB and printable ASCII taken out, and no space around it."""
    return _NOT_IN_VALUES.sub("", value)[:VALUE_LIMIT].strip(" \t")


def refuse_header(name: str) -> str | None:
    """Return why a rule may not set a header of this name, or None."""
    if not _TOKEN.fullmatch(name):
        return f"{name[:64]!r} is no header name"
    lower = name.lower()
    return f"{name} belongs to the server" if lower in _RESERVED or lower.startswith("proxy-") else None


class HeaderTemplate(NamedTuple):
    """A header that a rule adds."""

    name: str
    lower: str
    value: Template

    def render(self, values: Mapping[str, str]) -> str:
        """Return the value that is sent."""
        return sanitise(self.value.render(values))


class Rule(NamedTuple):
    """One compiled rule."""

    id: str
    name: str
    kind: str
    """``regex``, ``company`` or ``user``."""
    block: bool
    not_matching: bool
    """Whether it applies to those that are not in its cohort."""
    unidentified: bool
    """Whether it applies to requests without an id of its kind."""
    groups: tuple[tuple[Condition, ...], ...]
    masks: tuple[int, ...]
    """One mask for each group that can match; (0,) when the rule has no groups and so matches all."""
    variables: tuple[str, ...] = ()
    status: int = DEFAULT_STATUS
    headers: tuple[HeaderTemplate, ...] = ()
    body: Template = _NO_BODY

    def matches(self, bits: int) -> bool:
        """Return whether one of the groups has all of its conditions set."""
        for mask in self.masks:  # noqa: SIM110  # a generator costs three times as much
            if bits & mask == mask:
                return True
        return False

    @property
    def has_body(self) -> bool:
        """Return whether the status allows a body (RFC 9110, 6.4.1).

        A status below 200 is no final one: what answers with it has to take another, and that allows a body.
        """
        return self.status not in (204, 205, 304)

    def render_body(self, values: Mapping[str, str]) -> bytes:
        """Return the body of a blocked request's answer."""
        return self.body.render(values).encode("utf-8", "replace") if self.has_body else b""


def values_of(raw: object) -> Mapping[str, str]:
    """Return the ``values`` of an entity's entry as text; what is no scalar is left out and gets its default."""
    if not isinstance(raw, dict):
        return _NO_VALUES
    return {name: text for name, value in raw.items() if (text := scalar_text(value)) is not None}


class RuleCompiler:
    """Compiles the rules of one document, with one set of conditions for all of them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.conditions = ConditionCompiler(problems)

    def compile(self, raw: object, where: str) -> Rule | None:
        """Return the rule, or None when it cannot be used; then that is recorded."""
        if not isinstance(raw, dict):
            self._problems.add(where, "is not an object")
            return None
        identifier, kind = scalar_text(raw.get("_id")), raw.get("type")
        groups = self.conditions.groups(raw.get("regex_config"), where)
        response = self._expect(raw, "response", dict, where)
        wrong = self._unusable(raw, identifier)
        if wrong:
            self._problems.add(where, wrong)
        if wrong or identifier is None or groups is None or response is None:
            return None
        variables = tuple(self._variables(raw, where))
        return Rule(
            id=identifier,
            name=scalar_text(raw.get("name")) or "",
            kind=str(kind),
            block=self._flag(raw, "block", where),
            not_matching=raw.get("applied_to") == "not_matching",
            unidentified=self._flag(raw, "applied_to_unidentified", where),
            groups=groups,
            masks=self.conditions.masks(groups) if groups else (0,),
            variables=variables,
            status=self._status(response, where),
            headers=tuple(self._headers(response, variables, where)),
            body=self._body(response, variables, where),
        )

    def _unusable(self, raw: Mapping[str, Any], identifier: str | None) -> str | None:
        if not identifier:
            return "has no _id"
        if raw.get("type") not in KINDS:
            return f"the type {raw.get('type')!r} is not one of {', '.join(KINDS)}"
        if raw.get("applied_to") not in (None, "matching", "not_matching"):
            return f"applied_to {raw.get('applied_to')!r} is neither matching nor not_matching"
        return None

    def _expect(self, raw: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
        """Return the value of a key, empty when it is missing, None when it is of the wrong type."""
        value = raw.get(key)
        if value is None:
            return kind()
        if not isinstance(value, kind):
            self._problems.add(where, f"{key} is {type(value).__name__}, not {kind.__name__}")
            return None
        return value

    def _flag(self, raw: Mapping[str, Any], key: str, where: str) -> bool:
        value = raw.get(key)
        if value is not None and not isinstance(value, bool):
            self._problems.add(where, f"{key} is neither true nor false, and counts as false")
        return value is True

    def _variables(self, raw: Mapping[str, Any], where: str) -> Iterable[str]:
        for at, variable in enumerate(self._expect(raw, "variables", list, where) or ()):
            name = scalar_text(variable.get("name")) if isinstance(variable, dict) else None
            if name:
                yield name
            else:
                self._problems.add(f"{where}.variables[{at}]", "has no name")

    def _status(self, response: Mapping[str, Any], where: str) -> int:
        status = response.get("status")
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            return status
        if status is not None:
            self._problems.add(where, f"the status {status!r} is no HTTP status, {DEFAULT_STATUS} takes its place")
        return DEFAULT_STATUS

    def _headers(self, response: Mapping[str, Any], variables: tuple[str, ...], where: str) -> Iterable[HeaderTemplate]:
        where += ".response.headers"
        for name, value in (self._expect(response, "headers", dict, where) or {}).items():
            text, wrong = scalar_text(value), refuse_header(name)
            if text is None:
                wrong = f"the value of {name[:64]!r} is neither text nor a number"
            if wrong:
                self._problems.add(where, wrong)
            elif text is not None:
                yield HeaderTemplate(name, name.lower(), compile_template(text, variables))

    def _body(self, response: Mapping[str, Any], variables: tuple[str, ...], where: str) -> Template:
        body, original = response.get("body"), response.get("original_encoded_body")
        if body is None and isinstance(original, str):
            text, is_json = decode_original(original)
            return compile_template(text, variables, json_escape if is_json else plain)
        try:
            return compile_template(orjson.dumps(body).decode(), variables, json_escape)
        except orjson.JSONEncodeError as error:
            self._problems.add(where, f"the body cannot be sent: {error}")
            return _NO_BODY


def decode_original(original: str) -> tuple[str, bool]:
    """Return the text of an ``original_encoded_body`` and whether it is JSON.

    The reference calls it a string and no more. So it is taken as JSON when it is, as base64 of UTF-8 text when it is
    that, else as it stands.
    """
    if is_json(original):
        return original, True
    try:
        decoded = base64.b64decode(original, validate=True).decode()
    except (binascii.Error, ValueError):
        return original, False
    return (decoded, is_json(decoded)) if decoded else (original, False)


def is_json(text: str) -> bool:
    """Return whether a text is a JSON document."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
