"""Runs a service without one of its safety mechanisms: python -m tests.faults.sabotage MECHANISM MODULE VERB.

For positive controls: what the mechanism is there to prevent must then happen, and be noticed.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from uuid import UUID, uuid4

from services.catalog.store.tickets import Tickets
from services.contracts import EXCHANGE, Envelope, OrderCreated
from services.notifications.mail import Composer
from services.ordering.relay import Relay, _message
from services.ordering.service import place
from services.ordering.store import outbox


async def _claim_without_lock(self: Tickets, tier_id: UUID, quantity: int) -> dict[int, UUID]:
    """As the claim, but others may read the same free rows until this transaction ends, which takes its time."""
    rows = await self._database.fetch(
        """
        SELECT id, position, pg_sleep(0.3) FROM tickets
        WHERE tier_id = $1 AND sold_order_id IS NULL AND hold_order_id IS NULL ORDER BY position LIMIT $2
        """,
        tier_id,
        quantity,
    )
    return {row["position"]: row["id"] for row in rows}


def without_locks() -> None:
    Tickets.claim = _claim_without_lock  # type: ignore[method-assign]  # that is the sabotage
    Tickets.claim_waiting = _claim_without_lock  # type: ignore[method-assign]  # the sabotage


async def _mark_then_publish(self: Relay) -> int:
    staged = await outbox.claim_batch(self._db, 200, 10)
    await outbox.mark_published(self._db, [each.id for each in staged])
    if staged:
        self._reached("relay.claimed")
        await self._broker.publish(EXCHANGE, [_message(each) for each in staged])
    return len(staged)


def without_outbox() -> None:
    """The relay marks events before they are published."""
    Relay.relay_batch = _mark_then_publish  # type: ignore[method-assign]  # the sabotage


def without_keys() -> None:
    """Each request is a new order, whatever its key."""

    async def never_claimed(*_: object) -> None:
        return None

    vars(place).update(claim=never_claimed, order_id=lambda user_id, key: uuid4())


def with_a_bug() -> None:
    """No safety mechanism, but what one is for: the mail about a new order cannot be written."""
    compose = Composer.compose

    def fail_at_first(self: Composer, envelope: Envelope, *, now: datetime) -> EmailMessage:
        if isinstance(envelope.data, OrderCreated):
            raise LookupError("a template is missing")
        return compose(self, envelope, now=now)

    Composer.compose = fail_at_first  # type: ignore[method-assign]  # the sabotage


MECHANISMS = {"locks": without_locks, "outbox": without_outbox, "keys": without_keys, "bug": with_a_bug}


def main(mechanism: str, module: str, arguments: Sequence[str]) -> None:
    MECHANISMS[mechanism]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
