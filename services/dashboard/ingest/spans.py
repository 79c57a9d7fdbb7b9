"""Spans of an OTLP request as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.dashboard.ingest.mending import MAX_NAME_CHARS, Mender, order_of, to_json
from services.dashboard.ingest.sources import Sources, Tally
from services.dashboard.ingest.wire import groups
from services.dashboard.store.batches import Batch, SpanRow

WITH_PEER: Final = frozenset({Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER})
KINDS: Final = 6
# What names a system that sends no spans of its own, by the semantic conventions, old and new.
PEER_KEYS: Final = ("db.system.name", "db.system", "messaging.system")
PROTOCOL_KEY: Final = "network.protocol.name"
MAIL: Final = "smtp"


def decode_spans(body: bytes, now_ns: int) -> Batch:
    """The request's spans; those without ids, too large or too many count as rejected.

    Raises `Malformed` and `TooLarge`.
    """
    mender = Mender(now_ns)
    sources = Sources(mender)
    tally = Tally(mender)
    rows: list[SpanRow] = []
    for group in groups(body):
        source, service = sources.add(group)
        for span in tally.parsed(Span, tally.admitted(group.items)):
            if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.trace_id):
                tally.reject("a span has no ids")
            else:
                rows.append(tally.counted(_row, span, source, service, mender))
    return Batch(
        sources=sources.rows, spans=rows, rejected=tally.rejected, shortened=tally.shortened, reason=tally.reason
    )


def _row(span: Span, source: bytes, service: str, mender: Mender) -> SpanRow:
    cuts = mender.cuts
    attributes = mender.attributes(span.attributes)
    start_ns = mender.moment(span.start_time_unix_nano)
    kind = span.kind if 0 <= span.kind < KINDS else 0
    order_id, order_number = order_of(attributes)
    row = (
        source,
        service,
        span.trace_id,
        span.span_id,
        span.parent_span_id if len(span.parent_span_id) == 8 and any(span.parent_span_id) else b"",
        mender.text(span.name, MAX_NAME_CHARS),
        kind,
        start_ns,
        max(start_ns, mender.moment(span.end_time_unix_nano)),
        span.status.code == Status.STATUS_CODE_ERROR,
        mender.text(span.status.message),
        _peer(attributes) if kind in WITH_PEER else "",
        order_id,
        order_number,
        to_json(attributes),
        _events(span.events, mender) if span.events else "",
        _links(span.links, mender) if span.links else "",
    )
    dropped = span.dropped_attributes_count + span.dropped_events_count + span.dropped_links_count
    return SpanRow(*row, dropped + mender.cuts - cuts)


def _peer(attributes: dict[str, Any]) -> str:
    for key in PEER_KEYS:
        if key in attributes:
            return str(attributes[key])[:MAX_NAME_CHARS].replace("\0", "")
    return MAIL if attributes.get(PROTOCOL_KEY) == MAIL else ""


def _events(events: Sequence[Span.Event], mender: Mender) -> str:
    """JSON: a list of name, time and attributes."""
    return to_json(
        [
            (
                mender.text(event.name, MAX_NAME_CHARS),
                mender.moment(event.time_unix_nano),
                mender.attributes(event.attributes),
            )
            for event in mender.first(events)
        ]
    )


def _links(links: Sequence[Span.Link], mender: Mender) -> str:
    """JSON: a list of trace id, span id and attributes."""
    return to_json(
        [
            (link.trace_id.hex(), link.span_id.hex(), mender.attributes(link.attributes))
            for link in mender.first(links)
            if len(link.trace_id) == 16 and len(link.span_id) == 8
        ]
    )
