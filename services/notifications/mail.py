"""One event made into one mail: plain text, HTML, and what is attached."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from services.contracts import Envelope, OrderCancelled, OrderConfirmed, OrderCreated, OrderEvent, TicketInfo
from services.notifications import documents, formats
from services.notifications.domain import Wording, display_name, message_id, one_line, seat_label, wording

TEMPLATES = Path(__file__).parent / "templates"


class HeaderClasses(HeaderRegistry):
    """Python's own makes a class for each header of each mail, a fifth of the work; here each is made once."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = super().__getitem__(name)
        return made


POLICY = SMTP.clone(header_factory=HeaderClasses())


class Undeliverable(ValueError):
    """The event names no address that a mail can be sent to."""


@dataclass(frozen=True)
class LineView:
    """A line of the bill, as read."""

    quantity: int
    tier: str
    price: str


@dataclass(frozen=True)
class TicketView:
    """A ticket, as read; `cid` names its picture inside the mail."""

    tier: str
    seat: str
    code: str
    cid: str


class Composer:
    """Writes the mails of one shop: who sends them, and where its pages are."""

    def __init__(self, *, mail_from: str, public_url: str) -> None:
        name, address = parseaddr(mail_from)
        self._sender = Address(display_name=one_line(name), addr_spec=address)
        self._public_url = public_url.rstrip("/")
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=jinja2.select_autoescape(["html"], default=False),
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: one_line(value) if type(value) is str else value,
        )

    def compose(self, envelope: Envelope, *, now: datetime) -> EmailMessage:
        """The mail about an event. Raises Undeliverable; takes some 100 ms of CPU where tickets are drawn."""
        event = envelope.data
        words = self._wording(event, now)
        mail = self._headed(envelope, words, now)
        tickets = _ticket_views(event.tickets, envelope.id) if isinstance(event, OrderConfirmed) else []
        view = self._view(event, words, tickets)
        mail.set_content(self._render(f"{words.kind}.txt", view), cte="quoted-printable")
        mail.add_alternative(self._render(f"{words.kind}.html", view), subtype="html", cte="quoted-printable")
        if isinstance(event, OrderConfirmed):
            _embed_codes(mail, tickets)
            _attach_documents(mail, event, self._link(event))
        return mail

    def _wording(self, event: OrderEvent, now: datetime) -> Wording:
        total = formats.money(event.total_minor, event.currency)
        deadline = formats.deadline(event.expires_at, event.concert) if isinstance(event, OrderCreated) else ""
        return wording(event, now=now, deadline=deadline, total=total)

    def _headed(self, envelope: Envelope, words: Wording, now: datetime) -> EmailMessage:
        event = envelope.data
        mail = EmailMessage(policy=POLICY)
        mail["From"] = self._sender
        mail["To"] = _recipient(event)
        mail["Subject"] = one_line(words.subject)
        mail["Date"] = now
        mail["Message-ID"] = message_id(envelope.id, self._sender.addr_spec)
        # Mails of one order form a thread; nobody's holiday responder should answer them (RFC 3834).
        mail["References"] = message_id(f"order-{quote(event.order_id, safe='')}", self._sender.addr_spec)
        mail["Auto-Submitted"] = "auto-generated"
        return mail

    def _view(self, event: OrderEvent, words: Wording, tickets: Sequence[TicketView]) -> dict[str, Any]:
        concert = event.concert
        return {
            "wording": words,
            "event": event,
            "name": display_name(event.name) or "there",
            "link": self._link(event),
            "starts": formats.concert_time(concert.starts_at, concert),
            "doors": formats.clock_time(concert.doors_at, concert) if concert.doors_at else "",
            "place": formats.place(concert),
            "lines": [
                LineView(
                    quantity=line.quantity,
                    tier=line.tier_name,
                    price=formats.money(line.quantity * line.unit_price_minor, event.currency),
                )
                for line in event.lines
            ],
            "total": formats.money(event.total_minor, event.currency),
            "tickets": tickets,
        }

    def _link(self, event: OrderEvent) -> str:
        """Where the mail leads: the order, or after a cancellation the concert, to try once more."""
        if isinstance(event, OrderCancelled):
            return f"{self._public_url}/concerts/{quote(event.concert.slug, safe='')}"
        return f"{self._public_url}/orders/{quote(event.order_id, safe='')}"

    def _render(self, template: str, view: dict[str, Any]) -> str:
        return self._templates.get_template(template).render(view)


def _recipient(event: OrderEvent) -> Address:
    try:
        return Address(display_name=display_name(event.name), addr_spec=event.email)
    except (ValueError, IndexError, MessageError) as error:  # Python's parser fails in all three ways
        raise Undeliverable("the order's e-mail address is none") from error


def _ticket_views(tickets: Sequence[TicketInfo], event_id: str) -> list[TicketView]:
    return [
        TicketView(ticket.tier, seat_label(ticket), ticket.code, cid=f"ticket-{number}.{event_id}@ticketflow")
        for number, ticket in enumerate(tickets, start=1)
    ]


def _embed_codes(mail: EmailMessage, tickets: Sequence[TicketView]) -> None:
    html = mail.get_body(("html",))
    if not isinstance(html, MIMEPart):  # it was added a moment ago; the type allows for more
        return
    for number, ticket in enumerate(tickets, start=1):
        html.add_related(
            documents.qr_png(ticket.code),
            "image",
            "png",
            cid=f"<{ticket.cid}>",
            filename=f"ticket-{number}.png",
            disposition="inline",
        )


def _attach_documents(mail: EmailMessage, event: OrderConfirmed, link: str) -> None:
    name = "".join(each for each in event.number if each.isalnum() or each == "-")
    mail.add_attachment(documents.tickets_pdf(event), "application", "pdf", filename=f"tickets-{name}.pdf")
    mail.add_attachment(
        documents.calendar(event, link),
        "text",
        "calendar",
        filename=f"concert-{name}.ics",
        params={"method": "PUBLISH", "charset": "utf-8"},
    )
