"""The ledger's rules: good books close, and each rule fires on books that break it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.apphost.audit import books as rules
from services.apphost.audit import events, ledger
from services.apphost.audit.ledger import RULES, judge
from services.apphost.audit.records import Books, Finding, Identity, Key, Seat
from services.apphost.audit.report import Report, count
from services.apphost.errors import ApphostError
from services.apphost.state import RUNNING, open_state
from services.contracts import NOTIFICATIONS_QUEUE, ORDER_CREATED
from tests.apphost.ledger_samples import (
    NOW,
    a_charge,
    good_books,
    with_catalog,
    with_charge,
    with_event,
    with_hold,
    with_order,
    with_ordering,
    with_payment,
)

Break = Callable[[Books], Books]

PERSISTING: list[tuple[Callable[..., Any], str, Break]] = [
    (
        rules.tickets_add_up,
        "concert last-boat",
        lambda b: with_catalog(b, stocks=(replace(b.catalog.stocks[0], free=6),)),
    ),
    (rules.holds_have_their_tickets, "hold of order pending", lambda b: with_hold(b, "pending", held=1)),
    (rules.holds_have_their_tickets, "hold of order returned", lambda b: with_hold(b, "returned", sold=2)),
    (rules.holds_have_their_tickets, "hold of order box-office", lambda b: with_hold(b, "box-office", sold=2)),
    (
        rules.sold_tickets_have_orders,
        "ticket stray",
        lambda b: with_catalog(b, seats=(*b.catalog.seats, Seat(id="stray", order_id="lost", code="CC"))),
    ),
    (
        rules.sold_tickets_have_orders,
        "ticket confirmed-1",
        lambda b: with_order(b, "confirmed", tickets={"confirmed-1": "other", "confirmed-2": "BB"}),
    ),
    (
        rules.sold_tickets_have_orders,
        "ticket pending-1",
        lambda b: with_catalog(b, seats=(Seat(id="pending-1", order_id="pending", code="CC"), *b.catalog.seats[1:])),
    ),
    (
        rules.confirmed_orders_have_their_tickets,
        "order confirmed",
        lambda b: with_order(b, "confirmed", tickets={"confirmed-1": "AA"}),
    ),
    (
        rules.confirmed_orders_have_their_tickets,
        "order confirmed",
        lambda b: with_catalog(b, seats=b.catalog.seats[:-1]),
    ),
    (
        rules.pending_orders_hold_their_tickets,
        "order pending",
        lambda b: with_catalog(b, seats=b.catalog.seats[1:]),
    ),
    (
        rules.cancelled_orders_hold_nothing,
        "order returned",
        lambda b: with_catalog(b, seats=(*b.catalog.seats, Seat(id="s", order_id="returned"))),
    ),
    (
        rules.cancelled_orders_hold_nothing,
        "order returned",
        lambda b: with_order(b, "returned", tickets={"returned-1": "CC", "returned-2": None}),
    ),
    (
        rules.no_ticket_is_in_two_live_orders,
        "ticket confirmed-1",
        lambda b: with_order(b, "pending", tickets={"confirmed-1": None, "pending-2": None}),
    ),
    (rules.orders_are_whole, "order lapsed", lambda b: with_order(b, "lapsed", quantity=3)),
    (rules.orders_are_whole, "order lapsed", lambda b: with_order(b, "lapsed", lines_minor=1)),
    (rules.orders_are_whole, "order lapsed", lambda b: with_order(b, "lapsed", user_id="nobody")),
    (
        rules.payments_have_an_outcome,
        "payment p-declined",
        lambda b: with_charge(b, "p-declined", status="succeeded"),
    ),
    (
        rules.payments_have_an_outcome,
        "payment p-void",
        lambda b: replace(b, charges=b.charges[:-1]),
    ),
    (rules.payments_have_an_outcome, "payment p-good", lambda b: with_charge(b, "p-good", amount_minor=1)),
    (
        rules.charges_belong_to_confirmed_orders,
        "charge stray",
        lambda b: replace(b, charges=(*b.charges, a_charge("stray", "succeeded"))),
    ),
    (
        rules.charges_belong_to_confirmed_orders,
        "charge p-returned",
        lambda b: with_charge(b, "p-returned", status="succeeded"),
    ),
    (
        rules.charges_belong_to_confirmed_orders,
        "order confirmed",
        lambda b: with_charge(b, "p-declined", status="succeeded"),
    ),
    (rules.confirmed_orders_are_paid, "order confirmed", lambda b: with_payment(b, "p-good", state="declined")),
    (rules.confirmed_orders_are_paid, "order confirmed", lambda b: with_payment(b, "p-good", amount_minor=1)),
    (rules.money_adds_up, "money in EUR", lambda b: with_charge(b, "p-good", amount_minor=9801)),
    (rules.money_adds_up, "money in CHF", lambda b: with_charge(b, "p-good", currency="CHF")),
    (rules.answers_are_true, "order gone", lambda b: replace(b, acknowledged={"gone": "PENDING"})),
    (rules.answers_are_true, "order pending", lambda b: replace(b, acknowledged={"pending": "CONFIRMED"})),
    (
        rules.answers_are_true,
        "order gone",
        lambda b: with_ordering(
            b, keys=(Key(name="place", status=201, order_id="gone", order_status="PENDING", leased_s=0.0),)
        ),
    ),
    (
        rules.keys_are_free,
        "idempotency key place",
        lambda b: with_ordering(
            b, keys=(Key(name="place", status=None, order_id=None, order_status=None, leased_s=9999.0),)
        ),
    ),
    (
        rules.logins_can_go_on,
        "login family",
        lambda b: replace(b, identity=Identity(user_ids=frozenset({"ada"}), broken_families=("family",))),
    ),
    (
        events.events_tell_each_order_s_life,
        "order confirmed",
        lambda b: with_event(b, "confirmed-event-1", type=ORDER_CREATED),
    ),
    (
        events.events_tell_each_order_s_life,
        "order pending",
        lambda b: with_ordering(b, events=b.ordering.events[1:]),
    ),
    (
        events.events_tell_each_order_s_life,
        "order confirmed",
        lambda b: with_event(b, "confirmed-event-0", published_at=NOW + timedelta(hours=1)),
    ),
    (
        events.events_tell_each_order_s_life,
        "order lost",
        lambda b: with_event(b, "pending-event-0", order_id="lost"),
    ),
    (
        events.published_events_were_mailed,
        "event pending-event-0",
        lambda b: replace(
            b, mails={**b.mails, "pending-event-0": 0}, broker=replace(b.broker, dead={"pending-event-0": "refused"})
        ),
    ),
]

PASSING: list[tuple[Callable[..., Any], str, Break]] = [
    (
        rules.sold_tickets_have_orders,
        "ticket confirmed-1",
        lambda b: paying(with_order(b, "confirmed", status="PENDING")),
    ),
    (
        rules.pending_orders_hold_their_tickets,
        "order pending",
        lambda b: with_order(b, "pending", overdue_s=rules.EXPIRY_PATIENCE_S + 1),
    ),
    (rules.cancelled_orders_hold_nothing, "order returned", lambda b: with_order(b, "returned", release_due=True)),
    (rules.payments_have_an_outcome, "payment p-good", lambda b: with_payment(b, "p-good", state="unclear")),
    (rules.payments_have_an_outcome, "payment p-good", lambda b: with_payment(b, "p-good", state="refund_due")),
    (rules.money_adds_up, "money in EUR", lambda b: paying(with_charge(b, "p-good", status="pending"))),
    (
        events.staged_events_are_published,
        "event pending-event-0",
        lambda b: with_event(b, "pending-event-0", published_at=None),
    ),
    (
        events.published_events_were_mailed,
        "event pending-event-0",
        lambda b: replace(b, mails={**b.mails, "pending-event-0": 0}),
    ),
    (
        events.queues_are_drained,
        f"queue {NOTIFICATIONS_QUEUE}",
        lambda b: replace(b, broker=replace(b.broker, queues={NOTIFICATIONS_QUEUE: 3})),
    ),
]


def paying(books: Books) -> Books:
    return with_payment(books, "p-good", state="started")


def fired(rule: Callable[[Books], Any], books: Books) -> list[Finding]:
    return list(rule(books))


def test_good_books_close() -> None:
    assert judge(good_books()) == []


@pytest.mark.parametrize(("rule", "what", "damage"), PERSISTING)
def test_each_rule_names_what_breaks_it(rule: Callable[[Books], Any], what: str, damage: Break) -> None:
    found = fired(rule, damage(good_books()))
    assert [finding for finding in found if finding.what.startswith(what) and not finding.passing], found


@pytest.mark.parametrize(("rule", "what", "damage"), PASSING)
def test_what_may_be_in_flight_is_marked(rule: Callable[[Books], Any], what: str, damage: Break) -> None:
    found = fired(rule, damage(good_books()))
    assert [finding.passing for finding in found if finding.what.startswith(what)] == [True], found


def test_every_rule_has_been_seen_to_fire() -> None:
    assert {rule for rule, _, _ in PERSISTING + PASSING} == set(RULES)


def test_an_order_older_than_the_outbox_needs_no_events() -> None:
    old = NOW - events.PRUNED_AFTER - timedelta(hours=1)
    books = good_books()
    books = with_ordering(books, events=tuple(e for e in books.ordering.events if e.order_id != "returned"))
    books = with_order(books, "returned", created_at=old, confirmed_at=old, cancelled_at=old)
    assert judge(books) == []
    assert fired(events.events_tell_each_order_s_life, with_order(books, "returned", cancelled_at=NOW))


def test_an_expiring_hold_is_nobody_s_fault() -> None:
    """Its tickets may be somebody else's already; the order has yet to be cancelled."""
    books = with_order(good_books(), "pending", overdue_s=1.0)
    books = with_catalog(books, seats=books.catalog.seats[2:])
    assert fired(rules.pending_orders_hold_their_tickets, books) == []
    assert fired(rules.no_ticket_is_in_two_live_orders, books) == []


