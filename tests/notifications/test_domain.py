"""What mails say, and when to try again."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts import CancelReason, OrderEvent, TicketInfo
from services.notifications.domain import (
    Wording,
    display_name,
    is_final,
    message_id,
    one_line,
    seat_label,
    wording,
)
from tests.contracts import samples

NOW = samples.ORDERED_AT


def words(event: OrderEvent, now: datetime = NOW) -> Wording:
    return wording(event, now=now, deadline="13:15, Berlin time", total="€133.00")


def test_a_held_order_says_until_when_and_asks_for_the_sum() -> None:
    held = words(samples.created())
    assert "held until 13:15, Berlin time" in held.subject
    assert held.action == "Pay €133.00"
    assert held.money == "Nothing has been charged yet."


def test_a_mail_that_comes_too_late_asks_for_nothing() -> None:
    late = words(samples.created(), now=samples.created().expires_at)
    assert "were held" in late.subject
    assert "Pay" not in late.action
    just_in_time = words(samples.created(), now=samples.created().expires_at - timedelta(seconds=1))
    assert just_in_time.action.startswith("Pay")


def test_a_confirmation_counts_the_tickets() -> None:
    assert words(samples.confirmed()).headline == "Here are your 3 tickets"
    one = words(samples.confirmed(tickets=samples.TICKETS[:1]))
    assert (one.headline, one.subject) == (
        "Here is your ticket",
        "Your ticket for Nachtfahrt: The Long Way Home",
    )


@pytest.mark.parametrize("reason", CancelReason)
@pytest.mark.parametrize("refunded", [True, False])
def test_a_cancellation_says_why_and_what_becomes_of_the_money(reason: CancelReason, refunded: bool) -> None:
    said = words(samples.cancelled(reason=reason, refunded=refunded))
    assert ("€133.00 goes back" in said.money) is refunded
    assert ("Nothing was charged" in said.money) is not refunded
    other = words(samples.cancelled(reason=next(each for each in CancelReason if each is not reason)))
    assert said.lead != other.lead


@pytest.mark.parametrize(
    ("place", "label"),
    [
        (("Left", "C", "14"), "Left, row C, seat 14"),
        ((None, "C", "14"), "Row C, seat 14"),
        (("Arena", None, None), "Arena"),
        ((None, None, None), "General admission"),
        (("", "", ""), "General admission"),
        ((" \n", None, "7"), "Seat 7"),
    ],
)
def test_says_where_to_sit(place: tuple[str | None, str | None, str | None], label: str) -> None:
    section, row, seat = place
    ticket = TicketInfo(id="1", tier="T", section=section, row=row, seat=seat, code="x")
    assert seat_label(ticket) == label


def test_a_long_title_leaves_room_in_the_subject() -> None:
    concert = samples.CONCERT.__class__(**{**vars(samples.CONCERT), "title": "La" * 500})
    subject = words(samples.confirmed(concert=concert)).subject
    assert len(subject) < 110
    assert subject.endswith("…")


@given(text=st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(ord(character) < 32 or 0x7F <= ord(character) <= 0x9F for character in line)
    assert one_line(line) == line


@given(text=st.text(max_size=300))
def test_a_name_is_short_and_one_line(text: str) -> None:
    assert len(display_name(text)) <= 100
    assert display_name(text) == one_line(display_name(text))


def test_the_message_id_is_the_event_s() -> None:
    assert message_id("evt-1", "tickets@shop.test") == "<evt-1@shop.test>"


@pytest.mark.parametrize(("code", "final"), [(550, True), (554, True), (450, False), (451, False), (421, False)])
def test_only_a_permanent_refusal_is_final(code: int, final: bool) -> None:
    assert is_final(code) is final
