"""What OTLP/HTTP exports of traces and logs say, as values (OpenTelemetry Protocol 1.x, JSON and protobuf).

Protobuf is read by ``opentelemetry-proto`` (extra ``otlp``) and turned into what the JSON encoding has, so that one
reader serves both.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from . import checks
from .checks import Fields, Unfit, list_of

try:
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError, Message
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
except ImportError:
    PROTOBUF = False
else:
    PROTOBUF = True

SERVER: Final = 2
"""SPAN_KIND_SERVER."""

DEEPEST: Final = 32
"""Levels of a value; what is deeper is left out."""

MOST_PARTS: Final = 200_000
"""Resources, scopes, records, attributes and span events of one protobuf export."""

_IDS: Final = ("traceId", "spanId", "parentSpanId")
_SPANS: Final = ("resourceSpans", "scopeSpans", "spans")
_LOG_RECORDS: Final = ("resourceLogs", "scopeLogs", "logRecords")
_MOST_NANOS: Final = 253_402_300_799 * 10**9


@dataclass(frozen=True, slots=True)
class Record:
    """A span, or a log record (``kind`` 0, both times the same). Times are nanoseconds since the epoch, 0 for none."""

    name: str
    kind: int
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    trace_id: str
    span_id: str
    parent_span_id: str
    body: Any = None
    message: str = ""
    exception: dict[str, Any] | None = None


def _nanos(value: Any) -> None:
    """Accept nanoseconds since the epoch, a number or its text, as 64-bit numbers are in this JSON."""
    if not (type(value) is int or (type(value) is str and value.isascii() and value.isdigit() and len(value) < 20)):
        raise Unfit("must be nanoseconds since the epoch")
    if not 0 <= int(value) <= _MOST_NANOS:
        raise Unfit("must be nanoseconds from 1970 to 9999")


def _kind(value: Any) -> None:
    """Accept the number of a kind, or its name."""
    if type(value) not in (int, str):
        raise Unfit("must be a number, or a name such as SPAN_KIND_SERVER")


_NANOS: Final = checks.described(_nanos, {"type": ["integer", "string"]})
_KEYED: Final = list_of(Fields({"key": checks.text, "value": checks.any_object}, required=("key",)))
_RESOURCE: Final = Fields({"attributes": _KEYED})
_SCOPE: Final = Fields({"name": checks.text})
_SPAN: Final = Fields(
    {
        **dict.fromkeys((*_IDS, "name"), checks.text),
        "kind": checks.described(_kind, {"type": ["integer", "string"]}),
        "startTimeUnixNano": _NANOS,
        "endTimeUnixNano": _NANOS,
        "attributes": _KEYED,
        "events": list_of(Fields({"name": checks.text, "attributes": _KEYED})),
        "status": Fields({"message": checks.text}),
    }
)
_LOG: Final = Fields(
    {
        **dict.fromkeys(("traceId", "spanId", "eventName", "severityText"), checks.text),
        "timeUnixNano": _NANOS,
        "observedTimeUnixNano": _NANOS,
        "attributes": _KEYED,
        "body": checks.any_object,
    }
)


def _export(resources: str, scopes: str, records: str, fields: Fields) -> Fields:
    scope = Fields({"scope": _SCOPE, records: list_of(fields)})
    return Fields({resources: list_of(Fields({"resource": _RESOURCE, scopes: list_of(scope)}))})


TRACES: Final = _export(*_SPANS, _SPAN)
LOGS: Final = _export(*_LOG_RECORDS, _LOG)


def spans(export: dict[str, Any]) -> Iterator[Record]:
    """Yield the spans of an export that TRACES has checked."""
    for resource, scope, span in _records(export, *_SPANS):
        kind = span.get("kind") or 0
        yield Record(
            name=span.get("name") or "",
            kind=kind if isinstance(kind, int) else SERVER * (kind == "SPAN_KIND_SERVER"),
            start=int(span.get("startTimeUnixNano") or 0),
            end=int(span.get("endTimeUnixNano") or 0),
            attributes=attributes(span),
            resource=resource,
            scope=scope,
            **_ids(span),
            message=(span.get("status") or {}).get("message") or "",
            exception=_exception(span),
        )


def logs(export: dict[str, Any]) -> Iterator[Record]:
    """Yield the log records of an export that LOGS has checked."""
    for resource, scope, log in _records(export, *_LOG_RECORDS):
        at = int(log.get("timeUnixNano") or log.get("observedTimeUnixNano") or 0)
        found = attributes(log)
        yield Record(
            name=log.get("eventName") or _text(found.get("event.name")),
            kind=0,
            start=at,
            end=at,
            attributes=found,
            resource=resource,
            scope=scope,
            **_ids(log),
            body=value_of(log.get("body") or {}),
            message=log.get("severityText") or "",
        )


def _records(
    export: dict[str, Any], resources: str, scopes: str, records: str
) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    for each in export.get(resources) or []:
        resource = attributes(each.get("resource") or {})
        for scope in each.get(scopes) or []:
            name = (scope.get("scope") or {}).get("name") or ""
            for record in scope.get(records) or []:
                yield resource, name, record


def attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a resource, span or record as an object."""
    return {each["key"]: value_of(each.get("value") or {}) for each in holder.get("attributes") or []}


