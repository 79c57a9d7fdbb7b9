"""Attempts to pay, and the provider's notifications about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from services.defaults.database import Database
from services.ordering.cards import Card
from services.ordering.domain import Order, Payment, PaymentState


async def select_latest(db: Database, order_id: UUID) -> Payment | None:
    """The attempt that is still open, else the newest."""
    row = await db.fetch_one(
        "SELECT * FROM payments WHERE order_id = $1"
        " ORDER BY state IN ('started', 'unclear') DESC, created_at DESC LIMIT 1",
        order_id,
    )
    return _payment(row) if row else None


async def insert_payment(
    db: Database, payment_id: UUID, order: Order, card: Card, *, key: str, lease_s: float
) -> Payment:
    """Records that a charge is about to be asked for. Raises IntegrityError beside another live attempt."""
    rows = await db.fetch(
        "INSERT INTO payments (id, order_id, key, state, amount_minor, currency, card_brand, card_last4, tries,"
        " leased_until, created_at, updated_at)"
        " SELECT $1, $2, $3, 'started', $4, $5, $6, $7, 0, t + make_interval(secs => $8), t, t"
        " FROM (SELECT clock_timestamp() AS t) clock RETURNING *",
        payment_id,
        order.id,
        key,
        order.total_minor,
        order.currency,
        card.brand,
        card.last4,
        float(lease_s),
    )
    return _payment(rows[0])


async def update_state(
    db: Database, payment: Payment, state: PaymentState, *, decline_code: str | None = None, lease_s: float = 0
) -> bool:
    """Moves the attempt from the state that it was read in; False where it has moved meanwhile.

    Nobody else works on it for `lease_s` seconds.
    """
    return (
        await db.execute(
            "UPDATE payments SET state = $3, decline_code = $4, updated_at = clock_timestamp(),"
            " leased_until = clock_timestamp() + make_interval(secs => $5) WHERE id = $1 AND state = $2",
            payment.id,
            payment.state,
            state,
            decline_code,
            float(lease_s),
        )
        == 1
    )


async def lock_payment(db: Database, payment_id: UUID) -> Payment:
    """The attempt as it is now; its order's row must be locked already, so nobody else can move it."""
    rows = await db.fetch(
        "SELECT * FROM payments WHERE id = $1 FOR UPDATE",
        payment_id,
    )
    return _payment(rows[0])


async def extend_lease(db: Database, payment_id: UUID, lease_s: float) -> bool:
    """Keeps others off an open attempt for `lease_s` more seconds; False where it has an outcome already."""
    return (
        await db.execute(
            "UPDATE payments SET leased_until = clock_timestamp() + make_interval(secs => $2)"
            " WHERE id = $1 AND state IN ('started', 'unclear')",
            payment_id,
            float(lease_s),
        )
        == 1
    )


async def claim_unfinished(db: Database, limit: int, lease_s: float) -> list[tuple[Payment, datetime]]:
    """Attempts without an outcome, and refunds that are due, that nobody is working on.

    They are ours for `lease_s` seconds, each with the mark of this claim.
    """
    rows = await db.fetch(
        "UPDATE payments SET leased_until = clock_timestamp() + make_interval(secs => $2), tries = tries + 1"
        " WHERE id IN (SELECT id FROM payments WHERE leased_until <= clock_timestamp()"
        " AND state IN ('started', 'unclear', 'refund_due') ORDER BY leased_until LIMIT $1"
        " FOR UPDATE SKIP LOCKED) RETURNING *",
        limit,
        float(lease_s),
    )
    return [(_payment(row), row["leased_until"]) for row in rows]


async def shorten_claim(db: Database, payment_id: UUID, claim: datetime, lease_s: float) -> bool:
    """Leaves what we have claimed to anybody after `lease_s` seconds; False where somebody has taken it meanwhile."""
    return (
        await db.execute(
            "UPDATE payments SET leased_until = clock_timestamp() + make_interval(secs => $3)"
            " WHERE id = $1 AND leased_until = $2",
            payment_id,
            claim,
            float(lease_s),
        )
        == 1
    )


async def insert_webhook(db: Database, event_id: str) -> bool:
    """Notes one of the provider's notifications; False where it has been handled before."""
    return (
        await db.execute(
            "INSERT INTO webhook_events (id, received_at) VALUES ($1, clock_timestamp()) ON CONFLICT DO NOTHING",
            event_id,
        )
        == 1
    )


async def wake_payment(db: Database, payment_id: UUID) -> bool:
    """Has recovery ask the provider about an unclear attempt at once; False where there is none."""
    return (
        await db.execute(
            "UPDATE payments SET leased_until = clock_timestamp() WHERE id = $1 AND state = 'unclear'",
            payment_id,
        )
        == 1
    )


async def delete_old_webhooks(db: Database, age_s: float) -> int:
    return await db.execute(
        "DELETE FROM webhook_events WHERE received_at < clock_timestamp() - make_interval(secs => $1)",
        float(age_s),
    )


def _payment(row: dict[str, Any]) -> Payment:
    return Payment(
        id=row["id"],
        order_id=row["order_id"],
        key=row["key"],
        state=PaymentState(row["state"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
    )
