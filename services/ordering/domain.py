"""What an order is, and every decision about it. No I/O, no clock, no randomness: they come in as arguments.

PENDING ──pay──► CONFIRMED ──cancel, with a refund──► CANCELLED
   └──────────cancel, expire, sold out──────────────────▲
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid5

from services.contracts import CancelReason
from services.defaults.errors import Conflict

MAX_TICKETS: Final = 10  # of one order
NUMBER_BITS: Final = 40  # eight characters of five bits
IN_FLIGHT_RETRY_S: Final = 1.0

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: nothing to misread on the phone
_ORDERS: Final = UUID("7c0d5a2e-0d0b-5c52-9f0e-6b1e3f2a9d11")  # the name space of our order ids
_PAYMENTS: Final = UUID("b1f6c0de-6a53-5d0e-8a8c-2f5f5b0f7e42")


class Status(StrEnum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.CONFIRMED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset({Status.CANCELLED}),
    Status.CANCELLED: frozenset(),
}


class IllegalTransition(Exception):
    """Code tried to move an order where none may go; a bug, never a buyer's mistake."""


class PaymentState(StrEnum):
    """Where one attempt to pay stands."""

    STARTED = "started"  # the provider is being asked
    UNCLEAR = "unclear"  # it did not answer in time; the recovery loop asks again
    SUCCEEDED = "succeeded"  # charged, and the order is confirmed
    DECLINED = "declined"
    VOID = "void"  # never charged, and never will be
    REFUND_DUE = "refund_due"  # charged for nothing; the recovery loop sees to the refund
    REFUNDED = "refunded"


OPEN_PAYMENTS: Final = frozenset({PaymentState.STARTED, PaymentState.UNCLEAR})
RESUMABLE_PAYMENTS: Final = OPEN_PAYMENTS | {PaymentState.SUCCEEDED}  # by the request that began them


class Step(StrEnum):
    """The entries of an order's timeline."""

    PLACED = "placed"
    PAYMENT_STARTED = "payment_started"
    PAYMENT_UNCLEAR = "payment_unclear"
    PAYMENT_DECLINED = "payment_declined"
    PAYMENT_VOID = "payment_void"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"
    RELEASED = "tickets_released"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a buyer asks for: so many tickets of one tier."""

    tier_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Concert:
    """The concert as the catalog described it when the tickets were held."""

    id: str
    title: str
    artist: str
    slug: str
    starts_at: datetime
    doors_at: datetime | None
    time_zone: str
    venue: str
    city: str
    country: str
    address: str


@dataclass(frozen=True, slots=True)
class Line:
    tier_id: str
    tier_name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """One admission. `code` is None until it is sold; the rest is None where one stands."""

    id: str
    tier: str
    section: str | None = None
    row: str | None = None
    seat: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """What the catalog has set aside for an order, for `time_left_s` seconds from its answer."""

    concert: Concert
    lines: tuple[Line, ...]
    tickets: tuple[Ticket, ...]
    currency: str
    time_left_s: float


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who orders, as their verified token says."""

    id: str
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an order's timeline."""

    event: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    number: str
    buyer: Buyer
    concert: Concert
    lines: tuple[Line, ...]
    tickets: tuple[Ticket, ...]
    total_minor: int
    currency: str
    created_at: datetime
    expires_at: datetime
    status: Status = Status.PENDING
    cancel_reason: CancelReason | None = None
    confirmed_at: datetime | None = None
    cancelled_at: datetime | None = None
    timeline: tuple[Entry, ...] = field(default=())

    def _move(self, to: Status) -> None:
        if to not in TRANSITIONS[self.status]:
            raise IllegalTransition(f"order {self.id} is {self.status} and cannot become {to}")

    def confirmed(self, tickets: Sequence[Ticket], at: datetime) -> Order:
        """The order paid, with its tickets as sold. Raises IllegalTransition, and ValueError for a wrong set."""
        self._move(Status.CONFIRMED)
        if len(tickets) != sum(line.quantity for line in self.lines) or not all(t.code for t in tickets):
            raise ValueError(f"order {self.id} cannot be confirmed with these tickets")
        return replace(self, status=Status.CONFIRMED, tickets=tuple(tickets), confirmed_at=at)

    def cancelled(self, reason: CancelReason, at: datetime) -> Order:
        """The order ended; its tickets admit nobody any more. Raises IllegalTransition."""
        self._move(Status.CANCELLED)
        void = tuple(replace(ticket, code=None) for ticket in self.tickets)
        return replace(self, status=Status.CANCELLED, cancel_reason=reason, cancelled_at=at, tickets=void)


