"""The provider's books: one charge an id, and nothing forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from services.defaults.errors import Conflict
from services.payments.domain import Card, ChargeRequest, Status
from services.payments.store import Books, open_books
from tests.payments.support import Clock


def request(number: str = "4242424242424242", *, payment_id: str | None = None) -> ChargeRequest:
    return ChargeRequest(payment_id or str(uuid4()), 5000, "EUR", "K7QF-2M9X", Card(number, "12/30", "123"))


async def test_one_id_is_charged_once(books: Books, clock: Clock) -> None:
    wanted = request()
    answers = await asyncio.gather(*(books.charge(wanted, clock(), late_s=8) for _ in range(20)))
    assert sum(is_new for _, is_new in answers) == 1
    assert {charge for charge, _ in answers} == {answers[0][0]}


async def test_another_amount_under_the_same_id_is_refused(books: Books, clock: Clock) -> None:
    wanted = request()
    await books.charge(wanted, clock(), late_s=8)
    dearer = ChargeRequest(wanted.payment_id, 9000, "EUR", "", wanted.card)
    with pytest.raises(Conflict):
        await books.charge(dearer, clock(), late_s=8)


async def test_books_outlive_a_restart(books_path: str, clock: Clock) -> None:
    wanted = request("4000000000000341")
    async with open_books(books_path) as books:
        await books.charge(wanted, clock(), late_s=8)
    clock.advance(9)
    async with open_books(books_path) as books:
        found = await books.find(wanted.payment_id, clock())
    assert found is not None
    assert found.status is Status.SUCCEEDED


async def test_a_charge_that_was_called_off_never_happens(books: Books, clock: Clock) -> None:
    late = request()
    assert (await books.call_off(late.payment_id, clock())).status is Status.VOIDED
    charge, is_new = await books.charge(late, clock(), late_s=8)
    assert (charge.status, is_new) == (Status.VOIDED, False)


async def test_of_a_charge_and_its_calling_off_one_wins(books: Books, clock: Clock) -> None:
    for wanted in [request() for _ in range(20)]:
        (charged, _), called_off = await asyncio.gather(
            books.charge(wanted, clock(), late_s=8), books.call_off(wanted.payment_id, clock())
        )
        found = await books.find(wanted.payment_id, clock())
        assert charged == called_off == found


async def test_calling_off_in_time_stops_a_late_charge(books: Books, clock: Clock) -> None:
    late = request("4000000000000341")
    await books.charge(late, clock(), late_s=8)
    await books.call_off(late.payment_id, clock())
    clock.advance(60)
    found = await books.find(late.payment_id, clock())
    assert found is not None
    assert found.status is Status.VOIDED


async def test_notices_wait_for_the_outcome_and_until_they_are_heard(books: Books, clock: Clock) -> None:
    late = request("4000000000000341")
    await books.charge(late, clock(), late_s=8)
    assert await books.due_notices(clock(), 10) == []
    clock.advance(8)
    (notice,) = await books.due_notices(clock(), 10)
    assert notice.charge.status is Status.SUCCEEDED
    assert [each.id for each in await books.due_notices(clock(), 10)] == [notice.id]
    await books.settle_notice(notice.id)
    assert await books.due_notices(clock(), 10) == []


async def test_no_card_number_reaches_the_file(books: Books, books_path: str, clock: Clock) -> None:
    for number in ("4242424242424242", "4000000000000002"):
        await books.charge(request(number), clock(), late_s=8)
    folder = Path(books_path).parent
    stored = b"".join(await asyncio.to_thread(lambda: [file.read_bytes() for file in folder.iterdir()]))
    assert b"4242" in stored
    assert b"42424242" not in stored
    assert b"40000000" not in stored