def value_of(value: Any, depth: int = 0) -> Any:
    """Return what an AnyValue stands for; None for nothing, for what is not one, and below ``DEEPEST`` levels."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return None
    for name, held in value.items():
        match name:
            case "stringValue" | "boolValue" | "doubleValue" | "bytesValue":
                return held if isinstance(held, str | bool | int | float) else None
            case "intValue":
                return _whole(held)
            case "arrayValue" | "kvlistValue":
                inner = held.get("values") if isinstance(held, dict) else None
                items = [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
                if name == "arrayValue":
                    return [value_of(each, depth + 1) for each in items]
                return {_text(each.get("key")): value_of(each.get("value"), depth + 1) for each in items}
    return None


def _whole(held: Any) -> int | None:
    try:
        number = int(held)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -(2**63) <= number < 2**63 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ids(record: dict[str, Any]) -> dict[str, Any]:
    names = ("trace_id", "span_id", "parent_span_id")
    return {name: (record.get(wire) or "").lower() for name, wire in zip(names, _IDS, strict=True)}


def _exception(span: dict[str, Any]) -> dict[str, Any] | None:
    """Return the type and message of the last exception that a span recorded."""
    for event in reversed(span.get("events") or []):
        if event.get("name") == "exception":
            found = attributes(event)
            return {"type": found.get("exception.type"), "message": found.get("exception.message")}
    return None


def decoded(data: bytes, signal: str) -> dict[str, Any]:
    """Return a protobuf export of ``traces`` or ``logs`` as the JSON encoding has it. Raises Unfit."""
    message: Message = (
        trace_service_pb2.ExportTraceServiceRequest()
        if signal == "traces"
        else logs_service_pb2.ExportLogsServiceRequest()
    )
    try:
        message.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise Unfit(f"is not a protobuf export of {signal}: {error}") from None
    _require_few(message)
    export: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for _, _, record in _records(export, *(_SPANS if signal == "traces" else _LOG_RECORDS)):
        for name in _IDS:
            if name in record:
                record[name] = b64decode(record[name]).hex()
    return export


def _require_few(message: Any) -> None:
    """Raise Unfit for more parts than an exporter sends: an empty one takes two bytes, and hundreds as an object."""
    parts = 0
    for name in ("resource_spans", "resource_logs"):
        resources = getattr(message, name, ())
        parts += len(resources)
        for resource in resources:
            scopes = resource.scope_spans if name == "resource_spans" else resource.scope_logs
            parts += len(scopes) + len(resource.resource.attributes)
            for scope in scopes:
                records = scope.spans if name == "resource_spans" else scope.log_records
                parts += len(records)
                if parts > MOST_PARTS:
                    break
                parts += sum(len(record.attributes) + len(getattr(record, "events", ())) for record in records)
            if parts > MOST_PARTS:
                raise Unfit(f"has over {MOST_PARTS} parts")


def encoded(signal: str, rejected: int, message: str) -> bytes:
    """Return the protobuf answer to an export."""
    if signal == "traces":
        traced = trace_service_pb2.ExportTraceServiceResponse()
        traced.partial_success.rejected_spans, traced.partial_success.error_message = rejected, message
        return bytes(traced.SerializeToString())
    logged = logs_service_pb2.ExportLogsServiceResponse()
    logged.partial_success.rejected_log_records, logged.partial_success.error_message = rejected, message
    return bytes(logged.SerializeToString())
