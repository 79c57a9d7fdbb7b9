"""The three services, in memory, as the gateway's clients see them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.defaults.errors import AppError, Conflict, Invalid, NotFound, Unauthorized
from services.gateway.clients import Clients, ConcertSearch, Node

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
CONCERT_ID = "11111111-1111-4111-8111-111111111111"
ORDER_ID = "22222222-2222-4222-8222-222222222222"


def make_concert(number: int = 1, **changes: Any) -> Node:
    concert = {
        "id": CONCERT_ID if number == 1 else f"concert-{number}",
        "slug": f"night-{number}",
        "title": f"Night {number}",
        "artist": "The Fixtures",
        "genre": "Rock",
        "description": "Loud.",
        "startsAt": NOW + timedelta(days=number),
        "doorsAt": None,
        "onSaleAt": NOW - timedelta(days=30),
        "timeZone": "Europe/Berlin",
        "venue": {"id": "v1", "name": "Hall", "city": "Berlin", "country": "DE", "address": None},
        "tiers": [
            {
                "id": f"tier-{number}",
                "name": "Floor",
                "includes": None,
                "price": {"amountMinor": 4900, "currency": "EUR"},
                "seating": "GENERAL",
                "capacity": 100,
                "available": 40,
            }
        ],
        "priceFrom": {"amountMinor": 4900, "currency": "EUR"},
        "available": 40,
    }
    return {**concert, **changes}


def make_order(order_id: str = ORDER_ID, **changes: Any) -> Node:
    order = {
        "id": order_id,
        "number": "TF-1234",
        "status": "PENDING",
        "cancelReason": None,
        "concertId": CONCERT_ID,
        "concert": {
            "id": CONCERT_ID,
            "slug": "night-1",
            "title": "Night 1, as ordered",
            "artist": "The Fixtures",
            "startsAt": NOW + timedelta(days=1),
            "doorsAt": None,
            "timeZone": "Europe/Berlin",
            "venue": {"name": "Hall", "city": "Berlin", "country": "DE", "address": None},
        },
        "lines": [
            {
                "tierId": "tier-1",
                "tierName": "Floor",
                "quantity": 2,
                "unitPrice": {"amountMinor": 4900, "currency": "EUR"},
            }
        ],
        "tickets": [
            {"id": "t1", "tier": "Floor", "section": None, "row": None, "seat": None, "code": None},
        ],
        "total": {"amountMinor": 9800, "currency": "EUR"},
        "createdAt": NOW,
        "expiresAt": NOW + timedelta(minutes=10),
        "timeline": [{"event": "placed", "at": NOW}],
    }
    return {**order, **changes}


@dataclass
class FakeCatalog:
    """`failure`, where set, is what every call raises. `delay_s` is how long each takes."""

    concerts: list[Node] = field(default_factory=lambda: [make_concert(number) for number in range(1, 31)])
    failure: Exception | None = None
    delay_s: float = 0
    searches: list[ConcertSearch] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)

    async def list_concerts(self, search: ConcertSearch) -> Node:
        self.searches.append(search)
        await self._answer()
        if search.after and not search.after.isdecimal():
            raise Invalid("This page does not exist.", fields={"after": "Begin again without it."})
        start = int(search.after or 0)
        end = start + search.first
        more = end < len(self.concerts)
        return {
            "nodes": self.concerts[start:end],
            "pageInfo": {"hasNextPage": more, "endCursor": str(end) if more else None},
            "totalCount": len(self.concerts),
        }

    async def get_concert(self, *, concert_id: str = "", slug: str = "") -> Node | None:
        await self._answer()
        found = (c for c in self.concerts if concert_id == c["id"] or slug == c["slug"])
        return next(found, None)

    async def get_concerts(self, ids: Sequence[str]) -> dict[str, Node]:
        self.batches.append(list(ids))
        await self._answer()
        return {concert["id"]: concert for concert in self.concerts if concert["id"] in ids}

    async def _answer(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.failure:
            raise self.failure


@dataclass
class FakeIdentity:
    """Knows one buyer; the password is `right`."""

    failure: Exception | None = None
    calls: list[str] = field(default_factory=list)

    async def register(self, *, email: str, password: str, name: str, client_address: str) -> Node:
        self._note("register")
        if email == "taken@ticketflow.test":
            raise Conflict("There is an account with this address.", fields={"email": "It is taken."})
        return _session(email, name)

    async def login(self, *, email: str, password: str, client_address: str) -> Node:
        self._note(f"login from {client_address}")
        if password != "right":
            raise Unauthorized("Address and password do not match.")
        return _session(email, "Buyer")

    async def refresh(self, refresh_token: str, *, client_address: str) -> Node:
        self._note("refresh")
        if refresh_token != "refresh-1":
            raise Unauthorized("This session has ended.")
        return _session("buyer@ticketflow.test", "Buyer")

    async def logout(self, refresh_token: str, *, client_address: str) -> None:
        self._note("logout")

    async def me(self, token: str) -> Node:
        self._note("me")
        return {"id": "user-1", "email": "buyer@ticketflow.test", "name": "Buyer"}

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.failure:
            raise self.failure


def _session(email: str, name: str) -> Node:
    user = {"id": "user-1", "email": email, "name": name}
    return {"accessToken": "access-1", "refreshToken": "refresh-1", "expiresIn": 900, "user": user}


@dataclass
class FakeOrdering:
    """One order, of whoever asks. `started` and `finished` tell of writes."""

    orders: list[Node] = field(default_factory=lambda: [make_order()])
    failure: AppError | None = None
    delay_s: float = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: list[str] = field(default_factory=list)

    async def place_order(self, token: str, *, concert_id: str, lines: Sequence[Node], idempotency_key: str) -> Node:
        await self._write(f"place {idempotency_key}")
        return make_order()

    async def pay_order(self, token: str, order_id: str, *, card: Node, idempotency_key: str) -> Node:
        await self._write("pay")
        return make_order(order_id, status="CONFIRMED", expiresAt=None)

    async def cancel_order(self, token: str, order_id: str) -> Node:
        await self._write("cancel")
        return make_order(self._find(order_id)["id"], status="CANCELLED", cancelReason="BUYER")

    async def get_order(self, token: str, order_id: str) -> Node | None:
        return next((order for order in self.orders if order["id"] == order_id), None)

    async def list_orders(self, token: str, *, first: int, after: str) -> Node:
        return {"nodes": self.orders[:first], "pageInfo": {"hasNextPage": False, "endCursor": None}}

    async def _write(self, name: str) -> None:
        self.started.set()
        await asyncio.sleep(self.delay_s)
        if self.failure:
            raise self.failure
        self.finished.append(name)

    def _find(self, order_id: str) -> Node:
        for order in self.orders:
            if order["id"] == order_id:
                return order
        raise NotFound("There is no such order.")


@dataclass
class Shop:
    """The fakes behind one gateway."""

    catalog: FakeCatalog = field(default_factory=FakeCatalog)
    identity: FakeIdentity = field(default_factory=FakeIdentity)
    ordering: FakeOrdering = field(default_factory=FakeOrdering)

    @property
    def clients(self) -> Clients:
        return Clients(self.catalog, self.identity, self.ordering)
