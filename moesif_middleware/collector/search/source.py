"""``_source``: which members of a document an answer holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import InvalidSearch
from .reading import at, known, listed, text


@dataclass(frozen=True, slots=True)
class Source:
    """Patterns of dotted paths to keep (None: all) and to leave out; ``wanted`` is false for ``_source: false``."""

    wanted: bool = True
    includes: re.Pattern[str] | None = None
    excludes: re.Pattern[str] | None = None

    def of(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the members of a document that are asked for."""
        if self.includes is None and self.excludes is None:
            return document
        kept = self._kept(document, "", included=self.includes is None)
        return kept if isinstance(kept, dict) else {}

    def _kept(self, value: Any, path: str, *, included: bool) -> Any:
        """Return what is kept of a value, None for nothing."""
        if path and self.excludes is not None and self.excludes.fullmatch(path):
            return None
        included = included or bool(path and self.includes is not None and self.includes.fullmatch(path))
        if isinstance(value, dict):
            members = {
                name: kept
                for name, member in value.items()
                if (kept := self._kept(member, f"{path}.{name}" if path else name, included=included)) is not None
                or (member is None and included)
            }
            return members if members or included else None
        if isinstance(value, list):
            elements = [self._kept(element, path, included=included) for element in value]
            return elements if included else [kept for kept in elements if kept is not None] or None
        return value if included else None


def parse_source(value: object, path: str) -> Source:
    """Read ``_source``: a boolean, a pattern, a list of patterns, or ``includes`` and ``excludes``."""
    if isinstance(value, bool):
        return Source(wanted=value)
    if isinstance(value, dict):
        known(value, ("includes", "excludes", "include", "exclude"), path)
        includes = value.get("includes", value.get("include"))
        excludes = value.get("excludes", value.get("exclude"))
        return Source(
            includes=_patterns(includes, at(path, "includes")), excludes=_patterns(excludes, at(path, "excludes"))
        )
    return Source(includes=_patterns(value, path))


def _patterns(value: object, path: str) -> re.Pattern[str] | None:
    if value is None or value == []:
        return None
    names = [text(each, path) for each in listed(value)]
    if any(len(name) > 1_000 or name.count("*") > 8 for name in names):
        raise InvalidSearch(path, "a pattern is too long")
    # A pattern names a member with everything below it.
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names))
