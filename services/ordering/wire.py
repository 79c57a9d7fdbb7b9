"""The JSON of ordering's REST interface, for validation at the edge and for its OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, field_validator

from services.contracts import CancelReason
from services.defaults.http import Model
from services.ordering.domain import MAX_TICKETS, Status, Step

KEY_PATTERN = r"^[\x21-\x7e]{1,200}$"


class KeyHeaders(BaseModel):
    """A key that the client makes up for each thing it wants done, and sends again with each retry."""

    idempotency_key: Annotated[str, Field(pattern=KEY_PATTERN, json_schema_extra={"required": True})]


class SignatureHeaders(BaseModel):
    """`t=<seconds>,v1=<hex of HMAC-SHA256>` over time and body."""

    payments_signature: Annotated[str, Field(json_schema_extra={"required": True})]


class LineWanted(Model):
    tier_id: UUID
    quantity: Annotated[int, Field(strict=True, ge=1, le=MAX_TICKETS)]


class PlaceBody(Model):
    """At most ten tickets of one concert."""

    concert_id: UUID
    lines: Annotated[list[LineWanted], Field(min_length=1, max_length=MAX_TICKETS)]

    @field_validator("lines")
    @classmethod
    def _limited(cls, lines: list[LineWanted]) -> list[LineWanted]:
        if sum(line.quantity for line in lines) > MAX_TICKETS:
            raise ValueError(f"at most {MAX_TICKETS} tickets can be bought in one order")
        return lines


class CardBody(Model):
    """A card as it is typed in. Nothing of it is kept but its brand and last four digits."""

    number: Annotated[SecretStr, Field(max_length=40, examples=["4242 4242 4242 4242"])]
    expiry: Annotated[SecretStr, Field(max_length=10, examples=["12/30"])]
    cvc: Annotated[SecretStr, Field(max_length=10, examples=["123"])]


class PayBody(Model):
    card: CardBody


class PageQuery(Model):
    """`first` orders after the cursor `after`, newest first."""

    first: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str, Field(max_length=200)] | None = None


class MoneyBody(Model):
    """Minor units of an ISO 4217 currency."""

    amount_minor: int
    currency: str


class LineBody(Model):
    tier_id: str
    tier_name: str
    quantity: int
    unit_price: MoneyBody


class TicketBody(Model):
    """`code` is there once the order is confirmed."""

    id: str
    tier: str
    section: str | None
    row: str | None
    seat: str | None
    code: str | None


class ConcertBody(Model):
    """The concert as it was when the tickets were held."""

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


class TimelineBody(Model):
    event: Step
    at: datetime


class OrderBody(Model):
    """`expiresAt` is there while the order is pending: when its hold ends."""

    id: UUID
    number: str
    status: Status
    cancel_reason: CancelReason | None
    concert_id: str
    concert: ConcertBody
    lines: list[LineBody]
    tickets: list[TicketBody]
    total: MoneyBody
    created_at: datetime
    expires_at: datetime | None
    timeline: list[TimelineBody]


class PageInfoBody(Model):
    has_next_page: bool
    end_cursor: str | None


class OrderPageBody(Model):
    nodes: list[OrderBody]
    page_info: PageInfoBody


class WebhookBody(Model):
    """A notification of the payment provider."""

    id: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]
    type: Literal["charge.updated"]
    payment_id: UUID
    status: Annotated[str, Field(max_length=20)]


class ReceiptBody(Model):
    """`handled` is false for a notification that came before."""

    handled: bool
