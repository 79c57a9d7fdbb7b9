from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from icalendar import Calendar

from services.gateway.web.calendar_file import calendar_file
from services.gateway.web.order_state import Phase, about_money, phase_of, story, why_cancelled
from services.gateway.web.views import Order, Venue
from tests.gateway.fakes import NOW, make_order


def order_after(*events: str, **changes: Any) -> Order:
    timeline = [{"event": event, "at": NOW + timedelta(minutes=index)} for index, event in enumerate(events)]
    return Order.model_validate(make_order(timeline=timeline, **changes))


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        (("placed",), Phase.CHECKOUT),
        (("placed", "payment_started"), Phase.CHECKING),
        (("placed", "payment_started", "payment_unclear"), Phase.CHECKING),
        (("placed", "payment_started", "payment_declined"), Phase.CHECKOUT),
        (("placed", "payment_started", "payment_unclear", "payment_void"), Phase.CHECKOUT),
        (("placed", "payment_started", "payment_declined", "payment_started"), Phase.CHECKING),
    ],
)
def test_the_timeline_says_whether_a_payment_is_open(events: tuple[str, ...], phase: Phase) -> None:
    assert phase_of(order_after(*events), NOW) is phase


def test_a_hold_ends_unless_a_payment_is_open() -> None:
    after = NOW + timedelta(minutes=10)
    assert phase_of(order_after("placed"), after) is Phase.LAPSED
    assert phase_of(order_after("placed", "payment_started"), after) is Phase.CHECKING


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (("placed", "cancelled"), "Nothing was charged."),
        (("placed", "payment_started", "payment_declined", "cancelled"), "Nothing was charged."),
        (("placed", "confirmed", "cancelled", "refund_due"), "€98.00 is on its way back"),
        (("placed", "confirmed", "cancelled", "refund_due", "refunded"), "€98.00 was sent back"),
    ],
)
def test_a_cancelled_order_says_where_the_money_is(events: tuple[str, ...], words: str) -> None:
    assert about_money(order_after(*events, status="CANCELLED"), "€98.00").startswith(words)


def test_every_reason_has_its_sentence() -> None:
    reasons = ("BUYER", "EXPIRED", "SOLD_OUT", "PAYMENT")
    sentences = {why_cancelled(order_after(status="CANCELLED", cancelReason=reason)) for reason in reasons}
    assert len(sentences) == 4


def test_the_story_leaves_out_what_only_engineers_need() -> None:
    told = story(order_after("placed", "tickets_released", "something_new"))
    assert [step.words for step in told] == ["You chose your tickets and we set them aside"]


def test_the_calendar_entry_is_the_concerts() -> None:
    order = order_after("placed", "confirmed", status="CONFIRMED")
    assert order.concert
    content = calendar_file(order, order.concert, "https://shop.example/orders/1", NOW)
    event = Calendar.from_ical(content).walk("VEVENT")[0]
    assert event.decoded("dtstart") == order.concert.starts_at
    assert str(event["summary"]) == "Night 1, as ordered"
    assert str(event["location"]) == "Hall, Berlin"
    assert content == calendar_file(order, order.concert, "https://shop.example/orders/1", NOW)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (None, "Berlin"),
        ("Möckernstraße 10", "Möckernstraße 10, Berlin"),
        ("Am Ufer 1, 10553 Berlin", "Am Ufer 1, 10553 Berlin"),
    ],
)
def test_a_venue_names_its_city_once(address: str | None, written: str) -> None:
    assert Venue(name="Hall", city="Berlin", address=address).whereabouts == written