@dataclass(frozen=True, slots=True)
class Payment:
    """One attempt to pay an order; `amount_minor` is in minor units of `currency`."""

    id: UUID
    order_id: UUID
    key: str
    state: PaymentState
    amount_minor: int
    currency: str


def order_id(user_id: str, key: str) -> UUID:
    """The id that one buyer's idempotency key always gives (UUIDv5): a retry holds the same tickets."""
    return uuid5(_ORDERS, f"{len(user_id)}:{user_id}:{key}")


def payment_id(order: UUID, key: str) -> UUID:
    """The id that a payment with this key always has, so that the provider charges it once."""
    return uuid5(_PAYMENTS, f"{order}:{key}")


def order_number(bits: int) -> str:
    """The first NUMBER_BITS of `bits` in Crockford's base 32, as `K7QF-2M9X`."""
    digits = "".join(_CROCKFORD[(bits >> shift) & 31] for shift in range(NUMBER_BITS - 5, -1, -5))
    return f"{digits[:4]}-{digits[4:]}"


def fingerprint(body: Mapping[str, Any]) -> str:
    """SHA-256 of a request's meaning: the order of its keys does not matter."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def total_minor(lines: Sequence[Line]) -> int:
    return sum(line.quantity * line.unit_price_minor for line in lines)


def holds_what_was_wanted(hold: Hold, wanted: Sequence[Wanted]) -> bool:
    """Whether a hold has exactly the tickets that were asked for, however the lines were split."""
    asked: dict[str, int] = {}
    for want in wanted:
        asked[want.tier_id] = asked.get(want.tier_id, 0) + want.quantity
    return {line.tier_id: line.quantity for line in hold.lines} == asked


def new_order(order: UUID, number: str, buyer: Buyer, hold: Hold, *, now: datetime, expires: datetime) -> Order:
    """A pending order for what is held, at the catalog's prices."""
    return Order(
        id=order,
        number=number,
        buyer=buyer,
        concert=hold.concert,
        lines=hold.lines,
        tickets=hold.tickets,
        total_minor=total_minor(hold.lines),
        currency=hold.currency,
        created_at=now,
        expires_at=expires,
        timeline=(Entry(Step.PLACED, now),),
    )


def check_payable(order: Order, latest: Payment | None, payment: UUID, now: datetime) -> None:
    """Raises Conflict where the payment `payment` must not begin, or go on, now."""
    if latest and latest.id == payment and latest.state in RESUMABLE_PAYMENTS:
        return  # the same request again: it goes on with the same charge, which recovery may have settled meanwhile
    if latest and latest.state in OPEN_PAYMENTS:
        raise Conflict(
            "A payment of this order is still being checked. Wait a moment, then look again.", retry_after_s=2
        )
    if order.status is Status.CONFIRMED:
        raise Conflict("This order is already paid.")
    if order.status is Status.CANCELLED:
        raise Conflict("This order was cancelled and cannot be paid.")
    if now >= order.expires_at:
        raise Conflict("The time to pay for these tickets is over. Place a new order.")


def check_cancellable(order: Order, latest: Payment | None, now: datetime) -> None:
    """Raises Conflict where the buyer may not cancel a live order now."""
    if latest and latest.state in OPEN_PAYMENTS:
        raise Conflict(
            "A payment of this order is still being checked, so it cannot be cancelled yet.", retry_after_s=2
        )
    if order.status is Status.CONFIRMED and now >= order.concert.starts_at:
        raise Conflict("The concert has begun, so these tickets can no longer be returned.")


class Charge(StrEnum):
    """What the provider says about a charge."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PENDING = "pending"  # it does not know yet
    VOIDED = "voided"  # never charged, and never will be
    REFUNDED = "refunded"
    UNKNOWN = "unknown"  # it has never heard of it


@dataclass(frozen=True, slots=True)
class ChargeAnswer:
    status: Charge
    decline_code: str | None = None


class Verdict(StrEnum):
    """What to do about a charge."""

    CONFIRM = "confirm"  # the money is there: see to the tickets
    DECLINE = "decline"  # no money was taken, or none is left with us
    WAIT = "wait"  # ask again later


def judge_charge(status: Charge) -> Verdict:
    """What a charge's state means for its order."""
    match status:
        case Charge.SUCCEEDED:
            return Verdict.CONFIRM
        case Charge.DECLINED | Charge.VOIDED | Charge.REFUNDED:
            return Verdict.DECLINE
        case Charge.PENDING | Charge.UNKNOWN:
            return Verdict.WAIT
