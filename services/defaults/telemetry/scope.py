"""What the work that goes on is about: which order, which concert. Its spans and its log lines all say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext

PREFIX: Final = "ticketflow."
_ids = RandomIdGenerator()


@dataclass(slots=True)
class Scope:
    """One request, message or piece of background work in this process."""

    facts: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)  # the facts as spans call them
    spans: list[Span] = field(default_factory=list)


_scope: ContextVar[Scope | None] = ContextVar("telemetry_scope", default=None)


def current_scope() -> Scope:
    """What spans that begin now belong to."""
    return _scope.get() or Scope()


@contextmanager
def new_scope() -> Iterator[None]:
    """What is found out inside is about the work inside, and about nothing else."""
    token = _scope.set(Scope())
    try:
        yield
    finally:
        _scope.reset(token)


def annotate(**facts: object) -> None:
    """Notes facts about the work that goes on, such as `order_id`.

    Its spans, those that are open and those to come, carry the attribute `ticketflow.order.id` (those of libraries
    do not), and its log lines the field `order_id`. Outside of any work nothing happens.
    """
    scope = _scope.get()
    if scope is None:
        return
    scope.facts.update({key: str(value) for key, value in facts.items()})
    scope.attributes.update(as_attributes(facts))
    for span in scope.spans:
        if span.is_recording():
            span.set_attributes(scope.attributes)


def as_attributes(facts: Mapping[str, object]) -> dict[str, str]:
    """The facts as spans call them: `order_id` is `ticketflow.order.id`."""
    return {PREFIX + key.replace("_", "."): str(value) for key, value in facts.items()}


def known_facts() -> Mapping[str, str]:
    """What has been noted about the work that goes on."""
    scope = _scope.get()
    return scope.facts if scope else {}


@contextmanager
def untraced() -> Iterator[None]:
    """What happens inside, here and in the services that it calls, is part of no trace.

    For what would drown the traces that matter: health checks, and looks for work that find none. The context
    says "not sampled", which every parent-based sampler goes by.
    """
    nobody = SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False)
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(nobody)))
    try:
        yield
    finally:
        context.detach(token)
