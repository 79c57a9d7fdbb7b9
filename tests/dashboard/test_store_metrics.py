"""The catalogue of metrics, and their values over time."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from services.dashboard.store import Store
from services.dashboard.store.rows import Plot, PlotQuery
from services.defaults.errors import Invalid, NotFound
from tests.dashboard.support import CUMULATIVE, DELTA, NOW_NS, SECOND_NS, Clock, keep, metrics, pairs

STEP_NS = 10 * SECOND_NS
START_NS = NOW_NS - 6 * STEP_NS
OLD_NS = NOW_NS - 3600 * SECOND_NS


def at(step: int) -> int:
    return START_NS + step * STEP_NS


def number(step: int, value: float, *, start_ns: int = OLD_NS, **labels: Any) -> NumberDataPoint:
    return NumberDataPoint(
        time_unix_nano=at(step), start_time_unix_nano=start_ns, as_double=value, attributes=pairs(**labels)
    )


def gauge(*points: NumberDataPoint, name: str = "tickets.left") -> Metric:
    return Metric(name=name, unit="{ticket}", description="Left", gauge=Gauge(data_points=points))


def counter(
    *points: NumberDataPoint,
    temporality: AggregationTemporality.ValueType = CUMULATIVE,
    monotonic: bool = True,
    name: str = "orders.placed",
) -> Metric:
    data = Sum(data_points=points, is_monotonic=monotonic, aggregation_temporality=temporality)
    return Metric(name=name, unit="{order}", sum=data)


def latency(step: int, counts: list[int], total: float, **labels: Any) -> Metric:
    point = HistogramDataPoint(
        time_unix_nano=at(step),
        start_time_unix_nano=OLD_NS,
        count=sum(counts),
        sum=total,
        explicit_bounds=[0.1, 1.0],
        bucket_counts=counts,
        attributes=pairs(**labels),
    )
    if step:
        point.exemplars.add(time_unix_nano=at(step), as_double=0.7, trace_id=b"t" * 16, span_id=b"s" * 8)
    histogram = Histogram(data_points=[point], aggregation_temporality=CUMULATIVE)
    return Metric(name="latency", unit="s", histogram=histogram)


async def plot(store: Store, name: str, **query: Any) -> Plot:
    return await store.plot(PlotQuery(name=name, since_ns=START_NS, until_ns=NOW_NS, step_ns=STEP_NS, **query))


async def values(store: Store, name: str, **query: Any) -> list[float | None]:
    (line,) = (await plot(store, name, **query)).lines
    return list(line.values)


async def test_a_counter_is_plotted_as_its_rate(store: Store) -> None:
    await keep(store, *[metrics(counter(number(step, total))) for step, total in [(0, 5), (1, 15), (2, 15), (4, 45)]])
    assert await values(store, "orders.placed") == [1.0, 0.0, 0.0, 3.0, 0.0, 0.0]
    assert await values(store, "orders.placed", aggregate="increase") == [10.0, 0.0, 0.0, 30.0, 0.0, 0.0]
    drawn = await plot(store, "orders.placed")
    assert (drawn.kind, drawn.unit, drawn.aggregate) == ("sum", "{order}", "rate")
    assert drawn.times_s[0] == at(1) / SECOND_NS


async def test_a_counter_that_begins_within_the_plot_begins_at_nothing(store: Store) -> None:
    await keep(store, metrics(counter(number(2, 4, start_ns=at(1) + 1))))
    assert await values(store, "orders.placed", aggregate="increase") == [None, 4.0, 0.0, 0.0, 0.0, 0.0]


async def test_a_counter_known_for_long_may_stand_still_for_long(store: Store) -> None:
    """Points that repeat the last are not kept: the one before the plot says where it stands."""
    await keep(store, *[metrics(counter(number(step, 7))) for step in range(-20, 4)])
    assert (await store.stats()).points.rows == 1
    await keep(store, metrics(counter(number(5, 8))))
    assert await values(store, "orders.placed", aggregate="increase") == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]


async def test_differences_are_kept_each_and_added_up(store: Store) -> None:
    await keep(store, *[metrics(counter(number(step, 2), temporality=DELTA)) for step in (1, 2, 4)])
    assert await values(store, "orders.placed", aggregate="increase") == [2.0, 2.0, None, 2.0, None, None]


async def test_a_gauge_holds_until_its_sender_is_gone(store: Store, clock: Clock) -> None:
    clock.now_ns = at(3)
    await keep(store, metrics(gauge(number(1, 8))), metrics(gauge(number(2, 6))))
    assert await values(store, "tickets.left") == [8.0, 6.0, 6.0, 6.0, 6.0, 6.0]
    clock.now_ns = at(9)
    assert (await store.plot(PlotQuery(name="tickets.left", since_ns=at(3), until_ns=at(9), step_ns=STEP_NS))).lines[
        0
    ].values == [6.0, 6.0, 6.0, 6.0, None, None]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"aggregate": "max"}, {(): 9.0}),
        ({"aggregate": "min"}, {(): 1.0}),
        ({"aggregate": "sum"}, {(): 15.0}),
        ({"group_by": ["concert"]}, {("a",): 3.0, ("b",): 9.0}),
        ({"group_by": ["instance"], "where": {"concert": "a"}}, {("one",): 1.0, ("two",): 5.0}),
        ({"where": {"service": "catalog", "concert": "a"}, "aggregate": "max"}, {(): 5.0}),
    ],
)
async def test_series_are_chosen_grouped_and_put_together(
    store: Store, query: dict[str, Any], expected: dict[tuple[str, ...], float]
) -> None:
    await keep(
        store,
        metrics(gauge(number(1, 1, concert="a"), number(1, 9, concert="b")), service="catalog", instance="one"),
        metrics(gauge(number(1, 5, concert="a")), service="catalog", instance="two"),
    )
    drawn = await plot(store, "tickets.left", **query)
    assert {tuple(line.labels.values()): line.values[0] for line in drawn.lines} == expected


async def test_an_up_and_down_counter_is_added_up_over_its_instances(store: Store) -> None:
    for instance, level in (("one", 3), ("two", 4)):
        await keep(store, metrics(counter(number(1, level), monotonic=False, name="active"), instance=instance))
    drawn = await plot(store, "active")
    assert (drawn.aggregate, drawn.lines[0].values[0]) == ("sum", 7.0)


async def test_percentiles_of_a_histogram_are_those_of_each_step(store: Store) -> None:
    for step, counts in [(0, [100, 0, 0]), (1, [100, 10, 0]), (3, [110, 10, 0])]:
        await keep(store, metrics(latency(step, counts, float(sum(counts)))))
    assert await values(store, "latency", aggregate="p50") == [
        pytest.approx(0.55),
        None,
        pytest.approx(0.05),
        *[None] * 3,
    ]
    assert await values(store, "latency", aggregate="rate") == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert await values(store, "latency", aggregate="avg") == [1.0, None, 1.0, None, None, None]
    drawn = await plot(store, "latency")
    assert drawn.aggregate == "p95"
    assert [(each.value, each.trace_id) for each in drawn.exemplars] == [(0.7, (b"t" * 16).hex())] * 2


async def test_what_is_plotted_is_told_where_it_cannot_be(store: Store) -> None:
    await keep(store, metrics(gauge(number(1, 1))))
    with pytest.raises(NotFound):
        await plot(store, "nothing")
    with pytest.raises(Invalid, match="avg"):
        await plot(store, "tickets.left", aggregate="p95")
    for since_ns, step_ns in [(NOW_NS, STEP_NS), (START_NS, 0), (START_NS, 1)]:
        with pytest.raises(Invalid):
            await store.plot(PlotQuery(name="tickets.left", since_ns=since_ns, until_ns=NOW_NS, step_ns=step_ns))


async def test_no_more_lines_than_can_be_told_apart(store: Store) -> None:
    await keep(store, metrics(gauge(*[number(1, 1, concert=f"{each:03}") for each in range(40)])))
    drawn = await plot(store, "tickets.left", group_by=["concert"])
    assert (len(drawn.lines), drawn.hidden) == (30, 10)


async def test_the_catalogue(store: Store) -> None:
    await keep(
        store,
        metrics(gauge(number(1, 1, concert="a"), number(1, 1, concert="b")), service="catalog"),
        metrics(counter(number(1, 1, reason="x"))),
    )
    orders, tickets = await store.metrics()
    assert (orders.name, orders.kind, orders.monotonic) == ("orders.placed", "sum", True)
    assert (tickets.kind, tickets.unit, tickets.series, tickets.services) == ("gauge", "{ticket}", 2, ["catalog"])
    assert await store.label_values("tickets.left") == {
        "concert": ["a", "b"],
        "service": ["catalog"],
        "instance": ["one"],
    }
    with pytest.raises(NotFound):
        await store.label_values("nothing")


async def test_a_repeated_point_counts_once(store: Store) -> None:
    for _ in range(2):
        await keep(store, metrics(counter(number(1, 2), number(2, 4))))
    assert (await store.stats()).points.rows == 2
