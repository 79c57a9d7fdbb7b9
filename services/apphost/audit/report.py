"""The ledger's outcome, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.apphost.audit.records import Books, Finding
from services.contracts import NOTIFICATIONS_DEAD_QUEUE


@dataclass(frozen=True, kw_only=True)
class Report:
    """``counts`` is what there was, as label and value; ``findings`` is what does not add up."""

    counts: Sequence[tuple[str, str]]
    findings: Sequence[Finding]
    waited_s: float  # for what was in flight

    @property
    def closes(self) -> bool:
        return not self.findings

    def render(self) -> str:
        """Several lines, without a trailing newline."""
        width = max((len(label) for label, _ in self.counts), default=0)
        lines = [f"  {label:<{width}}  {value}" for label, value in self.counts]
        if self.closes:
            return "\n".join([*lines, "", "The books close."])
        wrong = [f"  {finding.what}: {finding.problem}" for finding in self.findings]
        head = f"{len(wrong)} {'thing does' if len(wrong) == 1 else 'things do'} not add up"
        return "\n".join([*lines, "", f"{head} ({self.waited_s:.0f} s were allowed to settle):", *wrong])


def count(books: Books) -> list[tuple[str, str]]:
    """What the books hold, in a few lines."""
    catalog, ordering = books.catalog, books.ordering
    free, held, sold = (sum(getattr(stock, state) for stock in catalog.stocks) for state in ("free", "held", "sold"))
    outside = sum(hold.sold for hold in catalog.holds if hold.channel == "BOX_OFFICE")
    known = {order.id for order in ordering.orders}
    stray = {seat.order_id for seat in catalog.seats if not seat.code} - known
    mailed = [books.mails.get(event.id, 0) for event in ordering.events if event.published_at]
    waiting = dict(books.broker.queues)
    dead = waiting.pop(NOTIFICATIONS_DEAD_QUEUE, 0)
    return [
        ("concerts", str(len(catalog.stocks))),
        ("tickets", f"{free + held + sold}: {free} free, {held} held, {sold} sold ({outside} at the box office)"),
        ("orders", _tally(order.status for order in ordering.orders)),
        ("leases without an order", f"{len(stray)} (they lapse)"),
        ("payments", _tally(payment.state for payment in ordering.payments)),
        ("charges", _tally(charge.status for charge in books.charges)),
        ("money kept", _money(books)),
        ("events", f"{len(ordering.events)}: {len(mailed)} published"),
        ("mails of events", f"{sum(mailed)}: {sum(1 for times in mailed if times > 1)} of them came more than once"),
        ("dead letters", str(dead)),
        ("messages waiting", str(sum(waiting.values()))),
        ("keys", f"{len(ordering.keys)}: {sum(1 for key in ordering.keys if key.status is None)} without an answer"),
    ]


def _tally(states: Iterable[str]) -> str:
    """As `3: 2 CONFIRMED, 1 PENDING`."""
    tally = Counter(states)
    return f"{tally.total()}: " + (", ".join(f"{number} {state}" for state, number in sorted(tally.items())) or "none")


def _money(books: Books) -> str:
    kept: Counter[str] = Counter()
    for charge in books.charges:
        if charge.status == "succeeded":
            kept[charge.currency] += charge.amount_minor
    return ", ".join(f"{minor / 100:.2f} {currency}" for currency, minor in sorted(kept.items())) or "none"
