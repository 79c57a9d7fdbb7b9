"""Prepared pages of plots: the four golden signals, and the business.

The signals are those of Google's "Site Reliability Engineering", chapter 6: latency, traffic, errors, saturation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.dashboard.pages.charts import RANGES, Chart, charts, chosen_range, plots_of, recent
from services.dashboard.pages.formatting import NS_PER_S
from services.dashboard.pages.site import Query, Site, View, attempt
from services.dashboard.store.rows import OperationStats

_PERCENTILES: Final = ("p50", "p95", "p99")
_HTTP: Final = "http.server.request.duration"

SIGNALS: Final[Sequence[tuple[str, str, Sequence[Chart]]]] = (
    (
        "Latency",
        "How long people and services wait for an answer.",
        (
            Chart(_HTTP, "The shop’s pages", _PERCENTILES, where={"service": "gateway"}),
            Chart(_HTTP, "Ordering", _PERCENTILES, where={"service": "ordering"}),
            Chart("rpc.server.call.duration", "Catalog", _PERCENTILES),
            Chart("db.client.operation.duration", "Databases and cache", _PERCENTILES),
        ),
    ),
    (
        "Traffic",
        "How much is asked for.",
        (
            Chart(_HTTP, "Requests a second, by service", ("rate",), ("service",)),
            Chart("rpc.server.call.duration", "gRPC calls a second", ("rate",)),
            Chart("messaging.client.sent.messages", "Messages sent a second", ("rate",)),
            Chart("messaging.client.consumed.messages", "Messages worked on a second", ("rate",)),
        ),
    ),
    (
        "Errors",
        "How much goes wrong. A refusal, such as “sold out”, is an answer and no error.",
        (
            Chart(_HTTP, "Requests a second, by kind of error", ("rate",), ("error.type",), wrong=True),
            Chart(
                "rpc.server.call.duration", "gRPC calls a second, by status", ("rate",), ("rpc.response.status_code",)
            ),
            Chart("messages.dead_lettered", "Messages given up", ("increase",), wrong=True),
            Chart("circuit_breakers.open", "Circuit breakers that are open", ("max",), wrong=True),
        ),
    ),
    (
        "Saturation",
        "How full it is.",
        (
            Chart("event_loop.lag", "How late the event loops run", _PERCENTILES),
            Chart("process.cpu.time", "Cores in use, by service", ("rate",), ("service",)),
            Chart("process.memory.usage", "Memory, by service", ("sum",), ("service",)),
            Chart("http.server.active_requests", "Requests in flight", ("sum",)),
            Chart("outbox.depth", "Events waiting in the outbox", ("max",)),
            Chart("queue.depth", "Messages waiting, by queue", ("max",), ("messaging.destination.name",)),
        ),
    ),
)

BUSINESS: Final[Sequence[tuple[str, str, Sequence[Chart]]]] = (
    (
        "Orders",
        "From hold to ticket.",
        (
            Chart("orders.placed", "Placed", ("increase",)),
            Chart("orders.confirmed", "Paid and confirmed", ("increase",)),
            Chart("orders.cancelled", "Cancelled, by reason", ("increase",), ("reason",)),
            Chart("orders.refused", "Refused, by reason", ("increase",), ("reason",)),
            Chart("orders.time_to_pay", "From hold to paid", ("p50", "p95")),
            Chart("payments.outcomes", "Payments, by outcome", ("increase",), ("outcome",)),
        ),
    ),
    (
        "Tickets",
        "What is held, and what is left.",
        (
            Chart("holds.active", "Holds now", ("max",)),
            Chart("tickets.left", "Tickets left, by concert", ("max",), ("ticketflow.concert.slug",)),
            Chart("catalog.cache.requests", "Catalog reads, by what the cache had", ("rate",), ("result",)),
        ),
    ),
    (
        "People and mails",
        "Who comes, and what they get.",
        (
            Chart("accounts.opened", "Accounts opened", ("increase",)),
            Chart("logins.refused", "Log-ins refused, by reason", ("increase",), ("reason",)),
            Chart("refresh_tokens.reused", "Spent sessions shown again", ("increase",), wrong=True),
            Chart("notifications.mails", "Mails sent, by kind", ("increase",), ("type",)),
            Chart("outbox.lag", "Age of the oldest event in the outbox", ("max",)),
        ),
    ),
)
_TOTALS: Final = (
    ("orders.placed", "Orders placed"),
    ("orders.confirmed", "Confirmed"),
    ("orders.cancelled", "Cancelled"),
    ("orders.refused", "Refused"),
    ("notifications.mails", "Mails sent"),
    ("accounts.opened", "Accounts opened"),
)


@dataclass(frozen=True)
class Total:
    """How much of a metric came in the whole time; None where it has never come."""

    metric: str
    title: str
    value: float | None


async def signals(site: Site, query: Query) -> View:
    """Latency, traffic, errors, saturation; with each service's numbers from its traces."""
    span = chosen_range(query.get("range", ""))
    now_ns = site.now_ns()
    stats = await attempt(site.store.operation_stats(now_ns - RANGES[span] * NS_PER_S, now_ns))
    return await _view(site, span, "signals", "The four golden signals", SIGNALS, operations=(stats.value or ())[:12])


async def business(site: Site, query: Query) -> View:
    """Orders, tickets, people."""
    span = chosen_range(query.get("range", ""))
    totals = [await _total(site, metric, title, span) for metric, title in _TOTALS]
    return await _view(site, span, "business", "The business", BUSINESS, totals=totals)


async def _view(
    site: Site,
    span: str,
    name: str,
    title: str,
    wanted: Sequence[tuple[str, str, Sequence[Chart]]],
    *,
    operations: Sequence[OperationStats] = (),
    totals: Sequence[Total] = (),
) -> View:
    window = recent(site.now_ns(), RANGES[span])
    sections = [(heading, words, await charts(site, shown, window)) for heading, words, shown in wanted]
    context = {
        "title": title,
        "address": f"/{name}",
        "sections": sections,
        "range": span,
        "ranges": tuple(RANGES),
        "operations": operations,
        "totals": totals,
    }
    return View("prepared", title, context)


async def _total(site: Site, metric: str, title: str, span: str) -> Total:
    window = recent(site.now_ns(), RANGES[span])
    found = await attempt(plots_of(site, Chart(metric, title, ("increase",)), window))
    if found.value is None:
        return Total(metric, title, None)
    (plot,) = found.value
    return Total(metric, title, sum(value or 0 for line in plot.lines for value in line.values))
