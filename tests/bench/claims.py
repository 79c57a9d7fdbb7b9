"""How long it takes to hold two tickets of a tier, small and huge, half of it sold: the service's own code."""

from __future__ import annotations

import secrets
import statistics
import time
from uuid import UUID, uuid4

from services.catalog.domain import hold_request
from services.catalog.service import Holds
from services.catalog.store.tickets import Tickets
from services.defaults.database import Database, open_database
from tests.bench.measure import HERE, run_sql

MODELS = "services.catalog.models"
HOLDS = 200
LEASE_S = 600.0


async def measure_claims(database_url: str, sizes: tuple[int, ...] = (1_000, 1_000_000)) -> dict[int, float]:
    """Milliseconds (median) that a hold of two takes, by the tier's size."""
    concert, tiers = uuid4(), {size: uuid4() for size in sizes}
    for position, (size, tier) in enumerate(tiers.items(), 100):
        run_sql(database_url, HERE / "tier.sql", concert=concert, tier=tier, size=size, position=position)
    async with open_database(database_url, MODELS) as database:
        return {size: await _median_ms(database, concert, tier) for size, tier in tiers.items()}


async def _median_ms(database: Database, concert: UUID, tier: UUID) -> float:
    holds, taken = Holds(Tickets(database), secrets.token_bytes), []
    for _ in range(HOLDS):
        request = hold_request(uuid4(), concert, [(tier, 2)], LEASE_S)
        began = time.perf_counter()
        await holds.hold(request)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000
