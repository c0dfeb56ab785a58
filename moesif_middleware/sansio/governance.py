"""What the rules decide for a request before the application runs: let it through with headers, or answer it.

Reference, "Rules" and "Config". ``/v1/rules`` says what the rules are, ``/v1/config`` says who is in which rule's
cohort. Regex rules are applied first, then company rules, then user rules, and the last writer wins. Everything here is
immutable; a feed swaps one ``Snapshot`` for the next by one assignment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from ..errors import InvalidPayload
from .conditions import NO_CONDITIONS, Matcher, Problems, Subject, each_bit, scalar_text
from .entities import NO_ENTITIES, SLICE, Entities, EntitiesBuilder, read_document
from .rules import DEFAULT_STATUS, FIRST_FINAL_STATUS, HEADER_LIMIT, Rule, RuleCompiler, values_of
from .sampling import KEEP_ALL, Sampling, compile_sampling, wrong_rate

Applied = list[tuple[Rule, Mapping[str, str]]]
"""Rules with the values for their templates, in the order of application."""

_NO_VALUES: Mapping[str, str] = {}
_PLACE = itemgetter(0)
_WITHOUT_CONTENT = frozenset((204, 304))


class Allow(NamedTuple):
    """The request goes on to the application. ``headers`` go onto its response, replacing those of the same name."""

    headers: tuple[tuple[str, str], ...] = ()
    """Names as the rules spell them, values safe to send; at most 64."""
    rules: tuple[str, ...] = ()
    """The ids of the rules that applied, the last one with the last word."""


class Block(NamedTuple):
    """The request is answered here and does not reach the application."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Complete but for Content-Length, which a server may set by itself."""
    body: bytes
    """Left out by the adapter when the verb is HEAD; empty where the status allows none."""
    rule_id: str
    """The ``_id`` of the rule that had the last word: the event's ``blocked_by``."""
    rules: tuple[str, ...] = ()
    """The ids of all rules that applied."""

    @property
    def content_length(self) -> str | None:
        """Return what Content-Length says, also to HEAD; None for a status that has none (RFC 9110, 8.6)."""
        return None if self.status in _WITHOUT_CONTENT else str(len(self.body))


Decision = Allow | Block
ALLOW = Allow()


class Cohorts(NamedTuple):
    """Who is in which rule's cohort, and with which values: the ``user_rules`` and ``company_rules`` of a config."""

    users: Entities = NO_ENTITIES
    companies: Entities = NO_ENTITIES


NO_COHORTS = Cohorts()


_Group = tuple[int, int, Rule]
"""A group of a rule's conditions: its place among all, the mask of its conditions, the rule."""


class _Regex(NamedTuple):
    """The regex rules, each group found by the one of its conditions that the fewest groups have."""

    by_key: Mapping[int, tuple[_Group, ...]]
    always: tuple[_Group, ...]
    """The groups of the rules that have no conditions."""
    keys: int
    """The bits that are keys of ``by_key``."""

    @staticmethod
    def of(rules: Iterable[Rule]) -> _Regex:
        masks = [(mask, rule) for rule in rules for mask in rule.masks]
        groups = [(place, mask, rule) for place, (mask, rule) in enumerate(masks)]
        frequency = Counter(bit for mask, _ in masks for bit in each_bit(mask))
        by_key: dict[int, list[_Group]] = {}
        for group in groups:
            if group[1]:
                by_key.setdefault(min(each_bit(group[1]), key=frequency.__getitem__), []).append(group)
        always = tuple(group for group in groups if not group[1])
        return _Regex({key: tuple(some) for key, some in by_key.items()}, always, sum(by_key))

    def applied(self, bits: int) -> Applied:
        """Return those that match, in their order."""
        candidates: Iterable[_Group] = self.always
        hits = bits & self.keys
        if hits:
            found = [group for bit in each_bit(hits) for group in self.by_key[bit]]
            found += self.always
            candidates = sorted(found, key=_PLACE)
        applied: Applied = []
        last = None
        for _, mask, rule in candidates:
            # The groups of one rule stand next to each other, and one of them is enough.
            if bits & mask == mask and rule is not last:
                last = rule
                applied.append((rule, _NO_VALUES))
        return applied


