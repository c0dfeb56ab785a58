"""From the bytes of a body that passed to what an event says of it: a JSON value, or base64 text.

What the bytes are is judged by the bytes; the content type is a hint (collector reference, "Event", ``body`` and
``transfer_encoding``).
"""

from __future__ import annotations

import importlib
import re
from binascii import b2a_base64
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, Protocol

import orjson

from . import decoding, forms, graphql, jsontext, streams

MAX_BODY = 460_800
"""Bytes of a body, as encoded, from which on the server would cut it and store what is no longer valid JSON."""

_URLENCODED = "application/x-www-form-urlencoded"
_CHARSETS = {
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
    "utf-7": "utf-7",
    "ibm037": "cp037",
    "ibm500": "cp500",
    "ibm1140": "cp1140",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
}
_TEXT_TYPES = re.compile(
    r"text/|(?:application|image|multipart|message)/[^;]*(?:json|xml|javascript|ecmascript|urlencoded|graphql|yaml|form-data)"
)
# What is neither text nor holds any: what of it cannot be decoded hides no more than what can.
_BINARY_TYPES = re.compile(r"(?:image|audio|video|font)/|application/(?:octet-stream|pdf|zip|gzip|zstd|x-tar|wasm)")
_MEDIA = ("image/", "audio/", "video/", "font/")
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\b\x1b")
_MAGIC = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"x\x01", b"x\x9c", b"x\xda", b"PK\x03\x04")
_SINGLE_BYTE = frozenset(("latin-1", "cp1252"))
# A parsed tree takes twenty times the memory of its text: larger ones are parsed again when asked for.
_KEEP_PARSED = 128 * 1024
# From here on it pays to leave a document unparsed.
_LARGE = 1024


class Look(Protocol):
    """A search that a mask has made of what it masks by, joined with ``jsontext.not_shallow``."""

    def finds(self, data: bytes) -> bool:
        """Return whether JSON text may hold something to mask, or is not shallow."""


class _Unset:
    __slots__ = ()


_UNSET: Final = _Unset()


class Body:
    """What an event holds of a body before it is encoded. Immutable by convention: ``replace`` makes another one.

    ``transfer_encoding`` is ``json`` or ``base64``. ``raw`` is the JSON text as it passed, when every parser reads it,
    or the text of what a cut left of it, else None; it may hold a key twice, so that a mask must judge its text, not
    the value alone. ``notes`` are for the event's metadata: ``truncated`` (size in bytes of what passed), ``stream``
    (chunks and bytes that passed, records shown), ``graphql_operation_name`` and ``_type``, ``fields_left_out``,
    ``problem`` (why it was not decoded).
    ``data`` are the bytes that stand in base64, when these are at hand. ``opaque`` says that they may be text which
    could not be read, so that nobody knows what is in them: the mask withholds them. ``binary`` says that they are no
    text, and may be a format of records. ``looked`` is the look that ``raw`` was read with, and whether it found
    something to mask; None when there was none.
    """

    __slots__ = ("_value", "binary", "data", "looked", "notes", "opaque", "raw", "transfer_encoding")

    def __init__(
        self,
        transfer_encoding: str,
        value: Any = _UNSET,
        *,
        raw: bytes | None = None,
        data: bytes | None = None,
        notes: dict[str, Any] | None = None,
        opaque: bool = False,
        binary: bool = False,
        looked: tuple[Look, bool] | None = None,
    ) -> None:
        self.transfer_encoding = transfer_encoding
        self.opaque, self.binary = opaque, binary
        self.raw = raw
        self.data = data
        self.looked = looked
        self.notes: dict[str, Any] = notes if notes is not None else {}
        self._value = _UNSET if raw is not None and len(raw) > _KEEP_PARSED else value

    @property
    def value(self) -> Any:
        """Return the JSON value, or the base64 text. A large document is parsed at each call: hold one at a time."""
        if self.data is not None:
            return _encoder()(self.data).decode("ascii")
        if self.raw is not None and (self._value is _UNSET or jsontext.has_long_number(self.raw)):
            return jsontext.exact(self.raw)
        return self._value

    def replace(self, value: Any) -> Body:
        """Return a JSON body with another value, which does not share its bytes, and the same notes."""
        return Body("json", value, notes=self.notes)

    def encoded(self) -> bytes:
        """Return the JSON text of the body as it would stand in an event."""
        if self.raw is not None:
            return self.raw
        if self.data is not None:
            return b'"%b"' % _encoder()(self.data)
        try:
            return orjson.dumps(self._value, option=jsontext.OPTIONS)
        except TypeError:
            return jsontext.dump(self._value)

    def __repr__(self) -> str:
        return f"<Body {self.transfer_encoding}>"


