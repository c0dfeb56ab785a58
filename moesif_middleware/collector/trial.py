"""A governance rule tried before it is in force: explained for one recorded event, or run over many as a shadow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ..errors import InvalidPayload
from ..sansio.explain import explain
from ..sansio.governance import Block, Decision, Snapshot, compile_config, compile_rules
from ..sansio.recorded import recorded_id, recorded_subject
from .feed import Served
from .refusals import Refusal

DRAFT: Final = "draft"
"""The id of a rule that has none yet."""

MOST_SAMPLES: Final = 50


@dataclass(frozen=True, slots=True)
class Trial:
    """What is in force, and the same with the tried rule in its place (after all others when it is new)."""

    today: Snapshot
    tried: Snapshot
    rule_id: str

    @classmethod
    def of(cls, served: Served, rule: dict[str, Any] | None) -> Trial:
        """Return the trial of ``rule``; without one, of what is in force. Raises Refusal 400."""
        rules: list[dict[str, Any]] = orjson.loads(served.rules)
        today = _snapshot(served.config, rules)
        if rule is None:
            return cls(today, today, "")
        draft = {**rule, "_id": str(rule.get("_id") or DRAFT)}
        places = [index for index, each in enumerate(rules) if each.get("_id") == draft["_id"]]
        for index in places or [len(rules)]:
            rules[index : index + 1] = [draft]
        return cls(today, _snapshot(served.config, rules), draft["_id"])

    def explained(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what is decided about the request of one event and why, as ``explain`` has it."""
        subject = recorded_subject(event)
        found = explain(self.tried, subject, recorded_id(event, "user_id"), recorded_id(event, "company_id"))
        return found.as_dict()

    def shadowed(self, events: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        """Return what the tried rule would have done to recorded events, given as pairs of id and document."""
        result = Shadow()
        for key, event in events:
            before, after = _decision(self.today, event), _decision(self.tried, event)
            result.looked += 1
            if self.rule_id in after.rules:
                result.applied += 1
                result.note(key, event, before, after)
        return {
            "looked": result.looked,
            "applied": result.applied,
            "blocked": result.blocked,
            "newly_blocked": result.newly_blocked,
            "samples": result.samples,
            "problems": self.tried.problems,
        }


@dataclass(slots=True)
class Shadow:
    """Counts over recorded events: looked at, the rule applied, blocked then, blocked then but not today."""

    looked: int = 0
    applied: int = 0
    blocked: int = 0
    newly_blocked: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def note(self, key: str, event: dict[str, Any], before: Decision, after: Decision) -> None:
        """Count an event that the rule applies to."""
        blocks, blocked = isinstance(after, Block), isinstance(before, Block)
        self.blocked += blocks
        self.newly_blocked += blocks and not blocked
        if len(self.samples) >= MOST_SAMPLES:
            return
        request, response = event["request"], event.get("response") or {}
        self.samples.append(
            {
                "id": key,
                "verb": request.get("verb"),
                "uri": request.get("uri"),
                "was": response.get("status"),
                "becomes": after.status if isinstance(after, Block) else response.get("status"),
                "blocked_by": after.rule_id if isinstance(after, Block) else None,
                "user_id": event.get("user_id"),
                "company_id": event.get("company_id"),
            }
        )


def _snapshot(config: bytes, rules: list[dict[str, Any]]) -> Snapshot:
    try:
        return Snapshot(compile_config(config), compile_rules(orjson.dumps(rules)))
    except InvalidPayload as error:
        raise Refusal(400, f"rule: {error}") from None


def _decision(snapshot: Snapshot, event: dict[str, Any]) -> Decision:
    subject = recorded_subject(event)
    return snapshot.decide(subject, recorded_id(event, "user_id"), recorded_id(event, "company_id"))
