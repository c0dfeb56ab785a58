"""Form bodies as fields: application/x-www-form-urlencoded and multipart/form-data (RFC 7578), complete or cut.

Reads bytes that were kept, in linear time and within a bound on fields. A file gives its name, type and size, never
its content. A field that was cut is left out: half a value would hide from the mask what it is the half of.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from . import jsontext

MAX_FIELDS = 1000
"""Fields that are read; more are left out, and counted in the notes."""

# RFC 2046 5.1.1 allows 70 characters; some clients use more.
_MAX_BOUNDARY = 200
_MAX_PADDING = 200
_MAX_PART_HEADERS = 8192
_LF = 10
_FOLD = re.compile(rb"\r?\n[ \t]+")
_PARAMETER = re.compile(r""";\s*+([!#$%&'*+.^_`|~\w-]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;\s]*+)""", re.ASCII)


def parse_urlencoded(data: bytes, cut: bool, notes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields, a list of values where a name repeats. Raises ValueError for bytes that are no form."""
    text = data.decode("utf-8").strip("\r\n")
    if any(char < " " for char in text):
        raise ValueError("control characters")
    pairs = text.split("&", MAX_FIELDS)
    if len(pairs) > MAX_FIELDS:
        notes["fields_left_out"] = pairs.pop().count("&") + 1
    elif cut:
        pairs.pop()
    fields: dict[str, Any] = {}
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            add(fields, _unquote(name), _unquote(value))
    return fields


def _unquote(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def add(fields: dict[str, Any], name: str, value: Any) -> None:
    """Put a field in; the values of a name that repeats become a list."""
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a multipart content type, None when there is none that can be used."""
    boundary = parameters(content_type).get("boundary", "").encode("utf-8", "replace")
    return boundary if 0 < len(boundary) <= _MAX_BOUNDARY else None


def parse_multipart(data: bytes, boundary: bytes, cut: bool, notes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields; a file is ``{"name", "type", "size"}``, with ``"cut": true`` when only its beginning was kept.

    Raises ValueError when no part begins anywhere.
    """
    fields: dict[str, Any] = {}
    count = 0
    for headers, content, whole in _parts(data, boundary):
        count += 1
        if count > MAX_FIELDS:
            notes["fields_left_out"] = data.count(b"--" + boundary) - MAX_FIELDS
            break
        disposition = parameters(headers.get("content-disposition", ""))
        content = _decoded(content, headers.get("content-transfer-encoding", ""))
        value = _part_value(headers.get("content-type"), disposition, content, whole)
        if value is not None:
            add(fields, disposition.get("name", ""), value)
    if not count and not (cut and b"--" + boundary in data):
        raise ValueError("no part")
    return fields


def _parts(data: bytes, boundary: bytes) -> Iterator[tuple[dict[str, str], bytes, bool]]:
    """Yield each part's headers and content, and whether its end was kept."""
    delimiter = b"--" + boundary
    start, end = _delimiter(data, delimiter, 0)
    while start >= 0 and not data.startswith(b"--", start + len(delimiter)):
        start, next_end = _delimiter(data, delimiter, end)
        part = data[end:start] if start >= 0 else data[end:]
        head, blank, content = _divided(part)
        if blank:
            if start >= 0:
                content = content.removesuffix(b"\n").removesuffix(b"\r")
            yield _headers(head), content, start >= 0
        end = next_end


def _delimiter(data: bytes, delimiter: bytes, position: int) -> tuple[int, int]:
    """Return where the next delimiter line starts and where the line after it does; -1 for the start when none is left.

    A line is a delimiter when nothing but blanks, or the two dashes of the last one, follows the boundary.
    """
    while (start := data.find(delimiter, position)) >= 0:
        position = start + len(delimiter)
        if start and data[start - 1] != _LF:
            continue
        if data.startswith(b"--", position):
            return start, len(data)
        line_end = data.find(b"\n", position, position + _MAX_PADDING)
        if line_end >= 0 and not data[position:line_end].strip(b" \t\r"):
            return start, line_end + 1
    return -1, len(data)


def _divided(part: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a part's headers, the blank line and its content; no blank line within the bound means no headers yet."""
    for newline in (b"\r\n", b"\n"):
        if part.startswith(newline):
            return b"", newline, part[len(newline) :]
        end = part.find(newline * 2, 0, _MAX_PART_HEADERS)
        if end >= 0:
            return part[:end], newline * 2, part[end + 2 * len(newline) :]
    return part, b"", b""


def _headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in _FOLD.sub(b" ", head).split(b"\n"):
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


def _decoded(content: bytes, transfer_encoding: str) -> bytes:
    """Undo the transfer encoding of a part, which RFC 7578 4.7 discourages and some clients use."""
    try:
        match transfer_encoding.strip().lower():
            case "base64":
                return a2b_base64(content)
            case "quoted-printable":
                return a2b_qp(content)
    except ValueError:
        return content
    return content


def _part_value(content_type: str | None, disposition: dict[str, str], content: bytes, whole: bool) -> Any:
    if "filename" in disposition:
        file = {"name": disposition["filename"], "type": content_type, "size": len(content)}
        return file if whole else {**file, "cut": True}
    if not whole:
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return {"type": content_type, "size": len(content)}
    return jsontext.value_or(content, text) if "json" in (content_type or "").lower() else text


def parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header value, names in lower case (RFC 9110 5.6.6; RFC 5987 for ``name*``)."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        name, value = match[1].lower(), match[2]
        if value[:1] == '"':
            value = value[1:-1].replace('\\"', '"').replace("%22", '"')
        if name.endswith("*"):
            charset, _, encoded = value.partition("'")
            if charset.lower() != "utf-8":
                continue
            name, value = name[:-1], unquote_to_bytes(encoded.partition("'")[2]).decode("utf-8", "replace")
        found[name] = value
    return found
