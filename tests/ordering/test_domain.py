"""The rules of an order, by example and by property."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.contracts import CancelReason
from services.defaults.errors import Conflict, Invalid
from services.ordering.cards import passes_luhn, read_card
from services.ordering.domain import (
    OPEN_PAYMENTS,
    TRANSITIONS,
    Charge,
    Hold,
    IllegalTransition,
    Line,
    Order,
    Payment,
    PaymentState,
    Status,
    Ticket,
    Verdict,
    Wanted,
    check_cancellable,
    check_payable,
    fingerprint,
    holds_what_was_wanted,
    judge_charge,
    new_order,
    order_id,
    order_number,
    payment_id,
    total_minor,
)
from tests.ordering.support import BUYER, CONCERT, GOOD, SEATED, STANDING

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
LINES = (Line(SEATED, "Balcony", 2, 7_500), Line(STANDING, "Floor", 1, 4_250))
HELD = tuple(Ticket(f"t-{number}", "Balcony") for number in range(3))
SOLD = tuple(replace(ticket, code=f"code-{ticket.id}") for ticket in HELD)
HOLD = Hold(CONCERT, LINES, HELD, "EUR", 600)

statuses = st.sampled_from(Status)
ids = st.text(min_size=1, max_size=40)


def pending() -> Order:
    return new_order(UUID(int=1), "K7QF-2M9X", BUYER, HOLD, now=NOW, expires=NOW + timedelta(seconds=600))


def attempt(state: PaymentState) -> Payment:
    return Payment(uuid4(), UUID(int=1), "k", state, 19_250, "EUR")


class Life(RuleBasedStateMachine):
    """Whatever is tried with an order, in whatever order: it only ever takes a legal path."""

    def __init__(self) -> None:
        super().__init__()
        self.order = pending()
        self.path = [Status.PENDING]

    def _try(self, to: Status, move: Order | None) -> None:
        legal = to in TRANSITIONS[self.order.status]
        assert (move is not None) is legal
        if move:
            self.order = move
            self.path.append(to)

    @rule()
    def confirm(self) -> None:
        try:
            moved = self.order.confirmed(SOLD, NOW)
        except IllegalTransition:
            moved = None
        self._try(Status.CONFIRMED, moved)

    @rule(reason=st.sampled_from(CancelReason))
    def cancel(self, reason: CancelReason) -> None:
        try:
            moved = self.order.cancelled(reason, NOW)
        except IllegalTransition:
            moved = None
        self._try(Status.CANCELLED, moved)

    @precondition(lambda self: self.order.status is Status.PENDING)
    @rule(count=st.integers(0, 5), coded=st.booleans())
    def confirm_with_other_tickets(self, count: int, coded: bool) -> None:
        if coded and count == len(SOLD):
            return
        with pytest.raises(ValueError, match="cannot be confirmed"):
            self.order.confirmed((SOLD if coded else HELD)[:count] * (1 if count <= 3 else 2), NOW)

    @invariant()
    def tells_one_story(self) -> None:
        order = self.order
        assert order.status is self.path[-1]
        assert len(self.path) <= 3
        assert (order.cancel_reason is not None) is (order.status is Status.CANCELLED)
        assert (order.cancelled_at is not None) is (order.status is Status.CANCELLED)
        assert all(ticket.code for ticket in order.tickets) is (order.status is Status.CONFIRMED)
        assert order.total_minor == total_minor(order.lines)


TestLife = Life.TestCase


@given(statuses, statuses)
def test_no_path_leads_back(one: Status, other: Status) -> None:
    assert not (other in TRANSITIONS[one] and one in TRANSITIONS[other])


@given(ids, ids, ids, ids)
def test_order_ids_differ_when_buyer_or_key_do(user: str, key: str, other_user: str, other_key: str) -> None:
    same = (user, key) == (other_user, other_key)
    assert (order_id(user, key) == order_id(other_user, other_key)) is same


def test_payment_ids_belong_to_their_order() -> None:
    one, other = uuid4(), uuid4()
    assert payment_id(one, "k") == payment_id(one, "k")
    assert len({payment_id(one, "k"), payment_id(one, "l"), payment_id(other, "k")}) == 3


@given(st.integers(0, 2**40 - 1), st.integers(0, 2**40 - 1))
def test_numbers_are_short_legible_and_tell_bits_apart(bits: int, others: int) -> None:
    number = order_number(bits)
    assert len(number) == 9
    assert not set(number) & set("ILOU")
    assert (number == order_number(others)) is (bits == others)


def test_a_number_reads_like_this() -> None:
    assert order_number(0) == "0000-0000"
    assert order_number(2**40 - 1) == "ZZZZ-ZZZZ"


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_a_fingerprint_does_not_mind_the_order_of_keys(body: dict[str, object]) -> None:
    assert fingerprint(body) == fingerprint(dict(reversed(body.items())))


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_a_fingerprint_tells_bodies_apart(one: dict[str, int], other: dict[str, int]) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ([Wanted(SEATED, 2), Wanted(STANDING, 1)], True),
        ([Wanted(STANDING, 1), Wanted(SEATED, 1), Wanted(SEATED, 1)], True),
        ([Wanted(SEATED, 2)], False),
        ([Wanted(SEATED, 3), Wanted(STANDING, 1)], False),
    ],
)
def test_a_hold_must_be_what_was_asked_for(wanted: list[Wanted], fits: bool) -> None:
    assert holds_what_was_wanted(HOLD, wanted) is fits


def test_a_new_order_costs_what_the_catalog_says() -> None:
    assert pending().total_minor == 2 * 7_500 + 4_250


def test_who_may_pay() -> None:
    order, mine = pending(), uuid4()
    check_payable(order, None, mine, NOW)
    check_payable(order, attempt(PaymentState.DECLINED), mine, NOW)
    for refused in (order.confirmed(SOLD, NOW), order.cancelled(CancelReason.BUYER, NOW)):
        with pytest.raises(Conflict):
            check_payable(refused, None, mine, NOW)


def test_the_time_to_pay_ends_but_not_for_a_payment_that_has_begun() -> None:
    order, late = pending(), NOW + timedelta(seconds=600)
    open_attempt = attempt(PaymentState.UNCLEAR)
    check_payable(order, open_attempt, open_attempt.id, late)
    with pytest.raises(Conflict):
        check_payable(order, None, uuid4(), late)


def test_a_paid_order_is_paid_by_one_request_alone() -> None:
    order, paid = pending().confirmed(SOLD, NOW), attempt(PaymentState.SUCCEEDED)
    check_payable(order, paid, paid.id, NOW)
    with pytest.raises(Conflict):
        check_payable(order, paid, uuid4(), NOW)


@pytest.mark.parametrize("state", sorted(OPEN_PAYMENTS))
def test_beside_an_open_payment_nothing_begins(state: PaymentState) -> None:
    checks = (
        partial(check_payable, pending(), attempt(state), uuid4(), NOW),
        partial(check_cancellable, pending(), attempt(state), NOW),
    )
    for check in checks:
        with pytest.raises(Conflict) as refusal:
            check()
        assert refusal.value.retry_after_s


def test_paid_tickets_can_be_returned_until_the_concert_begins() -> None:
    order = pending().confirmed(SOLD, NOW)
    check_cancellable(order, attempt(PaymentState.SUCCEEDED), NOW)
    with pytest.raises(Conflict):
        check_cancellable(order, attempt(PaymentState.SUCCEEDED), CONCERT.starts_at)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (Charge.SUCCEEDED, Verdict.CONFIRM),
        (Charge.DECLINED, Verdict.DECLINE),
        (Charge.VOIDED, Verdict.DECLINE),
        (Charge.REFUNDED, Verdict.DECLINE),
        (Charge.PENDING, Verdict.WAIT),
        (Charge.UNKNOWN, Verdict.WAIT),
    ],
)
def test_what_a_charge_means(status: Charge, verdict: Verdict) -> None:
    assert judge_charge(status) is verdict


# Cards


@given(st.from_regex(r"[0-9]{11,18}", fullmatch=True))
def test_exactly_one_check_digit_fits(digits: str) -> None:
    assert sum(passes_luhn(f"{digits}{check}") for check in range(10)) == 1


@given(st.from_regex(r"[0-9]{12,19}", fullmatch=True), st.data())
def test_one_wrong_digit_is_noticed(digits: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(digits) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != digits[place]]))
    changed = digits[:place] + wrong + digits[place + 1 :]
    assert not (passes_luhn(digits) and passes_luhn(changed))


@pytest.mark.parametrize("number", [GOOD, "4242 4242 4242 4242", "4242-4242-4242-4242"])
@pytest.mark.parametrize("expiry", ["05/30", "05 / 30", " 12/2031 "])
def test_a_card_is_read_as_people_write_it(number: str, expiry: str) -> None:
    card = read_card(number, expiry, "123", NOW)
    assert (card.number, card.last4, card.brand) == (GOOD, "4242", "visa")
    assert GOOD not in repr(card)


@pytest.mark.parametrize(
    ("number", "expiry", "cvc", "fields"),
    [
        ("4242424242424241", "12/30", "123", {"card.number"}),
        ("4242", "12/30", "123", {"card.number"}),
        ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "12/30", "123", {"card.number"}),
        (GOOD, "04/30", "123", {"card.expiry"}),
        (GOOD, "13/30", "123", {"card.expiry"}),
        (GOOD, "12/30", "12", {"card.cvc"}),
        (GOOD, "12/30", "12a", {"card.cvc"}),
        ("", "", "", {"card.number", "card.expiry", "card.cvc"}),
        ("\x00", "\x00", "\x00", {"card.number", "card.expiry", "card.cvc"}),
    ],
)
def test_each_wrong_field_has_its_sentence(number: str, expiry: str, cvc: str, fields: set[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        read_card(number, expiry, cvc, NOW)
    assert set(refusal.value.fields) == fields


@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=12))
def test_no_card_data_breaks_the_reader(number: str, expiry: str, cvc: str) -> None:
    with suppress(Invalid):
        assert passes_luhn(read_card(number, expiry, cvc, NOW).number)
