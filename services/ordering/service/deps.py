"""What the use cases work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from services.contracts import encode, type_of
from services.defaults.database import Database
from services.defaults.telemetry import annotate, inject_trace
from services.ordering.catalog import Catalog
from services.ordering.domain import Order
from services.ordering.events import latest_event
from services.ordering.provider import PaymentProvider
from services.ordering.store import outbox


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Times in seconds."""

    hold_ttl_s: float = 600.0  # how long a buyer has to pay
    expiry_grace_s: float = 5.0  # between a hold's end and the end of its order: a payment may just be coming
    key_lease_s: float = 15.0  # after a crash, a request can be repeated after this
    work_lease_s: float = 30.0  # after a crash, somebody else goes on with a payment after this
    recheck_s: float = 2.0  # between two questions to the provider about an unclear charge


def _pass(_step: str) -> None:
    """Nobody has to know that this step was reached."""


@dataclass(frozen=True, kw_only=True)
class Deps:
    """`policy` is asked for each time, as it may change. `random_bits(n)` gives n random bits. `reached` is told each
    step that a crash may fall behind."""

    db: Database
    catalog: Catalog
    provider: PaymentProvider
    policy: Callable[[], Policy]
    random_bits: Callable[[int], int]
    new_id: Callable[[], UUID] = uuid4
    reached: Callable[[str], None] = _pass


def tell_of(order: Order) -> None:
    """Has spans and log lines of what goes on name the order."""
    annotate(order_id=order.id, order_number=order.number, concert_id=order.concert.id)


async def stage_event(deps: Deps, order: Order, *, refunded: bool = False) -> None:
    """Stages the event of the order's new state; belongs into the transaction that saves that state."""
    tell_of(order)
    event = latest_event(order, refunded=refunded)
    event_id = deps.new_id()
    traceparent = inject_trace().get("traceparent", "")
    at = order.cancelled_at or order.confirmed_at or order.created_at
    payload = encode(event, event_id=str(event_id), time=at, traceparent=traceparent)
    await outbox.insert_event(
        deps.db,
        order.id,
        event_id=event_id,
        event_type=type_of(event),
        payload=payload,
        traceparent=traceparent,
    )
