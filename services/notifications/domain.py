"""What a mail says and when to try again: decisions, made of events alone."""

import re
from dataclasses import dataclass
from datetime import datetime

from services.contracts import CancelReason, OrderCancelled, OrderConfirmed, OrderCreated, OrderEvent, TicketInfo

SUBJECT_TITLE_LIMIT = 70  # characters of a concert's title, so that the rest of a subject stays visible
NAME_LIMIT = 100

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u200b\u202a-\u202e\u2066-\u2069\ufeff]+")

_WHY = {
    CancelReason.BUYER: "You cancelled this order.",
    CancelReason.EXPIRED: "The time to pay ran out, so the tickets went back on sale.",
    CancelReason.SOLD_OUT: "The tickets were gone before your payment went through.",
    CancelReason.PAYMENT: "The payment did not go through, so the tickets went back on sale.",
}
_NEXT = {
    CancelReason.BUYER: "If you change your mind, there may still be tickets.",
    CancelReason.EXPIRED: "If you still want to go, there may be tickets left.",
    CancelReason.SOLD_OUT: "Sometimes tickets come back: it is worth another look.",
    CancelReason.PAYMENT: "You can order again, with this or another card.",
}


@dataclass(frozen=True)
class Wording:
    """The sentences of one mail, in the order in which they are read. `action` labels the link."""

    kind: str  # names the templates
    subject: str
    headline: str
    lead: str
    money: str
    action: str


def wording(event: OrderEvent, *, now: datetime, deadline: str, total: str) -> Wording:
    """What to tell the buyer. `deadline` and `total` are the hold's end and the sum, as people write them."""
    if isinstance(event, OrderCreated):
        return _held(event, now, deadline, total)
    if isinstance(event, OrderConfirmed):
        return _confirmed(event, total)
    return _cancelled(event, total)


def _held(event: OrderCreated, now: datetime, deadline: str, total: str) -> Wording:
    title = _short(event.concert.title)
    if now >= event.expires_at:  # the mail was held up; what it would ask for cannot be done any more
        return Wording(
            kind="created",
            subject=f"Your tickets for {title} were held until {deadline}",
            headline="The time to pay has passed",
            lead=f"We held these tickets for you until {deadline}. Unless you have paid, they are back on sale.",
            money="If you have not paid, nothing was charged.",
            action="See the order",
        )
    return Wording(
        kind="created",
        subject=f"Your tickets for {title} are held until {deadline}",
        headline=f"Held for you until {deadline}",
        lead="These tickets are yours once they are paid. After that time they go back on sale.",
        money="Nothing has been charged yet.",
        action=f"Pay {total}",
    )


def _confirmed(event: OrderConfirmed, total: str) -> Wording:
    count = len(event.tickets)
    tickets = "your ticket" if count == 1 else f"your {count} tickets"
    return Wording(
        kind="confirmed",
        subject=f"{tickets.capitalize()} for {_short(event.concert.title)}",
        headline=f"Here {'is' if count == 1 else 'are'} {tickets}",
        lead="Show the code at the door, on your phone or printed from the attached PDF. Each admits one person, once.",
        money=f"You paid {total}.",
        action="See the order",
    )


def _cancelled(event: OrderCancelled, total: str) -> Wording:
    back = f"{total} goes back to the card you paid with. Banks take up to five working days to show it."
    return Wording(
        kind="cancelled",
        subject=f"Order {one_line(event.number)} is cancelled: {_short(event.concert.title)}",
        headline="Your order is cancelled",
        lead=f"{_WHY[event.reason]} {_NEXT[event.reason]}",
        money=back if event.refunded else "Nothing was charged.",
        action="See the concert",
    )


def seat_label(ticket: TicketInfo) -> str:
    """Where the holder belongs, as in "Balcony, row C, seat 14"; "General admission" without a place."""
    parts = [
        one_line(ticket.section or ""),
        f"row {one_line(ticket.row)}" if ticket.row else "",
        f"seat {one_line(ticket.seat)}" if ticket.seat else "",
    ]
    label = ", ".join(part for part in parts if part)
    return f"{label[0].upper()}{label[1:]}" if label else "General admission"


def one_line(text: str) -> str:
    """The text with every run of blanks and control characters (bidirectional ones, too) made one space.

    Names come from strangers: in a header a line break would begin another header, in a letter another line.
    """
    return _BLANKS.sub(" ", text).strip()


def display_name(name: str) -> str:
    """A person's name, fit for a header and a greeting."""
    return one_line(name)[:NAME_LIMIT].strip()


def message_id(event_id: str, sender: str) -> str:
    """The Message-ID (RFC 5322, 3.6.4) that belongs to an event, so that a second mail is known as the same."""
    return f"<{event_id}@{sender.rpartition('@')[2]}>"


def is_final(smtp_code: int) -> bool:
    """Whether a mail server's refusal of a recipient or a mail will stand (RFC 5321, 4.2.1: 5yz is permanent)."""
    return 500 <= smtp_code < 600


def _short(title: str) -> str:
    title = one_line(title)
    return title if len(title) <= SUBJECT_TITLE_LIMIT else f"{title[: SUBJECT_TITLE_LIMIT - 1].rstrip()}…"
