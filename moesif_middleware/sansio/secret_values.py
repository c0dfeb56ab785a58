"""What a secret looks like wherever it stands: tokens, private keys, credentials, provider keys and card numbers.

Everything runs on RE2 over bytes, so that no text takes more than linear time. Each detector has a ``hint``: a
pattern that also matches wherever the detector would match in the text that a JSON document spells with escapes, so
that one search over the raw bytes tells whether anything must be looked at.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import re2  # type: ignore[import-untyped]  # it has no stubs

from ..errors import ConfigurationError
from .markers import MARKER, marker

_MEMORY = 8 << 20
# Where it stands within the text multiplies the states of a search: with less, ordinary documents use them up.
_MEMORY_WHOLE = 12 << 20


def linear(pattern: bytes, *, never_capture: bool = False, memory: int = _MEMORY) -> Any:
    """Compile an RE2 pattern over bytes, each byte one character. Raises ``re2.error`` for what RE2 lacks.

    ``memory`` bounds the bytes that the pattern takes; a third of them at most are for the states of a search.
    """
    options = re2.Options()
    options.never_capture = never_capture
    options.max_mem = memory
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern, options)


# What may stand in front of a word in the spelling of a JSON string: "\n" and "\u2028" end in a letter and a digit.
_BEFORE = rb"(?:^|[^A-Za-z0-9]|\\[bfnrt]|\\u[0-9A-Fa-f]{4})"
_KEYS = (
    rb"gh[a-z]_[A-Za-z0-9]{8}[A-Za-z0-9]*|github_pat_[A-Za-z0-9_]{8}[A-Za-z0-9_]*"
    rb"|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{6}[A-Za-z0-9]*|whsec_[A-Za-z0-9+/=]{16}[A-Za-z0-9+/=]*"
    rb"|(?:AKIA|ASIA)[A-Z0-9]{12}[A-Z0-9]*|xox[a-z]-[A-Za-z0-9-]{8}[A-Za-z0-9-]*|AIza[A-Za-z0-9_-]{30}[A-Za-z0-9_-]*"
    rb"|glpat-[A-Za-z0-9_-]{16}[A-Za-z0-9_-]*|sk-(?:ant-|proj-)?[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]{16}[A-Za-z0-9_-]*"
    rb"|npm_[A-Za-z0-9]{30}[A-Za-z0-9]*|SG\.[A-Za-z0-9_-]{16}[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"
)


class Detector(NamedTuple):
    """One value rule: what it matches (group 1 is replaced), what hints at it, and what RE2 cannot ask."""

    rule: str
    pattern: bytes
    hint: bytes
    check: Callable[[bytes, bytes], bool] | None = None
    """Called with what matched and the whole text."""


def luhn(digits: bytes) -> bool:
    """Return whether the last of some decimal digits is the Luhn check digit of the others."""
    single, double = digits[::-2], digits[-2::-2]
    return (sum(single) - 48 * len(single) + sum(double.translate(_DOUBLED))) % 10 == 0


def is_card(digits: bytes) -> bool:
    """Return whether 13 to 19 digits are a card number.

    No issuer begins with 0; 13, 16 and 19 digits that begin with 1 are milli-, micro- and nanoseconds of this century.
    """
    size = len(digits)
    if not 13 <= size <= 19 or digits[:1] == b"0" or (digits[:1] == b"1" and size in (13, 16, 19)):
        return False
    return luhn(digits)


_ORDINARY = frozenset(b"abcdefghijklmnopqrstuvwxyz-")
_NOT_CREDENTIALS = frozenset({b"token", b"tokens", b"auth", b"authentication", b"authorization", b"scheme", b"realm"})


def _is_bearer(found: bytes, text: bytes) -> bool:
    token = found.split(None, 1)[1].rstrip(b".:!?")
    # "the bearer of", "Bearer authentication", "bearer token-based": prose is short and in small letters.
    if len(token) < 16 and _ORDINARY.issuperset(token[:1].lower() + token[1:]):
        return text.strip() == found and token.lower() not in _NOT_CREDENTIALS
    return True


def _is_user_info(found: bytes, _text: bytes) -> bool:
    return _MARKED_USERS.fullmatch(found) is None


def _is_basic(found: bytes, _text: bytes) -> bool:
    token = found.split(None, 1)[1]
    bare = token.rstrip(b"=")
    try:
        decoded = b64decode(bare + b"=" * (-len(bare) % 4), altchars=b"-_" if b"-" in bare or b"_" in bare else None)
    except binascii.Error:
        decoded = b""
    if b":" in decoded and min(decoded) >= 0x20:
        return True
    return len(token) >= 8 and (
        token.endswith(b"=") or (any(48 <= byte <= 57 for byte in token) and not bare.islower())
    )


DETECTORS = (
    Detector(
        "private_key_pem",
        rb"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----(?s:.*?)"
        rb"(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----|\z))",
        rb"-----BEGIN [A-Z0-9 ]*PRIVATE",
    ),
    Detector(
        "json_web_token",
        rb"((?:eyJ|eyAi|ewog)[A-Za-z0-9_-]{6}[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){1,4})",
        rb"ey[JA][A-Za-z0-9_-]{6}[A-Za-z0-9_-]*\.|ewog[A-Za-z0-9_-]{6}[A-Za-z0-9_-]*\.",
    ),
    Detector(
        "bearer",
        rb"(?i)(?:^|[^A-Za-z])(bearer[ \t]+[^\s\"'<>,;\[\](){}\\]+)",
        rb"(?i)bearer(?:[ \t]|\\+t)",
        _is_bearer,
    ),
    Detector(
        "basic",
        rb"(?i)(?:^|[^A-Za-z])(basic[ \t]+[A-Za-z0-9+/_-]{4}[A-Za-z0-9+/_-]*={0,2})",
        rb"(?i)basic(?:[ \t]|\\+t)(?:[ \t]|\\+t)*[A-Za-z0-9+/_\\-]{4}",
        _is_basic,
    ),
    Detector(
        "provider_key",
        rb"(?:^|[^A-Za-z0-9])(" + _KEYS + rb")",
        _BEFORE + rb"(?:" + _KEYS + rb")",
    ),
    Detector(
        "url_password",
        rb"://([^\s/:@?#\"<>]*:(?:[^\s/\"<>]*|[^\s/@\"<>]*[^\s/@\"<>0-9][^\s\"<>]*))@",
        rb":\\?/\\?/[^\s\"]*:[^\s\"]*@",
        _is_user_info,
    ),
)

_LONG_NUMBER_HINT = (
    rb"(?:^|[^0-9A-Za-z.]|(?:^|[^0-9])\.|(?:\\[bfnrt]|\\u[0-9A-Fa-f]{4})\.?)(?:[2-9][0-9]{12}|1[0-9]{13})"
)
_GROUPS_HINT = rb"[0-9]{4}[ .-](?:[0-9]{4}[ .-][0-9]{4}[ .-][0-9]|[0-9]{6}[ .-][0-9]{4})"
_NUMBERS_HINT = _LONG_NUMBER_HINT + b"|" + _GROUPS_HINT
_DIGITS = re.compile(rb"[0-9]*")
_ESCAPE = re.compile(rb"\\+(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_DIGIT_MAP = bytes(48 if 48 <= code <= 57 else 0 for code in range(256))
_SHORTEST_CARD = b"0" * 13
_DOUBLED = bytes(((code - 48) * 2 - (9 if code > 52 else 0)) % 256 for code in range(256))
_ROUNDS = 3
_MARKED = re.compile(rb"(" + re.escape(MARKER.encode()) + rb"\w+\])")
_RUN = linear(rb"[0-9]+(?:[ .-][0-9]+)*")
# Such a run with groups in it that a card number may be printed in.
_GROUPED_RUN = linear(rb"(?:[0-9]+[ .-])*[0-9]{4}[ .-](?:[0-9]{4}|[0-9]{6})[ .-][0-9]{4}[0-9]*(?:[ .-][0-9]+)*")
_GROUPINGS = ((4, 4, 4, 4, 3), (4, 4, 4, 4), (4, 4, 4, 1), (4, 6, 5), (4, 6, 4))
RULES = (*(detector.rule for detector in DETECTORS), "card")

# Brackets around anything but an address make many parsers refuse a whole URI.
_MARKED_USER = "%5BREDACTED:url_password%5D"
_MARKED_USERS = re.compile(rf"(?:[^:]*(?:\[|%5B)REDACTED:(?:{'|'.join(RULES)})(?:\]|%5D))+[^:]*".encode())


class Look:
    """One search that tells whether text may hold something to mask.

    Long numbers and groups of digits, such as those of UUIDs, are ordinary, and looked at one by one before they count.
    """

    __slots__ = ("_all", "_others")

    def __init__(self, hints: tuple[bytes, ...], numbers: bytes, whole: bytes = b"") -> None:
        """Compile patterns that match somewhere in the text, and one that matches all of it."""
        others = b"|".join(b"(?:" + hint + b")" for hint in hints) or b"[^\\x00-\\xff]"
        self._all = _anywhere(others + b"|" + numbers if numbers else others, whole)
        self._others = _anywhere(others, whole) if numbers else None

    def finds(self, data: bytes) -> bool:
        """Return whether the bytes, plain text or JSON, need masking, or are what ``whole`` matches."""
        if self._all.match(data) is None:
            return False
        if self._others is None or self._others.match(data) is not None or _holds_card(data):
            return True
        # An escape may end in a letter or a digit, which would seem to go on with the number.
        return b"\\" in data and _holds_card(_ESCAPE.sub(b"\n", data))


def _anywhere(pattern: bytes, whole: bytes) -> Any:
    """Compile a pattern to ``match`` wherever it stands in a text, or where ``whole`` matches the text.

    Not to ``search``: RE2 would go back over the text to learn where the match begins, which takes a thousand times as
    long for patterns as large as these.
    """
    anywhere = b"(?s:.*?)(?:" + pattern + b")"
    if not whole:
        return linear(anywhere, never_capture=True)
    return linear(anywhere + b"|" + whole, never_capture=True, memory=_MEMORY_WHOLE)


def _holds_card(data: bytes) -> bool:
    return any(_is_lone_card(data, *place) for place in _long_numbers(data)) or any(
        _cards_in(data, *match.span()) for match in _GROUPED_RUN.finditer(data)
    )


def _long_numbers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where there are as many digits in a row as a card number has at least.

    Digits are made alike and then looked for as one word, which skips most bytes; a pattern would try each.
    """
    alike = data.translate(_DIGIT_MAP)
    stop = 0
    while (start := alike.find(_SHORTEST_CARD, stop)) >= 0:
        match = _DIGITS.match(data, start)
        stop = match.end() if match else start
        yield start, stop


