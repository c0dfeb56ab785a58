"""JSON text that any parser reads: strict reading, reading of text that was cut, and writing whatever Python holds.

orjson reads the ordinary document. What it refuses although the grammar allows it (lone surrogates, numbers beyond a
double) is read by slower, equally strict means and comes out in a shape that every parser takes.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date
from enum import Enum
from functools import cache
from typing import Any

import jiter
import orjson
import re2  # type: ignore[import-untyped]  # it has no stubs

OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS
"""A dataclass is the application's own object: it becomes text, as other objects do."""

MAX_DEPTH = 64
"""Levels of nesting that leave the process: every parser has a limit, the lowest in use is below 200."""

# The largest double has 309 digits; a longer integer is infinity, or an error, to many parsers.
_MAX_DIGITS = 308
# More than the lists that 460 800 bytes of JSON can hold.
_MAX_NODES = 160_000
_MAX_TEXT = 8192

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
# The parts of the patterns of ``shallow`` and ``not_shallow``, in RE2.
_REST = rb"(?s:.*)"
_SPACE = rb"[ \t\r\n]*"
_OPENING, _CLOSING = rb"[\[{]", rb"[\]}]"
_STRING = rb'"(?:[^"\\\x00]|\\[^\x00])*"'
# What stands between brackets. Without exponents ``e`` is a letter of ``true`` and ``false``. No document has a zero
# byte: where it parts many of them, what one of them leaves open must not be kept through all that follow.
_TOKEN = rb'[^"\[\]{}eE\x00]|[us]e|' + _STRING
_EXPONENT = rb"[0-9][eE]"
_STARTS = frozenset(b'{["-0123456789tfn')
_CONTAINERS = frozenset((dict, list))
_UNCHANGED = frozenset((bool, type(None), orjson.Fragment))
_SCALARS = (str, bytes, bytearray, memoryview, Enum)
_NESTING = (dict, list, tuple)
_BYTES = (bytes, bytearray, memoryview)
_DIGIT_MAP = bytes(48 if 48 <= code <= 57 else 0 for code in range(256))
# 19 digits may be more than 64 bits.
_LONG_NUMBER = b"0" * 19
# A number of more than _MAX_DIGITS shows as nine digits in a row among every 32nd byte.
_SAMPLE, _SAMPLED_DIGITS = 32, b"0" * 9
_CLOSERS = bytes.maketrans(b"[{", b"]}")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Levels of nesting in what is closed before a cut; more would let a text of nothing but brackets take long.
_MOST_CLOSED = 16
_NUMERIC = b"-+.0123456789eE"
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def _in_utf8(data: bytes, encoding: str) -> bytes:
    return data.decode(encoding, "replace").encode("utf-8", "replace")


def looks_like_json(data: bytes) -> bool:
    """Return whether the first byte that counts may begin a JSON value: a look that costs nothing."""
    head = data[:64].removeprefix(_BOM).lstrip(_BLANK)
    return bool(head and head[0] in _STARTS) or (not head and len(data) > 60)


def parse(data: bytes) -> tuple[Any, bytes | None]:
    """Read a whole document. Return its value, and its bytes as they passed if every parser reads these.

    The bytes are None for a byte order mark and for numbers and escapes that some parsers refuse. They may hold a key
    twice, of which the value shows the last. An integer of more than 64 bits may be rounded in the value: ``exact``
    reads it in full. Raises ValueError for what is not JSON or is nested more than MAX_DEPTH deep.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parse_slowly(data), None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and too_deep(value):
        raise ValueError("nested too deeply")
    return value, data


def outline(data: bytes) -> dict[str, Any] | list[Any] | None:
    """Return the first level of a document, its values unparsed, in a fifth of the time that parsing takes.

    One that is ``shallow`` too is what ``parse`` gives back as it passed. None says nothing: a scalar, or a document
    with very long numbers, may be as good as any other.
    """
    try:
        if not data.isascii():
            data.decode()
        found: dict[str, Any] | list[Any] = _skimmer().decode(data)
    except (ValueError, RecursionError):
        return None
    return None if _SAMPLED_DIGITS in data[::_SAMPLE].translate(_DIGIT_MAP) else found


def shallow(data: bytes) -> bool:
    """Return whether a document has at most MAX_DEPTH levels and no exponents, in a third of the time of parsing.

    False says nothing: what has exponents may be as good as any other.
    """
    return _shallow().fullmatch(data) is not None


@cache
def _skimmer() -> Any:
    """Return what reads over JSON by the letter of the grammar; orjson refuses no more than numbers beyond a double.

    Imported late, since it takes as long as all the rest of the package.
    """
    msgspec: Any = importlib.import_module("msgspec")
    raw: Any = msgspec.Raw
    return msgspec.json.Decoder(dict[str, raw] | list[raw])


def parse_any(data: bytes) -> Any:
    """Return the value of a whole document as applications read it: what they read must not be hidden from a rule.

    That is any Unicode encoding, NaN, halves of surrogate pairs, and however deep either parser reads. Raises
    ValueError for what is not even that.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def value_or(data: bytes, text: str) -> Any:
    """Return the value of a document, or the text that stands in for one that is no JSON."""
    if not looks_like_json(data):
        return text
    try:
        return parse(data)[0]
    except ValueError:
        return text


