"""Tells the merchant how charges went: signed notifications, repeated until they are heard."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import aiohttp

from services.defaults.telemetry import annotate, inject_trace, request_span, work_span
from services.payments.store import Books, Notice

HEADER: Final = "Payments-Signature"
POLL_S: Final = 0.5
RETRY_S: Final = 5.0
BATCH: Final = 50
TIMEOUT_S: Final = 5.0

logger = logging.getLogger(__name__)


def sign(body: bytes, *, key: str, at_s: int) -> str:
    """`t=<seconds since the epoch>,v1=<hex>`: HMAC-SHA256 over time and body."""
    digest = hmac.new(key.encode(), b"webhook." + str(at_s).encode() + b"." + body, hashlib.sha256)
    return f"t={at_s},v1={digest.hexdigest()}"


def render(notice: Notice) -> bytes:
    """The notification's body; each copy has the same id."""
    return json.dumps(
        {
            "id": notice.id,
            "type": "charge.updated",
            "paymentId": notice.charge.payment_id,
            "status": notice.charge.status,
        }
    ).encode()


class Herald:
    """Sends due webhooks to `url`, signed with `key`."""

    def __init__(
        self, books: Books, session: aiohttp.ClientSession, *, url: str, key: str, clock: Callable[[], datetime]
    ) -> None:
        self._books = books
        self._session = session
        self._url = url
        self._key = key
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.send_due()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)

    async def send_due(self) -> None:
        """One round; what was not heard is sent again later."""
        for notice in await self._books.due_notices(self._clock(), BATCH):
            try:
                with work_span("send webhook"):
                    annotate(payment_id=notice.charge.payment_id, order_number=notice.charge.reference)
                    for _ in range(notice.copies):
                        await self._send(render(notice))
                await self._books.settle_notice(notice.id)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                logger.warning("webhook not heard", extra={"reason": type(error).__name__})
                await self._books.postpone_notice(notice.id, self._clock() + timedelta(seconds=RETRY_S))

    async def _send(self, body: bytes) -> None:
        at_s = int(self._clock().timestamp())
        headers = {HEADER: sign(body, key=self._key, at_s=at_s), "Content-Type": "application/json"}
        with request_span("POST", "merchant", self._url) as told:
            headers |= inject_trace()
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                told["http.response.status_code"] = answer.status
                answer.raise_for_status()


@asynccontextmanager
async def open_herald(books: Books, *, url: str, key: str, clock: Callable[[], datetime]) -> AsyncIterator[Herald]:
    """A `Herald` with connections of its own."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Herald(books, session, url=url, key=key, clock=clock)
