"""The operation that a GraphQL request names (GraphQL over HTTP, "Request parameters")."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

_MAX_DOCUMENT = 8192
_MAX_BATCH = 20
_MAX_PARAMETERS = 500
_PARAMETERS = frozenset(("query", "variables", "extensions", "operationName"))
_NAMES = frozenset(("query", "variables", "extensions"))
_BEGINS = re.compile(r"(?:[\s,\ufeff]|#[^\n]*+\n)*+(?:\{|query\b|mutation\b|subscription\b|fragment\b)")
_OPERATION = re.compile(r"\b(query|mutation|subscription)\b\s*+(?:([_A-Za-z]\w*+)\s*+)?+[({@]")


def likely(outline: dict[str, Any] | list[Any]) -> bool:
    """Return whether ``operation`` may find something in a document, of which ``jsontext.outline`` tells the names."""
    if isinstance(outline, list):
        # Only the first of a batch has to be an operation; its names may be spelled with escapes.
        first = bytes(outline[0]) if outline else b""
        return b"\\" in first or any(b'"%b"' % name.encode() in first for name in _NAMES)
    return not _NAMES.isdisjoint(outline)


def operation(value: Any) -> dict[str, Any]:
    """Return ``graphql_operation_name`` and ``_type`` of a request body, for the metadata; empty for other bodies.

    Both are lists for a batch of operations; an anonymous operation has no name.
    """
    if type(value) is list:
        return _batch(value)
    if type(value) is not dict:
        return {}
    found = _operation(value)
    return {f"graphql_operation_{key}": text for key, text in found.items()}


def operation_in_query(query_string: str) -> dict[str, Any]:
    """Return the same of a request that has its operation in the query string, as GET requests do."""
    if "query=" not in query_string and "extensions=" not in query_string:
        return {}
    pairs = (part.partition("=") for part in query_string.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS])
    found = {name: unquote_plus(value) for name, _, value in pairs if name in _PARAMETERS}
    # "query" is a word that other APIs use as well.
    return operation(found) if "{" in found.get("query", found.get("extensions", "")) else {}


def _batch(values: list[Any]) -> dict[str, Any]:
    if not values or type(values[0]) is not dict or not _operation(values[0]):
        return {}
    found = [_operation(value) for value in values[:_MAX_BATCH] if type(value) is dict]
    return {f"graphql_operation_{key}": [each.get(key) for each in found] for key in ("name", "type")}


def _operation(value: dict[str, Any]) -> dict[str, str]:
    name, document = value.get("operationName"), value.get("query")
    found: dict[str, str] = {}
    if isinstance(document, str):
        if not _BEGINS.match(document, 0, _MAX_DOCUMENT):
            return {}
        match = _OPERATION.search(document, 0, _MAX_DOCUMENT)
        if match and match[2]:
            found["name"] = match[2]
        found["type"] = match[1] if match else "query"
    elif not ("extensions" in value or "variables" in value):
        return {}
    if isinstance(name, str) and name:
        found["name"] = name[:200]
    return found
