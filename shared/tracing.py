"""OpenTelemetry traces, sent only where OpenTelemetry's own variables configure a collector.

``OTEL_EXPORTER_OTLP_ENDPOINT`` is the first of them. The packages are in ``requirements-otel.txt``;
the service runs without them.
"""

import os
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger(__name__)

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
UNTRACED_PATHS = "livez,readyz,metrics,docs,openapi.json"
"""Paths that are probed and polled: most traces would be theirs."""


def start_tracing(role: str, app: "Flask | None" = None) -> None:
    """Send traces of this process if an endpoint is configured; warn if packages are missing.

    Args:
        role: ``api`` or ``worker``, part of the service's name in the traces.
        app: the Flask application whose requests are traced.
    """
    if not any(os.environ.get(variable) for variable in ENDPOINT_VARIABLES):
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", f"vision-{role}")
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as err:
        log.warning(
            "no traces: install them with pip install -r requirements-otel.txt", error=str(err)
        )
        return
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()  # carries the trace across the queue
    if app is not None:
        FlaskInstrumentor().instrument_app(app, excluded_urls=UNTRACED_PATHS)
    log.info("traces are sent", service=os.environ["OTEL_SERVICE_NAME"])
