"""Spans and durations of what libraries do not tell of, or not so that the costs stay low.

Names and attributes follow the semantic conventions (https://opentelemetry.io/docs/specs/semconv/). Work that
belongs to no sampled trace costs a measurement only: no span is made for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Final

from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError
from opentelemetry import context, metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from services.defaults.errors import AppError
from services.defaults.telemetry.instruments import latencies
from services.defaults.telemetry.scope import current_scope, new_scope

METER: Final = "services.defaults"
ERROR: Final = Status(StatusCode.ERROR)
# The server's own faults, of all that a gRPC status may mean (semantic conventions for gRPC).
GRPC_FAULTS: Final = frozenset(
    {
        GrpcStatus.UNKNOWN,
        GrpcStatus.DEADLINE_EXCEEDED,
        GrpcStatus.UNIMPLEMENTED,
        GrpcStatus.INTERNAL,
        GrpcStatus.UNAVAILABLE,
        GrpcStatus.DATA_LOSS,
    }
)

tracer = trace.get_tracer("services.defaults")
meter = metrics.get_meter(METER)

_http_client = latencies(METER, "http.client.request.duration", "Requests made of others")
_rpc_server = latencies(METER, "rpc.server.call.duration", "gRPC calls taken")
_rpc_client = latencies(METER, "rpc.client.call.duration", "gRPC calls made, all attempts together")
_database = latencies(METER, "db.client.operation.duration", "Statements")
_sending = latencies(METER, "messaging.client.operation.duration", "Messages sent, until confirmed")
_sent = meter.create_counter("messaging.client.sent.messages", "{message}", "Messages sent, or not")
_processing = latencies(METER, "messaging.process.duration", "Messages handled")
_consumed = meter.create_counter("messaging.client.consumed.messages", "{message}", "Messages taken from a queue")

Labels = dict[str, Any]


class Observed(AbstractContextManager[Span]):
    """See `observe`. A class, because a generator for each of these costs as much as what it is for."""

    __slots__ = ("_attributes", "_began", "_clock", "_kind", "_labels", "_links", "_name", "_parent", "_span", "_token")

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any],
        *,
        parent: Context | None,
        links: Sequence[Link],
        clock: Histogram | None,
        labels: Labels,
    ) -> None:
        self._name, self._kind, self._attributes = name, kind, attributes
        self._parent, self._links = parent, links
        self._clock, self._labels = clock, labels
        self._span: Span | None = None

    def __enter__(self) -> Span:
        self._began = perf_counter()
        present = trace.get_current_span()
        if self._parent is None and not present.get_span_context().trace_flags.sampled:
            return present  # in no trace, or in one that is not kept: there is nothing to add to
        scope = current_scope()
        span = tracer.start_span(
            self._name, self._parent, self._kind, {**self._attributes, **scope.attributes}, self._links
        )
        scope.spans.append(span)
        self._token = context.attach(trace.set_span_in_context(span))
        self._span = span
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._labels["error.type"], is_fault = judge(error)
            note_error(self._labels["error.type"], is_fault=is_fault)
        if self._clock is not None:
            self._clock.record(perf_counter() - self._began, self._labels)
        if self._span is not None:
            context.detach(self._token)
            self._span.end()


def observe(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, Any] = MappingProxyType({}),
    *,
    parent: Context | None = None,
    links: Sequence[Link] = (),
    clock: Histogram | None = None,
    labels: Labels | None = None,
) -> Observed:
    """A span around what is done inside, if it belongs to a trace that is kept; its duration goes to `clock`.

    With a `parent` it belongs to that one's trace, or begins one where that is an empty context. An exception's
    code becomes `error.type` of both span and measurement. `labels` may still change inside.
    """
    told = {} if labels is None else labels
    return Observed(name, kind, attributes, parent=parent, links=links, clock=clock, labels=told)


def judge(error: BaseException) -> tuple[str, bool]:
    """The error's code, and whether somebody is to blame for it other than who asked."""
    if isinstance(error, AppError):
        return error.code, error.status >= 500
    if isinstance(error, GRPCError):
        code = error.__cause__.code if isinstance(error.__cause__, AppError) else error.status.name
        return code, error.status in GRPC_FAULTS
    return type(error).__name__, not isinstance(error, asyncio.CancelledError)


def note_error(code: str, *, is_fault: bool) -> None:
    """Marks the current span with an error's code, and as failed where it is more than a refusal."""
    span = trace.get_current_span()
    span.set_attribute("error.type", code)
    if is_fault:
        span.set_status(ERROR)


def inject_trace() -> dict[str, str]:
    """The current trace as headers (W3C Trace Context); empty outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def current_trace_id() -> str:
    """32 hexadecimal digits, or nothing outside a trace."""
    present = trace.get_current_span().get_span_context()
    return trace.format_trace_id(present.trace_id) if present.is_valid else ""


@contextmanager
def request_span(method: str, service: str, url: str) -> Iterator[Labels]:
    """One HTTP request made; its answer's status is to be added as `http.response.status_code`.

    `url` is without its query, which may hold what a person typed.
    """
    labels: Labels = {"http.request.method": method, "server.address": service}
    about = {**labels, "url.full": url}
    with observe(f"{method} {service}", SpanKind.CLIENT, about, clock=_http_client, labels=labels) as span:
        try:
            yield labels
        finally:
            if status := labels.get("http.response.status_code", 0):
                span.set_attribute("http.response.status_code", status)
            if status >= 400:
                labels["error.type"] = str(status)
                note_error(str(status), is_fault=True)  # whoever asked sees a failure in any case


@contextmanager
def rpc_server_span(service: str, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """One gRPC call taken, child of the caller's span."""
    with (
        new_scope(),
        _rpc_span(f"{service}/{method}", SpanKind.SERVER, _rpc_server, propagate.extract(headers)) as span,
    ):
        yield span