class _Scoped(NamedTuple):
    """The company rules, or the user rules."""

    rules: Mapping[str, Rule]
    not_matching: tuple[Rule, ...]
    unidentified: tuple[Rule, ...]

    @staticmethod
    def of(rules: Any) -> _Scoped:
        by_id: dict[str, Rule] = {rule.id: rule for rule in rules}
        return _Scoped(
            by_id,
            tuple(rule for rule in by_id.values() if rule.not_matching),
            tuple(rule for rule in by_id.values() if rule.unidentified),
        )

    def applied(self, bits: int, identifier: object, cohorts: Entities) -> Applied:
        """Return those that apply to an id: by its cohorts in their order, then those for who is in no cohort."""
        key = identifier_text(identifier)
        if key is None:
            return [(rule, _NO_VALUES) for rule in self.unidentified if rule.matches(bits)]
        entries = cohort_entries(cohorts.get(key))
        applied: Applied = []
        for rule_id, values in entries:
            rule = self.rules.get(rule_id)
            if rule is not None and not rule.not_matching and rule.matches(bits):
                applied.append((rule, values_of(values)))
        if self.not_matching:
            inside = {rule_id for rule_id, _ in entries}
            outside = (rule for rule in self.not_matching if rule.id not in inside and rule.matches(bits))
            applied += [(rule, _NO_VALUES) for rule in outside]
        return applied


class Ruleset(NamedTuple):
    """The compiled rules of an application."""

    rules: tuple[Rule, ...] = ()
    """All usable rules, in the order of the document."""
    matcher: Matcher = NO_CONDITIONS
    problems: tuple[str, ...] = ()
    """What was skipped when compiling, and why."""
    regex: _Regex = _Regex({}, (), 0)
    companies: _Scoped = _Scoped({}, (), ())
    users: _Scoped = _Scoped({}, (), ())
    reads_body: bool = False
    """Whether some rule reads the request's body, so that it has to be read before the application runs."""

    @staticmethod
    def of(rules: Iterable[Rule], matcher: Matcher, problems: tuple[str, ...] = ()) -> Ruleset:
        """Return the rules with what finds those that apply."""
        every = tuple(rules)
        return Ruleset(
            every,
            matcher,
            problems,
            _Regex.of(rule for rule in every if rule.kind == "regex"),
            _Scoped.of(rule for rule in every if rule.kind == "company"),
            _Scoped.of(rule for rule in every if rule.kind == "user"),
            matcher.reads_body,
        )

    @property
    def reads_headers(self) -> bool:
        """Return whether some rule reads a header."""
        return self.matcher.reads_headers

    def decide(
        self, subject: Subject, user_id: object = None, company_id: object = None, cohorts: Cohorts = NO_COHORTS
    ) -> Decision:
        """Return what the rules say. Ids are compared as strings; empty ones are no ids.

        Raises only what the subject's own callables raise, and MemoryError when a set of patterns gives up.
        """
        if not self.rules:
            return ALLOW
        applied = self.applied(self.matcher.match(subject), user_id, company_id, cohorts)
        return answer(applied) if applied else ALLOW

    def applied(self, bits: int, user_id: object, company_id: object, cohorts: Cohorts) -> Applied:
        """Return the rules that apply, given the bits of the conditions that hold."""
        applied = self.regex.applied(bits)
        if self.companies.rules:
            applied += self.companies.applied(bits, company_id, cohorts.companies)
        if self.users.rules:
            applied += self.users.applied(bits, user_id, cohorts.users)
        return applied


def identifier_text(identifier: object) -> str | None:
    """Return an id as text; None for one that is missing or empty, which is an unidentified request."""
    if identifier is None or identifier == "":
        return None
    return identifier if isinstance(identifier, str) else str(identifier)


def cohort_entries(raw: object) -> list[tuple[str, object]]:
    """Return rule id and raw values of each entry of an entity; entries of another shape are passed over."""
    if not isinstance(raw, list):
        return []
    entries = ((scalar_text(entry.get("rules")), entry.get("values")) for entry in raw if isinstance(entry, dict))
    return [(rule_id, values) for rule_id, values in entries if rule_id is not None]


def answer(applied: Applied) -> Decision:
    """Return what rules that apply come to, the last writer winning."""
    headers: dict[str, tuple[str, str]] = {}
    blocking: tuple[Rule, Mapping[str, str]] | None = None
    for rule, values in applied:
        for header in rule.headers:
            headers.pop(header.lower, None)
            headers[header.lower] = (header.name, header.render(values))
        if rule.block:
            blocking = rule, values
    # Of too many headers the last ones stay, which are those of the rules with the last word.
    pairs = tuple(headers.values())[-HEADER_LIMIT:]
    ids = tuple(rule.id for rule, _ in applied)
    if blocking is None:
        return Allow(pairs, ids)
    rule, values = blocking
    if rule.has_body and "content-type" not in headers:
        pairs = (*pairs, ("Content-Type", "application/json"))
    return Block(rule.status, pairs, rule.render_body(values), rule.id, ids)