@cache
def _encoder() -> Callable[[bytes], bytes]:
    """Return what writes base64. Imported late: many an application answers nothing but JSON."""
    try:
        package: Any = importlib.import_module("pybase64")
    except ImportError:  # no wheel for this platform
        return partial(b2a_base64, newline=False)
    encode: Callable[[bytes], bytes] = package.b64encode
    return encode


def base64(data: bytes, notes: dict[str, Any] | None = None, *, opaque: bool = False, binary: bool = False) -> Body:
    """Return a body for bytes that are no JSON."""
    return Body("base64", data=data, notes=notes, opaque=opaque, binary=binary)


def read(
    data: bytes,
    *,
    total: int,
    content_type: str,
    content_encoding: str,
    limit: int,
    chunks: int = 0,
    look: Look | None = None,
    clean: bytes | None = None,
) -> Body | None:
    """Return what an event says of a body, None when nothing passed.

    ``data`` is what was kept of it, ``total`` the bytes and ``chunks`` the pieces that passed; ``limit`` bounds the
    bytes that are decoded. A ``look`` spares the mask that made it one over the same text; in ``clean``, which may be
    the data, it is known to find nothing. Never raises for any bytes.
    """
    if not total and not data:
        return None
    notes: dict[str, Any] = {}
    cut = total > len(data)
    glance = _Glance(look, clean)
    if content_encoding:
        try:
            data, complete = decoding.undo(data, content_encoding, limit)
        except decoding.Undecodable as error:
            notes["problem"] = str(error)
            if not _readable(data):
                if cut:
                    notes["truncated"] = total
                return base64(data, notes, opaque=not _says_binary(content_type))
            # Plain text, whatever the header says.
        else:
            cut = cut or not complete
    if cut:
        notes["truncated"] = total
    body = _structured(data, cut, content_type, notes, (chunks, total), glance)
    return body or _bytes(data, content_type, notes)


def _bytes(data: bytes, content_type: str, notes: dict[str, Any]) -> Body:
    """Return the bytes as they are; opaque when they are called text and look compressed."""
    if not _says_text(content_type):
        return base64(data, notes, binary=not content_type.startswith(_MEDIA) and not _readable(data[:4096]))
    opaque = _looks_compressed(data)
    if opaque:
        notes["problem"] = "not the text that its content type promises"
    return base64(data, notes, opaque=opaque)


def _says_text(content_type: str) -> bool:
    return _TEXT_TYPES.match(content_type.lower()) is not None


def _says_binary(content_type: str) -> bool:
    return _BINARY_TYPES.match(content_type.lower()) is not None and not _says_text(content_type)


def _readable(data: bytes) -> bool:
    """Return whether the bytes are UTF-8 text, perhaps cut, so that whatever secret is in it can be found."""
    if data.translate(None, _CONTROLS) != data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _looks_compressed(data: bytes) -> bool:
    """Return whether there are as many control characters as in random bytes, one in ten, and nearly no zero bytes.

    Text in the wide encodings is full of zero bytes, and can be read.
    """
    if data.startswith(_MAGIC):
        return True
    sample = data[:4096]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls * 20 > len(sample) and sample.count(0) * 20 < len(sample) and not _is_utf8(sample[:-3])


