"""Webhooks: signed, as often as the card says, and again until they are heard."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from aiohttp import web
from aiohttp.test_utils import TestServer as LocalServer

from services.payments.domain import Card, ChargeRequest
from services.payments.store import Books
from services.payments.webhooks import RETRY_S, Herald, open_herald, sign
from tests.payments.support import API_KEY, Clock

GOOD, TWICE, LATE = "4242424242424242", "4000000000000259", "4000000000000341"


class Merchant:
    """Hears webhooks; answers 500 for the first `deaf` of them."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, str]] = []
        self.deaf = 0

    async def hear(self, request: web.Request) -> web.Response:
        if self.deaf:
            self.deaf -= 1
            return web.Response(status=500)
        self.heard.append((await request.read(), request.headers["Payments-Signature"]))
        return web.Response()


@asynccontextmanager
async def herald_to(merchant: Merchant, books: Books, clock: Clock) -> AsyncIterator[Herald]:
    app = web.Application()
    app.router.add_post("/hook", merchant.hear)
    async with (
        LocalServer(app) as server,
        open_herald(books, url=str(server.make_url("/hook")), key=API_KEY, clock=clock) as herald,
    ):
        yield herald


async def charge(books: Books, clock: Clock, number: str) -> str:
    request = ChargeRequest(str(uuid4()), 5000, "EUR", "K7QF-2M9X", Card(number, "12/30", "123"))
    await books.charge(request, clock(), late_s=8)
    return request.payment_id


async def test_a_webhook_is_signed_and_sent_once(books: Books, clock: Clock) -> None:
    merchant, payment_id = Merchant(), await charge(books, clock, GOOD)
    async with herald_to(merchant, books, clock) as herald:
        await herald.send_due()
        await herald.send_due()
    ((body, signature),) = merchant.heard
    event = json.loads(body)
    assert (event["type"], event["paymentId"], event["status"]) == ("charge.updated", payment_id, "succeeded")
    assert signature == sign(body, key=API_KEY, at_s=int(clock().timestamp()))


async def test_one_card_is_answered_twice(books: Books, clock: Clock) -> None:
    merchant = Merchant()
    await charge(books, clock, TWICE)
    async with herald_to(merchant, books, clock) as herald:
        await herald.send_due()
    assert len(merchant.heard) == 2
    assert len(set(merchant.heard)) == 1


async def test_what_was_not_heard_is_sent_again(books: Books, clock: Clock) -> None:
    merchant = Merchant()
    merchant.deaf = 1
    await charge(books, clock, GOOD)
    async with herald_to(merchant, books, clock) as herald:
        await herald.send_due()
        assert merchant.heard == []
        clock.advance(RETRY_S)
        await herald.send_due()
    assert len(merchant.heard) == 1


async def test_a_late_charge_is_told_of_when_it_has_succeeded(books: Books, clock: Clock) -> None:
    merchant = Merchant()
    await charge(books, clock, LATE)
    async with herald_to(merchant, books, clock) as herald:
        await herald.send_due()
        assert merchant.heard == []
        clock.advance(8)
        await herald.send_due()
    ((body, _),) = merchant.heard
    assert json.loads(body)["status"] == "succeeded"


def test_the_signature_is_this_one() -> None:
    """The form that merchants are told of: HMAC-SHA256 over `webhook.<time>.<body>`."""
    expected = hmac.new(API_KEY.encode(), b"webhook.1900000000.{}", hashlib.sha256).hexdigest()
    assert sign(b"{}", key=API_KEY, at_s=1_900_000_000) == f"t=1900000000,v1={expected}"
