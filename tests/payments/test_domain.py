"""What each test card does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.defaults.errors import Conflict
from services.payments.domain import (
    Card,
    ChargeRequest,
    Status,
    as_of,
    called_off,
    check_same,
    decide,
    refunded,
    voided,
)

NOW = datetime(2030, 5, 17, 12, tzinfo=UTC)


def request(number: str = "4242424242424242", expiry: str = "05/30", cvc: str = "123") -> ChargeRequest:
    return ChargeRequest("p-1", 5000, "EUR", "K7QF-2M9X", Card(number, expiry, cvc))


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        ("4242424242424242", Status.SUCCEEDED, None),
        ("4242 4242 4242 4242", Status.SUCCEEDED, None),
        ("4000000000000002", Status.DECLINED, "card_declined"),
        ("4000000000009995", Status.DECLINED, "insufficient_funds"),
        ("4000000000000341", Status.PENDING, None),
        ("4000000000000259", Status.SUCCEEDED, None),
        ("5555555555554444", Status.DECLINED, "unknown_test_card"),
        ("", Status.DECLINED, "unknown_test_card"),
    ],
)
def test_cards(number: str, status: Status, code: str | None) -> None:
    charge = decide(request(number), NOW, late_s=8)
    assert (charge.status, charge.decline_code) == (status, code)


@pytest.mark.parametrize(("expiry", "cvc"), [("04/30", "123"), ("13/30", "123"), ("soon", "123"), ("05/30", "12")])
def test_a_card_that_is_out_of_order_is_declined(expiry: str, cvc: str) -> None:
    assert decide(request(expiry=expiry, cvc=cvc), NOW, late_s=8).status is Status.DECLINED


@pytest.mark.parametrize("expiry", ["05/30", "06/2030", "01/31"])
def test_any_future_expiry_will_do(expiry: str) -> None:
    assert decide(request(expiry=expiry), NOW, late_s=8).status is Status.SUCCEEDED


def test_the_charge_keeps_only_the_last_four_digits() -> None:
    kept = repr(decide(request("4242 4242 4242 4242"), NOW, late_s=8))
    assert "4242" in kept
    assert "42424242" not in kept.replace(" ", "")


def test_a_late_charge_succeeds_when_it_is_due() -> None:
    charge = decide(request("4000000000000341"), NOW, late_s=8)
    assert as_of(charge, NOW + timedelta(seconds=7.9)).status is Status.PENDING
    assert as_of(charge, NOW + timedelta(seconds=8)).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("number", "after"),
    [
        ("4242424242424242", Status.REFUNDED),
        ("4000000000000341", Status.VOIDED),
        ("4000000000000002", Status.DECLINED),
    ],
)
def test_refund(number: str, after: Status) -> None:
    once = refunded(decide(request(number), NOW, late_s=8))
    assert once.status is after
    assert refunded(once) == once


@pytest.mark.parametrize(
    ("number", "after"),
    [
        ("4242424242424242", Status.SUCCEEDED),
        ("4000000000000341", Status.VOIDED),
        ("4000000000000002", Status.DECLINED),
    ],
)
def test_void(number: str, after: Status) -> None:
    once = voided(decide(request(number), NOW, late_s=8))
    assert once.status is after
    assert voided(once) == once


def test_an_id_is_good_for_one_amount() -> None:
    charge = decide(request(), NOW, late_s=8)
    check_same(charge, request())
    other = ChargeRequest("p-1", 5001, "EUR", "", request().card)
    with pytest.raises(Conflict):
        check_same(charge, other)
    check_same(called_off("p-1", NOW), other)
