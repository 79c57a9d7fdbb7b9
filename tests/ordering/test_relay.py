"""The relay: everything staged reaches the broker, in each order's order, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from services.contracts import EXCHANGE, decode
from services.defaults.database import Database
from services.defaults.errors import Unavailable
from services.defaults.messaging import Channel, Delivery, Message, Topology, Unroutable, open_broker
from services.ordering.domain import Wanted
from services.ordering.relay import Relay
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from services.ordering.service.pay import pay_order
from services.ordering.service.place import Placement, place_order
from services.ordering.store import outbox
from tests.ordering.flows import placed
from tests.ordering.support import BUYER, CONCERT_ID, SEATED, Crash, CrashAt, FakeCatalog, card

LIFE = ["order.created.v1", "order.confirmed.v1", "order.cancelled.v1"]


class FakeBroker:
    """Takes messages, or is away for the next `down` publications.

    Of one publication it confirms as many as it has `patience` for, and never those of an `unbound` type.
    """

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.down = 0
        self.patience = 1_000
        self.unbound: set[str] = set()

    async def declare(self, topology: Topology) -> None:
        """There is nothing to declare here."""

    async def publish_each(self, exchange: str, messages: Sequence[Message]) -> list[Unavailable | None]:
        assert exchange == EXCHANGE
        await asyncio.sleep(0)
        if self.down:
            self.down -= 1
            raise Unavailable("away")
        outcomes = [self._outcome(place, each) for place, each in enumerate(messages)]
        self.taken += [each for each, failure in zip(messages, outcomes, strict=True) if failure is None]
        return outcomes

    def told_of(self, order_id: str) -> list[str]:
        return told_of(order_id, [message.body for message in self.taken])

    def _outcome(self, place: int, message: Message) -> Unavailable | None:
        if message.type in self.unbound:
            return Unroutable("no queue")
        return None if place < self.patience else Unavailable("not confirmed")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def relay(db: Database, broker: FakeBroker, *, lease_s: float = 30, crash_at: CrashAt | None = None) -> Relay:
    return Relay(db, broker, poll_s=30, lease_s=lease_s, reached=crash_at or CrashAt())  # type: ignore[arg-type] # the fake has what the relay uses of a broker


async def live(deps: Deps) -> str:
    """One order's whole life: three events."""
    placement = Placement(CONCERT_ID, (Wanted(SEATED, 1),))
    answer = await place_order(deps, BUYER, uuid4().hex, placement)
    order_id = (await deps.db.fetch("SELECT id FROM orders WHERE number = $1", answer.document["number"]))[0]["id"]
    await pay_order(deps, BUYER, order_id, uuid4().hex, card())
    await cancel_order(deps, BUYER.id, order_id)
    return str(order_id)


async def drain(relay: Relay) -> None:
    while await relay.relay_batch():
        pass


def told_of(order_id: str, bodies: Sequence[bytes]) -> list[str]:
    events = [decode(body) for body in bodies]
    return [event.type for event in events if event.data.order_id == order_id]


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for each in relays:
            group.create_task(each.run(stop))
        yield
        stop.set()


async def test_messages_carry_what_consumers_need(deps: Deps, broker: FakeBroker) -> None:
    await live(deps)
    await drain(relay(deps.db, broker))
    for message in broker.taken:
        event = decode(message.body)
        assert (message.message_id, message.routing_key, message.type) == (event.id, event.type, event.type)
        assert message.content_type == "application/cloudevents+json"


async def test_nothing_is_marked_that_the_broker_did_not_take(deps: Deps, broker: FakeBroker) -> None:
    order_id = await live(deps)
    broker.down = 1
    with pytest.raises(Unavailable):
        await relay(deps.db, broker).relay_batch()
    assert await outbox.select_lag_s(deps.db) > 0
    assert await outbox.count_unpublished(deps.db) > 0
    await drain(relay(deps.db, broker))
    assert broker.told_of(order_id) == LIFE
    assert await outbox.select_lag_s(deps.db) == 0
    assert await outbox.count_unpublished(deps.db) == 0


