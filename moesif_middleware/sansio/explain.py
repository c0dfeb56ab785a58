"""Why sampling and governance decide as they do about one request: rule by rule, condition by condition.

The decision and the rates are those of ``Ruleset.decide`` and ``Sampling.rate``; only the reasons are made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .conditions import Condition, Matcher, Subject, parse_path, read_field
from .entities import NO_ENTITIES, Entities
from .governance import ALLOW, Applied, Block, Decision, Snapshot, answer, cohort_entries, identifier_text, sendable
from .rules import Rule
from .sampling import Sampling, weight


@dataclass(frozen=True, slots=True)
class ConditionReport:
    """One condition: the pattern, the value that the request has there, and whether they match."""

    path: str
    pattern: str | None
    value: str | None
    matches: bool
    problem: str | None


Group = tuple[ConditionReport, ...]


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule, in the order of the document."""

    id: str
    name: str
    type: str
    block: bool
    applied: bool
    reason: str
    groups: tuple[Group, ...]
    headers: tuple[tuple[str, str], ...]
    """What it puts on the response, with the values filled in."""


@dataclass(frozen=True, slots=True)
class RouteReport:
    """One entry of the config's ``regex_config``."""

    sample_rate: float
    used: bool
    conditions: Group


@dataclass(frozen=True, slots=True)
class SamplingReport:
    """The rate in percent and where it comes from; ``rate_before`` is None when only the response decides."""

    rate: float
    weight: int
    rate_before: float | None
    entity_rate: float | None
    regex_rate: float | None
    sample_rate: float
    routes: tuple[RouteReport, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it. ``decision`` is what the client gets, ``problems`` what was left out of config and rules."""

    user_id: str | None
    company_id: str | None
    decision: Decision
    rules: tuple[RuleReport, ...]
    sampling: SamplingReport
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(lines(self))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the decision has ``blocked`` and, when true, the answer with its body as text."""
        decision = {**self.decision._asdict(), "blocked": isinstance(self.decision, Block)}
        if isinstance(self.decision, Block):
            decision["body"] = self.decision.body.decode("utf-8", "replace")
        return {**asdict(self), "decision": decision}


@dataclass(frozen=True, slots=True)
class _Facts:
    """Which conditions of one document hold for one request."""

    matcher: Matcher
    subject: Subject
    bits: int

    @classmethod
    def of(cls, matcher: Matcher, subject: Subject) -> _Facts:
        return cls(matcher, subject, matcher.match_all(subject))

    def group(self, conditions: Iterable[Condition]) -> Group:
        return tuple(self._condition(each) for each in conditions)

    def _condition(self, condition: Condition) -> ConditionReport:
        wanted = parse_path(condition.path)
        value = None if wanted is None else read_field(self.subject, wanted)
        matches = bool(self.bits & self.matcher.bits[condition])
        return ConditionReport(condition.path, condition.pattern, value, matches, self.matcher.refused.get(condition))


def explain(snapshot: Snapshot, subject: Subject, user_id: object = None, company_id: object = None) -> Explanation:
    """Return what is decided about a request, and why. Raises only what the subject's own callables raise.

    The subject may be a finished request: rules are explained as if its response had not started yet.
    """
    user, company = identifier_text(user_id), identifier_text(company_id)
    rules = snapshot.rules
    before = _before(subject, reads_body=rules.reads_body)
    facts = _Facts.of(rules.matcher, before)
    applied = rules.applied(facts.bits, user, company, snapshot.entities)
    return Explanation(
        user_id=user,
        company_id=company,
        decision=_decision(applied),
        rules=tuple(_rule(rule, applied, facts, _Entity.of(rule, snapshot, user, company)) for rule in rules.rules),
        sampling=_sampling(snapshot.sampling, subject, before, user, company),
        problems=snapshot.problems,
    )


def _decision(applied: Applied) -> Decision:
    decision = answer(applied) if applied else ALLOW
    return sendable(decision) if isinstance(decision, Block) else decision


def _before(subject: Subject, *, reads_body: bool) -> Subject:
    """Return the request as the application has not seen it: no response, and a body only when a rule reads it."""
    known = subject.has_body and reads_body
    return Subject(subject.head, ip_address=lambda: subject.ip_address, body=(lambda: subject.body) if known else None)


@dataclass(frozen=True, slots=True)
class _Entity:
    """The user or company that a rule is about: its id, and the rules in whose cohort it is."""

    id: str | None
    cohorts: Entities

    @classmethod
    def of(cls, rule: Rule, snapshot: Snapshot, user: str | None, company: str | None) -> _Entity:
        if rule.kind == "regex":
            return cls(None, NO_ENTITIES)
        entities = snapshot.entities
        return cls(user, entities.users) if rule.kind == "user" else cls(company, entities.companies)

    def inside(self, rule: Rule) -> bool:
        """Return whether it is in the rule's cohort."""
        return any(rule_id == rule.id for rule_id, _ in cohort_entries(self.cohorts.get(self.id)))


def _rule(rule: Rule, applied: Applied, facts: _Facts, entity: _Entity) -> RuleReport:
    values = [values for each, values in applied if each is rule]
    headers = tuple((header.name, header.render(values[-1])) for header in rule.headers) if values else ()
    return RuleReport(
        id=rule.id,
        name=rule.name,
        type=rule.kind,
        block=rule.block,
        applied=bool(values),
        reason=_reason(rule, entity, matches=rule.matches(facts.bits)),
        groups=tuple(facts.group(group) for group in rule.groups),
        headers=headers,
    )


def _reason(rule: Rule, entity: _Entity, *, matches: bool) -> str:
    conditions = "it has no conditions"
    if rule.groups:
        conditions = "a group of its conditions matches" if matches else "no group of its conditions matches"
    if rule.kind == "regex":
        return conditions
    if entity.id is None:
        who, wanted = f"the request has no {rule.kind} id", rule.unidentified
    else:
        inside = entity.inside(rule)
        who = f"{rule.kind} {entity.id} is {'in' if inside else 'not in'} the rule's cohort"
        wanted = inside != rule.not_matching
    return f"{who}, and {conditions}" if wanted else f"{who}, and the rule is not for those"


def _sampling(
    sampling: Sampling, subject: Subject, before: Subject, user_id: str | None, company_id: str | None
) -> SamplingReport:
    rate = sampling.rate(subject, user_id, company_id)
    facts = _Facts.of(sampling.matcher, subject)
    chosen = next((each for each in sampling.regex if facts.bits & each.mask == each.mask), None)
    return SamplingReport(
        rate=rate,
        weight=weight(rate),
        rate_before=sampling.rate_before(before, user_id, company_id),
        entity_rate=sampling.entity_rate(user_id, company_id),
        regex_rate=sampling.regex_rate(subject),
        sample_rate=sampling.sample_rate,
        routes=tuple(RouteReport(each.rate, each is chosen, facts.group(each.conditions)) for each in sampling.regex),
    )


def lines(explanation: Explanation) -> Iterable[str]:
    """Yield the explanation as text, a line at a time."""
    decision = explanation.decision
    for rule in explanation.rules:
        yield f"rule {rule.id} ({rule.type}{', blocks' if rule.block else ''}) {rule.name}".rstrip()
        yield f"  {'APPLIES' if rule.applied else 'does not apply'}: {rule.reason}"
        for number, group in enumerate(rule.groups):
            yield f"  group {number}:" if group else f"  group {number}: has no conditions, so it matches nothing"
            yield from (f"    {_line(each)}" for each in group)
        yield from (f"  adds {name}: {value}" for name, value in rule.headers)
    if isinstance(decision, Block):
        yield f"decision: BLOCK with {decision.status}, by rule {decision.rule_id}"
    else:
        yield "decision: allow"
    yield from (f"  {name}: {value}" for name, value in decision.headers)
    if isinstance(decision, Block):
        yield f"  {decision.body.decode('utf-8', 'replace')}"
    yield from _sampling_lines(explanation.sampling)
    yield from (f"problem: {text}" for text in explanation.problems)


def _line(condition: ConditionReport) -> str:
    verdict = "matches" if condition.matches else "does not match"
    text = f"{condition.path} = {condition.value!r:.200} {verdict} {condition.pattern!r:.200}"
    return f"{text} ({condition.problem})" if condition.problem else text


def _sampling_lines(sampling: SamplingReport) -> Iterable[str]:
    for route in sampling.routes:
        yield f"sampling entry of {route.sample_rate:g} %{': USED' if route.used else ''}"
        yield from (f"    {_line(each)}" for each in route.conditions)
    known = {"entity": sampling.entity_rate, "regex": sampling.regex_rate, "default": sampling.sample_rate}
    sources = ", ".join(f"{name} {rate:g} %" for name, rate in known.items() if rate is not None)
    when = "not certain" if sampling.rate_before is None else f"{sampling.rate_before:g} %"
    yield f"sampling: {sampling.rate:g} % ({sources}), weight {sampling.weight}; before the application runs: {when}"
