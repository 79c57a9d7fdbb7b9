"""Metrics: the catalogue of all that arrives, and one metric in any way that it can be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from services.dashboard.pages.charts import RANGES, Chart, Drawn, chosen_range, draw, plots_of, recent
from services.dashboard.pages.formatting import link, segment
from services.dashboard.pages.site import Query, Site, View, attempt
from services.dashboard.store.rows import Aggregate, Metric, Plot
from services.defaults.errors import NotFound

_AGGREGATES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "gauge": (("avg", "average"), ("max", "greatest"), ("min", "least"), ("sum", "sum of all"), ("last", "last")),
    "sum": (("rate", "a second"), ("increase", "in each step")),
    "histogram": (
        ("percentiles", "p50, p95, p99"),
        ("p50", "p50"),
        ("p90", "p90"),
        ("p95", "p95"),
        ("p99", "p99"),
        ("avg", "average"),
        ("rate", "how often a second"),
        ("count", "how often in each step"),
    ),
}
PERCENTILES: Final[tuple[Aggregate, ...]] = ("p50", "p95", "p99")
FILTER: Final = "is."


async def catalogue(site: Site, query: Query) -> View:
    """Every metric that has come, by name, and how much is kept of it all."""
    wanted = query.get("text", "").lower()
    metrics = [each for each in await site.store.metrics() if wanted in f"{each.name} {each.description}".lower()]
    context = {
        "metrics": metrics,
        "text": query.get("text", ""),
        "kept": (await attempt(site.store.stats())).value,
    }
    return View("metrics", "Metrics", context)


async def one(site: Site, query: Query, name: str) -> View:
    """One metric: over time, split by a label, kept to some values, with single measurements and their traces."""
    metric = next((each for each in await site.store.metrics() if each.name == name), None)
    if metric is None:
        raise NotFound(f"No metric named {name} has come yet.")
    labels = await site.store.label_values(name)
    asked = _asked(query, metric, labels)
    wanted = Chart(name, name, asked.aggregates, (asked.by,) if asked.by else (), asked.where)
    plots = await plots_of(site, wanted, recent(site.now_ns(), RANGES[asked.span]))
    context = {
        "metric": metric,
        "asked": asked,
        "labels": {label: values for label, values in labels.items() if len(values) > 1 or label in asked.where},
        "choices": _AGGREGATES[_family(metric)],
        "ranges": tuple(RANGES),
        "drawn": _pictures(asked, plots),
        "exemplars": plots[0].exemplars,
        "filter": FILTER,
        "whole": link(asked.path, show=asked.show, range=asked.span, by=asked.by),
    }
    return View("metric", name, context)


@dataclass(frozen=True)
class Asked:
    """How a metric is to be looked at. `show` is an aggregate, or `percentiles`."""

    name: str
    show: str
    by: str
    span: str
    where: Mapping[str, str]

    @property
    def path(self) -> str:
        return f"/plots/{segment(self.name)}"

    @property
    def aggregates(self) -> Sequence[Aggregate]:
        return PERCENTILES if self.show == "percentiles" else (cast(Aggregate, self.show),)


def _asked(query: Query, metric: Metric, labels: Mapping[str, Sequence[str]]) -> Asked:
    choices = [choice for choice, _ in _AGGREGATES[_family(metric)]]
    show, by = query.get("show", ""), query.get("by", "")
    return Asked(
        name=metric.name,
        show=show if show in choices else choices[0],
        by=by if by in labels else "",
        span=chosen_range(query.get("range", "")),
        where={key.removeprefix(FILTER): value for key, value in query.items() if key.startswith(FILTER) and value},
    )


def _family(metric: Metric) -> str:
    """A sum that also shrinks is looked at as a gauge is."""
    return "gauge" if metric.kind == "sum" and not metric.monotonic else metric.kind


def _pictures(asked: Asked, plots: Sequence[Plot]) -> list[Drawn]:
    """One picture; or one for each value of the label that the metric is split by."""
    chart = Chart(asked.name, asked.name, asked.aggregates)
    if not asked.by:
        return [draw(chart, plots)]
    values = [value for plot in plots for line in plot.lines for value in line.values if value is not None]
    high = max(values, default=0.0)  # one scale for all, or they could not be compared
    pictures = []
    for line in plots[0].lines:
        value = line.labels.get(asked.by, "")
        own = [replace(plot, lines=[each for each in plot.lines if each.labels == line.labels]) for plot in plots]
        where = {f"{FILTER}{label}": wanted for label, wanted in {**asked.where, asked.by: value}.items()}
        address = link(asked.path, show=asked.show, range=asked.span, **where)
        pictures.append(replace(draw(replace(chart, title=value or "(none)"), own, high=high), address=address))
    return pictures
