"""The events that cross the broker: names, fields, and the way to bytes and back.

A body is a CloudEvents 1.0 event in the JSON format (https://github.com/cloudevents/spec, v1.0.2) with the
extension attribute `traceparent` (W3C Trace Context). Evolution is additive: a reader ignores fields that it
does not know, a new field gets a default, and whatever would break a reader becomes a new version.
"""

from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass
from pydantic.types import NonNegativeInt, PositiveInt

EXCHANGE = "ticketflow.events"  # topic, durable; the routing key of a message is the type of its event
ORDER_CREATED = "order.created.v1"
ORDER_CONFIRMED = "order.confirmed.v1"
ORDER_CANCELLED = "order.cancelled.v1"

NOTIFICATIONS_QUEUE = "notifications.orders"  # quorum
NOTIFICATIONS_RETRY_QUEUE = "notifications.orders.retry"  # one for each delay, its milliseconds appended
NOTIFICATIONS_DEAD_QUEUE = "notifications.orders.dead"

SOURCE = "/ordering"
CONTENT_TYPE = "application/cloudevents+json"

_STRICT = ConfigDict(
    strict=True,
    extra="ignore",
    alias_generator=to_camel,
    validate_by_name=True,
    validate_by_alias=True,
    hide_input_in_errors=True,  # the input names people
)

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Text = Annotated[str, StringConstraints(max_length=2_000)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]  # ISO 4217
Minor = NonNegativeInt  # minor units of the currency


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(_rfc3339, when_used="json")]


class MalformedEvent(ValueError):
    """The bytes are no event of ours: bad JSON, a missing or ill-typed field. Trying again cannot help."""


class UnknownEvent(ValueError):
    """A well-formed event of a type or version that this release does not know."""


class CancelReason(StrEnum):
    """Why an order was cancelled; the same words as the public schema's enum."""

    BUYER = "BUYER"
    EXPIRED = "EXPIRED"
    SOLD_OUT = "SOLD_OUT"
    PAYMENT = "PAYMENT"


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ConcertInfo:
    """The concert as it was when the order was placed. `time_zone` is the venue's IANA name."""

    id: Id
    title: Text
    artist: Text
    slug: Text
    starts_at: Moment
    doors_at: Moment | None = None
    time_zone: Text
    venue: Text
    city: Text
    country: Text
    address: Text = ""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LineInfo:
    """So many tickets of one tier, at the price of the time of ordering."""

    tier_id: Id
    tier_name: Text
    quantity: PositiveInt
    unit_price_minor: Minor


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TicketInfo:
    """One admission. `code` is what its QR code holds; seats are None where one stands."""

    id: Id
    tier: Text
    section: Text | None = None
    row: Text | None = None
    seat: Text | None = None
    code: Annotated[str, StringConstraints(min_length=1, max_length=256)]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class _Order:
    order_id: Id
    number: Id  # short, for people
    user_id: Id
    email: Annotated[str, StringConstraints(min_length=3, max_length=320)]
    name: Text
    concert: ConcertInfo
    lines: tuple[LineInfo, ...]
    total_minor: Minor
    currency: Currency
    created_at: Moment


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OrderCreated(_Order):
    """Tickets are held for a buyer until `expires_at`; they have yet to be paid."""

    expires_at: Moment


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OrderConfirmed(_Order):
    """The order is paid and its tickets are the buyer's."""

    tickets: tuple[TicketInfo, ...]
    confirmed_at: Moment


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OrderCancelled(_Order):
    """The order has ended without tickets. `refunded`: money had been taken, and goes back."""

    reason: CancelReason
    refunded: bool = False
    cancelled_at: Moment


OrderEvent: TypeAlias = OrderCreated | OrderConfirmed | OrderCancelled

EVENT_TYPES: dict[str, type[OrderCreated] | type[OrderConfirmed] | type[OrderCancelled]] = {
    ORDER_CREATED: OrderCreated,
    ORDER_CONFIRMED: OrderConfirmed,
    ORDER_CANCELLED: OrderCancelled,
}
_NAMES = {cls: name for name, cls in EVENT_TYPES.items()}


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An event as it arrived, with CloudEvents' attributes. `traceparent` is "" when nobody traced it."""

    id: str
    type: str
    time: datetime
    source: str
    traceparent: str
    data: OrderEvent = field(repr=False)  # it names a person; a log line need not


class _Context(BaseModel):
    """CloudEvents' context attributes: what can be read of an event before knowing its type."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    specversion: Literal["1.0"]
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]  # fit for a key, a Message-ID
    type: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    time: Moment
    traceparent: Annotated[str, StringConstraints(max_length=128)] = ""


_Data = TypeVar("_Data")


class _Carrier(BaseModel, Generic[_Data]):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    data: _Data


_BODY: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_DATA: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(cls) for name, cls in EVENT_TYPES.items()}
_CARRIERS: dict[str, type[_Carrier[Any]]] = {name: _Carrier[cls] for name, cls in EVENT_TYPES.items()}  # type: ignore[valid-type]  # a generic model is parametrized at run time, by each event


def type_of(event: OrderEvent) -> str:
    """The event's CloudEvents type, which is also its routing key."""
    return _NAMES[type(event)]


def encode(event: OrderEvent, *, event_id: str, time: datetime, traceparent: str = "") -> bytes:
    """The event as a CloudEvents 1.0 JSON body in UTF-8; `time` is when it happened, with its offset."""
    name = type_of(event)
    context = _Context(specversion="1.0", id=event_id, type=name, source=SOURCE, time=time, traceparent=traceparent)
    attributes = context.model_dump(mode="json", exclude={"traceparent"} if not traceparent else None)
    data = _DATA[name].dump_python(event, mode="json", by_alias=True)
    body = {**attributes, "subject": event.order_id, "datacontenttype": "application/json", "data": data}
    return _BODY.dump_json(body)


def decode(body: bytes) -> Envelope:
    """The event in a message's body.

    Raises MalformedEvent for bytes that are no event of ours, and UnknownEvent for a type or version that is
    not in EVENT_TYPES. Neither message quotes the body, which names people.
    """
    try:
        context = _Context.model_validate_json(body)
    except ValidationError as error:
        raise MalformedEvent(f"not a CloudEvents 1.0 event: {_faults(error)}") from None
    if context.type not in EVENT_TYPES:
        raise UnknownEvent(f"no event of type {context.type!r} is known here")
    try:
        carrier = _CARRIERS[context.type].model_validate_json(body, by_alias=True, by_name=False)
    except ValidationError as error:
        raise MalformedEvent(f"not a valid {context.type}: {_faults(error)}") from None
    return Envelope(
        id=context.id,
        type=context.type,
        time=context.time,
        source=context.source,
        traceparent=context.traceparent,
        data=carrier.data,
    )


def _faults(error: ValidationError) -> str:
    """The first few faults: where and what, never the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:5]
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in found)
