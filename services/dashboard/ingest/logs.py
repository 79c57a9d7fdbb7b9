"""Log records of an OTLP request as rows."""

from __future__ import annotations

from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from services.dashboard.ingest.mending import MAX_NAME_CHARS, Mender, order_of, to_json
from services.dashboard.ingest.sources import Sources, Tally
from services.dashboard.ingest.wire import groups
from services.dashboard.store.batches import Batch, LogRow

MAX_SEVERITY: Final = 24
EVENT_KEY: Final = "event.name"


def decode_logs(body: bytes, now_ns: int) -> Batch:
    """The request's log records; those too large or too many count as rejected.

    Raises `Malformed` and `TooLarge`.
    """
    mender = Mender(now_ns)
    sources = Sources(mender)
    tally = Tally(mender)
    rows: list[LogRow] = []
    for group in groups(body):
        source, service = sources.add(group)
        records = tally.parsed(LogRecord, tally.admitted(group.items))
        rows += [tally.counted(_row, record, source, service, mender) for record in records]
    return Batch(
        sources=sources.rows, logs=rows, rejected=tally.rejected, shortened=tally.shortened, reason=tally.reason
    )


def _row(record: LogRecord, source: bytes, service: str, mender: Mender) -> LogRow:
    attributes = mender.attributes(record.attributes)
    if record.event_name:
        attributes.setdefault(EVENT_KEY, mender.text(record.event_name, MAX_NAME_CHARS))
    order_id, order_number = order_of(attributes)
    body = mender.value(record.body)
    return LogRow(
        source=source,
        service=service,
        time_ns=mender.moment(record.time_unix_nano or record.observed_time_unix_nano),
        severity=record.severity_number if 0 <= record.severity_number <= MAX_SEVERITY else 0,
        severity_text=mender.text(record.severity_text, MAX_NAME_CHARS),
        body=mender.text(body if isinstance(body, str) else "" if body is None else to_json(body)),
        attributes=to_json(attributes),
        trace_id=record.trace_id if len(record.trace_id) == 16 and any(record.trace_id) else None,
        span_id=record.span_id if len(record.span_id) == 8 and any(record.span_id) else None,
        order_id=order_id,
        order_number=order_number,
    )
