"""Plots: what is asked of the store for each, and what the page draws."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from services.dashboard.pages.formatting import NS_PER_S, clock, link, measured, segment
from services.dashboard.pages.site import Site
from services.dashboard.store.rows import Aggregate, Line, Plot, PlotQuery
from services.defaults.errors import AppError, NotFound

STEPS: Final = 90  # about so many values a line
LEAST_STEP_S: Final = 15  # services send their metrics every 10 s
RANGES: Final[Mapping[str, int]] = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400}
DEFAULT_RANGE: Final = "15m"
TABLE_ROWS: Final = 12


@dataclass(frozen=True)
class Chart:
    """A plot of one metric. Several aggregates (percentiles) make a line each; `wrong`: what it counts is bad."""

    metric: str
    title: str
    aggregates: Sequence[Aggregate]
    group_by: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    wrong: bool = False


@dataclass(frozen=True)
class Window:
    since_ns: int
    until_ns: int
    step_ns: int


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A plot ready to be shown: `data` is JSON for the script, `rows` the latest values for everybody else."""

    title: str
    metric: str
    description: str
    address: str
    data: str
    now: str
    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    hidden: int
    problem: str


def recent(now_ns: int, span_s: int) -> Window:
    """The last `span_s` seconds in steps; it moves on with each whole step, so that all readers see one picture."""
    step_ns = max(LEAST_STEP_S, span_s // STEPS) * NS_PER_S
    until_ns = (now_ns // step_ns + 1) * step_ns
    return Window(until_ns - span_s * NS_PER_S, until_ns, step_ns)


def chosen_range(text: str) -> str:
    return text if text in RANGES else DEFAULT_RANGE


async def charts(site: Site, wanted: Sequence[Chart], window: Window) -> list[Drawn]:
    """The plots, in their order; one that cannot be had says why."""
    return list(await asyncio.gather(*(_drawn(site, each, window) for each in wanted)))


async def plots_of(site: Site, chart: Chart, window: Window) -> list[Plot]:
    """One for each of the chart's aggregates. Raises what `Store.plot` does."""
    query = PlotQuery(
        name=chart.metric,
        since_ns=window.since_ns,
        until_ns=window.until_ns,
        step_ns=window.step_ns,
        where=chart.where,
        group_by=chart.group_by,
    )
    return [await site.store.plot(replace(query, aggregate=aggregate)) for aggregate in chart.aggregates]


async def _drawn(site: Site, chart: Chart, window: Window) -> Drawn:
    try:
        plots = await plots_of(site, chart, window)
    except NotFound:
        return _nothing(chart, "Nothing of this has come yet.")
    except AppError as error:
        return _nothing(chart, error.message)
    return draw(chart, plots)


def draw(chart: Chart, plots: Sequence[Plot], *, high: float = 0) -> Drawn:
    """One picture of one or several plots that have the same times; its scale reaches at least to `high`."""
    unit = unit_of(plots[0])
    series = [(_name(chart, plot, line), line) for plot in plots for line in plot.lines]
    data = {
        "unit": unit,
        "wrong": chart.wrong,
        "high": high,
        "legend": len(series) > 1 or bool(chart.group_by),
        "series": [name for name, _ in series],
        "data": [list(plots[0].times_s), *(list(line.values) for _, line in series)],
    }
    return Drawn(
        title=chart.title,
        metric=chart.metric,
        description=plots[0].description,
        address=_address(chart),
        data=json.dumps(data),
        now=_now(plots[0], unit) if len(series) == 1 else "",
        names=[name for name, _ in series],
        rows=_rows(plots[0].times_s, [line for _, line in series], unit),
        hidden=sum(plot.hidden for plot in plots),
        problem="" if series else "Nothing came in this time.",
    )


def unit_of(plot: Plot) -> str:
    """The unit of a plot's values: that of the metric, or how many a second or in a step."""
    if plot.aggregate == "rate":
        return f"{plot.unit}/s" if plot.unit in {"s", "By"} and plot.kind != "histogram" else "/s"
    if plot.aggregate in {"count", "increase"} and plot.kind == "histogram":
        return ""
    return "" if plot.unit.startswith("{") or plot.unit == "1" else plot.unit


def latest(line: Line) -> float | None:
    """The last value that came."""
    return next((value for value in reversed(line.values) if value is not None), None)


def _name(chart: Chart, plot: Plot, line: Line) -> str:
    labels = ", ".join(value or "–" for value in line.labels.values()) if chart.group_by else ""
    parts = [plot.aggregate if len(chart.aggregates) > 1 else "", labels]
    return " ".join(part for part in parts if part) or plot.aggregate


def _now(plot: Plot, unit: str) -> str:
    """The latest value; of what is counted in each step, the sum."""
    (line,) = plot.lines
    if plot.aggregate in {"increase", "count"}:
        return f"{measured(sum(value or 0 for value in line.values), unit)} in all"
    return measured(latest(line), unit)


def _rows(times_s: Sequence[float], lines: Sequence[Line], unit: str) -> list[tuple[str, Sequence[str]]]:
    numbers = range(max(0, len(times_s) - TABLE_ROWS), len(times_s))
    return [
        (clock(int(times_s[at] * NS_PER_S))[:8], [measured(line.values[at], unit) for line in lines])
        for at in reversed(numbers)
    ]


def _address(chart: Chart) -> str:
    by = chart.group_by[0] if chart.group_by else ""
    aggregate = chart.aggregates[0] if len(chart.aggregates) == 1 else ""
    where = {f"is.{label}": value for label, value in chart.where.items()}
    return link(f"/plots/{segment(chart.metric)}", by=by, show=aggregate, **where)


def _nothing(chart: Chart, problem: str) -> Drawn:
    return Drawn(
        title=chart.title,
        metric=chart.metric,
        description="",
        address=_address(chart),
        data="",
        now="",
        names=(),
        rows=(),
        hidden=0,
        problem=problem,
    )
