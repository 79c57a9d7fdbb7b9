"""The rules of events and mails: what was decided was told, in its order, and had its effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from services.apphost.audit.records import Books, Event, Finding, Order
from services.contracts import NOTIFICATIONS_DEAD_QUEUE, ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_CREATED

PRUNED_AFTER: Final = timedelta(days=7)  # published events are forgotten after that


def staged_events_are_published(books: Books) -> Iterator[Finding]:
    for event in books.ordering.events:
        if event.published_at is None:
            yield Finding(_name(event), "is staged, and not published yet", passing=True)


def events_tell_each_order_s_life(books: Books) -> Iterator[Finding]:
    """Created, then confirmed if it was, then cancelled if it was; each once, published in that order."""
    staged: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(books.ordering.events, key=lambda event: event.sequence):
        staged[event.order_id].append(event)
    for order in books.ordering.orders:
        events = staged.pop(order.id, [])
        expected = _life(order)
        kept = [kind for kind, at in expected if at > books.ordering.now - PRUNED_AFTER]
        told = [event.type for event in events]
        if told not in _endings([kind for kind, _ in expected], at_least=len(kept)):
            yield Finding(order.name, f"should have the events {_list(kept)}, and has {_list(told)}")
        if not _in_order([event.published_at for event in events]):
            yield Finding(order.name, "has events that were published out of their order")
    for order_id, events in staged.items():
        yield Finding(f"order {order_id}", f"does not exist, and has the events {_list([e.type for e in events])}")


def published_events_were_mailed(books: Books) -> Iterator[Finding]:
    """At least once; how often twice is for the report to say."""
    for event in books.ordering.events:
        if event.published_at is None or books.mails.get(event.id):
            continue
        if event.id in books.broker.dead:
            yield Finding(_name(event), f"has no mail, and is a dead letter: {books.broker.dead[event.id]}")
        else:
            yield Finding(_name(event), "is published, and has no mail", passing=True)


def queues_are_drained(books: Books) -> Iterator[Finding]:
    """Dead letters only rest: those that an order lacks a mail for are found elsewhere."""
    for queue, messages in books.broker.queues.items():
        if messages and queue != NOTIFICATIONS_DEAD_QUEUE:
            yield Finding(f"queue {queue}", f"has {messages} messages waiting", passing=True)


RULES: Final = (
    staged_events_are_published,
    events_tell_each_order_s_life,
    published_events_were_mailed,
    queues_are_drained,
)


def _life(order: Order) -> list[tuple[str, datetime]]:
    steps = (
        (ORDER_CREATED, order.created_at),
        (ORDER_CONFIRMED, order.confirmed_at),
        (ORDER_CANCELLED, order.cancelled_at),
    )
    return [(kind, at) for kind, at in steps if at is not None]


def _endings(kinds: list[str], *, at_least: int) -> list[list[str]]:
    """The whole sequence, and what is left of it as its oldest are forgotten."""
    return [kinds[begin:] for begin in range(len(kinds) - at_least + 1)]


def _in_order(moments: list[datetime | None]) -> bool:
    """Whether those that were published came first, each not before the one ahead of it."""
    published = [moment for moment in moments if moment is not None]
    return published == sorted(published) and None not in moments[: len(published)]


def _name(event: Event) -> str:
    return f"event {event.id} ({event.type} of order {event.order_id})"


def _list(kinds: list[str]) -> str:
    return ", ".join(kinds) or "none"
