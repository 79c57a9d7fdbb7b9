"""Ordering's REST as a buyer's client sees it: an answer, or none, and how long that took."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import aiohttp

from services.apphost.rush.stage import Concert
from services.defaults.deadline import DEADLINE_HEADER, format_deadline

GOOD = "4242424242424242"
DECLINED = "4000000000000002"
LATE = "4000000000000341"
TWICE = "4000000000000259"


@dataclass(frozen=True)
class Reply:
    """`status` is 0 where the connection broke off or was refused. `took_s` in seconds."""

    status: int
    took_s: float
    body: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False  # nobody listened, so nobody has seen the request

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered otherwise later."""
        return self.status in {0, 502, 503} or (self.status == 409 and "Retry-After" in self.headers)


@dataclass(frozen=True)
class Till:
    """One buyer's requests to one instance. A key that is not given is a new one."""

    http: aiohttp.ClientSession
    url: str
    token: str

    async def place(self, concert: Concert, quantity: int = 1, key: str = "", deadline_s: float = 0) -> Reply:
        """`deadline_s`: for how long the caller will wait; 0: it does not say."""
        body = {"concertId": concert.id, "lines": [{"tierId": concert.tier_id, "quantity": quantity}]}
        headers = {DEADLINE_HEADER: format_deadline(deadline_s)} if deadline_s else {}
        return await self._send("POST", "/orders", body, key or secrets.token_hex(8), headers)

    async def pay(self, order_id: str, card: str = GOOD, key: str = "") -> Reply:
        body = {"card": {"number": card, "expiry": "12/40", "cvc": "123"}}
        return await self._send("POST", f"/orders/{order_id}/payment", body, key or secrets.token_hex(8))

    async def cancel(self, order_id: str) -> Reply:
        return await self._send("POST", f"/orders/{order_id}/cancel", None)

    async def order(self, order_id: str) -> Reply:
        return await self._send("GET", f"/orders/{order_id}", None)

    async def _send(
        self, method: str, path: str, body: Any, key: str = "", headers: Mapping[str, str] = MappingProxyType({})
    ) -> Reply:
        sent = {"Authorization": f"Bearer {self.token}", **headers} | ({"Idempotency-Key": key} if key else {})
        began = time.monotonic()
        try:
            async with self.http.request(method, self.url + path, json=body, headers=sent) as answer:
                document = await answer.json(content_type=None)
                return Reply(answer.status, time.monotonic() - began, document, answer.headers)
        except aiohttp.ClientConnectorError:
            return Reply(0, time.monotonic() - began, refused=True)
        except aiohttp.ClientError:
            return Reply(0, time.monotonic() - began)


async def insist(ask: Callable[[], Awaitable[Reply]], within_s: float = 30.0) -> Reply:
    """Repeats the same request while its refusal may pass, and gives the answer that stays."""
    deadline = time.monotonic() + within_s
    while (reply := await ask()).may_pass and time.monotonic() < deadline:
        await asyncio.sleep(min(float(reply.headers.get("Retry-After", 0.2)), 0.5))
    return reply