def test_a_second_mail_is_counted_and_no_fault() -> None:
    books = good_books()
    books = replace(books, mails={**books.mails, "pending-event-0": 2})
    assert judge(books) == []
    assert dict(count(books))["mails of events"] == "9: 1 of them came more than once"


def test_the_report_says_what_there_is_and_what_is_wrong() -> None:
    books = with_charge(good_books(), "p-good", amount_minor=9801)
    report = Report(counts=count(books), findings=judge(books), waited_s=3)
    assert not report.closes
    text = report.render()
    assert "14: 7 free, 2 held, 5 sold (3 at the box office)" in text
    assert "4: 2 CANCELLED, 1 CONFIRMED, 1 PENDING" in text
    assert "2 things do not add up (3 s were allowed to settle)" in text
    assert "payment p-good of order confirmed: is of 9800 EUR, and the provider charged 9801 EUR" in text
    assert "close" in Report(counts=[], findings=[], waited_s=0).render()


class Readings:
    """Stands in for a system that is read again and again; the last reading stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *readings: Books | ApphostError) -> None:
        self._readings = list(readings)
        self.taken = 0
        monkeypatch.setattr(ledger, "read_books", self._read)
        monkeypatch.setattr(ledger, "read_running", lambda _state: {"urls": {}})
        monkeypatch.setattr(ledger, "PAUSE_S", 0.001)

    async def _read(self, *_: object) -> Books:
        self.taken += 1
        reading = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if isinstance(reading, ApphostError):
            raise reading
        return reading


def in_flight(books: Books) -> Books:
    return with_event(books, "pending-event-0", published_at=None)


async def test_what_is_in_flight_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    away = ApphostError("The broker cannot be read.", "Wait.")
    readings = Readings(monkeypatch, in_flight(good_books()), away, in_flight(good_books()), good_books())
    assert (await ledger.audit(Path(), settle_s=5)).closes
    assert readings.taken == 4


async def test_what_stays_in_flight_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = Readings(monkeypatch, in_flight(good_books()))
    report = await ledger.audit(Path(), settle_s=0.05)
    assert [finding.what.split()[1] for finding in report.findings] == ["pending-event-0"]
    assert readings.taken > 2


async def test_a_fault_is_seen_twice_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = with_charge(good_books(), "p-good", amount_minor=1)
    readings = Readings(monkeypatch, wrong)
    async with asyncio.timeout(5):
        assert not (await ledger.audit(Path(), settle_s=60)).closes
    assert readings.taken == 2


async def test_two_readings_that_differ_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop at work is read part by part."""
    Readings(monkeypatch, with_charge(good_books(), "p-good", amount_minor=1), good_books())
    assert (await ledger.audit(Path(), settle_s=60)).closes


async def test_a_part_that_stays_away_ends_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    Readings(monkeypatch, ApphostError("The broker cannot be read.", "Wait."))
    with pytest.raises(ApphostError, match="broker"):
        await ledger.audit(Path(), settle_s=0.02)


async def test_without_a_system_there_is_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(ApphostError, match="No system runs"):
        await ledger.audit(tmp_path / "nothing")
    with open_state(tmp_path):
        (tmp_path / RUNNING).write_text(json.dumps({"ready": False, "urls": {}}))
        with pytest.raises(ApphostError, match="No system runs"):
            await ledger.audit(tmp_path)
    (tmp_path / RUNNING).write_text(json.dumps({"ready": True, "urls": {}}))  # left behind by one that was killed
    with pytest.raises(ApphostError, match="No system runs"):
        await ledger.audit(tmp_path)
