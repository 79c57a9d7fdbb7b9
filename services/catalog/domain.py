"""What the catalog decides, from what it is told: no I/O, no clock, no randomness."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.defaults.errors import Conflict, Invalid

MAX_TICKETS: Final = 10  # an order
MIN_TTL_S: Final = 1.0
MAX_TTL_S: Final = 30 * 60.0
CODE_BYTES: Final = 16  # 128 bits: nobody guesses a ticket
SOLD_OUT: Final = "SOLD_OUT"
HOLD_LOST: Final = "HOLD_LOST"  # only between services: the buyer's order is sold out


class Seating(StrEnum):
    GENERAL = "GENERAL"
    SEATED = "SEATED"


class HoldState(StrEnum):
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Venue:
    id: UUID
    name: str
    city: str
    country: str
    address: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Tier:
    """`available` is of the moment it was counted; only a hold says whether a ticket is to be had."""

    id: UUID
    concert_id: UUID
    name: str
    price_minor: int
    currency: str
    seating: Seating
    includes: str
    capacity: int
    available: int


@dataclass(frozen=True, slots=True)
class Concert:
    id: UUID
    slug: str
    title: str
    artist: str
    genre: str
    description: str
    starts_at: datetime
    doors_at: datetime | None
    on_sale_at: datetime
    title_key: str
    sort_price_minor: int
    venue: Venue
    tiers: tuple[Tier, ...]

    @property
    def cheapest(self) -> Tier:
        """A concert is never without a tier: they are published together."""
        return min(self.tiers, key=lambda tier: tier.price_minor)

    @property
    def available(self) -> int:
        return sum(tier.available for tier in self.tiers)


@dataclass(frozen=True, slots=True)
class Left:
    """How many tickets of a concert can be held."""

    concert_id: UUID
    slug: str
    tickets: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """`code` is empty until the ticket is sold."""

    id: UUID
    tier_id: UUID
    tier_name: str
    section: str
    row: str
    seat: str
    code: str
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Hold:
    """`now` is the database's time of the answer: what `expires_at` is to be measured against."""

    order_id: UUID
    concert_id: UUID
    fingerprint: str
    quantity: int
    state: HoldState
    expires_at: datetime
    now: datetime
    tickets: tuple[Ticket, ...] = ()

    @property
    def lapsed(self) -> bool:
        return self.expires_at <= self.now

    @property
    def incomplete(self) -> bool:
        """Some of its tickets are somebody else's by now, or all were given back."""
        return len(self.tickets) < self.quantity

    @property
    def time_left(self) -> timedelta:
        return max(self.expires_at - self.now, timedelta(0))


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What an order asks for; made by `hold_request`, which checks it."""

    order_id: UUID
    concert_id: UUID
    quantities: Mapping[UUID, int]  # by tier, in the order of the tiers' ids
    ttl_s: float

    @property
    def quantity(self) -> int:
        return sum(self.quantities.values())

    @property
    def fingerprint(self) -> str:
        """The same for the same tickets of the same concert, whatever the lease's length."""
        lines = ",".join(f"{tier_id}={quantity}" for tier_id, quantity in self.quantities.items())
        return hashlib.sha256(f"{self.concert_id}:{lines}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sale:
    """What decides whether a concert's tickets may be held: its times and its tiers' seating."""

    starts_at: datetime
    on_sale_at: datetime
    now: datetime
    seating: Mapping[UUID, Seating]
    names: Mapping[UUID, str]


def hold_request(order_id: UUID, concert_id: UUID, lines: Iterable[tuple[UUID, int]], ttl_s: float) -> HoldRequest:
    """The request, its lines merged by tier. Raises `Invalid` naming the fields at fault."""
    fields: dict[str, str] = {}
    quantities: dict[UUID, int] = {}
    for tier_id, quantity in lines:
        if quantity < 1:
            fields["lines"] = "A quantity must be at least 1."
        quantities[tier_id] = quantities.get(tier_id, 0) + quantity
    if not quantities:
        fields["lines"] = "Choose at least one ticket."
    if sum(quantities.values()) > MAX_TICKETS:
        fields["lines"] = f"At most {MAX_TICKETS} tickets can be bought in one order."
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        fields["ttl"] = "A hold lasts from 1 second to 30 minutes."
    if fields:
        raise Invalid("These tickets cannot be held.", fields=fields)
    return HoldRequest(order_id, concert_id, dict(sorted(quantities.items())), ttl_s)


def check_sale(sale: Sale, request: HoldRequest) -> None:
    """Raises `Conflict` outside the time of sale, `Invalid` for a tier that is not the concert's."""
    if sale.starts_at <= sale.now:
        raise Conflict("This concert is over: its tickets are no longer sold.")
    if sale.on_sale_at > sale.now:
        raise Conflict("Tickets for this concert are not on sale yet.")
    if not sale.seating.keys() >= request.quantities.keys():
        raise Invalid("These tickets cannot be held.", fields={"lines": "This concert has no such ticket category."})


def check_same_request(hold: Hold, request: HoldRequest) -> None:
    """Raises `Conflict` where an order that has a hold asks for something else."""
    if hold.fingerprint != request.fingerprint:
        raise Conflict("This order already holds other tickets.")


def sold_out(tier_name: str) -> Conflict:
    return Conflict(f"Not enough tickets are left in “{tier_name}”.", code=SOLD_OUT)


def hold_lost() -> Conflict:
    return Conflict("The tickets of this order were given to somebody else.", code=HOLD_LOST)


def choose_seats(positions: Sequence[int], quantity: int) -> list[int]:
    """`quantity` of the free `positions` (ascending), side by side where that is possible.

    The frontmost row of enough free seats is taken; where there is none, the party is split over the
    longest ones. Fewer than `quantity` come back only where fewer are free.
    """
    runs = _runs(positions)
    chosen: list[int] = []
    while runs and len(chosen) < quantity:
        wanted = quantity - len(chosen)
        fitting = [run for run in runs if len(run) >= wanted]
        run = fitting[0] if fitting else max(runs, key=len)
        chosen += run[:wanted]
        runs.remove(run)
    return chosen


def adjacent(positions: Sequence[int]) -> bool:
    return len(_runs(positions)) <= 1


def _runs(positions: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def ticket_code(entropy: bytes) -> str:
    """What the ticket's QR code holds: capitals and digits, which QR packs tightest.

    `entropy` is `CODE_BYTES` random bytes; 26 characters come out (RFC 4648 base32 without padding).
    """
    return base64.b32encode(entropy).decode().rstrip("=")