@cache
def _shallow() -> Any:
    """Compile what matches an array or object that is shallow."""
    options = re2.Options()
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(_nested(_TOKEN, _CLOSING) + _CLOSING + _SPACE, options)


def not_shallow() -> bytes:
    """Return an RE2 pattern that matches from its start each document with an outline that is not ``shallow``.

    A search over the same text that looks for something else can thus tell both. The pattern is that of ``shallow``
    with two more things in it: an exponent anywhere, and a bracket at the deepest level. Either takes all the rest of
    the text with it. The brackets that are open by then are closed by the text's end, which nothing else can reach.
    """
    exponent, too_deep = _EXPONENT + _REST, _OPENING + _REST
    return _nested(rb"%b|%b" % (_TOKEN, exponent), rb"(?:%b|\z)" % _CLOSING, too_deep) + rb"\z"


def _nested(token: bytes, closing: bytes, deepest: bytes | None = None) -> bytes:
    """Return an RE2 pattern for a container of at most MAX_DEPTH levels, up to where it closes.

    ``token`` stands between brackets, ``closing`` ends each level but the outermost, ``deepest`` is what the innermost
    may hold beside tokens.
    """
    content = b"(?:%b)*" % (token if deepest is None else b"%b|%b" % (token, deepest))
    for _ in range(MAX_DEPTH - 1):
        content = b"(?:%b|%b%b%b)*" % (token, _OPENING, content, closing)
    return _SPACE + _OPENING + content


def exact(data: bytes) -> Any:
    """Return the value of bytes that ``parse`` gave back, integers of any size in full."""
    if has_long_number(data):
        return jiter.from_json(data, allow_inf_nan=False)
    return orjson.loads(data)


def has_long_number(data: bytes) -> bool:
    """Return whether there may be an integer of more than 64 bits, which orjson rounds."""
    return _LONG_NUMBER in data.translate(_DIGIT_MAP)


