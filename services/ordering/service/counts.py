"""What the use cases count."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics

from services.ordering.domain import Order

# Seconds; most people have their card at hand, and nobody has longer than a hold lasts.
TO_PAY_S: Final = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 420.0, 600.0, 900.0)

_meter = metrics.get_meter("services.ordering")
orders_placed = _meter.create_counter("orders.placed", "{order}", "Orders that hold tickets")
orders_refused = _meter.create_counter("orders.refused", "{order}", "Orders not taken, by the refusal's code")
orders_cancelled = _meter.create_counter("orders.cancelled", "{order}", "Orders that ended without tickets")
payment_outcomes = _meter.create_counter("payments.outcomes", "{payment}", "Attempts to pay, by their outcome")
_confirmed = _meter.create_counter("orders.confirmed", "{order}", "Orders that are paid")
_time_to_pay = _meter.create_histogram(
    "orders.time_to_pay", "s", "From the hold to the paid order", explicit_bucket_boundaries_advisory=TO_PAY_S
)


def count_confirmed(order: Order) -> None:
    """Counts an order that has just been paid."""
    _confirmed.add(1)
    payment_outcomes.add(1, {"outcome": "succeeded"})
    if order.confirmed_at:
        _time_to_pay.record((order.confirmed_at - order.created_at).total_seconds())
