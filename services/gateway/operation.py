"""What telemetry tells of a GraphQL operation: the field that it is about, never what a client calls it by.

After the semantic conventions for GraphQL, but for the names: one that a stranger may choose freely is no name
for a span, nor a label of a metric. The document itself stays out, as it may hold a password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from services.defaults.errors import Invalid
from services.defaults.telemetry import note_error, observe
from services.defaults.telemetry.instruments import latencies
from services.gateway.guard import QueryLimits, outline_of, root_fields
from services.gateway.schema import ROOT_FIELDS

MAX_NAME_CHARS: Final = 80
FAULTS: Final = frozenset({"INTERNAL", "UNAVAILABLE"})

_clock = latencies(
    "services.gateway", "graphql.operation.duration", "GraphQL operations carried out; answers from memory are none"
)


@contextmanager
def operation_span(query: str, name: str | None, limits: QueryLimits) -> Iterator[dict[str, Any]]:
    """The span and the measurement of one operation; give its errors to `note_errors`, with the yielded labels."""
    kind, field = about(query, name, limits)
    labels = {"graphql.operation.type": kind, "ticketflow.graphql.field": field}
    attributes = labels | ({"graphql.operation.name": name[:MAX_NAME_CHARS]} if name else {})
    with observe(f"{kind} {field}", attributes=attributes, clock=_clock, labels=labels):
        yield labels


def note_errors(labels: dict[str, Any], errors: Sequence[Mapping[str, Any]]) -> None:
    """Marks the operation with the codes of its errors."""
    codes = sorted({error["extensions"]["code"] for error in errors})
    labels["error.type"] = codes[0]
    note_error(",".join(codes), is_fault=not FAULTS.isdisjoint(codes))


@lru_cache(maxsize=512)
def about(query: str, name: str | None, limits: QueryLimits) -> tuple[str, str]:
    """The operation's type, and the first of its fields that the schema knows, or `other`."""
    try:
        outline = outline_of(query, limits)
    except Invalid:
        return "query", "other"  # the engine says what is wrong with it
    chosen = next((each for each in outline.operations if each.name == (name or each.name)), None)
    if chosen is None:
        return "query", "other"
    known = [field for field in root_fields(chosen, outline) if field in ROOT_FIELDS]
    return chosen.kind, known[0] if known else "other"
