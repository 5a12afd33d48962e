"""W3C trace context through HTTP and Kafka headers, without the OpenTelemetry SDK unless spans are exported.

A span is opened per request and per record. Without an exporter it only carries ids (random, as the W3C format wants
them); with `OTEL_EXPORTER_OTLP_ENDPOINT` set and the exporter's package installed it is recorded and sent.
"""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
CORRELATION_ID: Final = "correlation_id"
CORRELATION_HEADER: Final = "x-correlation-id"

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_correlation: ContextVar[UUID | None] = ContextVar("modelyard_correlation_id", default=None)
_exporting = False


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run the block in a new span, child of the one in `headers` or of the current one."""
    parent = _PROPAGATOR.extract(dict(headers)) if headers and TRACEPARENT in headers else None
    if _exporting:
        with trace.get_tracer("modelyard").start_as_current_span(name, context=parent):
            yield
        return
    above = trace.get_current_span(parent).get_span_context()
    trace_id = above.trace_id if above.is_valid else random.getrandbits(128) or 1
    flags = above.trace_flags if above.is_valid else TraceFlags(0)
    own = SpanContext(trace_id, random.getrandbits(64) or 1, is_remote=False, trace_flags=flags)
    with trace.use_span(NonRecordingSpan(own)):
        yield


def current_traceparent() -> str | None:
    """`00-<trace>-<span>-<flags>` of the running span, or None outside of one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT)


@contextmanager
def correlated(correlation_id: UUID | None) -> Iterator[None]:
    """Run the block under a correlation id; logs and outgoing headers carry it."""
    token = _correlation.set(correlation_id)
    try:
        yield
    finally:
        _correlation.reset(token)


def current_correlation_id() -> UUID | None:
    return _correlation.get()


def outgoing_headers() -> dict[str, str]:
    """Headers for an outgoing HTTP request: traceparent and correlation id, where there are any."""
    headers = {}
    if parent := current_traceparent():
        headers[TRACEPARENT] = parent
    if correlation := current_correlation_id():
        headers[CORRELATION_HEADER] = str(correlation)
    return headers


def configure_tracing(service: str) -> bool:
    """Export spans when OTEL_EXPORTER_OTLP_ENDPOINT is set; returns whether it does.

    The SDK and the exporter (`opentelemetry-exporter-otlp-proto-http`) are imported only then; a missing package is a
    StartupError, as configured but silently absent is worse than an error.
    """
    global _exporting
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    from modelyard_runtime.errors import StartupError

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found,unused-ignore]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StartupError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set but {error.name} is not installed; "
            "install opentelemetry-exporter-otlp-proto-http or unset the variable"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"modelyard-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _exporting = True
    return True
