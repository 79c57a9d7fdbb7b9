"""Where a fault test stands: two buyers with their clients, fresh concerts, the shop's books, and the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg

from services.apphost.audit.ledger import audit
from services.apphost.audit.read import read_books
from services.apphost.audit.records import Books, Charge
from services.apphost.audit.report import Report
from services.apphost.rush.stage import Concert
from services.apphost.system import System
from services.catalog.publication import publish
from services.catalog.store.stock import Stock
from services.defaults.database import open_database
from tests.faults.till import Reply, Till
from tests.integration.shop import Shop

SETTLE_S = 40.0
BACK_S = 60.0
SERVICES = ("gateway", "identity", "catalog", "ordering", "payments", "notifications", "mailbox")
PARTS = (*SERVICES, "postgres", "redis", "rabbitmq", "consul")


@dataclass
class Desk:
    """`told` is what the shop has answered about orders; the ledger checks that it was true."""

    system: System
    http: aiohttp.ClientSession
    buyer: Shop
    rival: Shop
    told: dict[str, str] = field(default_factory=dict)

    async def publish(self, tickets: int) -> Concert:
        """A concert on sale with so many tickets, which nobody else knows of."""
        description = _describe(tickets)
        async with open_database(self.system.urls["catalog_database"], "services.catalog.models") as database:
            published = json.loads(await publish(Stock(database), json.dumps(description).encode()))
        return Concert(published["id"], published["slug"], published["tiers"][0]["id"], tickets)

    def till(self, url: str = "", *, rival: bool = False) -> Till:
        """Ordering's REST for a buyer; `url` is of another instance than the shop's own."""
        token = (self.rival if rival else self.buyer).token
        return Till(self.http, url or self.system.urls["ordering"], token)

    def note(self, reply: Reply) -> str:
        """Keeps what was told of an order, and gives its id. Fails unless it is an order."""
        assert reply.status in {200, 201}, reply
        self.told[reply.body["id"]] = reply.body["status"]
        return str(reply.body["id"])

    async def buy(self, concert: Concert, quantity: int = 1) -> str:
        """A paid order's id."""
        order_id = self.note(await self.till().place(concert, quantity))
        paid = await self.till().pay(order_id)
        assert paid.body.get("status") == "CONFIRMED", paid
        return self.note(paid)

    async def read(self, order_id: str, *, rival: bool = False) -> dict[str, Any]:
        return (await self.till(rival=rival).order(order_id)).body

    async def rows(self, database: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """The answer of one of the shop's databases."""
        connection = await asyncpg.connect(self.system.urls[f"{database}_database"], timeout=10, command_timeout=10)
        try:
            found: list[asyncpg.Record] = await connection.fetch(sql, *values)
        finally:
            await connection.close(timeout=10)
        return found

    async def unpublished(self) -> int:
        """How many events wait in the outbox."""
        return len(await self.rows("ordering", "SELECT 1 FROM outbox WHERE published_at IS NULL"))

    async def books(self) -> Books:
        return await read_books(self.system.state, self.system.urls, self.told)

    async def charges(self, order_id: str) -> list[Charge]:
        """What the payment provider has charged, or tried to, for an order."""
        books = await self.books()
        ids = {payment.id for payment in books.ordering.payments if payment.order_id == order_id}
        return [charge for charge in books.charges if charge.payment_id in ids]

    async def mails(self, event_id: str) -> int:
        return (await self.books()).mails.get(event_id, 0)

    async def instances(self, service: str) -> set[str]:
        """Ids of the instances that Consul sends callers to; none while it is on its way back itself."""
        url = f"{self.system.urls['consul']}/v1/health/service/{service}?passing=true"
        try:
            async with self.http.get(url) as answer:
                return {entry["Service"]["ID"] for entry in await answer.json()} if answer.status == 200 else set()
        except aiohttp.ClientError:
            return set()

    async def close(self, settle_s: float = SETTLE_S) -> Report:
        """Fails unless the books close."""
        report = await audit(self.system.state, settle_s=settle_s, acknowledged=self.told)
        assert report.closes, report.render()
        return report


@asynccontextmanager
async def open_desk(system: System) -> AsyncIterator[Desk]:
    # A connection for each request: one kept alive may end just as a request leaves on it, when a server stops.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http:
        buyer, rival = Shop(http, system.urls["gateway"]), Shop(http, system.urls["gateway"])
        desk = Desk(system, http, buyer, rival)
        await holds_within(lambda: is_whole(desk), 60, "every part is well, whatever an earlier test has left")
        await holds_within(lambda: is_registered(buyer), 30, "the shop opens an account")
        await rival.register()
        yield desk


async def is_whole(desk: Desk) -> bool:
    """Whether every part is up, and Consul sends callers to every service."""
    if not all(desk.system.pid(part) for part in PARTS):
        return False
    return all([await desk.instances(service) for service in SERVICES])


async def is_registered(person: Shop) -> bool:
    """Makes an account; not yet where the shop is still healing from an earlier test."""
    try:
        await person.register()
    except AssertionError as refusal:
        if "UNAVAILABLE" not in str(refusal):
            raise
    return bool(person.token)


async def killed(system: System, part: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Ends a part by a signal, and returns once its successor is at work."""
    before = system.pid(part)
    os.kill(before, number)

    async def is_back() -> bool:
        return system.pid(part) not in {0, before}

    await holds_within(is_back, BACK_S, f"{part} is back")


async def holds_within(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """Returns once the condition holds. Fails, saying what should have been, when it does not in time."""
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:g} s: {what}") from None


def _describe(tickets: int) -> dict[str, Any]:
    now, name = datetime.now(UTC), secrets.token_hex(5)
    return {
        "slug": f"fault-{name}",
        "title": f"The Fault Line {name}",
        "artist": "The Aftershocks",
        "genre": "Rock",
        "description": "It shakes, and stands.",
        "startsAt": (now + timedelta(days=90)).isoformat(),
        "onSaleAt": (now - timedelta(minutes=1)).isoformat(),
        "currency": "EUR",
        "venue": {
            "name": "Bebenhalle",
            "city": "Berlin",
            "country": "DE",
            "address": "Am Riss 1, 10555 Berlin",
            "timeZone": "Europe/Berlin",
        },
        "tiers": [{"name": "Standing", "capacity": tickets, "priceMinor": 2500}],
    }
