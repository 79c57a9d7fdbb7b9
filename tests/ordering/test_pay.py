"""Paying an order: charged once, and confirmed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.contracts import OrderConfirmed
from services.defaults.errors import Conflict, NotFound
from services.ordering.domain import PaymentState, Status
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from services.ordering.service.keyed import Answer
from services.ordering.service.pay import pay_order
from tests.ordering.flows import (
    TOTAL,
    end_hold,
    events,
    load,
    pay,
    placed,
    state,
)
from tests.ordering.support import (
    BUYER,
    DECLINED,
    POOR,
    STRANGER,
    FakeProvider,
    card,
)


async def test_paying_confirms_the_order(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    document = (await pay(deps, order_id)).document
    assert document["status"] == "CONFIRMED"
    assert all(ticket["code"] for ticket in document["tickets"])
    assert document["expiresAt"] is None
    assert [entry["event"] for entry in document["timeline"]] == ["placed", "payment_started", "confirmed"]
    assert provider.taken_minor == TOTAL
    assert await state(deps, order_id) is PaymentState.SUCCEEDED
    confirmed = (await events(deps))[-1]
    assert isinstance(confirmed, OrderConfirmed)
    assert len(confirmed.tickets) == 2


async def test_the_same_payment_is_answered_from_memory(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    first, second = await pay(deps, order_id), await pay(deps, order_id)
    assert second == Answer(first.document, replayed=True)
    assert len(provider.charges) == 1


async def test_a_payment_repeated_after_the_cancellation_shows_no_codes(deps: Deps) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id)
    await cancel_order(deps, BUYER.id, order_id)
    document = (await pay(deps, order_id)).document
    assert document["status"] == "CANCELLED"
    assert [ticket["code"] for ticket in document["tickets"]] == [None] * len(document["tickets"])


async def test_a_payment_that_was_settled_while_its_request_began_is_answered(
    deps: Deps, provider: FakeProvider
) -> None:
    """It took its key just before recovery, maybe another instance's, kept the answer there."""
    order_id = await placed(deps)
    first = await pay(deps, order_id)
    await deps.db.execute("UPDATE idempotency_keys SET status = NULL, response = NULL, leased_until = now()")
    assert (await pay(deps, order_id)).document == first.document
    assert provider.taken_minor == TOTAL
    assert len(await events(deps)) == 2


@pytest.mark.parametrize("lease_s", [0, 30])
async def test_fifty_payments_with_one_key_charge_once(deps: Deps, provider: FakeProvider, lease_s: float) -> None:
    policy = replace(deps.policy(), key_lease_s=lease_s)
    order_id = await placed(deps)
    await asyncio.gather(
        *(pay(replace(deps, policy=lambda: policy), order_id) for _ in range(50)), return_exceptions=True
    )
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert provider.taken_minor == TOTAL
    assert len(await events(deps)) == 2


async def test_payments_with_different_keys_charge_once(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    results = await asyncio.gather(
        *(pay(deps, order_id, f"window-{number}") for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Answer) for result in results) == 1
    assert all(isinstance(result, Answer | Conflict) for result in results)
    assert provider.taken_minor == TOTAL


@pytest.mark.parametrize(("number", "word"), [(DECLINED, "declined"), (POOR, "enough money")])
async def test_a_declined_card_leaves_the_order_pending(
    deps: Deps, provider: FakeProvider, number: str, word: str
) -> None:
    order_id = await placed(deps)
    for _ in range(2):  # the second answer is the stored one
        with pytest.raises(Conflict, match=word) as refusal:
            await pay(deps, order_id, "card-1", number)
        assert (refusal.value.code, refusal.value.status) == ("PAYMENT_DECLINED", 402)
    assert (await load(deps, order_id)).status is Status.PENDING
    assert provider.taken_minor == 0
    assert (await pay(deps, order_id, "card-2")).document["status"] == "CONFIRMED"


async def test_an_order_is_paid_once(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id, "one")
    with pytest.raises(Conflict):
        await pay(deps, order_id, "two")
    assert len(provider.charges) == 1


async def test_a_strangers_order_is_not_there(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    with pytest.raises(NotFound):
        await pay_order(deps, STRANGER, order_id, "theirs", card())
    with pytest.raises(NotFound):
        await cancel_order(deps, STRANGER.id, order_id)
    assert provider.charges == {}


async def test_after_its_time_an_order_cannot_be_paid(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    await end_hold(deps, order_id)
    with pytest.raises(Conflict):
        await pay(deps, order_id)
    assert provider.charges == {}