def sendable(block: Block) -> Block:
    """Return the answer as a server can send it: a status below 200 is no final answer, so that 403 takes its place."""
    return block if block.status >= FIRST_FINAL_STATUS else block._replace(status=DEFAULT_STATUS)


class Config(NamedTuple):
    """A compiled ``/v1/config``."""

    sampling: Sampling = KEEP_ALL
    cohorts: Cohorts = NO_COHORTS
    problems: tuple[str, ...] = ()
    """What was skipped when compiling, and why."""


class Snapshot(NamedTuple):
    """Config and rules as they are in force at one moment."""

    config: Config = Config()
    rules: Ruleset = Ruleset()
    idle: bool = True
    """Whether nothing is to be decided: no rule is loaded, and every event is kept."""
    silent: bool = False
    """Whether no request needs a look: no rule is loaded, and no event of anybody is kept."""
    identifies: bool = False
    """Whether it matters to a decision who the user and the company are."""
    reads_request: bool = False
    """Whether anything but that matters to it."""

    @staticmethod
    def of(config: Config, rules: Ruleset) -> Snapshot:
        """Return the two with what follows from both."""
        sampling = config.sampling
        entities = bool(sampling.users or sampling.companies)
        constant = not entities and not sampling.regex
        return Snapshot(
            config,
            rules,
            idle=not rules.rules and sampling.trivial,
            silent=not rules.rules and constant and sampling.sample_rate == 0,
            identifies=bool(entities or rules.users.rules or rules.companies.rules),
            reads_request=bool(rules.rules) or sampling.reads_request,
        )

    @property
    def sampling(self) -> Sampling:
        """Return the sampling of the config."""
        return self.config.sampling

    @property
    def entities(self) -> Cohorts:
        """Return the cohorts of the config, as ``Ruleset.decide`` takes them."""
        return self.config.cohorts

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what was skipped in both documents."""
        return (*(f"config: {text}" for text in self.config.problems), *(f"rules: {t}" for t in self.rules.problems))

    def decide(self, subject: Subject, user_id: object = None, company_id: object = None) -> Decision:
        """Return what the rules say for this request, with the config's cohorts."""
        return self.rules.decide(subject, user_id, company_id, self.config.cohorts)

    def with_config(self, config: Config) -> Snapshot:
        """Return a snapshot with another config."""
        return Snapshot.of(config, self.rules)

    def with_rules(self, rules: Ruleset) -> Snapshot:
        """Return a snapshot with other rules."""
        return Snapshot.of(self.config, rules)


EMPTY = Snapshot()
"""Nothing loaded: everything is allowed and kept."""


def compile_config(data: bytes, size: int = SLICE, pause: Callable[[], object] = int) -> Config:
    """Compile the body of a ``/v1/config`` answer, read in slices of ``size`` bytes, with a ``pause`` between them.

    Raises InvalidPayload when it is not JSON or not an object. What is wrong inside is skipped and recorded.
    """
    problems = Problems()
    checks = {
        "user_sample_rate": wrong_rate,
        "company_sample_rate": wrong_rate,
        "user_rules": _wrong_cohorts,
        "company_rules": _wrong_cohorts,
    }
    builders = {name: EntitiesBuilder(name, check, problems, pause) for name, check in checks.items()}
    document = read_document(data, builders, size)
    for name in checks:
        if document.get(name) is not None:
            problems.add(name, "is not an object")
    maps = {name: builder.build() for name, builder in builders.items()}
    sampling = compile_sampling(document, maps["user_sample_rate"], maps["company_sample_rate"], problems)
    return Config(sampling, Cohorts(maps["user_rules"], maps["company_rules"]), problems.texts())


def _wrong_cohorts(value: object) -> str | None:
    """Return what is wrong with an entity's entries in a config, or None."""
    return None if isinstance(value, list) else f"is {type(value).__name__}, not a list of rules"


def compile_rules(data: bytes) -> Ruleset:
    """Compile the body of a ``/v1/rules`` answer.

    Raises InvalidPayload when it is not JSON or not an array. A rule that cannot be used is skipped and recorded.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidPayload(f"not JSON: {error}") from error
    if not isinstance(document, list):
        raise InvalidPayload("not a JSON array")
    problems = Problems()
    compiler = RuleCompiler(problems)
    by_id: dict[tuple[str, str], Rule] = {}
    for at, raw in enumerate(document):
        rule = compiler.compile(raw, f"[{at}]")
        if rule is not None:
            if by_id.pop((rule.kind, rule.id), None):
                problems.add(f"[{at}]", f"the id {rule.id!r} came before; this one takes its place")
            by_id[rule.kind, rule.id] = rule
    return Ruleset.of(by_id.values(), compiler.conditions.matcher(), problems.texts())
