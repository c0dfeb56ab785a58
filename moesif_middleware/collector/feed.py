"""What ``GET /v1/config`` and ``GET /v1/rules`` serve, with the tags that tell clients when to fetch them again."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool

from .stores import Store, StoreUnavailable

logger = logging.getLogger(__name__)

CONFIG_TAG: Final = "X-Moesif-Config-ETag"
RULES_TAG: Final = "X-Moesif-Rules-Tag"
CONFIG_KEY: Final = "config"

CHECK_SECONDS: Final = 1.0
"""How long another process's change may stay unseen."""

EMPTY_CONFIG: Final[Mapping[str, Any]] = {
    "sample_rate": 100,
    "user_sample_rate": {},
    "company_sample_rate": {},
    "user_rules": {},
    "company_rules": {},
    "regex_config": [],
}


@dataclass(frozen=True, slots=True)
class Served:
    """One application's config and rules as they are sent, and their tags."""

    config: bytes
    config_tag: str
    rules: bytes
    rules_tag: str

    @property
    def tags(self) -> dict[str, str]:
        """Return the two headers that every answer of the Collector API carries."""
        return {CONFIG_TAG: self.config_tag, RULES_TAG: self.rules_tag}


class Feeds:
    """Builds what is served from the store, and again only after a change."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[float, object, Served]] = {}
        self._building = threading.Lock()

    def current(self, app: str) -> Served:
        """Return what ``app`` is served now. It may read the store, so call it off the event loop."""
        # One thread builds: 100 000 members of cohorts take it a third of a second, and a store that hangs takes a
        # minute to fail. The others are served what was known, and wait only where nothing is.
        known = self._known.get(app)
        if not self._building.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 - else it had waited
            return known[2]
        try:
            return self._looked_up(app)
        finally:
            self._building.release()

    def _looked_up(self, app: str) -> Served:
        known = self._known.get(app)
        now = self._clock()
        if known is not None and now < known[0]:
            return known[2]
        try:
            version = tuple(self._store.version(app, kind) for kind in ("config", "rules", "membership"))
            served = known[2] if known is not None and known[1] == version else self._build(app, version)
        except StoreUnavailable as error:
            # Events may be stored all the same, and their answer needs the tags.
            if known is None:
                raise
            logger.warning("config and rules are served as they were: %s", error)
            served = known[2]
            version = ()
        self._known[app] = (now + CHECK_SECONDS, version, served)
        return served

    async def served(self, app: str) -> Served:
        """Return what ``app`` is served now; the store is asked off the event loop."""
        known = self._known.get(app)
        if known is not None and self._clock() < known[0]:
            return known[2]
        return await run_in_threadpool(self.current, app)

    def changed(self, app: str) -> None:
        """Say that config or rules were just written: the next answer looks at the store again."""
        self._known.pop(app, None)

    def _build(self, app: str, version: tuple[object, ...]) -> Served:
        written = self._store.get(app, "config", CONFIG_KEY) or {}
        computed = self._store.get(app, "membership", "membership") or {}
        rules = sorted(self._store.documents(app, "rules"), key=_position)
        joined = _joined(written, computed, {rule["_id"] for rule in rules})
        config = orjson.dumps({**EMPTY_CONFIG, **written, **joined})
        encoded = orjson.dumps(rules)
        return Served(config, _tag((version[0], version[2]), config), encoded, _tag(version[1], encoded))


def _joined(written: dict[str, Any], computed: dict[str, Any], rules: set[str]) -> dict[str, Any]:
    """Return what cohorts put into the config, under what was written there by hand: that wins for the same rule."""
    found: dict[str, Any] = {}
    for name in ("user_sample_rate", "company_sample_rate"):
        if name in computed:
            found[name] = {**computed[name], **(written.get(name) or {})}
    for name in ("user_rules", "company_rules"):
        if name not in computed:
            continue
        found[name] = dict(written.get(name) or {})
        for who, entries in computed[name].items():
            by_hand = found[name].get(who) or []
            known = {entry["rules"] for entry in by_hand}
            kept = [entry for entry in entries if entry["rules"] in rules and entry["rules"] not in known]
            if kept:
                found[name][who] = [*by_hand, *kept]
    return found


def _position(rule: dict[str, Any]) -> tuple[int, str, str]:
    """Return where a rule stands in the list: by priority, then oldest first."""
    priority = rule.get("priority")
    return (priority if isinstance(priority, int) else 0, str(rule.get("created_at", "")), str(rule.get("_id", "")))


def _tag(version: object, content: bytes) -> str:
    # Clients remember the last two tags, so content that comes back needs a new one: of content alone, the tag after
    # a rule was made and deleted again would be a known one, and nobody would fetch.
    return hashlib.sha256(repr(version).encode() + content).hexdigest()[:32]