def _parse_slowly(data: bytes) -> Any:
    data = _mend(data.removeprefix(_BOM))
    try:
        value = json.loads(data.decode(), parse_int=_integer, parse_float=_number, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if too_deep(value):
        raise ValueError("nested too deeply")
    return value


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _number(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _mend(data: bytes) -> bytes:
    """Put U+FFFD where an escape stands for half a surrogate pair."""
    if b"\\u" not in data:
        return data
    return _ESCAPES.sub(lambda found: b"\\ufffd" if found[1] else found[0], data)


def parse_cut(data: bytes) -> Any:
    """As ``parse_any`` of the beginning of a document that was cut, and as ``read_cut`` where that reads it."""
    try:
        return read_cut(data)[0]
    except ValueError:
        encoding = json.detect_encoding(data)
        if not looks_like_json(_in_utf8(data[:64], encoding)):
            raise
        text = _in_utf8(data, encoding)
        return jiter.from_json(_mend(_without_number(text)), allow_inf_nan=True, partial_mode="on")


def completed(data: bytes) -> bytes | None:
    """Return text of a document that was cut, without what the cut went through and with all closed that is open.

    A guess in an eighth of the time that ``read_cut`` takes, which ``outline`` proves: that text is JSON only if no
    bracket in a string led astray. It begins as it passed, up to the last bracket that closes. None where there is no
    guess.
    """
    data = _without_number(data)
    end = max(data.rfind(b"}"), data.rfind(b"]")) + 1
    rest = data[end:].strip(_BLANK)
    if not end or (rest and not rest.startswith(b",")):
        return None
    opened = _opened(data[:end])
    if opened is None or (rest and not opened):
        return None
    try:
        # What is left, in a container of its own.
        rest = orjson.dumps(_partial(opened[-1:] + rest[1:]))[1:-1] if rest else rest
    except (ValueError, TypeError):
        return None
    return b"".join((data[:end], b"," if rest else b"", rest, opened[::-1].translate(_CLOSERS)))


def _opened(data: bytes) -> bytes | None:
    """Return the brackets that are open at the end of a text, as far as can be told without looking for strings."""
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(_MOST_CLOSED):
        before, brackets = brackets, brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(before) == len(brackets):
            break
    return None if len(brackets) > MAX_DEPTH or b"]" in brackets or b"}" in brackets else brackets


def _without_number(data: bytes) -> bytes:
    """Return text that was cut without the number that the cut may have gone through."""
    data = data.removeprefix(_BOM)
    return data if data.endswith((b"true", b"false")) else data.rstrip(_NUMERIC)


def read_cut(data: bytes, is_shallow: Callable[[bytes], bool] = shallow) -> tuple[Any, bytes | None]:
    """Read the beginning of a document that was cut; return its value, and its text unless orjson cannot write it.

    What the cut went through, a string or a number, is left out: half a string would hide from the mask what it is the
    half of. ``is_shallow`` is asked of the text as ``shallow`` is. Raises ValueError for what does not begin a JSON
    container or scalar, or leaves nothing, and for nesting of more than MAX_DEPTH.
    """
    data = _without_number(data)
    try:
        value = _partial(data)
    except ValueError:
        mended = _mend(data)
        if mended == data:
            raise
        value = _partial(mended)
    try:
        text = orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits
        text = None
    if (text is None or not is_shallow(text)) and too_deep(value):
        raise ValueError("nested too deeply")
    return value, text


def _partial(data: bytes) -> Any:
    if not _lacks_its_end(data):
        try:
            return jiter.from_json(data, allow_inf_nan=False)
        except ValueError as error:
            # Anything but a missing end is no JSON, however much of it reads well.
            if not str(error).startswith("EOF"):
                raise
    return jiter.from_json(data, allow_inf_nan=False, partial_mode="on")


def _lacks_its_end(data: bytes) -> bool:
    """Return True only for what begins a document and is cut; it takes a fifth of the time of parsing in vain."""
    try:
        _skimmer().decode(data)
    except ValueError as error:
        return "truncated" in str(error)
    except RecursionError:
        return False
    return False


def too_deep(value: Any) -> bool:
    """Return whether a parsed value's lists and dicts are nested more than MAX_DEPTH deep."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
    return bool(level)


def unsafe(value: Any) -> bool:
    """Return whether a value of unknown making must not be handed to orjson: too deep, a cycle, or without end."""
    level, nodes = [value] if isinstance(value, _NESTING) else [], 0
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _held(outer) if isinstance(inner, _NESTING)]
        if not level:
            return False
        nodes += len(level)
        if nodes > _MAX_NODES:
            return True
    return True


def _held(outer: Any) -> Iterable[Any]:
    """Return what orjson would see in a container, which a subclass's own methods may not show."""
    if isinstance(outer, dict):
        return dict.values(outer)
    return list.__iter__(outer) if isinstance(outer, list) else tuple.__iter__(outer)


def dump(value: Any) -> bytes:
    """Write any Python value as JSON that any parser reads. Never raises: what JSON lacks becomes text or null."""
    if not unsafe(value):
        try:
            return orjson.dumps(value, default=foreign, option=OPTIONS)
        except (TypeError, RecursionError):
            return orjson.dumps(plain(value), option=OPTIONS)
    return orjson.dumps(plain(value), option=OPTIONS)


def foreign(value: Any) -> str:
    """Return text for an object that orjson does not know. Raises TypeError for one that holds others."""
    if isinstance(value, Collection) and not isinstance(value, _BYTES):
        # Their number has no bound here; ``plain`` has one.
        raise TypeError
    return as_text(value)


def as_text(value: Any) -> str:
    """Return a bounded, encodable text for a value that JSON lacks."""
    try:
        text = bytes(value).decode("utf-8", "replace") if isinstance(value, _BYTES) else str(value)
    except Exception:  # whatever a stranger's __str__ raises, the event must not be lost for it
        text = f"<{type(value).__name__}>"
    return _SURROGATES.sub("\ufffd", text[:_MAX_TEXT])


def plain(value: Any, nodes: int = _MAX_NODES) -> Any:
    """Return a copy made of what JSON has, at most MAX_DEPTH deep and of about ``nodes`` values."""
    return _Plain(nodes).copy(value, 0)


class _Plain:
    """One walk over a value of unknown making, with a bound on the nodes it visits."""

    __slots__ = ("room",)

    def __init__(self, room: int) -> None:
        self.room = room

    def copy(self, value: Any, depth: int) -> Any:
        """Return the copy of a value that stands ``depth`` levels deep."""
        self.room -= 1
        if self.room < 0:
            return "[too many values]"
        kind = type(value)
        if kind is str and value.isascii():
            return value
        if kind in _UNCHANGED:
            return value
        if kind in _CONTAINERS or (isinstance(value, Collection) and not isinstance(value, _SCALARS)):
            return self._container(value, depth)
        return _scalar(value)

    def _container(self, value: Any, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return "[nested too deeply]"
        try:
            if type(value) is dict or isinstance(value, Mapping):
                return {_key(key): self.copy(inner, depth + 1) for key, inner in self._bounded(value.items())}
            return [self.copy(inner, depth + 1) for inner in self._bounded(value)]
        except Exception:  # a mapping of the user's own may fail at any step
            return as_text(type(value).__name__)

    def _bounded(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            if self.room < 0:
                return
            yield value


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return _scalar(value.value)
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", str.__str__(value))
    if isinstance(value, int):
        if -(1 << 63) <= value < (1 << 64):
            return int(value)
        return orjson.Fragment(b"%d" % value) if value.bit_length() < 1000 else hex(value)[:_MAX_TEXT]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return as_text(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _SURROGATES.sub("\ufffd", str.__str__(key))
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return as_text(key)
