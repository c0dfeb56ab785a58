"""Who is in which cohort, as ``GET /v1/config`` tells it: looked at again every so often, and at once after a change.

A governance rule with ``cohorts`` gets their members into ``user_rules`` or ``company_rules`` with the values of its
variables, which stand in their profiles; a cohort with a ``sample_rate`` gets its members into ``user_sample_rate`` or
``company_sample_rate``. The result is one stored document for each application, written only when it differs, so
that several collectors that share a store may all do this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from ..errors import InvalidModel
from .context import CollectorContext
from .criteria import criteria_of, text_of, value_at
from .stores import Store, StoreUnavailable

logger = logging.getLogger(__name__)

KIND: Final = "membership"

Document = dict[str, Any]
Members = dict[str, Document]
"""Id -> profile."""


def membership(store: Store, app: str, now_ms: int) -> Document:
    """Return the part of an application's config that its cohorts make."""
    cohorts = {cohort["_id"]: cohort for cohort in store.documents(app, "cohorts")}
    governed = [rule for rule in store.documents(app, "rules") if rule.get("cohorts")]
    wanted = {key for rule in governed for key in cohort_ids(rule)}
    wanted |= {key for key, cohort in cohorts.items() if cohort.get("sample_rate") is not None}
    members = {key: _members(store, app, cohorts[key], now_ms) for key in sorted(wanted & cohorts.keys())}
    found: Document = {}
    for kind in ("user", "company"):
        mine = {key: who for key, who in members.items() if cohorts[key]["cohort_type"] == kind}
        rules = sorted((rule for rule in governed if rule.get("type") == kind), key=lambda rule: str(rule["_id"]))
        if entries := _entries(rules, mine):
            found[f"{kind}_rules"] = entries
        if rates := _rates((cohorts[key].get("sample_rate"), who) for key, who in mine.items()):
            found[f"{kind}_sample_rate"] = rates
    return found


def cohort_ids(rule: Document) -> list[str]:
    """Return the ids of the cohorts that a rule names."""
    named = (cohort.get("id") or cohort.get("_id") or cohort.get("cohort_id") for cohort in rule.get("cohorts") or [])
    return [key for key in named if isinstance(key, str)]


def _members(store: Store, app: str, cohort: Document, now_ms: int) -> Members:
    try:
        return dict(criteria_of(cohort, now_ms).members(store, app))
    except InvalidModel as error:
        # Checked when it was written, so an older version wrote it: the other cohorts go on.
        logger.warning("the criteria of cohort %s cannot be searched: %s", cohort["_id"], error)
        return {}


def _entries(rules: list[Document], members: dict[str, Members]) -> dict[str, list[Document]]:
    """Return id -> the rules that he is a member of, with the values of their variables."""
    found: dict[str, list[Document]] = {}
    for rule in rules:
        joined: Members = {}
        for key in cohort_ids(rule):
            joined = {**members.get(key, {}), **joined}
        for who, profile in joined.items():
            found.setdefault(who, []).append({"rules": rule["_id"], "values": _values(rule, profile)})
    return found


def _values(rule: Document, profile: Document) -> dict[str, str]:
    found = {each["name"]: value_at(profile, each["path"]) for each in rule.get("variables") or []}
    return {name: text_of(value) for name, value in found.items() if value is not None}


def _rates(cohorts: Iterable[tuple[Any, Members]]) -> dict[str, float]:
    """Return id -> rate in percent, the least of his cohorts'."""
    found: dict[str, float] = {}
    for rate, members in cohorts:
        if rate is not None:
            found.update({who: min(rate, found.get(who, rate)) for who in members})
    return found


def update(store: Store, app: str, now_ms: int) -> bool:
    """Compute an application's membership, write it when it differs, and return whether it did."""
    computed, there = membership(store, app, now_ms), store.get(app, KIND, KIND) or {}
    if computed == there:
        return False
    store.put(app, KIND, {KIND: computed}, merge=False).result()
    return True


async def keep_membership(context: CollectorContext, seconds: float) -> None:
    """Update every application's membership every ``seconds``, and when a change makes it due, until cancelled."""
    while True:
        context.membership_due.clear()
        for app in context.apps:
            try:
                changed = await run_in_threadpool(update, context.store, app, context.now_ms())
            except StoreUnavailable as error:
                logger.warning("the members of cohorts were not computed: %s", error)
            except Exception:
                # A document that nobody foresaw must not end the computing for all others, unseen.
                logger.exception("the members of cohorts were not computed")
            else:
                if changed:
                    context.feeds.changed(app)
        try:
            async with asyncio.timeout(seconds):
                await context.membership_due.wait()
        except TimeoutError:
            continue
