"""The parts of a config that have one entry for each user or company: kept as bytes, one decoded when asked for.

A config may name 100 000 users (reference, "Config"). Parsing it whole holds the interpreter for a third of a second
and leaves a million objects. So it is read in slices that parse in a few milliseconds each, and kept in one piece of
bytes with a hash table over it, which costs no objects, neither while it lives nor when it is let go.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from ..errors import InvalidPayload
from .conditions import Problems

SLICE = 32 * 1024
"""Bytes parsed at a time."""
_BETWEEN_PAUSES = 1024

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# Compiled by the first document, not by every start of an application.
_SPACE = rb"[ \t\r\n]*"
_KEY = rb"(?s)[ \t\r\n]*(" + _STRING + rb")[ \t\r\n]*:[ \t\r\n]*"
_TOKEN = rb"(?s)" + _STRING + rb"|[\[\]{},]"
_SCALAR = rb"(?s)" + _STRING + rb"|[^\s,{}\[\]\"]+"


class Entities:
    """An immutable map of ids to JSON values, held as bytes."""

    __slots__ = ("_blob", "_keys", "_mask", "_slots", "_values", "name")

    def __init__(
        self, name: str, blob: bytearray, keys: array[int], values: array[int], pause: Callable[[], object] = int
    ) -> None:
        self.name = name
        """The key of the config that it is."""
        self._blob = blob
        self._keys = keys
        self._values = values
        size = 1 << max(1, (2 * len(values)).bit_length())
        self._mask = size - 1
        self._slots = array("I", bytes(size * array("I").itemsize))
        for entry in range(len(values)):
            if entry % _BETWEEN_PAUSES == _BETWEEN_PAUSES - 1:
                pause()
            # A later entry of the same key takes the place of the earlier one, as in any JSON object.
            self._slots[self._slot(bytes(blob[keys[entry] : values[entry]]))] = entry + 1

    def __bool__(self) -> bool:
        return len(self._values) > 0

    def __len__(self) -> int:
        return len(self._values)

    def _slot(self, key: bytes) -> int:
        """Return the slot that holds the key, or the free one where it belongs."""
        slots, mask, keys, values, blob = self._slots, self._mask, self._keys, self._values, self._blob
        slot = hash(key) & mask
        while found := slots[slot]:
            if blob[keys[found - 1] : values[found - 1]] == key:
                break
            slot = (slot + 1) & mask
        return slot

    def get(self, identifier: str | None) -> Any:
        """Return the decoded value of an id; None when there is none, or when its value was not usable."""
        if not identifier or not self._values:
            return None
        entry = self._slots[self._slot(identifier.encode("utf-8", "surrogatepass"))]
        return orjson.loads(self._blob[self._values[entry - 1] : self._keys[entry]]) if entry else None


NO_ENTITIES = Entities("", bytearray(), array("Q", [0]), array("Q"))
"""The empty map."""


class EntitiesBuilder:
    """Collects the entries of one map. ``check`` returns what is wrong with a value, or None.

    ``pause`` is called every millisecond or so of work, to let other threads go on.
    """

    def __init__(
        self,
        name: str,
        check: Callable[[object], str | None],
        problems: Problems,
        pause: Callable[[], object] = int,
    ) -> None:
        self._name = name
        self._pause = pause
        self._check = check
        self._problems = problems
        self.clear()

    def clear(self) -> None:
        """Forget what was added: the map came twice, and the last one counts."""
        self._blob = bytearray()
        self._keys, self._values = array("Q", [0]), array("Q")

    def add(self, entries: Mapping[str, Any]) -> None:
        """Add parsed entries. One that cannot be used is recorded and counts as absent."""
        self._pause()
        blob, keys, values, check = self._blob, self._keys, self._values, self._check
        for key, value in entries.items():
            wrong, encoded = check(value), b"null"
            if wrong is None:
                try:
                    encoded = orjson.dumps(value)
                except orjson.JSONEncodeError as error:
                    wrong = str(error)
            if wrong is not None:
                self._problems.add(f"{self._name}.{key[:64]}", wrong)
            blob += key.encode()
            values.append(len(blob))
            blob += encoded
            keys.append(len(blob))

    def build(self) -> Entities:
        """Return what was added; nothing may be added any more."""
        # Handed over, not copied: a copy of 10 MB holds up all threads for some milliseconds.
        return Entities(self._name, self._blob, self._keys, self._values, self._pause)


def read_document(data: bytes, builders: Mapping[str, EntitiesBuilder], size: int = SLICE) -> dict[str, Any]:
    """Read a JSON object: feed the entries of the maps in ``builders`` to them, and return the other keys.

    A document of more than ``size`` bytes is read in slices of about that many, with the same outcome. A map that is
    no object is among the keys returned. Raises InvalidPayload when the document is not JSON or not an object.
    """
    try:
        if len(data) > size:
            return _Slices(data, size).read(builders)
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidPayload(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidPayload("not a JSON object")
    for key, builder in builders.items():
        if isinstance(document.get(key), dict):
            builder.add(document.pop(key))
    return document


class _Slices:
    """A large JSON object, read without ever parsing much more than ``size`` bytes at once.

    Where a slice may end is guessed and then proved: text that begins at an entry, goes on to a comma or the closing
    brace, and is valid JSON once it stands in braces has as many quotes and brackets as it should, so the end is one
    of the object's own. Where no guess holds, the tokens are counted.
    """

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size

    def read(self, builders: Mapping[str, EntitiesBuilder]) -> dict[str, Any]:
        data = self._data
        document: dict[str, Any] = {}
        at = self._space(0)
        if data[at : at + 1] != b"{":
            raise InvalidPayload("not a JSON object")
        closed = data.startswith(b"}", self._space(at + 1))
        at = self._space(at + 1) if closed else at
        while not closed:
            key, at = self._key(at + 1)
            document.pop(key, None)
            builder = builders.get(key)
            if builder is not None:
                builder.clear()
            if builder is not None and data[at : at + 1] == b"{":
                at = self._space(self._entries(at + 1, builder))
            else:
                end = self._end(at)
                document[key] = orjson.loads(data[at:end])
                at = self._space(end)
            closed = self._closes(at)
        if self._space(at + 1) != len(data):
            raise InvalidPayload("not JSON: something follows the object")
        return document

    def _space(self, at: int) -> int:
        """Return where the white space at a position ends."""
        found = re.compile(_SPACE).match(self._data, at)
        return found.end() if found else at

    def _key(self, at: int) -> tuple[str, int]:
        """Return the key at a position, and where its value begins."""
        found = re.compile(_KEY).match(self._data, at)
        if found is None:
            raise InvalidPayload(f"not JSON: a key is missing at byte {at}")
        return orjson.loads(found[1]), found.end()

    def _closes(self, at: int) -> bool:
        """Return whether the object ends at a position; otherwise a comma stands there."""
        separator = self._data[at : at + 1]
        if separator not in (b",", b"}"):
            raise InvalidPayload(f"not JSON: a comma is missing at byte {at}")
        return separator == b"}"

    def _end(self, at: int) -> int:
        """Return where the value that begins at a position ends."""
        if self._data[at : at + 1] not in (b"{", b"["):
            found = re.compile(_SCALAR).match(self._data, at)
            if found is None:
                raise InvalidPayload(f"not JSON: a value is missing at byte {at}")
            return found.end()
        for position, token, depth in self._tokens(at):
            if depth == 0 and token in b"]}":
                return position + 1
        raise InvalidPayload("not JSON: it ends too early")

    def _tokens(self, at: int) -> Iterator[tuple[int, bytes, int]]:
        """Yield place, token and the depth after it, for commas and brackets outside of strings."""
        depth = 0
        for found in re.compile(_TOKEN).finditer(self._data, at):
            token = found[0]
            if token in b"[{":
                depth += 1
            elif token in b"]}":
                depth -= 1
            elif token != b",":
                continue
            yield found.start(), token, depth

    def _entries(self, at: int, builder: EntitiesBuilder) -> int:
        """Read the entries of one map, whose first one may begin at a position; return what follows its brace."""
        first = True
        while True:
            entries, end = self._guess(at) or self._count(at)
            closing = self._data[end : end + 1] == b"}"
            if not entries and not (first and closing):
                raise InvalidPayload(f"not JSON: an entry is missing at byte {at}")
            builder.add(entries)
            if closing:
                return end + 1
            at, first = end + 1, False

    def _guess(self, at: int) -> tuple[dict[str, Any], int] | None:
        """Return a slice of entries that ends at a likely comma, and where that is."""
        for likely in (b"],", b"},", b","):
            end = self._data.rfind(likely, at, at + self._size) + len(likely) - 1
            if end > at:
                try:
                    return self._parse(at, end), end
                except orjson.JSONDecodeError:
                    continue
        return None

    def _count(self, at: int) -> tuple[dict[str, Any], int]:
        """Return a slice of entries that ends at the last comma or the closing brace in reach, found by counting."""
        end = -1
        for position, token, depth in self._tokens(at):
            if depth < 0:
                return self._parse(at, position), position
            if depth == 0 and token == b",":
                if end >= 0 and position > at + self._size:
                    break
                end = position
        if end < 0:
            raise InvalidPayload("not JSON: it ends too early")
        return self._parse(at, end), end

    def _parse(self, at: int, end: int) -> dict[str, Any]:
        return orjson.loads(b"{%b}" % self._data[at:end])  # type: ignore[no-any-return]
