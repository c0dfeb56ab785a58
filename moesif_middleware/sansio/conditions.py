"""The regex conditions that sampling and governance compile: each distinct one is evaluated once a request.

A condition is a path into the request and a pattern (reference, "Config" and "Rules": ``conditions[{path, value}]``).
Compiling gives every distinct condition one bit, and every group of conditions the mask of its bits: the group
matches when all of them are set. The patterns on one field are one RE2 set, so that a hundred of them cost one scan
of the field, in linear time whatever the pattern. A condition that cannot be evaluated keeps its bit and never sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .exchange import RequestHead
from .patterns import SUBJECT_LIMIT, PatternSet, compile_patterns

PROBLEM_LIMIT = 100
"""Problems that are kept of one document."""

_PROBLEM_LENGTH = 400
_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PLAIN = {
    "request.verb": "verb",
    "request.route": "route",
    "request.ip_address": "ip_address",
    "request.ip": "ip_address",
    "response.status": "status",
}


class Condition(NamedTuple):
    """A path into the request and the pattern that its value is searched for; ``pattern`` None never matches."""

    path: str
    pattern: str | None


class Field(NamedTuple):
    """What a path reads: ``verb``, ``route``, ``ip_address``, ``status``, or ``header`` and ``body`` with a name."""

    kind: str
    name: str = ""


def parse_path(path: str) -> Field | None:
    """Return the field that a condition's path reads; None for a path that is not known."""
    if kind := _PLAIN.get(path):
        return Field(kind)
    if path.startswith("request.headers.") and len(path) > 16:
        return Field("header", path[16:].lower())
    if path.startswith("request.body.") and len(path) > 13:
        return Field("body", path[13:])
    return None


def scalar_text(value: object) -> str | None:
    """Return a JSON scalar as ``str()`` writes it; None for null, objects, arrays and anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        try:
            return str(value)
        except ValueError:
            # Python refuses to write integers of more than 4 300 digits.
            return None
    return None


class Subject:
    """One request as conditions read it. Address and body are asked for when the first condition wants them.

    ``ip_address`` is a value or what returns it; ``body`` returns the parsed JSON body, of which only an object counts.
    Without ``body`` nothing is known of it. ``status`` is None until the response has started.
    """

    __slots__ = ("_body", "_ip_address", "has_body", "head", "status")

    def __init__(
        self,
        head: RequestHead,
        *,
        ip_address: str | Callable[[], str | None] | None = None,
        body: Callable[[], Any] | None = None,
        status: int | None = None,
    ) -> None:
        self.head = head
        self.status = status
        self._ip_address = ip_address
        self._body: Any = body
        self.has_body = body is not None

    @property
    def ip_address(self) -> str | None:
        """Return the client's address, or None."""
        if callable(self._ip_address):
            self._ip_address = self._ip_address()
        return self._ip_address

    @property
    def body(self) -> Mapping[str, Any]:
        """Return the JSON object of the body; empty when the body is anything else."""
        if callable(self._body):
            self._body = self._body()
        return self._body if isinstance(self._body, dict) else {}


def read_field(subject: Subject, wanted: Field) -> str | None:
    """Return the text that patterns on this field see, uncut; None when the request does not have it."""
    kind = wanted.kind
    if kind == "route":
        return subject.head.path
    if kind == "header":
        return subject.head.headers.get(wanted.name)
    if kind == "verb":
        return subject.head.verb
    if kind == "body":
        return scalar_text(subject.body.get(wanted.name))
    return scalar_text(subject.ip_address if kind == "ip_address" else subject.status)


@dataclass(frozen=True, slots=True)
class Matcher:
    """The compiled conditions of one document. Immutable: threads share it."""

    bits: Mapping[Condition, int] = field(default_factory=dict)
    """The bit of each condition."""
    refused: Mapping[Condition, str] = field(default_factory=dict)
    """Why a condition can never match."""
    verbs: PatternSet | None = None
    by_verb: Mapping[str, int] = field(default_factory=dict)
    """The bits of the usual verbs, worked out beforehand."""
    headers: tuple[tuple[str, PatternSet], ...] = ()
    others: tuple[tuple[Field, PatternSet], ...] = ()
    response_mask: int = 0
    """The bits that only a response can set."""
    body_mask: int = 0
    """The bits that only a body can set."""

    @property
    def reads_body(self) -> bool:
        """Return whether some condition reads the request's body."""
        return self.body_mask > 0

    @property
    def reads_headers(self) -> bool:
        """Return whether some condition reads a header."""
        return bool(self.headers)

    def open_mask(self, subject: Subject) -> int:
        """Return the bits that are not set yet but may be, once the response has started or the body is known."""
        return (self.response_mask if subject.status is None else 0) | (0 if subject.has_body else self.body_mask)

    def match(self, subject: Subject) -> int:
        """Return the bits of the conditions that hold for this request. Reads no field that no condition reads."""
        bits = 0
        if self.verbs is not None:
            verb = subject.head.verb
            known = self.by_verb.get(verb)
            bits = self.verbs.search(verb) if known is None else known
        if self.headers:
            given = subject.head.headers
            for name, patterns in self.headers:
                text = given.get(name)
                if text is not None:
                    bits |= patterns.search(text)
        for wanted, patterns in self.others:
            text = read_field(subject, wanted)
            if text is not None:
                bits |= patterns.search(text)
        return bits


