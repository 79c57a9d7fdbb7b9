"""Traces, metrics and logs by OpenTelemetry: `docs/observability.md` lists them all.

Everything leaves by OTLP/HTTP when the settings say where to, as the standard `OTEL_…` variables ask; some of
them the SDK reads by itself. Without an endpoint no span is recorded, yet every request gets a trace id, which
its log lines carry, and metrics can be read at `/metrics`.
"""

from services.defaults.telemetry.scope import annotate, as_attributes, untraced
from services.defaults.telemetry.setup import setup_telemetry
from services.defaults.telemetry.spans import (
    consumer_span,
    current_trace_id,
    inject_trace,
    note_error,
    observe,
    producer_span,
    query_span,
    request_span,
    rpc_client_span,
    rpc_server_span,
    work_span,
)

__all__ = [
    "annotate",
    "as_attributes",
    "consumer_span",
    "current_trace_id",
    "inject_trace",
    "note_error",
    "observe",
    "producer_span",
    "query_span",
    "request_span",
    "rpc_client_span",
    "rpc_server_span",
    "setup_telemetry",
    "untraced",
    "work_span",
]
