"""OTLP exports: what of them becomes an event, in both encodings, from the real SDK too."""

from __future__ import annotations

import gzip
import importlib
import sys
import time
from typing import Any

import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from moesif_middleware import collector
from moesif_middleware.collector import otlp, spans

from .conftest import Running

PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def keyed(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP writes them in JSON."""

    def any_value(value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {"boolValue": value}
        if isinstance(value, int):
            return {"intValue": str(value)}
        if isinstance(value, list):
            return {"arrayValue": {"values": [any_value(each) for each in value]}}
        return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}

    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def span(attributes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    start = time.time_ns() - 2 * 10**9
    found = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "GET /items/{id}",
        "kind": 2,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 250_000_000),
        "attributes": keyed(attributes),
    }
    return {**found, **changes}


def traces(*found: dict[str, Any]) -> dict[str, Any]:
    scope = {"scope": {"name": "an.instrumentation"}, "spans": list(found)}
    return {"resourceSpans": [{"resource": {"attributes": keyed({"service.name": "shop"})}, "scopeSpans": [scope]}]}


STABLE = {
    "http.request.method": "POST",
    "url.scheme": "https",
    "server.address": "api.example.com",
    "server.port": 8443,
    "url.path": "/items/7",
    "url.query": "page=2",
    "http.route": "/items/{id}",
    "http.response.status_code": 201,
    "client.address": "203.0.113.9",
    "user.id": "u1",
    "user_agent.original": "curl/8",
    "http.request.header.x-thing": ["a", "b"],
    "http.response.header.content-type": ["application/json"],
}
OLD = {
    "http.method": "get",
    "http.scheme": "http",
    "http.host": "api.example.com",
    "http.target": "/items/7?page=2",
    "http.status_code": "404",
    "http.client_ip": "203.0.113.9",
    "enduser.id": 42,
}


@pytest.mark.parametrize(
    ("attributes", "uri", "verb", "status", "user", "headers"),
    [
        (STABLE, "https://api.example.com:8443/items/7?page=2", "POST", 201, "u1",
         {"user-agent": "curl/8", "x-thing": "a, b"}),
        (OLD, "http://api.example.com/items/7?page=2", "GET", 404, "42", {}),
        ({"http.request.method": "PUT", "url.full": "http://x/y"}, "http://x/y", "PUT", None, None, {}),
    ],
)  # fmt: skip
def test_a_server_span_is_an_event(
    running: Running,
    attributes: dict[str, Any],
    uri: str,
    verb: str,
    status: int | None,
    user: str | None,
    headers: Any,
) -> None:
    """By the stable names of the semantic conventions and by those before; a second sending is the same event."""
    export = traces(span(attributes))
    for _ in range(2):
        answer = running.collector.post("/v1/traces", json=export)
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["X-Moesif-Config-ETag"]
    (event,) = running.events()
    request = event["request"]
    assert (request["uri"], request["verb"], request["headers"]) == (uri, verb, headers)
    assert request["route"] == ("/items/{id}" if attributes is STABLE else request["route"])
    assert (event.get("response") or {}).get("status") == status
    assert event.get("duration_ms") == (None if status is None else 250)
    assert (event.get("user_id"), event["transaction_id"]) == (user, f"{TRACE}-{SPAN}")
    assert event["metadata"]["otel"] == {
        "name": "GET /items/{id}",
        "service": "shop",
        "scope": "an.instrumentation",
        "trace_id": TRACE,
        "span_id": SPAN,
    }


def test_secrets_of_an_export_are_masked(running: Running) -> None:
    """Its exporter had no masks: headers, the URI, bodies and other attributes."""
    secret = "s3cr3t-value"
    body = orjson.dumps({"password": secret, "name": "x"}).decode()
    attributes = {
        **STABLE,
        "http.request.header.authorization": [f"Bearer {secret}"],
        "url.query": f"api_key={secret}",
        "http.request.body": body,
        "http.response.body": "plain text",
        "db.password": secret,
    }
    running.collector.post("/v1/traces", json=traces(span(attributes))).raise_for_status()
    (event,) = running.events()
    assert secret not in orjson.dumps(event).decode()
    assert event["request"]["body"]["name"] == "x"
    assert event["response"]["transfer_encoding"] == "base64"


def test_what_is_no_call_is_let_go_and_what_cannot_be_stored_is_rejected(running: Running) -> None:
    """By number, with a sentence; the rest is stored."""
    odd = [
        span(STABLE, kind=3, spanId="1"),
        span({"db.system": "mysql"}, spanId="2"),
        span(STABLE, spanId="3", startTimeUnixNano="1", endTimeUnixNano="2"),
        span(STABLE, spanId="4", kind="SPAN_KIND_SERVER"),
        span(STABLE, spanId="", startTimeUnixNano=time.time_ns()),
    ]
    answer = running.collector.post("/v1/traces", json=traces(*odd))
    message = "request.time: is over 30 days in the past"
    assert answer.json() == {"partialSuccess": {"rejectedSpans": 1, "errorMessage": message}}
    assert len(running.events()) == 2
    answer = running.collector.post("/v1/traces", json=traces(odd[0]))
    message = "1 record is no HTTP call and was let go"
    assert answer.json() == {"partialSuccess": {"rejectedSpans": 0, "errorMessage": message}}
    assert running.collector.post("/v1/traces", json={}).json() == {}


def logs(*records: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


def test_records_without_a_trace_are_all_stored(running: Running) -> None:
    """Nothing tells one from another that is sent again: each gets an id of its own."""
    now = str(time.time_ns())
    record = {"timeUnixNano": now, "eventName": "Signed Up", "attributes": keyed({"user.id": "u1"})}
    running.collector.post("/v1/logs", json=logs(record, record)).raise_for_status()
    running.collector.post("/v1/logs", json=logs({**record, "traceId": TRACE})).raise_for_status()
    assert len({event["transaction_id"] for event in running.events()}) == 3


def test_log_records_are_calls_actions_or_let_go(running: Running) -> None:
    """An access log has a method and a status, an event its name; other lines are let go."""
    now = str(time.time_ns())
    access = {**STABLE, "http.server.request.duration": 0.25}
    sent = logs(
        {"timeUnixNano": now, "attributes": keyed(access), "traceId": TRACE, "spanId": SPAN},
        {"observedTimeUnixNano": now, "eventName": "Signed Up", "attributes": keyed({"user.id": "u1", "plan": "pro"})},
        {"timeUnixNano": now, "body": {"stringValue": "a line"}},
    )
    answer = running.collector.post("/v1/logs", json=sent).json()
    assert answer["partialSuccess"]["rejectedLogRecords"] == 0
    call, action = running.events()
    assert (call["event_type"], call["duration_ms"], call["response"]["status"]) == ("api_call", 250, 201)
    assert (action["event_type"], action["action_name"], action["user_id"]) == ("user_action", "Signed Up", "u1")
    assert action["metadata"]["attributes"]["plan"] == "pro"


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_protobuf_says_the_same_as_json(running: Running, coding: str) -> None:
    """One event for both encodings of one span, and the answer in the encoding of the question."""
    export = traces(span(STABLE), span(STABLE, spanId="aa19b7ec3c1b174a", startTimeUnixNano="1"))
    message = ExportTraceServiceRequest()
    for number, each in enumerate(export["resourceSpans"][0]["scopeSpans"][0]["spans"]):
        made = Span(
            trace_id=bytes.fromhex(each["traceId"]), span_id=bytes.fromhex(each["spanId"]), name=each["name"], kind=2,
            start_time_unix_nano=int(each["startTimeUnixNano"]), end_time_unix_nano=int(each["endTimeUnixNano"]),
        )  # fmt: skip
        for key, value in STABLE.items():
            held = made.attributes.add(key=key).value
            if isinstance(value, list):
                for item in value:
                    held.array_value.values.add(string_value=item)
            elif isinstance(value, int):
                held.int_value = value
            else:
                held.string_value = value
        if number == 0:
            message.resource_spans.append(ResourceSpans(scope_spans=[ScopeSpans(spans=[made])]))
        else:
            message.resource_spans[0].scope_spans[0].spans.append(made)
    message.resource_spans[0].resource.attributes.add(key="service.name").value.string_value = "shop"
    message.resource_spans[0].scope_spans[0].scope.name = "an.instrumentation"
    data = message.SerializeToString()
    headers = {**PROTOBUF, **({"Content-Encoding": coding} if coding else {})}
    answer = running.collector.post(
        "/collector/v1/traces", content=gzip.compress(data) if coding else data, headers=headers
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-protobuf")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (partial.rejected_spans, partial.error_message[:13]) == (1, "request.time:")
    (binary,) = running.events()
    from_json = spans.api_call(next(otlp.spans(export)))
    assert from_json is not None
    request = from_json.pop("request")
    assert {name: binary[name] for name in from_json} == from_json
    assert {name: binary["request"][name] for name in request} == request


def test_protobuf_logs_are_taken(running: Running) -> None:
    """The same reader serves them."""
    message = ExportLogsServiceRequest()
    record = (
        message.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=time.time_ns(), event_name="Signed Up", trace_id=b"\1" * 16, span_id=b"\2" * 8)
    )
    record.body.kvlist_value.values.add(key="plan").value.string_value = "pro"
    answer = running.collector.post("/v1/logs", content=message.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    assert ExportLogsServiceResponse.FromString(answer.content).partial_success.error_message == ""
    (action,) = running.events()
    assert (action["action_name"], action["metadata"]["body"]) == ("Signed Up", {"plan": "pro"})
    assert action["transaction_id"].startswith("01" * 16 + "-" + "02" * 8)


def test_the_sdk_s_exporter_is_understood(running: Running) -> None:
    """OpenTelemetry for Python, as an application sets it up."""
    headers = {"X-Moesif-Application-Id": running.app}
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{running.url}/v1/traces", headers=headers)))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("POST /items/{id}", kind=SpanKind.SERVER, attributes=STABLE) as made:
        made.record_exception(ValueError("odd"))
        with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT):
            pass
    provider.shutdown()
    (event,) = running.events()
    assert event["request"]["uri"] == "https://api.example.com:8443/items/7?page=2"
    assert event["metadata"]["otel"]["exception"] == {"type": "ValueError", "message": "odd"}


EMPTY_SPANS = ExportTraceServiceRequest(
    resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span()] * (otlp.MOST_PARTS + 1))])]
).SerializeToString()


@pytest.mark.parametrize(
    ("headers", "content", "status", "sentence"),
    [
        (PROTOBUF, b"\xff\xff", 400, "body: is not a protobuf export of traces"),
        (PROTOBUF, EMPTY_SPANS, 400, "body: has over"),
        (PROTOBUF, b"\0" * (4 * 1024 * 1024 + 1), 413, "the body has over"),
        ({**PROTOBUF, "Content-Encoding": "gzip"}, gzip.compress(b"\0" * (64 << 20)), 413, "the body decodes to over"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "the content type is"),
        ({}, b"[]", 400, "body: must be an object"),
        ({}, b'{"resourceSpans": {}}', 400, "resourceSpans: must be an array"),
        ({}, orjson.dumps(traces(span({}, startTimeUnixNano="-1"))), 400,
         "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano: must be nanoseconds"),
        ({}, orjson.dumps(traces({**span({}), "attributes": [{"value": {}}]})), 400,
         "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].key: is required"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused(
    shared: Running, headers: dict[str, str], content: bytes, status: int, sentence: str
) -> None:
    """With the path of what is wrong."""
    answer = shared.collector.post("/v1/traces", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"][: len(sentence)]) == (status, sentence)


def test_without_the_extra_json_is_taken_and_protobuf_says_what_is_missing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module is there without protobuf; only its encoding is not."""
    with monkeypatch.context() as patch:
        # The import below sets it on the package; this takes it back.
        patch.setattr(collector, "otlp", otlp)
        for name in ("google.protobuf.json_format", "moesif_middleware.collector.otlp"):
            patch.setitem(sys.modules, name, None)
        patch.delitem(sys.modules, "moesif_middleware.collector.otlp")
        assert not importlib.import_module("moesif_middleware.collector.otlp").PROTOBUF
    monkeypatch.setattr(otlp, "PROTOBUF", False)
    answer = running.collector.post("/v1/traces", content=b"", headers=PROTOBUF)
    assert (answer.status_code, "moesif-middleware[otlp]" in answer.json()["error"]) == (501, True)
    assert running.collector.post("/v1/traces", json=traces(span(STABLE))).status_code == 200


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"stringValue": "a"}, "a"),
        ({"boolValue": False}, False),
        ({"intValue": "-7"}, -7),
        ({"intValue": 7}, 7),
        ({"intValue": "9" * 30}, None),
        ({"intValue": {}}, None),
        ({"doubleValue": 1.5}, 1.5),
        ({"stringValue": {"a": 1}}, None),
        ({"arrayValue": {"values": [{"intValue": 1}, 3, {}]}}, [1, None]),
        ({"arrayValue": []}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}, {"key": 5}]}}, {"a": True, "": None}),
        ({}, None),
        ("text", None),
    ],
)
def test_any_value(value: Any, wanted: Any) -> None:
    """What it stands for, and nothing for what is none."""
    assert otlp.value_of(value) == wanted


def test_a_value_without_end_is_cut() -> None:
    """Levels below the deepest are left out."""
    value: dict[str, Any] = {"stringValue": "deep"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    found, levels = otlp.value_of(value), 0
    while isinstance(found, list):
        found, levels = found[0], levels + 1
    assert (found, levels) == (None, otlp.DEEPEST + 1)
