"""What comes twice has one effect; what cannot be handled is put aside, and stops nobody."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from services.apphost.audit.queues import read_broker
from services.contracts import CONTENT_TYPE, EXCHANGE, ORDER_CREATED
from services.defaults.messaging import Message, open_broker
from services.notifications.store import KEY
from tests.faults.desk import Desk, holds_within
from tests.faults.instances import instance, run_verb

pytestmark = pytest.mark.faults

POISON = {
    "bad-json": (b"{", "MalformedEvent"),
    "unknown-version": (
        b'{"specversion": "1.0", "id": "unknown-version", "type": "order.created.v99", "source": "/ordering",'
        b' "time": "2026-01-01T00:00:00Z", "data": {}}',
        "UnknownEvent",
    ),
}


async def test_each_event_three_times_is_one_mail(desk: Desk) -> None:
    events = await told_events(desk)
    assert len(events) == 3
    await desk.close()
    await publish(desk, events * 3)
    await desk.close()
    await check_mailed_once(desk, events)
    async with Redis.from_url(desk.system.urls["redis"]) as memory:  # the positive control: a consumer that forgot
        assert await memory.delete(KEY + events[0].message_id) == 1
    await publish(desk, events)
    await holds_within(lambda: is_mailed_twice(desk, events[0]), 15, "what was forgotten is mailed again")
    with pytest.raises(AssertionError, match=events[0].message_id):
        await check_mailed_once(desk, events)
    counts = dict((await desk.close()).counts)
    assert "1 of them came more than once" in counts["mails of events"]


async def test_poison_is_put_aside_with_its_reason(desk: Desk) -> None:
    concert = await desk.publish(1)
    poison = [message(name, ORDER_CREATED, body) for name, (body, _) in POISON.items()]
    await publish(desk, poison)
    await desk.buy(concert)  # the queue flows on: the ledger counts its mails
    await holds_within(lambda: are_dead(desk, set(POISON)), 15, "the poison is put aside")
    dead = (await desk.books()).broker.dead
    assert all(dead[name].startswith(reason) for name, (_, reason) in POISON.items())
    await desk.close()


async def test_one_command_puts_back_what_was_put_aside(desk: Desk) -> None:
    concert = await desk.publish(1)
    with desk.system.down("mailbox"):
        order_id = desk.note(await desk.till().place(concert))
        (event_id,) = await event_ids(desk, order_id)
        await holds_within(lambda: are_dead(desk, {event_id}), 20, "the mail has had its tries")
    dead = (await desk.books()).broker.dead
    assert "ConnectError" in dead[event_id] or "refused" in dead[event_id].lower(), dead
    with pytest.raises(AssertionError, match="has no mail, and is a dead letter"):  # the ledger would not let it go
        await desk.close(settle_s=0)
    assert "put back" in await run_verb(desk.system, "notifications", "replay")
    await holds_within(lambda: is_mailed(desk, event_id), 15, "the mail is sent after all")
    await desk.close()


async def test_what_a_handler_cannot_do_is_put_aside_and_the_queue_flows_on(desk: Desk) -> None:
    concert = await desk.publish(1)
    with desk.system.down("notifications"):
        async with instance(desk.system, "notifications", sabotage="bug"):
            created, confirmed = await event_ids(desk, await desk.buy(concert))
            await holds_within(lambda: are_dead(desk, {created}), 20, "the mail that cannot be written is put aside")
            assert (await desk.books()).broker.dead[created] == "LookupError: a template is missing"
            await holds_within(lambda: is_mailed(desk, confirmed), 15, "what comes after it is mailed")
    await run_verb(desk.system, "notifications", "replay")
    await holds_within(lambda: is_mailed(desk, created), 15, "the bug is mended, and the mail is sent")
    await desk.close()


async def event_ids(desk: Desk, order_id: str) -> list[str]:
    sql = "SELECT event_id::text FROM outbox WHERE order_id = $1 ORDER BY id"
    return [row["event_id"] for row in await desk.rows("ordering", sql, order_id)]


async def told_events(desk: Desk) -> list[Message]:
    """All events of an order that was placed, paid and cancelled."""
    order_id = await desk.buy(await desk.publish(1))
    desk.note(await desk.till().cancel(order_id))
    rows = await desk.rows(
        "ordering", "SELECT event_id::text, type, payload FROM outbox WHERE order_id = $1 ORDER BY id", order_id
    )
    return [message(row["event_id"], row["type"], row["payload"]) for row in rows]


def message(message_id: str, kind: str, body: bytes) -> Message:
    return Message(body=body, routing_key=kind, message_id=message_id, type=kind, content_type=CONTENT_TYPE)


async def publish(desk: Desk, messages: list[Message]) -> None:
    async with open_broker(desk.system.urls["rabbitmq"]) as broker:
        await broker.publish(EXCHANGE, messages)


async def check_mailed_once(desk: Desk, events: list[Message]) -> None:
    mails = (await desk.books()).mails
    wrong = {event.message_id: mails.get(event.message_id, 0) for event in events}
    assert set(wrong.values()) == {1}, wrong


async def is_mailed(desk: Desk, event_id: str) -> bool:
    return await desk.mails(event_id) > 0


async def is_mailed_twice(desk: Desk, event: Message) -> bool:
    return await desk.mails(event.message_id) == 2


async def are_dead(desk: Desk, ids: set[str]) -> bool:
    return ids <= set((await read_broker(desk.system.urls["rabbitmq"])).dead)
