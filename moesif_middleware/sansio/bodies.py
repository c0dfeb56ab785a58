"""From the bytes of a body that passed to what an event says of it: a JSON value, or base64 text.

What the bytes are is judged by the bytes; the content type is a hint (collector reference, "Event", ``body`` and
``transfer_encoding``).
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any, Final

from . import decoding, forms, jsontext

MAX_BODY = 460_800
"""Bytes of a body, as encoded, from which on the server would cut it and store what is no longer valid JSON."""

_URLENCODED = "application/x-www-form-urlencoded"
_STREAMS = frozenset(("text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl"))
# A parsed tree takes twenty times the memory of its text: larger ones are parsed again when asked for.
_KEEP_PARSED = 128 * 1024


class _Unset:
    __slots__ = ()


_UNSET: Final = _Unset()


class Body:
    """What an event holds of a body before it is encoded. Immutable by convention: ``replace`` makes another one.

    ``transfer_encoding`` is ``json`` or ``base64``. ``raw`` is the JSON text as bytes that every parser reads alike, or
    None when there is none but ``value``. ``notes`` are for the event's metadata: ``truncated`` (size in bytes of what
    passed), ``stream`` (chunks and bytes that passed), ``graphql_operation``, ``problem`` (why it was not decoded).
    """

    __slots__ = ("_value", "notes", "raw", "transfer_encoding")

    def __init__(
        self,
        transfer_encoding: str,
        value: Any = _UNSET,
        *,
        raw: bytes | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.transfer_encoding = transfer_encoding
        self.raw = raw
        self.notes: dict[str, Any] = notes if notes is not None else {}
        self._value = _UNSET if raw is not None and len(raw) > _KEEP_PARSED else value

    @property
    def value(self) -> Any:
        """Return the JSON value, or the base64 text. A large document is parsed at each call: hold one at a time."""
        if self._value is _UNSET and self.raw is not None:
            return jsontext.parse(self.raw)[0]
        return self._value

    def replace(self, value: Any) -> Body:
        """Return a JSON body with another value, which does not share its bytes, and the same notes."""
        return Body("json", value, notes=self.notes)

    def encoded(self) -> bytes:
        """Return the JSON text of the body as it would stand in an event."""
        if self.raw is not None:
            return self.raw
        return jsontext.dump(self.value)

    def __repr__(self) -> str:
        return f"<Body {self.transfer_encoding}>"


def base64(data: bytes, notes: dict[str, Any] | None = None) -> Body:
    """Return a body for bytes that are no JSON."""
    return Body("base64", b2a_base64(data, newline=False).decode("ascii"), notes=notes)


def read(
    data: bytes, *, total: int, content_type: str, content_encoding: str, limit: int, chunks: int = 0
) -> Body | None:
    """Return what an event says of a body, None when nothing passed.

    ``data`` is what was kept of it, ``total`` the bytes and ``chunks`` the pieces that passed; ``limit`` bounds the
    bytes that are decoded. Never raises for any bytes.
    """
    if not total and not data:
        return None
    notes: dict[str, Any] = {}
    cut = total > len(data)
    if content_encoding:
        try:
            data, complete = decoding.undo(data, content_encoding, limit)
        except decoding.Undecodable as error:
            notes["problem"] = str(error)
            if cut:
                notes["truncated"] = total
            return base64(data, notes)
        cut = cut or not complete
    if cut:
        notes["truncated"] = total
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _STREAMS:
        notes["stream"] = {"chunks": chunks, "bytes": total}
    return _structured(data, cut, media_type, notes) or base64(data, notes)


def _structured(data: bytes, cut: bool, media_type: str, notes: dict[str, Any]) -> Body | None:
    if media_type == _URLENCODED:
        # Some clients send a JSON document under this type; a bare scalar is the name of a field.
        document = _json(data, cut, notes) if data.lstrip()[:1] in (b"{", b"[") else None
        return document or _form(data, cut, notes)
    return _json(data, cut, notes)


def _form(data: bytes, cut: bool, notes: dict[str, Any]) -> Body | None:
    try:
        return Body("json", forms.parse_urlencoded(data, cut, notes), notes=notes)
    except ValueError:
        return None


def _json(data: bytes, cut: bool, notes: dict[str, Any]) -> Body | None:
    if not jsontext.looks_like_json(data):
        return None
    try:
        if cut:
            return Body("json", jsontext.parse_cut(data), notes=notes)
        value, raw = jsontext.parse(data)
    except ValueError:
        return None
    return Body("json", value, raw=raw, notes=notes)
