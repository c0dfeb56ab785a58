"""The regex conditions that sampling and governance compile: each distinct one is evaluated once a request.

A condition is a path into the request and a pattern (reference, "Config" and "Rules": ``conditions[{path, value}]``).
Compiling gives every distinct condition one bit, and every group of conditions the mask of its bits: the group
matches when all of them are set. The patterns on one field are one RE2 set, so that a hundred of them cost one scan
of the field, in linear time whatever the pattern. A condition that cannot be evaluated keeps its bit and never sets it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .exchange import RequestHead
from .patterns import NO_PATTERNS, SUBJECT_LIMIT, PatternSet, compile_patterns

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


_VERB, _ROUTE = Field("verb"), Field("route")


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


class Patterns(NamedTuple):
    """All patterns on one field beyond verb and route. ``flag`` is the field's bit among those fields."""

    flag: int
    field: Field
    patterns: PatternSet


class Plan(NamedTuple):
    """What is read of a request once its verb is known: no field that only groups ask for which cannot match any more.

    Fields are given by their flags.
    """

    bits: int
    """The conditions on the verb that hold."""
    fields: int
    """The fields of groups without a condition on the route."""
    reads_route: bool
    by_route: Mapping[int, int]
    """The fields of the other groups, by the bit of one of their conditions on the route."""
    keys: int
    """All bits that ``by_route`` has."""


class Matcher(NamedTuple):
    """The compiled conditions of one document. Immutable: threads share it."""

    bits: Mapping[Condition, int] = MappingProxyType({})
    """The bit of each condition."""
    refused: Mapping[Condition, str] = MappingProxyType({})
    """Why a condition can never match."""
    verbs: PatternSet = NO_PATTERNS
    routes: PatternSet = NO_PATTERNS
    others: tuple[Patterns, ...] = ()
    plans: Mapping[str, Plan] = MappingProxyType({})
    """What to read after each of the usual verbs."""
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
        return any(each.field.kind == "header" for each in self.others)

    def open_mask(self, subject: Subject) -> int:
        """Return the bits that are not set yet but may be, once the response has started or the body is known."""
        return (self.response_mask if subject.status is None else 0) | (0 if subject.has_body else self.body_mask)

    def match(self, subject: Subject) -> int:
        """Return the bits of the conditions that hold for this request, as far as they matter to any group.

        A group that fails by its verb, or by its route, fails whatever else there is, so that what only such groups ask
        for is not read, and its bits are left out.
        """
        head = subject.head
        plan = self.plans.get(head.verb)
        if plan is None:
            return self.match_all(subject)
        bits, fields = plan.bits, plan.fields
        if plan.reads_route:
            bits |= self.routes.search(head.path)
            for bit in each_bit(bits & plan.keys):
                fields |= plan.by_route[bit]
        return bits | self._search(subject, fields) if fields else bits

    def match_all(self, subject: Subject) -> int:
        """Return the bits of all conditions that hold for this request."""
        bits = self.verbs.search(subject.head.verb) | self.routes.search(subject.head.path)
        return bits | self._search(subject, -1)

    def _search(self, subject: Subject, fields: int) -> int:
        bits = 0
        for flag, wanted, patterns in self.others:
            if fields & flag:
                text = read_field(subject, wanted)
                if text is not None:
                    bits |= patterns.search(text)
        return bits


NO_CONDITIONS = Matcher()


def each_bit(mask: int) -> Iterator[int]:
    """Yield each bit that is set, as a number with that bit alone."""
    while mask:
        low = mask & -mask
        yield low
        mask ^= low


class _Needs(NamedTuple):
    """What one group needs: the bits of its verbs, one bit of its routes, and the flags of its other fields."""

    verbs: int
    route: int
    fields: int


def _plan(bits: int, needs: Iterable[_Needs]) -> Plan:
    """Return the plan for a verb by which these conditions hold."""
    left = [each for each in needs if bits & each.verbs == each.verbs]
    by_route: dict[int, int] = {}
    fields = 0
    for each in left:
        if not each.route:
            fields |= each.fields
        elif each.fields:
            by_route[each.route] = by_route.get(each.route, 0) | each.fields
    return Plan(bits, fields, any(each.route for each in left), by_route, sum(by_route))


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
        self._groups: list[tuple[Condition, ...]] = []

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
        found = tuple(self._condition(one, f"{where}.conditions[{at}]") for at, one in enumerate(conditions))
        if found:
            self._groups.append(found)
        return found

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
        can_match = {w: sum(self._bits[c] for c in by_field[w] if c not in self._refused) for w in compiled}
        verbs, routes = compiled.pop(_VERB, NO_PATTERNS), compiled.pop(_ROUTE, NO_PATTERNS)
        others = tuple(Patterns(1 << at, wanted, patterns) for at, (wanted, patterns) in enumerate(compiled.items()))
        return Matcher(
            bits=self._bits,
            refused=self._refused,
            verbs=verbs,
            routes=routes,
            others=others,
            plans=self._plans(verbs, {each.field: each.flag for each in others}),
            response_mask=can_match.get(Field("status"), 0),
            body_mask=sum(mask for wanted, mask in can_match.items() if wanted.kind == "body"),
        )

    def _plans(self, verbs: PatternSet, flags: Mapping[Field, int]) -> dict[str, Plan]:
        """Return what to read after each of the usual verbs, worked out beforehand."""
        needs = self._needs(flags)
        by_bits: dict[int, Plan] = {}
        plans: dict[str, Plan] = {}
        for verb in _VERBS:
            bits = verbs.search(verb)
            plans[verb] = by_bits[bits] = by_bits.get(bits) or _plan(bits, needs)
        return plans

    def _needs(self, flags: Mapping[Field, int]) -> list[_Needs]:
        """Return what each group that can match needs."""
        fields = {condition: parse_path(condition.path) for condition in self._bits}
        usable = [group for group in self._groups if self._refused.keys().isdisjoint(group)]
        frequency = Counter(condition for group in usable for condition in group)
        found: dict[_Needs, None] = {}
        for group in usable:
            verbs = others = 0
            routes: list[Condition] = []
            for condition in group:
                wanted = fields[condition]
                if wanted == _ROUTE:
                    routes.append(condition)
                elif wanted == _VERB:
                    verbs |= self._bits[condition]
                elif wanted is not None:
                    others |= flags[wanted]
            # One of them is enough to find the group by: the one that the fewest groups have.
            route = self._bits[min(routes, key=frequency.__getitem__)] if routes else 0
            found[_Needs(verbs, route, others)] = None
        return list(found)

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
