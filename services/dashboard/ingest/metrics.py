"""Metrics of an OTLP request as rows: https://opentelemetry.io/docs/specs/otel/metrics/data-model/."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Exemplar,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from services.dashboard.domain.histograms import Buckets, Explicit, Exponential
from services.dashboard.ingest.mending import MAX_NAME_CHARS, Mender, to_json
from services.dashboard.ingest.sources import Sources, Tally, digest
from services.dashboard.ingest.wire import groups
from services.dashboard.store.batches import Batch, PointRow, SeriesRow, SourceRow
from services.dashboard.store.buckets import dump_buckets

MAX_LABEL_CHARS: Final = 256
MAX_BUCKETS: Final = 400
MAX_EXEMPLARS: Final = 4
MAX_COUNT: Final = 2**63 - 1  # of a table's integer
SCALES: Final = range(-10, 21)  # https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponential-scale

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
Measured = tuple[float | None, int | None, float | None, float | None, float | None, str | None]
"""value, counted, total, least, most, buckets"""


class _Unfit(Exception):
    """This point cannot be kept; the text says why."""


@dataclass(frozen=True)
class _Shape:
    """What all points of a metric have in common."""

    kind: str
    monotonic: bool
    cumulative: bool
    points: Sequence[Any]
    measure: Callable[[Any], Measured]


def decode_metrics(body: bytes, now_ns: int) -> Batch:
    """The request's points; those that cannot be plotted, such as summaries, count as rejected.

    Raises `Malformed` and `TooLarge`.
    """
    mender = Mender(now_ns)
    sources = Sources(mender)
    reading = _Reading(mender)
    for group in groups(body):
        source = sources.row(group)
        for metric in reading.tally.parsed(Metric, group.items):
            reading.add(metric, source)
    tally = reading.tally
    return Batch(
        series=reading.series,
        points=reading.points,
        rejected=tally.rejected,
        shortened=tally.shortened,
        reason=tally.reason,
    )


class _Reading:
    """Series and points of one batch as they are read."""

    def __init__(self, mender: Mender) -> None:
        self.tally = Tally(mender)
        self.series: dict[bytes, SeriesRow] = {}
        self.points: list[PointRow] = []
        self._mender = mender

    def add(self, metric: Metric, source: SourceRow) -> None:
        shape = _shape(metric)
        if shape is None:
            self.tally.reject("summaries are not kept", max(1, len(metric.summary.data_points)))
            return
        for point in self.tally.admitted(shape.points):
            try:
                self.tally.counted(self._add, point, metric, shape, source)
            except _Unfit as reason:
                self.tally.reject(str(reason))

    def _add(self, point: Point, metric: Metric, shape: _Shape, source: SourceRow) -> None:
        if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
            return  # it says that there is nothing to say
        measured = shape.measure(point)
        series = self._series(point, metric, shape, source)
        time_ns = self._mender.moment(point.time_unix_nano)
        start_ns = min(point.start_time_unix_nano, time_ns)
        self.points.append(PointRow(series, time_ns, start_ns, *measured, self._exemplars(point.exemplars)))

    def _series(self, point: Point, metric: Metric, shape: _Shape, source: SourceRow) -> bytes:
        labels = self._mender.attributes(point.attributes, value_chars=MAX_LABEL_CHARS)
        row = SeriesRow(
            self._mender.text(metric.name, MAX_NAME_CHARS),
            shape.kind,
            self._mender.text(metric.unit, MAX_NAME_CHARS),
            self._mender.text(metric.description),
            shape.monotonic,
            shape.cumulative,
            source.service,
            source.instance,
            to_json(dict(sorted(labels.items()))),
        )
        key = digest(*row)
        self.series[key] = row
        return key

    def _exemplars(self, exemplars: Iterable[Exemplar]) -> str | None:
        """JSON: a list of time, value, trace id and span id; None where none leads to a trace."""
        told = [
            (self._mender.moment(each.time_unix_nano), value, each.trace_id.hex(), each.span_id.hex())
            for each in list(exemplars)[-MAX_EXEMPLARS:]
            if len(each.trace_id) == 16 and len(each.span_id) == 8 and math.isfinite(value := _value(each))
        ]
        return to_json(told) if told else None


def _shape(metric: Metric) -> _Shape | None:
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        return _Shape("gauge", False, True, metric.gauge.data_points, _number)
    if kind == "sum":
        total = metric.sum
        return _Shape("sum", total.is_monotonic, _cumulative(total), total.data_points, _number)
    if kind == "histogram":
        return _Shape("histogram", True, _cumulative(metric.histogram), metric.histogram.data_points, _histogram)
    if kind == "exponential_histogram":
        data = metric.exponential_histogram
        return _Shape("histogram", True, _cumulative(data), data.data_points, _exponential)
    return None


def _cumulative(data: Any) -> bool:
    return bool(data.aggregation_temporality != AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA)


def _value(point: NumberDataPoint | Exemplar) -> float:
    return float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double


def _number(point: NumberDataPoint) -> Measured:
    value = _value(point)
    if not math.isfinite(value):
        raise _Unfit("a value is not a number")
    return (value, None, None, None, None, None)


def _histogram(point: HistogramDataPoint) -> Measured:
    bounds, counts = tuple(point.explicit_bounds), tuple(point.bucket_counts)
    if len(counts) > MAX_BUCKETS or len(counts) != (len(bounds) + 1 if bounds else len(counts[:1])):
        raise _Unfit("a histogram's buckets do not fit its bounds")
    if not all(map(math.isfinite, bounds)) or not all(low < high for low, high in pairwise(bounds)):
        raise _Unfit("a histogram's bounds do not grow")
    return _measured(point, Explicit(bounds, counts))


def _exponential(point: ExponentialHistogramDataPoint) -> Measured:
    positive, negative = point.positive, point.negative
    if point.scale not in SCALES or len(positive.bucket_counts) + len(negative.bucket_counts) > MAX_BUCKETS:
        raise _Unfit("a histogram's buckets are too many, or its scale out of bounds")
    return _measured(point, Exponential(point.scale, point.zero_count, _spread(positive), _spread(negative)))


def _spread(buckets: ExponentialHistogramDataPoint.Buckets) -> dict[int, int]:
    return {buckets.offset + index: count for index, count in enumerate(buckets.bucket_counts) if count}


def _measured(point: HistogramDataPoint | ExponentialHistogramDataPoint, buckets: Buckets) -> Measured:
    if point.count > MAX_COUNT or not math.isfinite(point.sum):
        raise _Unfit("a histogram's sum or count is not a number")
    least = point.min if point.HasField("min") and math.isfinite(point.min) else None
    most = point.max if point.HasField("max") and math.isfinite(point.max) else None
    return (None, point.count, point.sum, least, most, dump_buckets(buckets))
