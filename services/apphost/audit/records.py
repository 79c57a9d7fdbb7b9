"""What the ledger looks at: every part's books, as plain values. Ids are text, money is in minor units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Stock:
    """One concert's tickets by state, as the catalog's rows say; ``capacity`` is how many it was published with."""

    concert_id: str
    slug: str
    capacity: int
    free: int
    held: int
    sold: int


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What an order has asked the catalog for. ``held`` and ``sold`` count its tickets; ``running``: its lease runs."""

    order_id: str
    channel: str  # SHOP, or BOX_OFFICE: sold outside, with no order in the shop
    state: str  # HELD, CONFIRMED or RELEASED
    quantity: int
    running: bool
    held: int
    sold: int


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One ticket that a shop's order holds under a running lease or, with a ``code``, owns."""

    id: str
    order_id: str
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order as ordering has it. ``tickets`` maps ids to codes; ``overdue_s``: seconds since its hold ended."""

    id: str
    number: str
    user_id: str
    status: str  # PENDING, CONFIRMED or CANCELLED
    tickets: Mapping[str, str | None]
    quantity: int
    lines_minor: int
    total_minor: int
    currency: str
    created_at: datetime
    overdue_s: float
    confirmed_at: datetime | None = None
    cancelled_at: datetime | None = None
    release_due: bool = False  # its tickets are still to be freed

    @property
    def name(self) -> str:
        return f"order {self.id} ({self.number})"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One attempt to pay, as ordering has it."""

    id: str
    order_id: str
    state: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Charge:
    """The same, as the payment provider has it."""

    payment_id: str
    status: str  # pending, succeeded, declined, refunded or voided
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """A row of the outbox, in the order of ``sequence``."""

    sequence: int
    id: str
    order_id: str
    type: str
    published_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Key:
    """An idempotency key with what its request was answered; ``leased_s``: for how much longer it is taken."""

    name: str
    status: int | None
    order_id: str | None
    order_status: str | None
    leased_s: float


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Messages ready in each queue; a queue that nobody has declared is missing. ``dead``: message id to reason."""

    queues: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Catalog:
    stocks: tuple[Stock, ...] = ()
    holds: tuple[Hold, ...] = ()
    seats: tuple[Seat, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """``now`` is its database's clock."""

    now: datetime
    orders: tuple[Order, ...] = ()
    payments: tuple[Payment, ...] = ()
    events: tuple[Event, ...] = ()
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """``broken_families``: logins that still count, with a spent refresh token and no live one after it."""

    user_ids: frozenset[str] = frozenset()
    broken_families: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Books:
    """All of it. ``mails`` counts the mails by event id; ``acknowledged`` is what buyers were told of their orders."""

    catalog: Catalog
    ordering: Ordering
    identity: Identity
    charges: tuple[Charge, ...] = ()
    broker: Broker = Broker()
    mails: Mapping[str, int] = field(default_factory=dict)
    acknowledged: Mapping[str, str] = field(default_factory=dict)  # order id to status


@dataclass(frozen=True, order=True)
class Finding:
    """Something that does not add up. ``passing``: it may be in flight, and be gone a moment later."""

    what: str  # ids first
    problem: str
    passing: bool = False
