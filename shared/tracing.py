"""OpenTelemetry traces, for those who have a collector: off unless its variables are set.

The standard variables configure it, ``OTEL_EXPORTER_OTLP_ENDPOINT`` first. The packages are in
``requirements-otel.txt``, which nothing else needs.
"""

import os
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger(__name__)

SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
UNTRACED = "livez,readyz,metrics,docs,openapi.json"
"""Paths of probes and polls, which would be most of all traces."""


def start_tracing(role: str, app: "Flask | None" = None) -> None:
    """Send traces of this process if the environment asks for it; without packages, say so.

    Args:
        role: which process this is, ``api`` or ``worker``; part of the service's name.
        app: the application whose requests are traced, too.
    """
    if not any(os.environ.get(switch) for switch in SWITCHES):
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
        FlaskInstrumentor().instrument_app(app, excluded_urls=UNTRACED)
    log.info("traces are sent", service=os.environ["OTEL_SERVICE_NAME"])
