"""Idempotency keys: which requests are being answered, and what the answers were."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from services.defaults.database import Database
from services.defaults.errors import Conflict, Invalid
from services.ordering.domain import IN_FLIGHT_RETRY_S


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under one key. `operation` keeps the keys of placing and paying apart."""

    user_id: str
    operation: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that a request got: an HTTP status, and a JSON document."""

    status: int
    response: dict[str, Any]


async def claim_key(db: Database, claim: Claim, lease_s: float) -> Stored | None:
    """Takes the key for `lease_s` seconds (a crash must not block it for ever), or gives the stored answer.

    Raises Invalid where the key belongs to another request, and Conflict while the same one is in flight.
    """
    taken = await db.execute(
        "INSERT INTO idempotency_keys AS k (user_id, operation, key, fingerprint, leased_until, created_at)"
        " VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), clock_timestamp())"
        " ON CONFLICT (user_id, operation, key) DO UPDATE SET leased_until = excluded.leased_until"
        " WHERE k.status IS NULL AND k.leased_until <= clock_timestamp() AND k.fingerprint = excluded.fingerprint",
        claim.user_id,
        claim.operation,
        claim.key,
        claim.fingerprint,
        float(lease_s),
    )
    return None if taken else await _stored_answer(db, claim)


async def complete_key(db: Database, user_id: str, operation: str, key: str, answer: Stored) -> None:
    """Keeps the answer; belongs into the transaction that makes it true. The first answer stays."""
    await db.execute(
        "UPDATE idempotency_keys SET status = $4, response = $5::text::jsonb"
        " WHERE user_id = $1 AND operation = $2 AND key = $3 AND status IS NULL",
        user_id,
        operation,
        key,
        answer.status,
        json.dumps(answer.response),
    )


async def release_key(db: Database, claim: Claim) -> None:
    """Lets the same request be tried again at once, after one that came to no answer."""
    await db.execute(
        "UPDATE idempotency_keys SET leased_until = clock_timestamp()"
        " WHERE user_id = $1 AND operation = $2 AND key = $3 AND status IS NULL",
        claim.user_id,
        claim.operation,
        claim.key,
    )


async def delete_old_keys(db: Database, age_s: float) -> int:
    """Forgets keys older than `age_s` seconds; how many."""
    return await db.execute(
        "DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - make_interval(secs => $1)"
        " AND leased_until < clock_timestamp()",
        float(age_s),
    )


async def _stored_answer(db: Database, claim: Claim) -> Stored:
    row = await db.fetch_one(
        "SELECT fingerprint, status, response::text AS response FROM idempotency_keys"
        " WHERE user_id = $1 AND operation = $2 AND key = $3",
        claim.user_id,
        claim.operation,
        claim.key,
    )
    if row and row["fingerprint"] != claim.fingerprint:
        raise Invalid(
            "This was sent once already, with another choice. Look at your orders, or send it anew.",
            fields={"Idempotency-Key": "Use a new key for a new request."},
        )
    if row is None or row["status"] is None:
        raise Conflict("The same request is still being worked on.", retry_after_s=IN_FLIGHT_RETRY_S)
    return Stored(row["status"], json.loads(row["response"]))