def _structured(
    data: bytes, cut: bool, content_type: str, notes: dict[str, Any], passed: tuple[int, int], glance: _Glance
) -> Body | None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in streams.PARSERS:
        body = _value(notes, streams.PARSERS[media_type], data, cut)
        notes["stream"] = {"chunks": passed[0], "bytes": passed[1]}
        if body is not None:
            notes["stream"]["records"] = len(body.value)
        return body
    if media_type == "multipart/form-data":
        boundary = forms.boundary_of(content_type)
        return _value(notes, forms.parse_multipart, data, boundary, cut, notes) if boundary else None
    data = _utf8(data, content_type, cut)
    if media_type == _URLENCODED:
        # Some clients send a JSON document under this type; a bare scalar is the name of a field.
        document = _json(data, cut, notes, glance) if data.lstrip()[:1] in (b"{", b"[") else None
        return document or _value(notes, forms.parse_urlencoded, data, cut, notes)
    return _json(data, cut, notes, glance)


def _value(notes: dict[str, Any], parse: Callable[..., Any], *arguments: Any) -> Body | None:
    """Return a body of what the parser makes of it, None for what it refuses or what is too deep."""
    try:
        value = parse(*arguments)
    except ValueError:
        return None
    return None if jsontext.too_deep(value) else Body("json", value, notes=notes)


def _json(data: bytes, cut: bool, notes: dict[str, Any], glance: _Glance) -> Body | None:
    if not jsontext.looks_like_json(data):
        return None
    whole = None if len(data) < _LARGE else jsontext.completed(data) if cut else data
    outline = None if whole is None else jsontext.outline(whole)
    if whole is not None and outline is not None and not graphql.likely(outline) and glance.shallow(whole):
        return Body("json", raw=whole, notes=notes, looked=glance.looked)
    try:
        value, raw = jsontext.read_cut(data, glance.shallow) if cut else jsontext.parse(data)
    except ValueError:
        return None
    if raw is not None:
        glance.recall(raw)
    if type(value) in (dict, list) and (operation := graphql.operation(value)):
        notes.update(operation)
    return Body("json", value, raw=raw, notes=notes, looked=glance.looked)


class _Glance:
    """Tells whether a document is shallow, by a look at it if there is one: a search takes as long as all the rest."""

    __slots__ = ("_clean", "_look", "looked")

    def __init__(self, look: Look | None, clean: bytes | None) -> None:
        self._look, self._clean = look, clean
        self.looked: tuple[Look, bool] | None = None
        """The look and what it said of a shallow document."""

    def recall(self, data: bytes) -> bool:
        """Return whether this is the text of which it is known that the look finds nothing."""
        if self._look is None or data is not self._clean:
            return False
        self.looked = self._look, False
        return True

    def shallow(self, data: bytes) -> bool:
        """Return whether a document is shallow, as ``jsontext.shallow`` does."""
        look = self._look
        if look is None:
            return jsontext.shallow(data)
        if self.recall(data):
            return True
        found = look.finds(data)
        if found and not jsontext.shallow(data):
            return False
        self.looked = look, found
        return True


def _utf8(data: bytes, content_type: str, cut: bool) -> bytes:
    """Return text of another charset as UTF-8; bytes that are not of that charset as they are."""
    charset = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else None
    if "charset" in content_type:
        charset = _CHARSETS.get(forms.parameters(content_type).get("charset", "").lower(), charset)
    if charset is None or (charset in _SINGLE_BYTE and _is_utf8(data)):
        return data
    try:
        return data.decode(charset, "ignore" if cut else "strict").encode()
    except UnicodeError:
        return data


def _is_utf8(data: bytes) -> bool:
    """Return whether the bytes are UTF-8 after all: many servers name their default charset for every answer."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