async def test_what_the_broker_confirmed_is_marked_though_the_rest_was_not(deps: Deps, broker: FakeBroker) -> None:
    ids = [await live(deps) for _ in range(3)]
    broker.patience = 2
    with pytest.raises(Unavailable):
        await relay(deps.db, broker).relay_batch()
    assert await outbox.count_unpublished(deps.db) == 3 * len(LIFE) - 2
    broker.patience = 1_000
    await drain(relay(deps.db, broker))  # the one that was not confirmed is anybody's at once
    assert [broker.told_of(order_id) for order_id in ids] == [LIFE] * len(ids)


async def test_an_event_without_a_queue_holds_up_its_own_order_alone(
    deps: Deps, broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = await live(deps)
    broker.unbound = {LIFE[1]}
    await drain(relay(deps.db, broker))
    free = str(await placed(deps))
    await drain(relay(deps.db, broker))
    assert (broker.told_of(stuck), broker.told_of(free)) == (LIFE[:1], LIFE[:1])
    assert "events have no queue" in caplog.messages

    broker.unbound.clear()
    await drain(relay(deps.db, broker))
    assert broker.told_of(stuck) == LIFE[:1]  # it rests until its lease is over
    await deps.db.execute("UPDATE outbox SET claimed_until = clock_timestamp() WHERE published_at IS NULL")
    await drain(relay(deps.db, broker))
    assert (broker.told_of(stuck), broker.told_of(free)) == (LIFE, LIFE[:1])


@pytest.mark.parametrize(("step", "copies"), [("relay.claimed", 1), ("relay.published", 2)])
async def test_a_crash_may_repeat_but_never_lose(
    deps: Deps, broker: FakeBroker, crash_at: CrashAt, step: str, copies: int
) -> None:
    order_id = await live(deps)
    crash_at.step = step
    with pytest.raises(Crash):
        await relay(deps.db, broker, lease_s=0, crash_at=crash_at).relay_batch()
    await drain(relay(deps.db, broker))
    told = broker.told_of(order_id)
    assert told == [LIFE[0]] * (copies - 1) + LIFE
    assert len({message.message_id for message in broker.taken}) == len(LIFE)


async def test_several_relays_keep_the_order_and_repeat_nothing(
    deps: Deps, broker: FakeBroker, catalog: FakeCatalog
) -> None:
    catalog.stock[SEATED] = 100
    ids = [await live(deps) for _ in range(8)]
    await asyncio.gather(*(drain(relay(deps.db, broker)) for _ in range(4)))
    await drain(relay(deps.db, broker))
    assert [broker.told_of(order_id) for order_id in ids] == [LIFE] * len(ids)


async def test_a_new_event_wakes_the_relay(deps: Deps, broker: FakeBroker) -> None:
    async with running(relay(deps.db, broker)):
        await asyncio.sleep(0)
        order_id = await live(deps)
        async with asyncio.timeout(10):  # the relay itself would look again only after 30 s
            while len(broker.taken) < len(LIFE):
                await asyncio.sleep(0.01)
    assert broker.told_of(order_id) == LIFE


async def test_through_a_real_broker(deps: Deps, rabbitmq_url: str) -> None:
    queue, received = f"test.{uuid4().hex}", asyncio.Queue[Delivery]()

    async def bind(channel: Channel) -> None:
        await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        await channel.queue_declare(queue, exclusive=True)
        await channel.queue_bind(queue, EXCHANGE, "order.#")

    async with open_broker(rabbitmq_url) as broker:
        await broker.declare(bind)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(broker.consume(queue, received.put, prefetch=10, stop=stop))
            group.create_task(Relay(deps.db, broker, poll_s=30).run(stop))
            order_id = await live(deps)
            async with asyncio.timeout(20):
                deliveries = [await received.get() for _ in LIFE]
            stop.set()
    assert told_of(order_id, [delivery.body for delivery in deliveries]) == LIFE
    async with asyncio.timeout(5):
        while await outbox.select_lag_s(deps.db):
            await asyncio.sleep(0.01)
