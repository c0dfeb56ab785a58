"""How many of the events are kept: percent by user, by company, by what the request looks like, and for all.

Reference, "Config": ``sample_rate``, ``user_sample_rate``, ``company_sample_rate`` and ``regex_config``. The rate is
the least of the entity's and the first matching regex entry's, else the general one, else 100. Rates are percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .conditions import NO_CONDITIONS, Condition, ConditionCompiler, Matcher, Problems, Subject
from .entities import NO_ENTITIES, Entities

WEIGHT_LIMIT = 2**31 - 1
"""The largest weight; a rate that asks for more would not fit the collector's integer."""


def weight(rate: float) -> int:
    """Return how many requests a kept event stands for at a rate in percent: ``floor(100 / rate)``, and 1 at 0."""
    return 1 if rate <= 0 else int(min(100 / rate, WEIGHT_LIMIT))


def keep(rate: float, draw: float) -> bool:
    """Return whether a request is kept at a rate in percent, given a number drawn evenly from [0, 1)."""
    return draw * 100 < rate


def wrong_rate(value: object) -> str | None:
    """Return what is wrong with a rate, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"the rate is {type(value).__name__}, not a number"
    return None if 0 <= value <= 100 else f"the rate {value} is not between 0 and 100"


class RegexRate(NamedTuple):
    """One entry of the config's regex_config: the rate where all conditions match."""

    rate: float
    mask: int
    conditions: tuple[Condition, ...] = ()


class Sampling(NamedTuple):
    """The compiled sampling of one config. No dice: ``keep`` takes the draw."""

    sample_rate: float = 100
    users: Entities = NO_ENTITIES
    companies: Entities = NO_ENTITIES
    regex: tuple[RegexRate, ...] = ()
    matcher: Matcher = NO_CONDITIONS
    trivial: bool = True
    """Whether every event is kept whatever the request, so that nothing needs to be asked."""

    @property
    def reads_body(self) -> bool:
        """Return whether some condition reads the request's body."""
        return self.matcher.reads_body

    @property
    def reads_request(self) -> bool:
        """Return whether it takes more than the ids to tell a rate, so that a subject is needed."""
        return bool(self.regex)

    def rate(self, subject: Subject | None, user_id: str | None, company_id: str | None) -> float:
        """Return the rate of a finished request, in percent; it takes a subject if ``reads_request``."""
        entity = self.entity_rate(user_id, company_id)
        regex = None if subject is None else self.regex_rate(subject)
        if entity is None:
            return self.sample_rate if regex is None else regex
        return entity if regex is None else min(entity, regex)

    def rate_before(self, subject: Subject | None, user_id: str | None, company_id: str | None) -> float | None:
        """Return the rate that the request will have when that is certain before the application runs, else None.

        An id that is given must be final; one that is not may still become known. So the entity's rate is certain when
        the map that decides it is empty or its id is given, and the regex rate when no earlier entry may still match
        by its response, nor by a body that was not given. Where they are not, a rate of 0 is still certain once one
        of the two is 0: nothing is less. It takes a subject if ``reads_request``.
        """
        certain, entity = self._entity_before(user_id, company_id)
        if subject is None or not self.regex:
            return None if not certain else self.sample_rate if entity is None else entity
        regex = self._regex_before(subject)
        if regex == {0} or entity == 0:
            return 0
        if len(regex) > 1 or not certain:
            return None
        return min((rate for rate in (*regex, entity) if rate is not None), default=self.sample_rate)

    def _regex_before(self, subject: Subject) -> set[float | None]:
        """Return the rates that regex_config may come to; None stands for no match."""
        bits, later = self.matcher.match(subject), self.matcher.open_mask(subject)
        possible: set[float | None] = set()
        for entry in self.regex:
            if (bits | later) & entry.mask == entry.mask:
                possible.add(entry.rate)
                if not entry.mask & later:
                    return possible
        return possible | {None}

    def _entity_before(self, user_id: str | None, company_id: str | None) -> tuple[bool, float | None]:
        """Return whether it is certain which rate the entity has, if any, and that rate."""
        rate: float | None = self.users.get(user_id)
        if rate is not None:
            return True, rate
        if self.users and not user_id:
            return False, None
        rate = self.companies.get(company_id)
        return rate is not None or bool(company_id) or not self.companies, rate

    def entity_rate(self, user_id: str | None, company_id: str | None) -> float | None:
        """Return the user's rate, else the company's, else None."""
        rate: float | None = self.users.get(user_id)
        return self.companies.get(company_id) if rate is None else rate

    def regex_rate(self, subject: Subject) -> float | None:
        """Return the rate of the first entry whose conditions all match, or None."""
        if not self.regex:
            return None
        bits = self.matcher.match(subject)
        return next((entry.rate for entry in self.regex if bits & entry.mask == entry.mask), None)


KEEP_ALL = Sampling()


def compile_sampling(config: Mapping[str, Any], users: Entities, companies: Entities, problems: Problems) -> Sampling:
    """Compile the sampling of a config document, whose maps of entities were read apart. Records what it skips."""
    general = config.get("sample_rate")
    if general is not None and (wrong := wrong_rate(general)):
        problems.add("sample_rate", wrong)
        general = None
    compiler = ConditionCompiler(problems)
    entries = config.get("regex_config")
    if entries is not None and not isinstance(entries, list):
        problems.add("regex_config", "is not a list")
        entries = None
    found = [_regex_rate(entry, f"regex_config[{at}]", compiler, problems) for at, entry in enumerate(entries or ())]
    rate, regex = 100 if general is None else general, tuple(entry for entry in found if entry is not None)
    trivial = rate == 100 and not regex and not users and not companies
    return Sampling(rate, users, companies, regex, compiler.matcher(), trivial)


def _regex_rate(entry: object, where: str, compiler: ConditionCompiler, problems: Problems) -> RegexRate | None:
    rate = entry.get("sample_rate") if isinstance(entry, dict) else None
    if wrong := wrong_rate(rate):
        problems.add(where, wrong)
        return None
    conditions = compiler.group(entry, where)
    masks = compiler.masks([conditions])
    return RegexRate(rate, masks[0], conditions) if masks else None  # type: ignore[arg-type]