@contextmanager
def rpc_client_span(service: str, method: str) -> Iterator[Span]:
    """One gRPC call made."""
    with _rpc_span(f"{service}/{method}", SpanKind.CLIENT, _rpc_client) as span:
        yield span


@contextmanager
def _rpc_span(name: str, kind: SpanKind, clock: Histogram, parent: Context | None = None) -> Iterator[Span]:
    labels: Labels = {"rpc.system.name": "grpc", "rpc.method": name, "rpc.response.status_code": "OK"}
    with observe(name, kind, labels, parent=parent, clock=clock, labels=labels) as span:
        try:
            yield span
        except BaseException as error:
            labels["rpc.response.status_code"] = error.status.name if isinstance(error, GRPCError) else judge(error)[0]
            span.set_attribute("rpc.response.status_code", labels["rpc.response.status_code"])
            raise


@contextmanager
def query_span(sql: str, place: Mapping[str, Any]) -> Iterator[None]:
    """One statement, in the database that the attributes `place` tell of. Its parameters are never told."""
    verb, summary = summarise(sql)
    labels: Labels = {"db.system.name": "postgresql", "db.operation.name": verb, "db.query.summary": summary}
    attributes = {**place, "db.query.summary": summary, "db.query.text": sql}
    with observe(summary, SpanKind.CLIENT, attributes, clock=_database, labels=labels):
        yield


@lru_cache(maxsize=1024)
def summarise(sql: str) -> tuple[str, str]:
    """A statement's verb, and that with the table that matters most, as in `INSERT orders`.

    Of one with common table expressions that is the first that is written to.
    """
    outer = _without_parentheses(sql)
    reads = outer.split(None, 1)[0].upper() == "SELECT"
    found = _READ.search(outer) if reads else _WRITTEN.search(sql) or _READ.search(sql)
    if not found:
        return (verb := sql.split(None, 1)[0].upper()), verb
    verb = found["verb"].split()[0].upper()
    return verb, f"{verb} {found['table']}"


_READ: Final = re.compile(r"\b(?P<verb>SELECT)\b.*?\bFROM\s+(?P<table>\w+)", re.IGNORECASE | re.DOTALL)
_WRITTEN: Final = re.compile(
    r"\b(?P<verb>INSERT\s+INTO|DELETE\s+FROM|(?<!FOR )(?<!KEY )UPDATE)\s+(?P<table>\w+)", re.IGNORECASE
)


def _without_parentheses(sql: str) -> str:
    while (shorter := re.sub(r"\([^()]*\)", " ", sql)) != sql:
        sql = shorter
    return sql


@contextmanager
def producer_span(
    exchange: str,
    routing_key: str,
    headers: Mapping[str, str],
    attributes: Mapping[str, Any],
) -> Iterator[Span]:
    """One message sent, child of the trace in `headers`, or else of the present one.

    Where both are there, as when a relay sends what was decided long ago, the two are linked.
    """
    destination = exchange or routing_key
    labels = _messaging("send", destination)
    present = trace.get_current_span().get_span_context()
    about = {**labels, "messaging.rabbitmq.destination.routing_key": routing_key, **attributes}
    with observe(
        f"send {routing_key}",
        SpanKind.PRODUCER,
        {**about, "messaging.operation.type": "send"},
        parent=propagate.extract(headers) if headers else None,
        links=[Link(present)] if headers and present.is_valid else (),
        clock=_sending,
        labels=labels,
    ) as span:
        try:
            yield span
        except BaseException as error:
            labels["error.type"] = judge(error)[0]
            raise
        finally:
            _sent.add(1, labels)


@contextmanager
def consumer_span(queue: str, kind: str, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator[Span]:
    """One message of the type `kind` handled, child of the trace that its headers carry."""
    labels = _messaging("process", queue)
    _consumed.add(1, labels)
    labels["ticketflow.message.type"] = kind
    with (
        new_scope(),
        observe(
            f"process {kind or queue}",
            SpanKind.CONSUMER,
            {**labels, "messaging.operation.type": "process", **attributes},
            parent=propagate.extract(headers),
            clock=_processing,
            labels=labels,
        ) as span,
    ):
        yield span


@contextmanager
def work_span(name: str, origins: Iterable[Mapping[str, str]] = (), **attributes: str | int) -> Iterator[Span]:
    """Work that no request asks for: a trace of its own, linked to those in `origins`, each as its headers."""
    known = (trace.get_current_span(propagate.extract(headers)).get_span_context() for headers in origins)
    links = [Link(each) for each in known if each.is_valid]
    with new_scope(), observe(name, attributes=attributes, parent=Context(), links=links) as span:
        yield span


def _messaging(operation: str, destination: str) -> Labels:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.destination.name": destination,
    }
