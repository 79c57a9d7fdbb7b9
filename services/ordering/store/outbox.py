"""The outbox: events that are decided, on their way to the broker.

Of each order only the oldest unpublished event can be claimed, so its events reach the broker in their order
however many relays run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.defaults.database import Database

CHANNEL: Final = "outbox"  # NOTIFY announces new rows here; the trigger is in the migrations


@dataclass(frozen=True, slots=True)
class Staged:
    """An event to publish; `payload` is the message's body."""

    id: int
    event_id: UUID
    order_id: UUID
    type: str
    payload: bytes
    traceparent: str
    created_at: datetime


async def insert_event(
    db: Database, order_id: UUID, *, event_id: UUID, event_type: str, payload: bytes, traceparent: str
) -> None:
    """Stages an event; belongs into the transaction that makes it true."""
    await db.execute(
        "INSERT INTO outbox (event_id, order_id, type, payload, traceparent, created_at)"
        " VALUES ($1, $2, $3, $4, $5, clock_timestamp())",
        event_id,
        order_id,
        event_type,
        payload,
        traceparent,
    )


async def claim_batch(db: Database, limit: int, lease_s: float) -> list[Staged]:
    """The oldest publishable events, ours for `lease_s` seconds."""
    rows = await db.fetch(
        "UPDATE outbox SET claimed_until = clock_timestamp() + make_interval(secs => $2) WHERE id IN"
        " (SELECT o.id FROM outbox o WHERE o.published_at IS NULL"
        " AND (o.claimed_until IS NULL OR o.claimed_until <= clock_timestamp())"
        " AND NOT EXISTS (SELECT 1 FROM outbox earlier WHERE earlier.order_id = o.order_id"
        " AND earlier.id < o.id AND earlier.published_at IS NULL)"
        " ORDER BY o.id LIMIT $1 FOR UPDATE OF o SKIP LOCKED)"
        " RETURNING id, event_id, order_id, type, payload, traceparent, created_at",
        limit,
        float(lease_s),
    )
    return sorted((Staged(**row) for row in rows), key=lambda staged: staged.id)


async def mark_published(db: Database, ids: list[int]) -> None:
    await db.execute("UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY($1::bigint[])", ids)


async def release_claims(db: Database, ids: list[int]) -> None:
    """Lets the events be claimed again at once, after a publication that failed."""
    await db.execute(
        "UPDATE outbox SET claimed_until = NULL WHERE id = ANY($1::bigint[]) AND published_at IS NULL", ids
    )


async def select_lag_s(db: Database) -> float:
    """Age in seconds of the oldest event that is not published; 0 when all are."""
    row = await db.fetch_one(
        "SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 AS lag FROM outbox"
        " WHERE published_at IS NULL ORDER BY id LIMIT 1"
    )
    return float(row["lag"]) if row else 0.0


async def count_unpublished(db: Database) -> int:
    row = await db.fetch_one("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
    return int(row["n"]) if row else 0


async def delete_published(db: Database, age_s: float, limit: int) -> int:
    """Forgets events that were published more than `age_s` seconds ago, at most `limit`; how many."""
    return await db.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox"
        " WHERE published_at < clock_timestamp() - make_interval(secs => $1) LIMIT $2)",
        float(age_s),
        limit,
    )
