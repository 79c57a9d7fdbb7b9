"""Events in, mails out: with a real broker, mail server and Redis, and without each."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from services.apphost.ports import free_ports
from services.contracts import OrderEvent, encode
from services.defaults.work_queue import REASON_HEADER
from tests.contracts import samples
from tests.defaults.rabbit import until
from tests.notifications.conftest import DELAYS_S, World


def new_id() -> str:
    return f"evt-{secrets.token_hex(6)}"


async def test_each_event_mails_once(world: World, redis_url: str) -> None:
    events: list[OrderEvent] = [samples.created(), samples.confirmed(), samples.cancelled()]
    ids = [new_id() for _ in events]
    async with world.post_office(), world.worker(redis_url):
        await world.publish(*zip(events, ids, strict=True))
        mails = await world.mailed(3)
    assert {mail.message_id for mail in mails} == {f"<{event_id}@shop.test>" for event_id in ids}
    assert {mail.to for mail in mails} == {"Ada Lovelace <ada@example.com>"}


async def test_an_event_that_comes_three_times_mails_once(world: World, redis_url: str) -> None:
    event_id = new_id()
    async with world.post_office(), world.worker(redis_url):
        await world.publish(*[(samples.confirmed(), event_id)] * 3)
        first = await world.mailed(1)
        await world.publish((samples.confirmed(), event_id))  # and much later
        assert await world.mailed(1) == first


async def test_without_redis_every_event_still_mails(world: World) -> None:
    """Also the proof that it is Redis which keeps the test above at one mail."""
    (port,) = free_ports(1)
    event_id = new_id()
    async with world.post_office(), world.worker(f"redis://127.0.0.1:{port}/0"):
        await world.publish(*[(samples.created(), event_id)] * 3)
        mails = await world.mailed(3)
    assert {mail.message_id for mail in mails} == {f"<{event_id}@shop.test>"}


async def test_a_mail_server_that_is_away_only_delays(world: World, redis_url: str) -> None:
    async with world.worker(redis_url):
        await world.publish((samples.created(), new_id()))
        await until(lambda: _waits(world, tries=2))
        assert world.mails.newest_first() == []
        async with world.post_office():
            await world.mailed(1)


async def test_a_mail_server_that_stays_away_ends_in_a_dead_letter_that_can_be_replayed(
    world: World, redis_url: str
) -> None:
    async with world.worker(redis_url):
        await world.publish((samples.created(), new_id()))
        await until(lambda: world.has_dead(1))
        async with world.post_office():
            assert await world.queue.replay(world.broker) == 1
            await world.mailed(1)
            assert await world.broker.depth(world.queue.dead_name) == 0


async def test_poison_is_put_aside_with_its_reason_and_the_queue_flows_on(world: World, redis_url: str) -> None:
    good = encode(samples.created(), event_id=new_id(), time=samples.ORDERED_AT)
    body = json.loads(good)
    nobody = encode(samples.created(email="no-address"), event_id=new_id(), time=samples.ORDERED_AT)
    poison = [
        b"{not json",
        json.dumps(body | {"type": "order.created.v9"}).encode(),
        json.dumps(body | {"data": {}}).encode(),
        nobody,
    ]
    async with world.post_office(), world.worker(redis_url):
        await world.publish_raw(*poison, good)
        await world.mailed(1)
        letters = await world.dead(4)
    reasons = {letter.body: str(letter.headers[REASON_HEADER]) for letter in letters}
    expected = ["MalformedEvent: not a CloudEvents", "UnknownEvent: ", "MalformedEvent: not a valid", "Undeliverable: "]
    for each, beginning in zip(poison, expected, strict=True):
        assert reasons[each].startswith(beginning)


@pytest.mark.parametrize(("reply", "final"), [("550 no such user", True), ("450 mailbox busy", False)])
async def test_only_a_permanent_refusal_is_a_dead_letter_at_once(
    world: World, redis_url: str, reply: str, final: bool
) -> None:
    refusals: list[str] = []
    async with world.worker(redis_url), _refusing(world.smtp_port, lambda: reply, refusals):
        await world.publish((samples.created(), new_id()))
        (letter,) = await world.dead(1)
    assert len(refusals) == (1 if final else 4)
    assert reply[4:] in letter.headers[REASON_HEADER]


async def test_stopping_finishes_the_mails_in_flight(world: World, redis_url: str) -> None:
    async with world.post_office():
        async with world.worker(redis_url):
            await world.publish(*((samples.confirmed(), new_id()) for _ in range(20)))
            await until(lambda: len(world.mails.newest_first()) >= 1)
        left = await world.broker.depth(world.queue.name)
        assert len(world.mails.newest_first()) + left == 20
        async with world.worker(redis_url):
            await world.mailed(20)


class _Refuser:
    """An SMTP server that takes no recipient."""

    def __init__(self, reply: Callable[[], str], refusals: list[str]) -> None:
        self._reply = reply
        self._refusals = refusals

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self._refusals.append(address)
        return self._reply()


@asynccontextmanager
async def _refusing(port: int, reply: Callable[[], str], refusals: list[str]) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(_Refuser(reply, refusals)), "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def _waits(world: World, *, tries: int) -> bool:
    """Whether a message is in its wait before the try after so many."""
    return await world.broker.depth(world.queue.retry_queue(DELAYS_S[tries - 1])) == 1
