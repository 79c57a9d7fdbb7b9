"""From OTLP's messages to rows: everything kept, what is too much shortened, what is unfit refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.dashboard.ingest.logs import decode_logs
from services.dashboard.ingest.mending import FUTURE_NS, MAX_ATTRIBUTES, MAX_VALUE_CHARS, to_json
from services.dashboard.ingest.metrics import decode_metrics
from services.dashboard.ingest.sources import MAX_ROWS
from services.dashboard.ingest.spans import decode_spans
from services.dashboard.store.batches import Batch
from tests.dashboard.support import (
    CUMULATIVE,
    DELTA,
    NOW_NS,
    SECOND_NS,
    TRACE_ID,
    log,
    logs,
    metrics,
    pairs,
    span,
    spans,
)


def read_spans(request: Message) -> Batch:
    return decode_spans(request.SerializeToString(), NOW_NS)


def read_logs(request: Message) -> Batch:
    return decode_logs(request.SerializeToString(), NOW_NS)


def read_metrics(request: Message) -> Batch:
    return decode_metrics(request.SerializeToString(), NOW_NS)


@pytest.mark.parametrize("request_of", [spans, logs, metrics])
def test_a_resource_of_many_scopes_is_written_out_once(request_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of()
    (sent,) = getattr(request, request.DESCRIPTOR.fields[0].name)
    sent.resource.attributes.extend(pairs(text="x" * MAX_VALUE_CHARS))
    scopes = getattr(sent, sent.DESCRIPTOR.fields_by_number[2].name)
    scopes.extend([scopes[0]] * 100)
    written: list[str] = []

    def noted(value: Any) -> str:
        written.append(to_json(value))
        return written[-1]

    monkeypatch.setattr("services.dashboard.ingest.sources.to_json", noted)
    {spans: read_spans, logs: read_logs, metrics: read_metrics}[request_of](request)
    assert sum(len(text) for text in written) < 10 * MAX_VALUE_CHARS


def test_resources_and_scopes_are_told_apart() -> None:
    request = spans(span(1))
    scopes = request.resource_spans[0].scope_spans
    scopes.add(spans=[span(2)]).scope.name = "more tests"
    request.resource_spans.append(spans(span(3), service="catalog").resource_spans[0])
    request.resource_spans.append(spans(span(4)).resource_spans[0])
    batch = read_spans(request)
    found = [batch.sources[row.source] for row in batch.spans]
    assert [(source.service, source.scope) for source in found] == [
        ("ordering", "tests"),
        ("ordering", "more tests"),
        ("catalog", "tests"),
        ("ordering", "tests"),
    ]
    assert len(batch.sources) == 3


def test_a_span_keeps_all_that_it_says() -> None:
    sent = span(2, parent=1, kind=Span.SPAN_KIND_CLIENT, error=True, db__system__name="postgresql", ok=True, n=7, x=0.5)
    sent.status.message = "refused"
    sent.events.add(name="retry", time_unix_nano=NOW_NS, attributes=pairs(attempt=2))
    sent.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=pairs(why="batch"))
    sent.links.add(trace_id=b"short", span_id=b"s" * 8)
    batch = read_spans(spans(sent))
    (row,) = batch.spans
    assert (row.service, row.name, row.message, row.peer, row.error) == (
        "ordering",
        "GET /",
        "refused",
        "postgresql",
        True,
    )
    assert (row.span_id, row.parent_id) == ((2).to_bytes(8, "big"), (1).to_bytes(8, "big"))
    assert json.loads(row.attributes) == {"db.system.name": "postgresql", "ok": True, "n": 7, "x": 0.5}
    assert json.loads(row.events) == [["retry", NOW_NS, {"attempt": 2}]]
    assert json.loads(row.links) == [[(b"t" * 16).hex(), (b"s" * 8).hex(), {"why": "batch"}]]
    source = batch.sources[row.source]
    assert (source.service, source.instance, source.version, source.scope) == ("ordering", "one", "1.2.3", "tests")


@pytest.mark.parametrize(
    ("kind", "attributes", "peer"),
    [
        (Span.SPAN_KIND_CLIENT, {"db__system": "redis"}, "redis"),
        (Span.SPAN_KIND_PRODUCER, {"messaging__system": "rabbitmq"}, "rabbitmq"),
        (Span.SPAN_KIND_CONSUMER, {"messaging__system": "rabbitmq"}, "rabbitmq"),
        (Span.SPAN_KIND_CLIENT, {"network__protocol__name": "smtp"}, "smtp"),
        (Span.SPAN_KIND_CLIENT, {"network__protocol__name": "http"}, ""),
        (Span.SPAN_KIND_SERVER, {"db__system": "redis"}, ""),
    ],
)
def test_a_system_without_spans_of_its_own_is_known_by_its_callers(
    kind: Span.SpanKind.ValueType, attributes: dict[str, Any], peer: str
) -> None:
    (row,) = read_spans(spans(span(1, kind=kind, **attributes))).spans
    assert row.peer == peer


def test_orders_are_read_from_spans_and_logs_each_by_its_convention() -> None:
    (row,) = read_spans(spans(span(1, ticketflow__order__id="o-1", ticketflow__order__number="TF-1"))).spans
    (line,) = read_logs(logs(log("placed", order_id="o-1", order_number="TF-1"))).logs
    assert (row.order_id, row.order_number) == (line.order_id, line.order_number) == ("o-1", "TF-1")


@pytest.mark.parametrize("broken", [{"trace_id": b""}, {"span_id": b""}, {"trace_id": bytes(16)}, {"span_id": b"123"}])
def test_a_span_without_ids_is_rejected_and_the_others_are_kept(broken: dict[str, bytes]) -> None:
    bad = span(2)
    for name, given in broken.items():
        setattr(bad, name, given)
    batch = read_spans(spans(span(1), bad))
    assert (len(batch.spans), batch.rejected, batch.reason) == (1, 1, "a span has no ids")


def test_a_parent_that_is_no_id_is_none() -> None:
    sent = span(1)
    sent.parent_span_id = b"odd"
    assert read_spans(spans(sent)).spans[0].parent_id == b""


@pytest.mark.parametrize("time_ns", [0, NOW_NS + FUTURE_NS + 1, 2**63, 2**64 - 1])
def test_a_time_that_is_none_becomes_the_time_of_arrival(time_ns: int) -> None:
    sent = span(1)
    sent.start_time_unix_nano = sent.end_time_unix_nano = time_ns
    (row,) = read_spans(spans(sent)).spans
    assert row.start_ns == row.end_ns == NOW_NS
    assert read_logs(logs(log("x", time_ns=time_ns))).logs[0].time_ns == NOW_NS


def test_a_span_that_ends_before_it_begins_takes_no_time() -> None:
    (row,) = read_spans(spans(span(1, start_ns=NOW_NS, duration_ns=-5))).spans
    assert row.end_ns == row.start_ns


def test_too_many_attributes_are_cut_off_and_counted() -> None:
    sent = span(1)
    sent.attributes.extend(KeyValue(key=f"k{number}", value=AnyValue(int_value=number)) for number in range(1000))
    batch = read_spans(spans(sent, span(2)))
    assert len(json.loads(batch.spans[0].attributes)) == MAX_ATTRIBUTES
    assert batch.spans[0].dropped == 1000 - MAX_ATTRIBUTES
    assert batch.shortened == 1


def test_of_a_long_value_beginning_and_end_stay() -> None:
    batch = read_spans(spans(span(1, stack="begin" + "x" * 500_000 + "end")))
    kept = json.loads(batch.spans[0].attributes)["stack"]
    assert (kept[:5], kept[-3:], len(kept)) == ("begin", "end", MAX_VALUE_CHARS)
    assert batch.shortened == 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (AnyValue(), None),
        (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
        (AnyValue(double_value=float("nan")), "nan"),
        (AnyValue(double_value=float("-inf")), "-inf"),
        (AnyValue(string_value="<script>\x00"), "<script>\x00"),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="b")])), [1, "b"]),
        (AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue(bool_value=True))])), {"a": True}),
    ],
)
def test_values_as_json_knows_them(value: AnyValue, kept: Any) -> None:
    sent = span(1)
    sent.attributes.add(key="value").value.CopyFrom(value)
    (row,) = read_spans(spans(sent)).spans
    assert json.loads(row.attributes)["value"] == kept


def test_deep_and_wide_values_are_cut() -> None:
    deep = AnyValue(string_value="bottom")
    for _ in range(40):
        deep = AnyValue(array_value=ArrayValue(values=[deep]))
    wide = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="x" * 100)] * 1000))
    sent = span(1)
    sent.attributes.add(key="deep").value.CopyFrom(deep)
    sent.attributes.add(key="wide").value.CopyFrom(wide)
    batch = read_spans(spans(sent))
    kept = json.loads(batch.spans[0].attributes)
    assert "bottom" not in str(kept["deep"])
    assert len(kept["wide"]) == MAX_VALUE_CHARS
    assert batch.shortened == 1


def test_texts_hold_no_nul_where_sqlite_would_stop_at_it() -> None:
    (row,) = read_spans(spans(span(1, name="a\0b", ticketflow__order__number="TF\0-1"))).spans
    assert (row.name, row.order_number) == ("a\ufffdb", "TF-1")
    assert read_logs(logs(log("a\0b"))).logs[0].body == "a\ufffdb"


def test_what_is_beyond_the_most_of_one_request_is_rejected() -> None:
    batch = read_logs(logs(*[log("x")] * (MAX_ROWS + 5)))
    assert (len(batch.logs), batch.rejected) == (MAX_ROWS, 5)


def test_what_is_too_large_is_rejected_unread_and_the_rest_is_kept() -> None:
    batch = read_spans(spans(span(1, body="x" * 10_000_000), span(2)))
    assert (len(batch.spans), batch.rejected) == (1, 1)
    assert "bytes" in batch.reason


def test_a_million_attributes_are_rejected_unread() -> None:
    sent = span(1)
    sent.attributes.extend([KeyValue(key="k")] * 1_000_000)
    batch = read_spans(spans(sent))
    assert (len(batch.spans), batch.rejected) == (0, 1)


def test_a_nameless_sender() -> None:
    request = logs(log("x"))
    request.resource_logs[0].ClearField("resource")
    batch = read_logs(request)
    assert batch.logs[0].service == "unknown_service"


def test_a_log_record_keeps_all_that_it_says() -> None:
    sent = log("paid", severity=13, trace_id=TRACE_ID, amount=98)
    sent.span_id = (7).to_bytes(8, "big")
    sent.event_name = "order.paid"
    (row,) = read_logs(logs(sent)).logs
    assert (row.body, row.severity, row.severity_text) == ("paid", 13, "INFO")
    assert json.loads(row.attributes) == {"amount": 98, "event.name": "order.paid"}
    assert (row.trace_id, row.span_id) == (bytes.fromhex(TRACE_ID), (7).to_bytes(8, "big"))


def test_a_log_record_without_time_has_that_of_its_observation() -> None:
    sent = LogRecord(observed_time_unix_nano=NOW_NS - 5)
    sent.body.kvlist_value.values.extend(pairs(a=1))
    (row,) = read_logs(logs(sent)).logs
    assert (row.time_ns, row.body, row.trace_id) == (NOW_NS - 5, '{"a":1}', None)


@pytest.mark.parametrize("severity", [-3, 25, 2**31 - 1])
def test_a_severity_that_is_none_is_unknown(severity: int) -> None:
    assert read_logs(logs(log("x", severity=severity))).logs[0].severity == 0


def histogram(**point: Any) -> Metric:
    data = HistogramDataPoint(time_unix_nano=NOW_NS, **point)
    return Metric(name="latency", histogram=Histogram(data_points=[data], aggregation_temporality=CUMULATIVE))


def decode(*sent: Metric) -> Batch:
    return read_metrics(metrics(*sent))


def test_every_kind_of_metric_has_its_series() -> None:
    number = NumberDataPoint(time_unix_nano=NOW_NS, as_int=3, attributes=pairs(b=1, a="x"))
    exponential = ExponentialHistogramDataPoint(time_unix_nano=NOW_NS, count=3, sum=1.5, scale=2, zero_count=1)
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend([0, 2])
    batch = decode(
        Metric(name="depth", unit="{m}", description="d", gauge=Gauge(data_points=[number])),
        Metric(name="sent", sum=Sum(data_points=[number], is_monotonic=True, aggregation_temporality=DELTA)),
        histogram(count=3, sum=2.0, explicit_bounds=[1, 2], bucket_counts=[1, 1, 1]),
        Metric(name="size", exponential_histogram=ExponentialHistogram(data_points=[exponential])),
    )
    shapes = [
        (row.name, row.kind, row.monotonic, row.cumulative) for row in (batch.series[p.series] for p in batch.points)
    ]
    assert shapes == [
        ("depth", "gauge", False, True),
        ("sent", "sum", True, False),
        ("latency", "histogram", True, True),
        ("size", "histogram", True, True),
    ]
    assert [point.value for point in batch.points] == [3.0, 3.0, None, None]
    assert batch.series[batch.points[0].series].attributes == '{"a":"x","b":1}'
    assert json.loads(batch.points[2].buckets or "") == {"bounds": [1.0, 2.0], "counts": [1, 1, 1]}
    assert json.loads(batch.points[3].buckets or "")["positive"] == [[0, 2]]


def test_the_order_of_attributes_does_not_make_another_series() -> None:
    one, other = (
        NumberDataPoint(time_unix_nano=NOW_NS, as_int=1, attributes=given)
        for given in (pairs(a=1, b=2), pairs(b=2, a=1))
    )
    assert len(decode(Metric(name="m", gauge=Gauge(data_points=[one, other]))).series) == 1


@pytest.mark.parametrize(
    "sent",
    [
        Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(as_double=float("nan"))])),
        Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(as_double=float("inf"))])),
        Metric(name="m", summary=Summary(data_points=[SummaryDataPoint()])),
        Metric(name="m"),
        histogram(count=1, explicit_bounds=[1, 2], bucket_counts=[1]),
        histogram(count=1, explicit_bounds=[2, 1], bucket_counts=[1, 0, 0]),
        histogram(count=1, explicit_bounds=[float("nan")], bucket_counts=[1, 0]),
        histogram(count=2**63, sum=1),
        histogram(count=1, sum=float("inf")),
        histogram(count=1, explicit_bounds=range(1000), bucket_counts=[0] * 1001),
        Metric(
            name="m",
            exponential_histogram=ExponentialHistogram(data_points=[ExponentialHistogramDataPoint(scale=-(2**31))]),
        ),
    ],
)
def test_a_point_that_cannot_be_plotted_is_rejected(sent: Metric) -> None:
    batch = decode(sent, histogram(count=1, sum=1, bucket_counts=[1]))
    assert (len(batch.points), batch.rejected) == (1, 1)
    assert batch.reason


def test_a_point_that_says_that_there_is_none_is_neither_kept_nor_rejected() -> None:
    batch = decode(Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(flags=1)])))
    assert (len(batch.points), batch.rejected) == (0, 0)


def test_exemplars_lead_to_traces() -> None:
    sent = histogram(count=1, sum=1, bucket_counts=[1])
    exemplars = sent.histogram.data_points[0].exemplars
    exemplars.add(time_unix_nano=NOW_NS - SECOND_NS, as_double=0.2, trace_id=b"t" * 16, span_id=b"s" * 8)
    exemplars.add(as_double=0.3)
    assert json.loads(decode(sent).points[0].exemplars or "") == [
        [NOW_NS - SECOND_NS, 0.2, (b"t" * 16).hex(), (b"s" * 8).hex()]
    ]


def test_a_metric_of_nobody_is_kept_too() -> None:
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    batch = read_metrics(request)
    assert [row.service for row in batch.series.values()] == ["unknown_service"]
