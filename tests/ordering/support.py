"""A catalog and a payment provider that keep their promises, and break down when told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.defaults.errors import AppError, Conflict, Unavailable
from services.ordering.cards import Card, read_card
from services.ordering.domain import Buyer, Charge, ChargeAnswer, Concert, Hold, Line, Payment, Ticket, Wanted

MODELS = "services.ordering.models"
SECRET = "a signing key of the tests, 32 bytes or more"
WEBHOOK_KEY = "an API key of the tests, 32 bytes or more"
ISSUER, AUDIENCE = "https://ticketflow.test", "ticketflow"

CONCERT_ID = "7b1c9a52-5a0f-4f38-9c2e-0d8f6a1b2c3d"
SEATED, STANDING = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
PRICES = {SEATED: ("Balcony", 7_500), STANDING: ("Floor", 4_250)}
BUYER = Buyer("user-1", "ada@example.test", "Ada")
STRANGER = Buyer("user-2", "eve@example.test", "Eve")
WHEN = datetime(2030, 5, 17, 19, 30, tzinfo=UTC)
CONCERT = Concert(
    id=CONCERT_ID,
    title="Night Trains",
    artist="The Sleepers",
    slug="night-trains-2030",
    starts_at=WHEN,
    doors_at=None,
    time_zone="Europe/Vienna",
    venue="Old Depot",
    city="Vienna",
    country="AT",
    address="Gleis 1",
)
GOOD, DECLINED, POOR, LATE = "4242424242424242", "4000000000000002", "4000000000009995", "4000000000000341"


class Crash(BaseException):
    """The process dies here: nothing in the code under test may handle it."""


class CrashAt:
    """Crashes at one named step, once; remembers which steps were reached."""

    def __init__(self) -> None:
        self.step = ""
        self.reached: list[str] = []

    def __call__(self, step: str) -> None:
        self.reached.append(step)
        if step == self.step:
            self.step = ""
            raise Crash(step)


def card(number: str = GOOD) -> Card:
    return read_card(number, "12/30", "123", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class FakeCatalog:
    """Tickets of two tiers. `stock` counts what is free; `holds` and `sold` are by order id.

    `meanwhile` happens, once, while the answer to a call of that name is on its way.
    """

    stock: dict[str, int] = field(default_factory=lambda: {SEATED: 10, STANDING: 10})
    holds: dict[UUID, Hold] = field(default_factory=dict)
    sold: dict[UUID, tuple[Ticket, ...]] = field(default_factory=dict)
    failures: dict[str, list[AppError]] = field(default_factory=dict)
    meanwhile: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    concert: Concert = CONCERT
    calls: list[str] = field(default_factory=list)

    async def hold(self, order_id: UUID, concert_id: str, wanted: Sequence[Wanted], ttl_s: float) -> Hold:
        self._begin("hold")
        if order_id not in self.holds:
            if any(self.stock[want.tier_id] < want.quantity for want in wanted):
                raise Conflict("Not enough tickets are left.", code="SOLD_OUT")
            for want in wanted:
                self.stock[want.tier_id] -= want.quantity
            lines = tuple(Line(want.tier_id, *_named(want)) for want in wanted)
            tickets = tuple(
                Ticket(str(uuid4()), line.tier_name, section="A", row="1", seat=str(seat))
                for line in lines
                for seat in range(line.quantity)
            )
            self.holds[order_id] = Hold(replace(self.concert, id=concert_id), lines, tickets, "EUR", ttl_s)
        return self.holds[order_id]

    async def confirm(self, order_id: UUID) -> tuple[Ticket, ...]:
        self._begin("confirm")
        if order_id not in self.sold:
            if order_id not in self.holds:
                raise Conflict("The tickets were given to somebody else.", code="HOLD_LOST")
            held = self.holds[order_id].tickets
            self.sold[order_id] = tuple(replace(ticket, code=f"code-{ticket.id}") for ticket in held)
        sold = self.sold[order_id]
        if happens := self.meanwhile.pop("confirm", None):
            await happens()
        return sold

    async def release(self, order_id: UUID) -> None:
        self._begin("release")
        self.lose(order_id)
        self.sold.pop(order_id, None)

    def lose(self, order_id: UUID) -> None:
        """The hold is over and its tickets are free again."""
        hold = self.holds.pop(order_id, None)
        for line in hold.lines if hold else ():
            self.stock[line.tier_id] += line.quantity

    def fail(self, call: str, error: AppError | None = None, times: int = 1) -> None:
        """The next `times` calls of this name fail before they do anything."""
        self.failures[call] = [error or Unavailable("away")] * times

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if self.failures.get(call):
            raise self.failures[call].pop()


@dataclass
class FakeProvider:
    """Charges each payment id once. `lost`: the next answers never arrive, though the work is done.

    `meanwhile` happens, once, while a call of that name is on its way.
    """

    charges: dict[UUID, Charge] = field(default_factory=dict)
    codes: dict[UUID, str] = field(default_factory=dict)
    money_minor: dict[UUID, int] = field(default_factory=dict)
    lost: int = 0
    away: bool = False
    meanwhile: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    on_charge: Callable[[], Any] = lambda: None

    async def charge(self, payment: Payment, card: Card, reference: str) -> ChargeAnswer:
        self._begin()
        if payment.id not in self.charges:
            self.charges[payment.id] = _outcome(card)
            if card.number in {DECLINED, POOR}:
                self.codes[payment.id] = "insufficient_funds" if card.number == POOR else "card_declined"
            if self.charges[payment.id] is Charge.SUCCEEDED:
                self.money_minor[payment.id] = payment.amount_minor
        self.on_charge()
        return self._answer(payment.id)

    async def look_up(self, payment_id: UUID) -> ChargeAnswer:
        self._begin()
        return ChargeAnswer(self.charges.get(payment_id, Charge.UNKNOWN), self.codes.get(payment_id))

    async def call_off(self, payment_id: UUID) -> ChargeAnswer:
        self._begin()
        if happens := self.meanwhile.pop("call_off", None):
            await happens()
        if self.charges.get(payment_id, Charge.PENDING) is Charge.PENDING:
            self.charges[payment_id] = Charge.VOIDED
        return self._answer(payment_id)

    async def refund(self, payment_id: UUID) -> ChargeAnswer:
        self._begin()
        had = self.charges.get(payment_id, Charge.PENDING)
        if had is Charge.SUCCEEDED:
            self.charges[payment_id] = Charge.REFUNDED
            self.money_minor[payment_id] = 0
        elif had is Charge.PENDING:
            self.charges[payment_id] = Charge.VOIDED
        return self._answer(payment_id)

    def succeed(self, payment_id: UUID, amount_minor: int) -> None:
        """A late charge has succeeded."""
        self.charges[payment_id] = Charge.SUCCEEDED
        self.money_minor[payment_id] = amount_minor

    @property
    def taken_minor(self) -> int:
        """All the money that buyers are without."""
        return sum(self.money_minor.values())

    def _begin(self) -> None:
        if self.away:
            raise Unavailable("away")

    def _answer(self, payment_id: UUID) -> ChargeAnswer:
        if self.lost:
            self.lost -= 1
            raise Unavailable("no answer in time")
        return ChargeAnswer(self.charges[payment_id], self.codes.get(payment_id))


def _outcome(card: Card) -> Charge:
    if card.number == LATE:
        return Charge.PENDING
    return Charge.DECLINED if card.number in {DECLINED, POOR} else Charge.SUCCEEDED


def _named(want: Wanted) -> tuple[str, int, int]:
    name, price = PRICES[want.tier_id]
    return name, want.quantity, price