class Problems:
    """What is wrong with a document, said once each and bounded, for the one that loads it to log and count."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._more = 0

    def add(self, where: str, what: str) -> None:
        """Note that something is not used: where it stands, and what is wrong with it."""
        if len(self._texts) < PROBLEM_LIMIT:
            self._texts[f"{where}: {what}"[:_PROBLEM_LENGTH]] = None
        else:
            self._more += 1

    def texts(self) -> tuple[str, ...]:
        """Return them in the order they were found."""
        more = (f"and {self._more} more",) if self._more else ()
        return (*self._texts, *more)


class ConditionCompiler:
    """Collects the conditions of one document, then compiles them into one Matcher."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._bits: dict[Condition, int] = {}
        self._refused: dict[Condition, str] = {}

    def groups(self, regex_config: object, where: str) -> tuple[tuple[Condition, ...], ...] | None:
        """Return the groups of a rule's regex_config; () when it has none, None when it is no list."""
        if regex_config is None:
            return ()
        if not isinstance(regex_config, list):
            self._problems.add(where, "regex_config is not a list")
            return None
        return tuple(self.group(group, f"{where}.regex_config[{at}]") for at, group in enumerate(regex_config))

    def group(self, group: object, where: str) -> tuple[Condition, ...]:
        """Return the conditions of a group; () for one that has none, which never matches."""
        conditions = group.get("conditions") if isinstance(group, dict) else None
        if not isinstance(conditions, list):
            self._problems.add(where, "has no list of conditions, so that it matches nothing")
            return ()
        return tuple(self._condition(one, f"{where}.conditions[{at}]") for at, one in enumerate(conditions))

    def masks(self, groups: Iterable[tuple[Condition, ...]]) -> tuple[int, ...]:
        """Return the mask of each group that can match: the group matches when all bits of its mask are set."""
        masks = []
        for group in groups:
            if group:
                mask = 0
                for condition in group:
                    mask |= self._bits[condition]
                masks.append(mask)
        return tuple(masks)

    def _condition(self, raw: object, where: str) -> Condition:
        path, value = (raw.get("path"), raw.get("value")) if isinstance(raw, dict) else (None, None)
        condition = Condition(path if isinstance(path, str) else "", scalar_text(value))
        if condition in self._bits:
            return condition
        self._bits[condition] = 1 << len(self._bits)
        if parse_path(condition.path) is None:
            self._refuse(condition, where, f"the path {path!r} is not known, so that it never matches")
        elif condition.pattern is None:
            self._refuse(condition, where, "the value is neither text nor a number, so that it never matches")
        return condition

    def _refuse(self, condition: Condition, where: str, why: str) -> None:
        self._refused[condition] = why
        self._problems.add(where, why)

    def matcher(self) -> Matcher:
        """Compile what was collected."""
        by_field: dict[Field, list[Condition]] = {}
        for condition in self._bits:
            wanted = parse_path(condition.path)
            if wanted is not None and condition.pattern is not None:
                by_field.setdefault(wanted, []).append(condition)
        compiled = {wanted: self._pattern_set(wanted, conditions) for wanted, conditions in by_field.items()}
        compiled = {wanted: patterns for wanted, patterns in compiled.items() if patterns.sets}
        verbs = compiled.pop(Field("verb"), None)
        can_match = {w: sum(self._bits[c] for c in by_field[w] if c not in self._refused) for w in compiled}
        return Matcher(
            bits=self._bits,
            refused=self._refused,
            verbs=verbs,
            by_verb={verb: verbs.search(verb) for verb in _VERBS} if verbs is not None else {},
            headers=tuple((wanted.name, patterns) for wanted, patterns in compiled.items() if wanted.kind == "header"),
            others=tuple((wanted, patterns) for wanted, patterns in compiled.items() if wanted.kind != "header"),
            response_mask=can_match.get(Field("status"), 0),
            body_mask=sum(mask for wanted, mask in can_match.items() if wanted.kind == "body"),
        )

    def _pattern_set(self, wanted: Field, conditions: list[Condition]) -> PatternSet:
        # Two spellings of one path read one field.
        by_pattern: dict[str, list[Condition]] = {}
        for condition in conditions:
            by_pattern.setdefault(condition.pattern or "", []).append(condition)

        def refuse(pattern: str, why: str) -> None:
            for condition in by_pattern[pattern]:
                self._refuse(condition, condition.path, f"{why}, so the pattern {pattern!r} never matches")

        bits = {pattern: sum(self._bits[each] for each in same) for pattern, same in by_pattern.items()}
        patterns = compile_patterns(bits, case_sensitive=wanted.kind != "verb", refuse=refuse)
        least = min((search.limit for search in patterns.sets), default=SUBJECT_LIMIT)
        if least < SUBJECT_LIMIT:
            self._problems.add(conditions[0].path, f"patterns with much repetition see only its first {least} bytes")
        return patterns
