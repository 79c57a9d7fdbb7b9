"""A buyer and an API client of a running system, as tests of the whole use them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")

SESSION = "accessToken refreshToken expiresIn user { id email name }"
ORDER = """
    id number status cancelReason expiresAt createdAt total { amountMinor currency }
    concert { slug title } lines { tierId tierName quantity unitPrice { amountMinor currency } }
    tickets { id tier section row seat code }
"""
CONCERT = "id slug title onSaleAt available tiers { id name seating available price { amountMinor currency } }"
GOOD_CARD = {"number": "4242424242424242", "expiry": "12/40", "cvc": "123"}


@dataclass
class Shop:
    """`graphql` raises nothing for errors in the answer: they are what many tests look at."""

    http: aiohttp.ClientSession
    gateway: str
    token: str = ""

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        status, body = await self.post_graphql({"query": query, "variables": variables})
        assert status == 200, body
        return body

    async def post_graphql(self, payload: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.http.post(f"{self.gateway}/graphql", json=payload, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        body = await self.graphql(query, **variables)
        assert not body.get("errors"), body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    async def error_code(self, query: str, **variables: Any) -> str:
        body = await self.graphql(query, **variables)
        return str(body["errors"][0]["extensions"]["code"])

    async def register(self) -> dict[str, Any]:
        """A new account; this shop then speaks for it."""
        buyer = {
            "email": f"buyer-{secrets.token_hex(6)}@ticketflow.test",
            "password": secrets.token_urlsafe(12),
            "name": "Test Buyer",
        }
        query = f"mutation($input: RegisterInput!) {{ register(input: $input) {{ {SESSION} }} }}"
        session: dict[str, Any] = (await self.data(query, input=buyer))["register"]
        self.token = session["accessToken"]
        return session | {"password": buyer["password"], "email": buyer["email"]}

    async def concert_on_sale(self, *, seats: int = 2) -> dict[str, Any]:
        """A concert with a tier that has enough left; that tier is the first."""
        query = f"{{ concerts(first: 50, filter: {{ availableOnly: true }}) {{ nodes {{ {CONCERT} }} }} }}"
        for concert in (await self.data(query))["concerts"]["nodes"]:
            concert["tiers"].sort(key=lambda tier: -int(tier["available"]))
            if is_on_sale(concert) and concert["tiers"][0]["available"] >= seats:
                return dict(concert)
        raise AssertionError("no concert on sale has enough tickets left")

    async def place(self, concert: dict[str, Any], *, quantity: int = 2, key: str = "") -> dict[str, Any]:
        query = f"mutation($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ {ORDER} }} }}"
        order: dict[str, Any] = (await self.data(query, input=order_input(concert, quantity, key)))["placeOrder"]
        return order

    async def pay(self, order_id: str, card: dict[str, str] = GOOD_CARD) -> dict[str, Any]:
        """The whole answer: a declined card is an error in it."""
        query = f"mutation($input: PayOrderInput!) {{ payOrder(input: $input) {{ {ORDER} }} }}"
        payment = {"orderId": order_id, "card": card, "idempotencyKey": secrets.token_hex(8)}
        return await self.graphql(query, input=payment)

    async def order(self, order_id: str) -> dict[str, Any]:
        return await self.data(f"query($id: ID!) {{ order(id: $id) {{ {ORDER} }} }}", id=order_id)


def is_on_sale(concert: dict[str, Any]) -> bool:
    return datetime.fromisoformat(concert["onSaleAt"]) <= datetime.now(UTC)


def order_input(concert: dict[str, Any], quantity: int, key: str = "") -> dict[str, Any]:
    return {
        "concertId": concert["id"],
        "lines": [{"tierId": concert["tiers"][0]["id"], "quantity": quantity}],
        "idempotencyKey": key or secrets.token_hex(8),
    }


@asynccontextmanager
async def open_shop(gateway: str) -> AsyncIterator[Shop]:
    async with aiohttp.ClientSession() as http:
        yield Shop(http, gateway)


async def eventually(ask: Callable[[], Awaitable[T]], *, within_s: float = 20.0) -> T:
    """What `ask` answers once that is true (neither empty nor None); fails when it takes too long."""
    async with asyncio.timeout(within_s):
        while not (answer := await ask()):
            await asyncio.sleep(0.1)
    return answer
