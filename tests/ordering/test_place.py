"""Placing an order: once, whatever is clicked, or nothing at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from services.contracts import OrderCreated
from services.defaults.errors import Conflict, Invalid, Unavailable
from services.ordering.domain import Wanted
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from services.ordering.service.keyed import Answer
from services.ordering.service.place import Placement, place_order
from services.ordering.service.recover import prune
from tests.ordering.flows import (
    TOTAL,
    TWO,
    events,
    pay,
    place,
    recover,
)
from tests.ordering.support import (
    BUYER,
    CONCERT_ID,
    SEATED,
    STANDING,
    STRANGER,
    FakeCatalog,
)


async def test_place_holds_and_writes_everything_at_once(deps: Deps, catalog: FakeCatalog) -> None:
    answer = await place(deps)
    document = answer.document
    assert not answer.replayed
    assert document["status"] == "PENDING"
    assert document["total"] == {"amountMinor": TOTAL, "currency": "EUR"}
    assert [ticket["code"] for ticket in document["tickets"]] == [None, None]
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    (created,) = await events(deps)
    assert isinstance(created, OrderCreated)
    assert (created.email, created.number, created.total_minor) == (BUYER.email, document["number"], TOTAL)


async def test_the_same_key_gets_the_stored_answer(deps: Deps, catalog: FakeCatalog) -> None:
    first, second = await place(deps, "twice"), await place(deps, "twice")
    assert second == Answer(first.document, replayed=True)
    assert catalog.calls == ["hold"]
    assert len(await events(deps)) == 1


async def test_a_key_is_good_for_one_body(deps: Deps) -> None:
    await place(deps, "mixed")
    with pytest.raises(Invalid):
        await place(deps, "mixed", Placement(CONCERT_ID, (Wanted(SEATED, 2),)))


async def test_two_buyers_may_use_the_same_key(deps: Deps) -> None:
    mine = await place(deps, "common")
    theirs = await place_order(deps, STRANGER, "common", TWO)
    assert mine.document["id"] != theirs.document["id"]


async def test_fifty_clicks_make_one_order(deps: Deps, catalog: FakeCatalog) -> None:
    patient = replace(deps, policy=lambda: replace(deps.policy(), key_lease_s=30))
    results = await asyncio.gather(*(place(patient, "storm") for _ in range(50)), return_exceptions=True)
    ids = {result.document["id"] for result in results if isinstance(result, Answer)}
    refusals = [result for result in results if not isinstance(result, Answer)]
    assert len(ids) == 1
    assert all(isinstance(refusal, Conflict) and refusal.retry_after_s for refusal in refusals)
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    assert len(await events(deps)) == 1


async def test_a_lapsed_lease_lets_two_work_and_one_order_win(deps: Deps, catalog: FakeCatalog) -> None:
    answers = await asyncio.gather(*(place(deps, "overlap") for _ in range(10)))
    assert len({answer.document["id"] for answer in answers}) == 1
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    assert len(await events(deps)) == 1


async def test_sold_out_leaves_nothing_and_may_be_tried_again(deps: Deps, catalog: FakeCatalog) -> None:
    catalog.stock[STANDING] = 0
    with pytest.raises(Conflict) as refusal:
        await place(deps, "again")
    assert refusal.value.code == "SOLD_OUT"
    assert await deps.db.fetch("SELECT 1 FROM orders") == []
    catalog.stock[STANDING] = 1
    assert (await place(deps, "again")).document["status"] == "PENDING"


async def test_a_transaction_that_fails_gives_the_tickets_back(
    deps: Deps, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("services.ordering.service.place.stage_event", refuse)
        with pytest.raises(Unavailable):
            await place(deps, "full")
    assert catalog.stock == {SEATED: 10, STANDING: 10}
    assert await deps.db.fetch("SELECT 1 FROM orders") == []
    assert (await place(deps, "full")).document["status"] == "PENDING"


async def test_numbers_that_are_taken_are_tried_again(deps: Deps) -> None:
    bits = iter([7, 7, 8])
    lucky = replace(deps, random_bits=lambda _: next(bits))
    first, second = await place(lucky), await place(lucky)
    assert first.document["number"] != second.document["number"]


async def test_a_forgotten_key_still_finds_its_order(deps: Deps) -> None:
    patient = replace(deps, policy=lambda: replace(deps.policy(), key_lease_s=30))
    first = await place(patient, "old")
    await forget_keys(deps)
    for _ in range(2):
        again = await place(patient, "old")
        assert again.replayed
        assert again.document == first.document


async def test_a_forgotten_key_takes_no_tickets_for_an_order_that_has_ended(deps: Deps, catalog: FakeCatalog) -> None:
    patient = replace(deps, policy=lambda: replace(deps.policy(), key_lease_s=30))
    order_id = UUID((await place(patient, "old")).document["id"])
    await cancel_order(deps, BUYER.id, order_id)
    await forget_keys(deps)
    for _ in range(2):
        again = await place(patient, "old")
        assert (again.replayed, again.document["status"]) == (True, "CANCELLED")
        await recover(deps)
        assert catalog.stock == {SEATED: 10, STANDING: 10}


async def test_a_forgotten_key_keeps_no_ticket_s_code(deps: Deps) -> None:
    """Or it would answer with it after the cancellation, too."""
    order_id = UUID((await place(deps, "old")).document["id"])
    await pay(deps, order_id)
    await forget_keys(deps)
    assert all(ticket["code"] for ticket in (await place(deps, "old")).document["tickets"])
    await cancel_order(deps, BUYER.id, order_id)
    assert [ticket["code"] for ticket in (await place(deps, "old")).document["tickets"]] == [None, None]


async def forget_keys(deps: Deps) -> None:
    """As a day later."""
    await deps.db.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '25 hours', leased_until = now() - interval '1 hour'"
    )
    await prune(deps)
