"""Who holds and owns which ticket.

Rows are locked in one order everywhere a lock may have to wait: a hold before its tickets, tickets by tier
and position. So no two transactions can deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from services.catalog.domain import Hold, HoldRequest, HoldState, Sale, Seating, Ticket
from services.defaults.database import Database

NEIGHBOURHOOD: Final = 200  # free seats looked at for ones side by side: some ten rows
# More rows than all transactions of all instances can have locked at once, so that what the waiting look
# misses beyond them is certainly free, and found by the next look.
WAITING_LOOK: Final = 2000


class Tickets:
    """All but `transaction` belong inside of one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transaction = database.transaction

    async def open_hold(self, request: HoldRequest) -> Hold | None:
        """Starts the order's hold, or starts it again after a release of the same; else nothing.

        Of several at once for one order, the others wait here for the first.
        """
        row = await self._database.fetch_one(
            """
            INSERT INTO holds (order_id, concert_id, fingerprint, quantity, expires_at,
                               state, channel, created_at)
            VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5), 'HELD', 'SHOP', now())
            ON CONFLICT (order_id) DO UPDATE SET state = 'HELD', expires_at = EXCLUDED.expires_at
            WHERE holds.state = 'RELEASED' AND holds.fingerprint = EXCLUDED.fingerprint
            RETURNING *, now()
            """,
            request.order_id,
            request.concert_id,
            request.fingerprint,
            request.quantity,
            request.ttl_s,
        )
        return _hold(row) if row else None

    async def lock_hold(self, order_id: UUID) -> Hold | None:
        """The order's hold, with its tickets; nobody else changes it until the transaction ends."""
        row = await self._database.fetch_one("SELECT *, now() FROM holds WHERE order_id = $1 FOR UPDATE", order_id)
        return _hold(row, await self.lock_tickets(order_id)) if row else None

    async def lock_tickets(self, order_id: UUID) -> tuple[Ticket, ...]:
        """The tickets that the order holds or owns."""
        rows = await self._database.fetch(
            """
            SELECT k.*, t.name AS tier_name, t.price_minor, t.currency
            FROM tickets k JOIN tiers t ON t.id = k.tier_id
            WHERE k.hold_order_id = $1 OR k.sold_order_id = $1
            ORDER BY k.tier_id, k.position FOR UPDATE OF k  -- the order that spares us deadlocks
            """,
            order_id,
        )
        return _tickets(rows)

    async def select_sale(self, concert_id: UUID) -> Sale | None:
        rows = await self._database.fetch(
            """
            SELECT c.starts_at, c.on_sale_at, now(), t.id, t.name, t.seating
            FROM concerts c JOIN tiers t ON t.concert_id = c.id WHERE c.id = $1
            """,
            concert_id,
        )
        if not rows:
            return None
        return Sale(
            starts_at=rows[0]["starts_at"],
            on_sale_at=rows[0]["on_sale_at"],
            now=rows[0]["now"],
            seating={row["id"]: Seating(row["seating"]) for row in rows},
            names={row["id"]: row["name"] for row in rows},
        )

    async def claim(self, tier_id: UUID, quantity: int) -> dict[int, UUID]:
        """Locks up to `quantity` tickets, free ones before lapsed ones, past those that others have locked.

        Ids by position, ascending.
        """
        rows = await self._database.fetch(
            """
            WITH free AS (
                SELECT id, position FROM tickets
                WHERE tier_id = $1 AND sold_order_id IS NULL AND hold_order_id IS NULL
                ORDER BY position LIMIT $2 FOR UPDATE SKIP LOCKED
            ), lapsed AS (
                SELECT id, position FROM tickets
                WHERE tier_id = $1 AND hold_order_id IS NOT NULL AND hold_expires_at <= now()
                ORDER BY hold_expires_at LIMIT $2 - (SELECT count(*) FROM free) FOR UPDATE SKIP LOCKED
            )
            SELECT * FROM free UNION ALL SELECT * FROM lapsed ORDER BY position
            """,
            tier_id,
            quantity,
        )
        return {row["position"]: row["id"] for row in rows}

    async def claim_waiting(self, tier_id: UUID, quantity: int) -> dict[int, UUID]:
        """As `claim`, but waits for what others have locked: they may yet let go of it."""
        rows = await self._database.fetch(
            """
            WITH claimable AS MATERIALIZED (
                (SELECT id FROM tickets
                 WHERE tier_id = $1 AND sold_order_id IS NULL AND hold_order_id IS NULL
                 ORDER BY position LIMIT $3)
                UNION ALL
                (SELECT id FROM tickets
                 WHERE tier_id = $1 AND hold_order_id IS NOT NULL AND hold_expires_at <= now()
                 ORDER BY hold_expires_at LIMIT $3)
            )
            SELECT k.id, k.position FROM tickets k
            WHERE k.id IN (SELECT id FROM claimable) AND k.sold_order_id IS NULL
              AND (k.hold_order_id IS NULL OR k.hold_expires_at <= now())
            ORDER BY k.position LIMIT $2 FOR UPDATE OF k
            """,
            tier_id,
            quantity,
            WAITING_LOOK,
        )
        return {row["position"]: row["id"] for row in rows}

    async def select_free(self, tier_id: UUID) -> dict[int, UUID]:
        """The frontmost free seats, locking none; ids by position, ascending."""
        rows = await self._database.fetch(
            """
            SELECT id, position FROM tickets
            WHERE tier_id = $1 AND sold_order_id IS NULL AND hold_order_id IS NULL ORDER BY position LIMIT $2
            """,
            tier_id,
            NEIGHBOURHOOD,
        )
        return {row["position"]: row["id"] for row in rows}

    async def claim_these(self, ids: Sequence[UUID]) -> set[UUID]:
        """Locks those of the tickets that are free and not locked by others."""
        rows = await self._database.fetch(
            """
            SELECT id FROM tickets WHERE id = ANY($1) AND sold_order_id IS NULL AND hold_order_id IS NULL
            FOR UPDATE SKIP LOCKED
            """,
            ids,
        )
        return {row["id"] for row in rows}

    async def hold(self, hold: Hold, ids: Sequence[UUID]) -> Hold:
        """Gives the tickets, which the transaction has locked, to the hold's order for its lease."""
        rows = await self._database.fetch(
            """
            UPDATE tickets k SET hold_order_id = $1, hold_expires_at = $3
            FROM tiers t WHERE t.id = k.tier_id AND k.id = ANY($2)
            RETURNING k.*, t.name AS tier_name, t.price_minor, t.currency
            """,
            hold.order_id,
            ids,
            hold.expires_at,
        )
        return replace(hold, tickets=_tickets(rows))

    async def extend(self, hold: Hold, ttl_s: float) -> Hold:
        """Lets the lease run for `ttl_s` from now."""
        row = await self._database.fetch_one(
            """
            WITH lease AS (
                UPDATE holds SET expires_at = now() + make_interval(secs => $2) WHERE order_id = $1
                RETURNING expires_at
            ), leased AS (
                UPDATE tickets SET hold_expires_at = lease.expires_at FROM lease WHERE hold_order_id = $1
            )
            SELECT expires_at FROM lease
            """,
            hold.order_id,
            ttl_s,
        )
        return replace(hold, expires_at=row["expires_at"]) if row else hold

    async def sell(self, hold: Hold, codes: Sequence[str]) -> Hold:
        """Turns the hold's tickets into sold ones, each with its code."""
        rows = await self._database.fetch(
            """
            UPDATE tickets k SET sold_order_id = $1, sold_at = now(), code = sold.code,
                   hold_order_id = NULL, hold_expires_at = NULL
            FROM unnest($2::uuid[], $3::text[]) AS sold (id, code), tiers t
            WHERE k.id = sold.id AND t.id = k.tier_id
            RETURNING k.*, t.name AS tier_name, t.price_minor, t.currency
            """,
            hold.order_id,
            [ticket.id for ticket in hold.tickets],
            codes,
        )
        await self._set_state(hold.order_id, HoldState.CONFIRMED)
        return replace(hold, state=HoldState.CONFIRMED, tickets=_tickets(rows))

    async def free(self, order_id: UUID) -> int:
        """Gives back all tickets that the order holds or owns, their codes void; how many there were."""
        await self._set_state(order_id, HoldState.RELEASED)
        return await self._database.execute(
            """
            UPDATE tickets SET hold_order_id = NULL, hold_expires_at = NULL,
                   sold_order_id = NULL, sold_at = NULL, code = NULL
            WHERE hold_order_id = $1 OR sold_order_id = $1
            """,
            order_id,
        )

    async def _set_state(self, order_id: UUID, state: HoldState) -> None:
        await self._database.execute("UPDATE holds SET state = $2 WHERE order_id = $1", order_id, state)


def _hold(row: dict[str, Any], tickets: tuple[Ticket, ...] = ()) -> Hold:
    return Hold(
        order_id=row["order_id"],
        concert_id=row["concert_id"],
        fingerprint=row["fingerprint"],
        quantity=row["quantity"],
        state=HoldState(row["state"]),
        expires_at=row["expires_at"],
        now=row["now"],
        tickets=tickets,
    )


def _tickets(rows: Iterable[dict[str, Any]]) -> tuple[Ticket, ...]:
    return tuple(_ticket(row) for row in sorted(rows, key=lambda row: (row["tier_id"], row["position"])))


def _ticket(row: dict[str, Any]) -> Ticket:
    return Ticket(
        id=row["id"],
        tier_id=row["tier_id"],
        tier_name=row["tier_name"],
        section=row["section"],
        row=row["row"],
        seat=row["seat"],
        code=row["code"] or "",
        price_minor=row["price_minor"],
        currency=row["currency"],
    )
