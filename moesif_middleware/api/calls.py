"""One call as values: its path and query, what its answer means, and whether to ask again.

Pure: the clock and the dice are arguments. The transports of ``_async`` and ``_sync`` do what is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import orjson

from ..errors import APIError, AuthenticationError, InvalidModel, RateLimited, error_class
from ..models import Action, Campaign, Company, Event, EventRequest, EventResponse, Subscription, User, wire_time
from ..sansio.protocol import Verdict, backoff, retry_after, verdict

_MODELS = (Event, EventRequest, EventResponse, Action, User, Company, Subscription, Campaign)
_ENCODING = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS
_REQUEST_ID = ("x-request-id", "x-moesif-request-id", "request-id", "x-amzn-requestid")
RELATIVE = re.compile(r"([-+]?)([0-9]+)([smhdwM])")
_SCOPE = re.compile(r"\b(?:create|read|update|delete):[a-z_]+\b")
_BLANK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that can be sent more than once. ``repeatable`` says that doing it twice is doing it once."""

    verb: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer: status, headers (names in lower case) and the decoded bytes of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON value, None when it is empty. Raises APIError for anything else."""
        if not self.body.strip():
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise APIError(self.status, f"the answer is not JSON: {error}", body=self.body) from None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, between two reads, and for a whole call with its retries and waits."""

    connect: float = 5.0
    read: float = 30.0
    total: float = 90.0


def call(operation: str, parameters: Mapping[str, Any], body: Any = None, *, repeatable: bool | None = None) -> Call:
    """Return the call for ``"VERB /path/{blank}"``: parameters named by a blank go there, the others into the query.

    A name may end with an underscore where Python has the word. None leaves a parameter out. POST repeats only where
    the caller says that the operation is an upsert or a read. Raises InvalidModel, which names the parameter, for a
    blank that is missing or cannot be a path segment.
    """
    verb, _, template = operation.partition(" ")
    parameters = {name.removesuffix("_"): value for name, value in parameters.items()}
    blanks = _BLANK.findall(template)
    path = template.format(**{name: segment(name, parameters.get(name)) for name in blanks})
    query = tuple(pair for name, value in parameters.items() if name not in blanks for pair in _pairs(name, value))
    encoded = None if body is None else encode(body)
    return Call(verb, path, query, encoded, repeatable=verb != "POST" if repeatable is None else repeatable)


def segment(name: str, value: object) -> str:
    """Return one percent-encoded path segment. Raises InvalidModel for what would name another resource."""
    text = "" if value is None else str(value)
    if text in {"", ".", ".."}:
        raise InvalidModel(name, f"{text!r} cannot be part of a path")
    return quote(text, safe="~")


def _pairs(name: str, value: object) -> Iterable[tuple[str, str]]:
    if value is None:
        return
    if name in {"from", "to"}:
        value = moment(name, value)
    many = isinstance(value, Iterable) and not isinstance(value, str)
    for item in value if many else (value,):  # type: ignore[attr-defined]  # the line above knows
        yield name, _text(item)


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return wire_time(value)
        case date():
            return value.isoformat()
        case ZoneInfo():
            return value.key
    return str(value)


Moment = str | datetime | date | timedelta
"""A time: ISO 8601, a datetime or date (UTC when it says nothing), ``now``, ``-1d``, or a timedelta from now."""


def moment(name: str, value: object) -> str:
    """Return a time as the API takes it (reference, "Query Params"). Raises InvalidModel, which names the parameter."""
    if isinstance(value, timedelta):
        return f"{value // timedelta(seconds=1):+d}s"
    text = _text(value)
    if text == "now" or RELATIVE.fullmatch(text):
        return text
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise InvalidModel(name, f"{text!r} is neither ISO 8601 nor now nor relative such as -1d or +2w") from None
    return text


def encode(document: object) -> bytes:
    """Return the JSON of models and documents. Raises InvalidModel with the path of what is not JSON."""
    try:
        return orjson.dumps(document, default=_plain, option=_ENCODING)
    except orjson.JSONEncodeError as error:
        raise InvalidModel(_culprit(document).lstrip(".") or "body", str(error)) from None


def _plain(value: object) -> object:
    if isinstance(value, _MODELS):
        return value.to_wire()
    raise TypeError


def _culprit(value: object) -> str:
    """Return the path below ``value`` of the innermost part that is not JSON, each step with its dot or brackets."""
    if isinstance(value, _MODELS):
        value = value.to_wire()
    steps: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        steps = ((f".{key}", {key: child}) for key, child in value.items())
    elif isinstance(value, list | tuple):
        steps = ((f"[{index}]", child) for index, child in enumerate(value))
    for step, part in steps:
        try:
            orjson.dumps(part, default=_plain, option=_ENCODING)
        except orjson.JSONEncodeError:
            child = next(iter(part.values())) if step.startswith(".") and isinstance(part, dict) else part
            return step + _culprit(child)
    return ""


def failure(reply: Reply, now: float) -> APIError:
    """Return the error of the tree for an answer that is no success; ``now`` is seconds since the epoch."""
    body = _body(reply)
    message = _message(body) or f"the server answered {reply.status}"
    found = next((reply.headers[name] for name in _REQUEST_ID if name in reply.headers), None)
    kind = error_class(reply.status)
    scope = _missing_scope(reply, message) if kind is AuthenticationError else None
    error = kind(reply.status, message, request_id=found, body=body, hint=f"missing scope {scope}" if scope else None)
    if isinstance(error, AuthenticationError):
        error.missing_scope = scope
    elif isinstance(error, RateLimited):
        error.retry_after = retry_after(reply.headers.get("retry-after"), now)
    return error


def _body(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return reply.body.decode("utf-8", "replace")


def _message(body: Any) -> str:
    for name in ("message", "error", "error_description", "detail"):
        if isinstance(body, dict) and body.get(name):
            return _message(body[name])
    return body[:500] if isinstance(body, str) else ""


def _missing_scope(reply: Reply, message: str) -> str | None:
    found = _SCOPE.findall(reply.headers.get("www-authenticate", "")) or _SCOPE.findall(message)
    found = found or _SCOPE.findall(reply.body.decode("utf-8", "replace"))
    return " ".join(dict.fromkeys(found)) or None


def pause_after(reply: Reply, call: Call, attempt: int, *, now: float, draw: float) -> float | None:
    """Return how many seconds to wait before asking again, None when the answer stands.

    ``attempt`` counts from 1, ``draw`` is between 0 and 1. A call that must not run twice is repeated after 429 alone,
    which says that it did not run.
    """
    if verdict(reply.status) is not Verdict.RETRY or not (call.repeatable or reply.status == 429):
        return None
    asked = retry_after(reply.headers.get("retry-after"), now) if reply.status in {429, 503} else None
    return backoff(attempt, draw, asked)
