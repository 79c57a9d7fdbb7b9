"""What a rush needs beforehand, a concert and accounts, and the eye that is kept on the tickets meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from services.apphost.builders import CHECKOUT
from services.apphost.errors import ApphostError
from services.apphost.rush.gateway import Gateway

REGISTER: Final = "mutation($input: RegisterInput!) { register(input: $input) { accessToken } }"
REGISTRATIONS_AT_ONCE: Final = 8
WATCH_S: Final = 0.5
QUERY_S: Final = 5.0

COUNT: Final = """
SELECT count(*) FILTER (WHERE sold_order_id IS NOT NULL)::int AS sold,
       count(*) FILTER (WHERE sold_order_id IS NULL AND hold_expires_at > now())::int AS held,
       count(*)::int AS tickets
FROM tickets WHERE tier_id = $1
"""


@dataclass(frozen=True)
class Concert:
    id: str
    slug: str
    tier_id: str
    tickets: int


@dataclass(frozen=True)
class Level:
    """The concert's tickets ``at_s`` seconds after the sale began, as the catalog's rows say."""

    at_s: float
    sold: int
    held: int
    tickets: int

    @property
    def left(self) -> int:
        return self.tickets - self.sold - self.held


async def publish_concert(database_url: str, tickets: int, name: str) -> Concert:
    """A fresh concert with so many tickets. Raises ApphostError where the catalog refuses it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.catalog", "publish"),
        cwd=CHECKOUT,
        env={"PATH": os.environ.get("PATH", ""), "DATABASE_URL": database_url},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    description = json.dumps(_describe(tickets, name)).encode()
    printed, complaint = await process.communicate(description)
    if process.returncode != 0:
        raise ApphostError(
            "The concert of the rush could not be published.", complaint.decode(errors="replace").strip()
        )
    published = json.loads(printed)
    return Concert(published["id"], published["slug"], published["tiers"][0]["id"], tickets)


def _describe(tickets: int, name: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "slug": f"rush-{name}",
        "title": "The Last Hundred Metres",
        "artist": "The Stampede",
        "genre": "Rock",
        "description": "One evening, one hall, and everybody wants in.",
        "startsAt": (now + timedelta(days=60)).isoformat(),
        "onSaleAt": (now - timedelta(minutes=1)).isoformat(),
        "currency": "EUR",
        "venue": {
            "name": "Drängelhalle",
            "city": "Berlin",
            "country": "DE",
            "address": "Am Einlass 1, 10555 Berlin",
            "timeZone": "Europe/Berlin",
        },
        "tiers": [{"name": "Standing", "capacity": tickets, "priceMinor": 4900}],
    }


async def open_accounts(gateway: Gateway, count: int, name: str) -> list[str]:
    """Access tokens of so many new accounts. Raises ApphostError where the shop does not take one."""
    turn = asyncio.Semaphore(REGISTRATIONS_AT_ONCE)

    async def register(number: int) -> str:
        person = {
            "email": f"rush-{name}-{number}@ticketflow.test",
            "name": f"Rush Buyer {number}",
            "password": secrets.token_urlsafe(16),
        }
        async with turn:
            answer = await gateway.ask("register", REGISTER, {"input": person})
        if answer.code:
            raise ApphostError(f"The shop did not open an account: {answer.code}.", "Its lines may say why.")
        return str(answer.data["accessToken"])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(register(number)) for number in range(count)]
    return [task.result() for task in tasks]


class Watch:
    """Looks at the concert's tickets twice a second; ``half_gone`` and ``gone`` are set when so many are sold."""

    def __init__(self, database_url: str, concert: Concert, clock: Callable[[], float]) -> None:
        self._database_url = database_url
        self._concert = concert
        self._clock = clock
        self.half_gone = asyncio.Event()
        self.gone = asyncio.Event()
        self.levels: list[Level] = []

    async def run(self) -> None:
        """Until cancelled. A database that is away leaves a gap."""
        while True:
            began = time.monotonic()
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                await self.look()
            await asyncio.sleep(max(0.0, WATCH_S - (time.monotonic() - began)))

    async def look(self) -> Level:
        """The tickets now. Raises OSError or asyncpg's errors where the database does not say."""
        row = await self._count()
        level = Level(self._clock(), row["sold"], row["held"], row["tickets"])
        self.levels.append(level)
        if level.sold * 2 >= level.tickets:
            self.half_gone.set()
        if level.sold >= level.tickets:
            self.gone.set()
        return level

    async def _count(self) -> Mapping[str, int]:
        connection = await asyncpg.connect(self._database_url, timeout=QUERY_S, command_timeout=QUERY_S)
        try:
            row: Mapping[str, int] = await connection.fetchrow(COUNT, self._concert.tier_id)
        finally:
            await connection.close(timeout=QUERY_S)
        return row
