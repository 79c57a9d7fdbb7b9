"""What the payment provider tells us unasked."""

from __future__ import annotations

from uuid import UUID

from services.defaults.telemetry import annotate
from services.ordering.service.deps import Deps
from services.ordering.store import payments


async def take_notice(deps: Deps, event_id: str, payment_id: UUID) -> bool:
    """Has recovery look at an unclear payment at once; False for a notification that was handled before.

    What it says is only a hint. The truth is asked for, so that a notification that is late, or comes twice,
    changes nothing.
    """
    annotate(payment_id=payment_id)
    async with deps.db.transaction():
        if not await payments.insert_webhook(deps.db, event_id):
            return False
        await payments.wake_payment(deps.db, payment_id)
    return True
