"""OpenTelemetry's own instrumentation with the SDK and the OTLP exporter over HTTP."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .base import KINDS, Contestant

HEADERS = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_"


class OpenTelemetry(Contestant):
    """One span for a request; headers are captured since a variable asks for them, and bodies are out of its reach."""

    name = "OpenTelemetry"
    package = "opentelemetry-instrumentation"
    requirements = (
        "opentelemetry-instrumentation-asgi==0.66b2", "opentelemetry-instrumentation-wsgi==0.66b2",
        "opentelemetry-instrumentation-django==0.66b2", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http",
    )  # fmt: skip
    captures = "headers (turned on), no bodies"
    imports: ClassVar[Mapping[str, str]] = {
        kind: "import opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter, "
        f"opentelemetry.instrumentation.{kind.lower()}"
        for kind in KINDS
    }

    def __init__(self, kind: str, url: str, *, eager: bool = False) -> None:
        super().__init__(kind, url, eager=eager)
        os.environ.update({f"{HEADERS}REQUEST": ".*", f"{HEADERS}RESPONSE": ".*"})
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        self._provider = sdk.TracerProvider()
        exporter = otlp.OTLPSpanExporter(endpoint=f"{url}/v1/traces", compression=otlp.Compression.Gzip)
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))

    def wrap(self, app: Any) -> Any:
        """Return the wrapped application; no spans for each message, which would be several for a request."""
        module = importlib.import_module(f"opentelemetry.instrumentation.{self._kind.lower()}")
        if self._kind == "ASGI":
            return module.OpenTelemetryMiddleware(
                app, tracer_provider=self._provider, exclude_spans=["receive", "send"]
            )
        return module.OpenTelemetryMiddleware(app, tracer_provider=self._provider)

    def middleware(self) -> Sequence[str]:
        """Return what the instrumentation puts into the settings."""
        module = importlib.import_module("opentelemetry.instrumentation.django")
        module.DjangoInstrumentor().instrument(tracer_provider=self._provider)
        return list(importlib.import_module("django.conf").settings.MIDDLEWARE)

    def flush(self) -> None:
        """Export now."""
        self._provider.force_flush()

    def close(self) -> None:
        """Export the rest and end."""
        self._provider.shutdown()
