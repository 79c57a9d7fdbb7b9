"""Where an order stands, in plain words. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.gateway.web.views import Order


class Phase(StrEnum):
    """What the order's page shows."""

    CHECKOUT = "checkout"
    CHECKING = "checking"
    LAPSED = "lapsed"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


# What the timeline calls things, and what people are told. Steps that only engineers need are left out.
_WORDS: Mapping[str, str] = {
    "placed": "You chose your tickets and we set them aside",
    "payment_started": "You sent a payment",
    "payment_unclear": "The bank did not answer in time; we asked it again",
    "payment_declined": "The card was declined; nothing was charged",
    "payment_void": "The payment did not go through; nothing was charged",
    "confirmed": "Paid; the tickets are yours",
    "cancelled": "The order was cancelled",
    "refund_due": "A refund to your card was started",
    "refunded": "The refund was sent to your card",
}
_UNDECIDED = frozenset({"payment_started", "payment_unclear"})
_DECIDED = frozenset({"payment_declined", "payment_void", "confirmed", "cancelled"})

_WHY: Mapping[str, str] = {
    "BUYER": "You cancelled this order.",
    "EXPIRED": "The time to pay ran out, so the tickets went back on sale.",
    "SOLD_OUT": "The tickets were sold to somebody else before your payment came through.",
    "PAYMENT": "The payment did not go through.",
}


@dataclass(frozen=True)
class Step:
    """One line of the order's story."""

    words: str
    at: datetime


def phase_of(order: Order, now: datetime) -> Phase:
    if order.status == "CONFIRMED":
        return Phase.CONFIRMED
    if order.status == "CANCELLED":
        return Phase.CANCELLED
    if being_checked(order):
        return Phase.CHECKING
    return Phase.LAPSED if order.lapsed(now) else Phase.CHECKOUT


def being_checked(order: Order) -> bool:
    """Whether a payment was sent whose outcome is not known yet."""
    telling = [_name(entry.event) for entry in order.timeline]
    last = next((name for name in reversed(telling) if name in _UNDECIDED | _DECIDED), "")
    return last in _UNDECIDED


def story(order: Order) -> list[Step]:
    """What happened so far, oldest first."""
    steps = ((_WORDS.get(_name(entry.event)), entry.at) for entry in order.timeline)
    return [Step(words, at) for words, at in steps if words]


def why_cancelled(order: Order) -> str:
    return _WHY.get(order.cancel_reason or "", "This order was cancelled.")


def about_money(order: Order, amount: str) -> str:
    """What became of the money of a cancelled order; `amount` is its total, as people write it."""
    names = {_name(entry.event) for entry in order.timeline}
    if "refunded" in names:
        return f"{amount} was sent back to your card. Banks take up to five working days to show it."
    if names & {"refund_due", "confirmed"}:
        return f"{amount} is on its way back to your card. Banks take up to five working days to show it."
    return "Nothing was charged."


def _name(event: str) -> str:
    return event.rpartition(".")[2]
