"""The patterns on one field, as RE2 sets: all are searched for in one scan, in time that no text can stretch.

RE2 is linear in the text, yet a text may keep it at many places of its patterns at once: ``a[ab]{900}b`` has 900 of
them, and each byte then costs some 30 ns for each. So patterns that may spread like that see less of the text, the
less the more places they have together, and those that are beyond any bound are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import re2  # type: ignore[import-untyped]

SUBJECT_LIMIT = 4096
"""Bytes of a field that patterns see."""
MEMORY_LIMIT = 4 * 1024 * 1024
"""Bytes that the program and the states of one RE2 set may take."""
WORK_LIMIT = 160_000
"""Places times bytes that the patterns on one field may cost: some 5 ms."""
LEAST_SUBJECT = 64
"""Bytes of a field that the most spreading patterns still see; what spreads further is refused."""

# Compiled by the first rule, not by every start of an application.
_COUNT = r"\{\d+(?:,\d*)?\}"
# What takes one of many characters: a dot, a class in brackets, an escape such as \w or \pL.
_WIDE = r"(?s)\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\\[dDwWsS]|\\[pP](?:\{\^?\w+\}|\w)"
_LOOPED = ("*", "+", "?")
_BEGINNING = r"(?:[\w /:@-])*(?![*+?{])"

Match = Callable[[bytes], Iterable[int] | None]
Refuse = Callable[[str, str], None]


class Search(NamedTuple):
    """One RE2 set: its search, the bits that each of its patterns sets, and the bytes of a text that it sees."""

    match: Match
    bits: tuple[int, ...]
    limit: int


class PatternSet(NamedTuple):
    """All patterns on one field."""

    sets: tuple[Search, ...]

    def search(self, text: str) -> int:
        """Return the bits of the patterns that are found in the text. Raises MemoryError when a set gives up."""
        data = _encoded(text)
        bits = 0
        for match, table, limit in self.sets:
            found = match(data if len(data) <= limit else _cut(data, limit))
            if not found:
                # Something is always found, unless the states of the set did not fit: that is not the same as no.
                raise MemoryError("a set of patterns ran out of memory")
            for index in found:
                bits |= table[index]
        return bits


NO_PATTERNS = PatternSet(())


def _encoded(text: str) -> bytes:
    """Return the text cut to the limit. Bytes that were no UTF-8 stay some character, as they are in Python."""
    try:
        data = text[:SUBJECT_LIMIT].encode()
    except UnicodeEncodeError:
        data = text[:SUBJECT_LIMIT].encode("utf-8", "replace")
    return data if len(data) <= SUBJECT_LIMIT else _cut(data, SUBJECT_LIMIT)


def _cut(data: bytes, limit: int) -> bytes:
    # The cut may split a character, which would make the last byte no character at all.
    return data[:limit].decode("utf-8", "ignore").encode()


def compile_patterns(bits: Mapping[str, int], *, case_sensitive: bool, refuse: Refuse) -> PatternSet:
    """Compile the patterns of one field, each with the bits that it sets. ``refuse`` is told which never match, why."""
    options = _options(case_sensitive=case_sensitive)
    narrow: list[str] = []
    wide: list[str] = []
    room = WORK_LIMIT // LEAST_SUBJECT
    places = 0
    for pattern in bits:
        why = _refusal(pattern, options)
        spread = 0 if why else _spread(pattern, options)
        if why is None and places + spread > room:
            why = "there is too much repetition on this field"
        if why is not None:
            refuse(pattern, why)
            continue
        places += spread
        (wide if spread else narrow).append(pattern)
    limit = min(SUBJECT_LIMIT, WORK_LIMIT // max(places, 1))
    return PatternSet(
        (*_sets(narrow, bits, options, SUBJECT_LIMIT, refuse), *_sets(wide, bits, options, limit, refuse))
    )


def _sets(
    patterns: list[str], bits: Mapping[str, int], options: re2.Options, limit: int, refuse: Refuse
) -> Iterator[Search]:
    """Yield as few sets as fit the memory limit each."""
    if not patterns:
        return
    match = _compile_set(patterns, options)
    if match is not None:
        yield Search(match, (*(bits[pattern] for pattern in patterns), 0), limit)
    elif len(patterns) > 1:
        half = len(patterns) // 2
        yield from _sets(patterns[:half], bits, options, limit, refuse)
        yield from _sets(patterns[half:], bits, options, limit, refuse)
    else:
        refuse(patterns[0], "it is too large")


def _options(*, case_sensitive: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY_LIMIT
    options.case_sensitive = case_sensitive
    return options


def _refusal(pattern: str, options: re2.Options) -> str | None:
    """Return why RE2 cannot read the pattern, or None."""
    try:
        # Not by adding it to a set, which does not say what it dislikes.
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    except UnicodeEncodeError as error:
        return str(error)
    return None


def _spread(pattern: str, options: re2.Options) -> int:
    """Return at about how many of its places a text can keep the pattern at once, beside its loops.

    One that is anchored begins once. One that begins with what no repetition in it takes cannot begin a second time
    inside of one, as in ``/[0-9]{20}``. Elsewhere each counted repetition and each single wide character counts.
    """
    if pattern.startswith(("^", r"\A")) and "|" not in pattern:
        return 0
    wide = list(re.finditer(_WIDE, pattern))
    found = re.match(_BEGINNING, pattern)
    beginning = found[0] if found else ""
    if beginning and not any(_takes(each[0], beginning) for each in wide):
        return 0
    single = sum(1 for each in wide if pattern[each.end() : each.end() + 1] not in _LOOPED)
    bare = re.sub(_COUNT, "", pattern)
    if bare == pattern:
        return single
    try:
        return single + max(0, _program(pattern, options) - _program(bare, options))
    except re2.error:
        # Without its counts it may be no pattern; then all of it counts.
        return _program(pattern, options)


def _program(pattern: str, options: re2.Options) -> int:
    return int(re2.compile(pattern, options).programsize)


@cache
def _takes(wide: str, text: str) -> bool:
    """Return whether each character of a text may be one that a wide one takes."""
    try:
        return re2.fullmatch(f"(?s:(?:{wide})+)", text) is not None
    except re2.error:
        return True


def _compile_set(patterns: list[str], options: re2.Options) -> Match | None:
    """Return the search of a set, or None when it does not fit the memory limit."""
    patterns_set = re2.Set.SearchSet(options)
    for pattern in patterns:
        patterns_set.Add(pattern)
    # Matches everything: a set whose states do not fit reports no match instead of an error, and this one shows it.
    sentinel = patterns_set.Add("")
    try:
        patterns_set.Compile()
    except re2.error:
        return None
    search: Match = patterns_set.Match
    return search if sentinel in (search(b"") or ()) else None