class SecretValues:
    """The value rules that are on, compiled."""

    __slots__ = ("_cards", "_detectors", "_extra", "_hints", "_look", "hidden")

    def __init__(self, off: frozenset[str], extra: Iterable[str] = ()) -> None:
        """Compile the defaults without ``off`` and the user's own patterns. Raises ConfigurationError for a bad one."""
        chosen = [detector for detector in DETECTORS if detector.rule not in off]
        self._detectors = [(d.rule, linear(d.pattern), d.check) for d in chosen]
        self._extra = [_own(pattern) for pattern in extra]
        self.hidden = bool(self._extra)
        """Whether there are patterns of the user's own, which no hint stands for."""
        self._cards = "card" not in off
        self._hints = [d.hint for d in chosen]
        self._look = self.look()

    def look(self, *hints: bytes, whole: bytes = b"") -> Look:
        """Return the look that tells whether text may hold a secret value, or what one of ``hints`` matches.

        It also finds all texts that ``whole`` matches.
        """
        return Look((*hints, *self._hints), _NUMBERS_HINT if self._cards else b"", whole)

    def without_user_info(self, base: str) -> tuple[str, str, str]:
        """Split a URI around its ``user:password``; the marker that takes its place is empty when there is none."""
        if "@" not in base:
            return "", "", base
        data = base.encode("utf-8", "surrogatepass")
        for rule, pattern, _ in self._detectors:
            if rule == "url_password" and (match := pattern.search(data)) is not None:
                start, stop = match.span(1)
                # What an earlier pass put there stays.
                mark = _MARKED_USER if _is_user_info(data[start:stop], data) else data[start:stop].decode()
                return data[:start].decode("utf-8", "surrogatepass"), mark, data[stop:].decode("utf-8", "surrogatepass")
        return "", "", base

    def suspicious(self, data: bytes) -> bool:
        """Return whether the text, or the JSON that spells it, may hold a secret value."""
        return bool(self._extra) or self._look.finds(data)

    def mask(self, data: bytes) -> tuple[bytes, list[str]]:
        """Return the text with each secret replaced by its marker, and the rules that found one."""
        rules: list[str] = []
        # A marker may make a user and a password of what was neither: what is masked must stay as it is.
        for _ in range(_ROUNDS if self._look.finds(data) else 0):
            before = data
            for rule, pattern, check in self._detectors:
                data = _replace(data, rule, pattern, check, rules)
            if self._cards:
                data = _replace_cards(data, rules)
            if data == before:
                break
        for pattern in self._extra:
            # A pattern such as ".+" must leave markers alone.
            data = b"".join(
                part if place % 2 else _replace(part, "value", pattern, None, rules)
                for place, part in enumerate(_MARKED.split(data))
            )
        return data, list(dict.fromkeys(rules))

    def number(self, value: float) -> str | None:
        """Return ``card`` when a JSON number is a card number."""
        if not self._cards or not 10**12 <= abs(value) < 10**19 or int(value) != value:
            return None
        return "card" if is_card(b"%d" % abs(int(value))) else None


