"""The catalogue of metrics, and their values over time."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.dashboard.domain.plots import (
    Level,
    Total,
    Values,
    added,
    growth_line,
    growths,
    held,
    level_line,
)
from services.dashboard.store.buckets import load_buckets
from services.dashboard.store.conditions import marks
from services.dashboard.store.inserts import STILL_NS
from services.dashboard.store.registry import TOUCH_NS
from services.dashboard.store.rows import Aggregate, Exemplar, Line, Metric, MetricKind, Plot, PlotQuery
from services.defaults.errors import Invalid, NotFound

MAX_SLOTS: Final = 1_000
MAX_LINES: Final = 30
MAX_EXEMPLARS: Final = 200
MAX_VALUES: Final = 200  # of one label, for choosing from
# The last point of each slot, which for a cumulative series says all; for a level, what the slot's points come to.
_LAST: Final = """
SELECT series_id, {slot} AS slot, start_ns, value, counted, total, buckets, max(time_ns)
FROM points WHERE series_id IN ({ids}) AND time_ns > ? AND time_ns <= ? GROUP BY series_id, slot
"""
_LEVELS: Final = """
SELECT series_id, {slot} AS slot, avg(value), min(value), max(value), value, max(time_ns)
FROM points WHERE series_id IN ({ids}) AND time_ns > ? AND time_ns <= ? GROUP BY series_id, slot
"""
_EACH: Final = """
SELECT series_id, {slot} AS slot, start_ns, value, counted, total, buckets, time_ns
FROM points WHERE series_id IN ({ids}) AND time_ns > ? AND time_ns <= ? ORDER BY time_ns
"""
_SLOT: Final = "CASE WHEN time_ns <= {since} THEN -1 ELSE (time_ns - {since} - 1) / {step} END"


@dataclass(frozen=True)
class Series:
    """A series as it is plotted. `labels` are its attributes as text, and its service and instance."""

    id: int
    kind: MetricKind
    unit: str
    description: str
    monotonic: bool
    cumulative: bool
    used_ns: int
    labels: Mapping[str, str]


def select_metrics(connection: sqlite3.Connection) -> list[Metric]:
    groups: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in connection.execute(
        "SELECT name, kind, unit, description, monotonic, service, used_ns FROM series ORDER BY name, used_ns"
    ):
        groups[row[0]].append(row)
    return [_metric(name, rows) for name, rows in groups.items()]


def select_label_values(connection: sqlite3.Connection, name: str) -> dict[str, Sequence[str]]:
    """Raises `NotFound`."""
    values: dict[str, set[str]] = defaultdict(set)
    for series in _select_series(connection, name):
        for label, value in series.labels.items():
            values[label].add(value)
    return {label: sorted(found)[:MAX_VALUES] for label, found in values.items()}


def select_plot(connection: sqlite3.Connection, query: PlotQuery) -> Plot:
    """Raises `NotFound` and `Invalid`."""
    everything = _select_series(connection, query.name)
    newest = everything[-1]
    chosen = [each for each in everything if each.kind == newest.kind and _fits(each, query.where)]
    aggregate = _aggregate(newest, query.aggregate)
    slots = _slots(query)
    groups: dict[tuple[str, ...], list[Series]] = defaultdict(list)
    for each in chosen:
        groups[tuple(each.labels.get(label, "") for label in query.group_by)].append(each)
    shown = sorted(groups)[:MAX_LINES]
    draw = _Drawing(connection, query, aggregate, slots)
    return Plot(
        name=query.name,
        kind=newest.kind,
        unit=newest.unit,
        description=newest.description,
        aggregate=aggregate,
        times_s=[(query.since_ns + (slot + 1) * query.step_ns) / 1e9 for slot in range(slots)],
        lines=[
            Line(labels=dict(zip(query.group_by, key, strict=True)), values=draw.line(groups[key])) for key in shown
        ],
        hidden=len(groups) - len(shown),
        exemplars=_exemplars(connection, query, chosen),
    )


class _Drawing:
    """Reads the points of series, and makes lines of them."""

    def __init__(self, connection: sqlite3.Connection, query: PlotQuery, aggregate: Aggregate, slots: int) -> None:
        self._connection = connection
        self._query = query
        self._aggregate = aggregate
        self._slots = slots

    def line(self, series: Sequence[Series]) -> Values:
        if not _grows(series[0]):
            levels = self._rows(_LEVELS, series, _level)
            held_levels = [held(levels[each.id], self._slots, self._alive_until(each)) for each in series]
            return level_line(self._aggregate, held_levels, self._slots)
        step_s = self._query.step_ns / 1e9
        cumulative = [each for each in series if each.cumulative]
        totals = self._rows(_LAST, cumulative, self._total)
        differences = self._rows(_EACH, [each for each in series if not each.cumulative], self._total)
        gains = [growths(totals[each.id], self._slots, self._alive_until(each)) for each in cumulative]
        gains += [added(each) for each in differences.values()]
        return growth_line(self._aggregate, gains, self._slots, step_s)

    def _rows(self, sql: str, series: Sequence[Series], read: Callable[[tuple[Any, ...]], Any]) -> dict[int, list[Any]]:
        query = self._query
        ids = [each.id for each in series]
        slot = _SLOT.format(since=int(query.since_ns), step=int(query.step_ns))
        # Before the plot a point of each series that stands still: it may say what holds within.
        span = (query.since_ns - 2 * STILL_NS, query.since_ns + self._slots * query.step_ns)
        found: dict[int, list[Any]] = defaultdict(list)
        for row in self._connection.execute(sql.format(slot=slot, ids=marks(ids)), (*ids, *span)):
            found[row[0]].append(read(row))
        return found

    def _total(self, row: tuple[Any, ...]) -> Total:
        _, slot, start_ns, value, counted, total, buckets, _ = row
        return Total(
            slot=slot,
            fresh=start_ns >= self._query.since_ns,
            value=value if counted is None else total,
            counted=counted or 0,
            buckets=load_buckets(buckets) if buckets else None,
        )

    def _alive_until(self, series: Series) -> int:
        """The last slot in which the series may still have stood where it stood last."""
        return int((series.used_ns + TOUCH_NS - self._query.since_ns) // self._query.step_ns)


def _level(row: tuple[Any, ...]) -> Level:
    return Level(slot=row[1], mean=row[2], low=row[3], high=row[4], last=row[5])


def _metric(name: str, rows: Sequence[tuple[Any, ...]]) -> Metric:
    _, kind, unit, description, monotonic, _, used_ns = rows[-1]
    return Metric(
        name=name,
        kind=kind,
        unit=unit,
        description=description,
        monotonic=bool(monotonic),
        services=sorted({row[5] for row in rows}),
        series=len(rows),
        last_ns=used_ns,
    )


def _select_series(connection: sqlite3.Connection, name: str) -> list[Series]:
    """By when they were last heard of. Raises `NotFound` where there is none."""
    rows = connection.execute(
        "SELECT id, kind, unit, description, monotonic, cumulative, used_ns, service, instance, attributes"
        " FROM series WHERE name = ? ORDER BY used_ns, id",
        (name,),
    ).fetchall()
    if not rows:
        raise NotFound("There is no such metric, or it is so old that it was forgotten.")
    return [_series(row) for row in rows]


def _series(row: tuple[Any, ...]) -> Series:
    number, kind, unit, description, monotonic, cumulative, used_ns, service, instance, attributes = row
    labels = {key: value if isinstance(value, str) else json.dumps(value) for key, value in _loaded(attributes)}
    labels |= {"service": service, "instance": instance}
    return Series(number, kind, unit, description, bool(monotonic), bool(cumulative), used_ns, labels)


def _loaded(attributes: str) -> Sequence[tuple[str, Any]]:
    return list(json.loads(attributes).items())


def _grows(series: Series) -> bool:
    return series.kind == "histogram" or (series.kind == "sum" and series.monotonic)


def _fits(series: Series, where: Mapping[str, str]) -> bool:
    return all(series.labels.get(label, "") == value for label, value in where.items())


def _slots(query: PlotQuery) -> int:
    if query.step_ns <= 0 or query.until_ns <= query.since_ns:
        raise Invalid("A plot needs a beginning before its end, and a step.")
    slots = -(-(query.until_ns - query.since_ns) // query.step_ns)
    if slots > MAX_SLOTS:
        raise Invalid(f"At most {MAX_SLOTS} steps a plot. Choose longer ones.")
    return slots


def _aggregate(series: Series, wanted: Aggregate | None) -> Aggregate:
    """Raises `Invalid` where the metric's kind has no such aggregate."""
    levels: tuple[Aggregate, ...] = ("avg", "min", "max", "last", "sum")
    histogram: tuple[Aggregate, ...] = ("rate", "count", "avg", "sum", "p50", "p75", "p90", "p95", "p99")
    possible, usual = levels, levels[0]
    if series.kind == "histogram":
        possible, usual = histogram, "p95"
    elif series.kind == "sum":
        possible, usual = (("rate", "increase"), "rate") if series.monotonic else (levels, "sum")
    if wanted is not None and wanted not in possible:
        raise Invalid(f"This metric has {', '.join(possible)}.")
    return wanted or usual


def _exemplars(connection: sqlite3.Connection, query: PlotQuery, series: Sequence[Series]) -> list[Exemplar]:
    """The newest first, of those of histograms."""
    ids = [each.id for each in series if each.kind == "histogram"]
    rows = connection.execute(
        "SELECT exemplars FROM points"  # noqa: S608 # of constants
        f" WHERE series_id IN ({marks(ids)}) AND time_ns > ? AND time_ns <= ? AND exemplars IS NOT NULL"
        " ORDER BY time_ns DESC LIMIT ?",
        (*ids, query.since_ns, query.until_ns, MAX_EXEMPLARS),
    ).fetchall()
    told = {tuple(each) for (text,) in rows for each in json.loads(text)}
    newest = sorted(told, reverse=True)[:MAX_EXEMPLARS]
    return [Exemplar(time_ns=each[0], value=each[1], trace_id=each[2], span_id=each[3]) for each in newest]
