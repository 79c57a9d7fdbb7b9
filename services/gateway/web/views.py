"""What the pages know of concerts and orders: the GraphQL types, typed, with what follows from them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

FEW_LEFT = 20  # so few tickets that a buyer should know: two or three more orders
MAX_TICKETS = 10  # an order, by the public contract


class View(BaseModel):
    """Reads camelCase keys and ignores fields that the pages have no use for."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Money(View):
    """`amount_minor` is in minor units (cents) of `currency`, an ISO 4217 code."""

    amount_minor: int
    currency: str

    def times(self, quantity: int) -> "Money":
        return Money(amount_minor=self.amount_minor * quantity, currency=self.currency)


class Venue(View):
    name: str
    city: str
    address: str | None = None

    @property
    def whereabouts(self) -> str:
        """Address and city; the city once, as addresses often end with it."""
        if not self.address:
            return self.city
        return self.address if self.city in self.address else f"{self.address}, {self.city}"


class Tier(View):
    id: str
    name: str
    includes: str | None = None
    price: Money
    seating: Literal["GENERAL", "SEATED"]
    capacity: int
    available: int

    @property
    def sold_out(self) -> bool:
        return self.available <= 0

    @property
    def few_left(self) -> bool:
        return 0 < self.available <= FEW_LEFT

    @property
    def most(self) -> int:
        """The largest quantity that one order can ask for."""
        return max(0, min(MAX_TICKETS, self.available))


class SaleState(StrEnum):
    """GraphQL's states of a sale, and one that only pages tell apart."""

    ON_SALE = "ON_SALE"
    FEW_LEFT = "FEW_LEFT"
    SOLD_OUT = "SOLD_OUT"
    NOT_YET = "NOT_YET"
    ENDED = "ENDED"


class Card(View):
    """A concert as the lists show it. `available` counts tickets of all tiers."""

    id: str
    slug: str
    title: str
    artist: str
    genre: str
    starts_at: datetime
    on_sale_at: datetime
    time_zone: str
    venue: Venue
    price_from: Money
    available: int
    sale_state: SaleState

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def state(self) -> SaleState:
        """The one honest thing to say about buying it."""
        if self.sale_state is SaleState.ON_SALE and self.available <= FEW_LEFT:
            return SaleState.FEW_LEFT
        return self.sale_state

    @property
    def buyable(self) -> bool:
        return self.sale_state is SaleState.ON_SALE


class Concert(Card):
    """A concert as its own page shows it."""

    description: str
    doors_at: datetime | None = None
    tiers: tuple[Tier, ...]


class Page(View):
    has_next_page: bool
    end_cursor: str | None = None


class ConcertPage(View):
    nodes: tuple[Card, ...]
    page_info: Page
    total_count: int


class Facets(View):
    """What concerts can be narrowed by."""

    cities: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()


class OrderConcert(View):
    """As much of a concert as an order is sure to know of it."""

    id: str
    title: str
    artist: str
    slug: str
    starts_at: datetime
    doors_at: datetime | None = None
    time_zone: str
    venue: Venue

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class OrderLine(View):
    tier_id: str
    tier_name: str
    quantity: int
    unit_price: Money

    @property
    def total(self) -> Money:
        return self.unit_price.times(self.quantity)


class Ticket(View):
    id: str
    tier: str
    section: str | None = None
    row: str | None = None
    seat: str | None = None
    code: str | None = None


class TimelineEntry(View):
    event: str
    at: datetime


class Order(View):
    id: str
    number: str
    status: Literal["PENDING", "CONFIRMED", "CANCELLED"]
    cancel_reason: Literal["BUYER", "EXPIRED", "SOLD_OUT", "PAYMENT"] | None = None
    concert: OrderConcert | None = None
    lines: tuple[OrderLine, ...]
    tickets: tuple[Ticket, ...] = ()
    total: Money
    created_at: datetime
    expires_at: datetime | None = None
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def quantity(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def zone(self) -> ZoneInfo:
        return self.concert.zone if self.concert else ZoneInfo("UTC")

    def lapsed(self, now: datetime) -> bool:
        """Whether the hold has run out, though the order may not say so yet."""
        return self.status == "PENDING" and self.expires_at is not None and self.expires_at <= now

    def begun(self, now: datetime) -> bool:
        return self.concert is not None and self.concert.starts_at <= now

    def time_left(self, now: datetime) -> timedelta:
        return max(timedelta(), self.expires_at - now) if self.expires_at else timedelta()


class OrderPage(View):
    nodes: tuple[Order, ...]
    page_info: Page


class User(View):
    id: str
    email: str
    name: str


class Session(View):
    """`expires_in` is in seconds, and concerns the access token."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User