def _own(pattern: str) -> Any:
    try:
        compiled = linear(b"(" + pattern.encode() + b")")
    except re2.error as error:
        said = b" ".join(part for part in error.args if isinstance(part, bytes)).decode("utf-8", "replace")
        raise ConfigurationError("values", f"{pattern!r} is no RE2 pattern: {said or error}") from None
    if compiled.fullmatch(b""):
        raise ConfigurationError("values", f"{pattern!r} matches nothing at all, which is everywhere")
    return compiled


def _replace(data: bytes, rule: str, pattern: Any, check: Any, rules: list[str]) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for match in pattern.finditer(data):
        first, last = match.span(1)
        if first == last or (check is not None and not check(data[first:last], data)):
            continue
        pieces += (data[end:first], marker(rule).encode())
        end = last
    if not pieces:
        return data
    rules.append(rule)
    return b"".join(pieces) + data[end:]


def _replace_cards(data: bytes, rules: list[str]) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for match in _RUN.finditer(data):
        for first, last in _cards_in(data, *match.span()):
            pieces += (data[end:first], marker("card").encode())
            end = last
    if not pieces:
        return data
    rules.append("card")
    return b"".join(pieces) + data[end:]


def _cards_in(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    """Find card numbers in a run of digit groups: in one group, or in the groups that cards are printed in."""
    if stop - start < 13:
        return []
    groups: list[tuple[int, int]] = []
    place = start
    for part in data[start:stop].replace(b".", b" ").replace(b"-", b" ").split(b" "):
        groups.append((place, place + len(part)))
        place += len(part) + 1
    found: list[tuple[int, int]] = []
    index = 0
    while index < len(groups):
        size = _card_at(data, groups, index)
        if size:
            found.append((groups[index][0], groups[index + size - 1][1]))
        index += size or 1
    return found


def _card_at(data: bytes, groups: list[tuple[int, int]], index: int) -> int:
    """Return how many groups from ``index`` on are one card number, 0 when they are none."""
    first, last = groups[index]
    size = last - first
    if 13 <= size <= 19:
        return int(_is_lone_card(data, first, last))
    if size != 4:
        return 0
    for grouping in _GROUPINGS:
        chosen = groups[index : index + len(grouping)]
        if tuple(b - a for a, b in chosen) != grouping:
            continue
        separators = {data[a - 1] for a, _ in chosen[1:]}
        digits = b"".join(data[a:b] for a, b in chosen)
        if len(separators) == 1 and _stands_alone(data, first, chosen[-1][1], grouped=True) and is_card(digits):
            return len(grouping)
    return 0


def _is_lone_card(data: bytes, first: int, last: int) -> bool:
    """Return whether digits that no others stand beside are a card number in one group."""
    # The fraction of a decimal number is none.
    decimal = data[first - 1 : first] == b"." and data[max(0, first - 2) : first - 1].isdigit()
    return not decimal and is_card(data[first:last]) and _stands_alone(data, first, last)


def _stands_alone(data: bytes, first: int, last: int, *, grouped: bool = False) -> bool:
    """Return whether neither side goes on as a word or, for groups, as an identifier such as a UUID."""
    before, after = data[max(0, first - 2) : first], data[last : last + 2]
    if _wordy(before[-1:]) or _wordy(after[:1]):
        return False
    if grouped and before[-1:] == b"-" and before[:-1].isalpha():
        return False
    return not (grouped and after[:1] == b"-" and after[1:].isalpha())


def _wordy(character: bytes) -> bool:
    return character.isalnum()
