"""The collector's own OpenAPI document, made from the table of operations and served at ``/openapi.json``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from .._version import VERSION
from .checks import schema_of
from .operations import Operation

OPENAPI: Final = "3.1.0"

_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_SENTENCES: Final = {
    304: "Not changed",
    400: "A field, a parameter or the body is wrong; the sentence begins with its path",
    401: "The application id or the key is not known, or a scope is missing, which is named",
    403: "A foreign Host, or a cross-site request",
    404: "There is no such thing",
    406: "JSON is not acceptable",
    408: "The body took too long",
    410: "It was there, and is gone",
    413: "The body is too large",
    415: "The content type is another one",
    429: "Over the rate of calls in a minute; Retry-After",
    501: "Not served; the sentence says why",
    503: "The store cannot write or read now; Retry-After",
}
_COLLECTOR: Final = (401, 403, 406, 503)
_MANAGEMENT: Final = (401, 403, 404, 406, 429, 503)


def openapi(collector: Iterable[Operation], management: Iterable[Operation], prefix: str = "/v1") -> dict[str, Any]:
    """Return the document of both APIs under one prefix."""
    paths: dict[str, dict[str, Any]] = {}
    for operations, always in ((collector, _COLLECTOR), (management, _MANAGEMENT)):
        for operation in operations:
            for path in (operation.path, *operation.aliases):
                found = _operation(operation, path, always)
                paths.setdefault(prefix + plain_path(path), {})[operation.verb.lower()] = found
    return {
        "openapi": OPENAPI,
        "info": {"title": "moesif-middleware collector", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "application": {"type": "apiKey", "in": "header", "name": "X-Moesif-Application-Id"},
                "management": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def plain_path(path: str) -> str:
    """Return a path as OpenAPI writes it."""
    return path.replace(":path}", "}")


def _operation(operation: Operation, path: str, always: tuple[int, ...]) -> dict[str, Any]:
    answers: dict[str, Any] = {str(operation.status): _answer(operation)}
    bodies = (408,) if operation.body is not None else ()
    for status in sorted({*always, *operation.refusals, *bodies} - {operation.status}):
        answers[str(status)] = _refusal(status)
    found: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [*_blanks(path), *_parameters(operation)],
        "responses": answers,
        "security": [{"management": []}] if operation.scopes else [{"application": []}],
    }
    if operation.scopes:
        found["x-scopes"] = list(operation.scopes)
    if operation.body is not None:
        content = {"application/json": {"schema": schema_of(operation.body)}}
        found["requestBody"] = {"required": operation.body_needed, "content": content}
    return found


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.why_not is not None:
        return _refusal(operation.status)
    if operation.answer is None:
        return {"description": "Done"}
    return {"description": operation.summary, "content": {"application/json": {"schema": operation.answer}}}


def _refusal(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _SENTENCES[status]}
    if status >= 400:
        found["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return found


def _blanks(path: str) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", plain_path(path)):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for query in operation.query:
        yield {"name": query.name, "in": "query", "required": query.required, "schema": query.schema}
