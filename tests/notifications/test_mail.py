"""Mails as they leave: readable, complete, and closed to what strangers put into names."""

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts import ConcertInfo, Envelope, OrderEvent, decode, encode
from services.notifications.documents import QR_BORDER, QR_SCALE
from services.notifications.mail import Composer, Undeliverable
from tests.contracts import samples
from tests.notifications.qr_reader import read_qr

NOW = samples.ORDERED_AT + timedelta(minutes=1)
COMPOSER = Composer(mail_from="TicketFlow <tickets@shop.test>", public_url="https://shop.test/")
ATTACK = '"><script>alert(1)</script>'


texts = st.text(st.characters(codec="utf-8"), max_size=120)


def envelope(event: OrderEvent) -> Envelope:
    return decode(encode(event, event_id="evt-1", time=samples.ORDERED_AT))


def sent(event: OrderEvent) -> EmailMessage:
    """The mail as its recipient's program reads it."""
    mail = COMPOSER.compose(envelope(event), now=NOW)
    received = BytesParser(policy=default).parsebytes(bytes(mail))
    assert isinstance(received, EmailMessage)
    return received


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class Tags(HTMLParser):
    """The tags and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


def test_headers() -> None:
    mail = sent(samples.confirmed())
    assert mail["From"] == "TicketFlow <tickets@shop.test>"
    assert mail["To"] == "Ada Lovelace <ada@example.com>"
    assert mail["Message-ID"] == "<evt-1@shop.test>"
    assert mail["Subject"] == "Your 3 tickets for Nachtfahrt: The Long Way Home"
    assert mail["Date"].datetime == NOW
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_held_order_can_be_paid_from_the_mail() -> None:
    mail = sent(samples.created())
    link = f"https://shop.test/orders/{samples.created().order_id}"
    assert "held until 13:15, Berlin time" in mail["Subject"]
    assert link in body(mail, "plain")
    assert link in Tags(body(mail, "html")).links
    assert list(mail.iter_attachments()) == []


@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize("make", [samples.created, samples.confirmed, samples.cancelled])
def test_every_mail_tells_the_order(make: Callable[[], OrderEvent], kind: str) -> None:
    text = body(sent(make()), kind)
    for fact in (
        "Hello Ada Lovelace",
        "Nachtfahrt: The Long Way Home",
        "Friday 17 April 2026, 20:00",
        "doors 19:00",
        "Columbiahalle, Columbiadamm 13, Berlin",
        "TF-7Q4K2M",
        "€98.00",
        "€133.00",
    ):
        assert fact in text


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_a_confirmation_shows_every_code(kind: str) -> None:
    text = body(sent(samples.confirmed()), kind)
    for ticket in samples.TICKETS:
        assert ticket.code in text
    assert "Left, row C, seat 14" in text
    assert "General admission" in text


def test_a_confirmation_carries_the_codes_as_pictures() -> None:
    mail = sent(samples.confirmed())
    pictures = {part["Content-ID"].strip("<>"): part for part in mail.walk() if part["Content-ID"]}
    shown = [link.removeprefix("cid:") for link in Tags(body(mail, "html")).links if link.startswith("cid:")]
    read = [read_qr(pictures[cid].get_content(), scale=QR_SCALE, border=QR_BORDER) for cid in shown]
    assert read == [ticket.code for ticket in samples.TICKETS]


def test_a_confirmation_attaches_pdf_and_calendar() -> None:
    attached = {part.get_content_type(): part for part in sent(samples.confirmed()).iter_attachments()}
    assert set(attached) == {"application/pdf", "text/calendar"}
    assert attached["application/pdf"].get_filename() == "tickets-TF-7Q4K2M.pdf"
    assert attached["text/calendar"].get_filename() == "concert-TF-7Q4K2M.ics"
    assert attached["text/calendar"].get_param("method") == "PUBLISH"


def test_a_cancellation_says_why_and_leads_back_to_the_concert() -> None:
    mail = sent(samples.cancelled())
    assert "€133.00 goes back to the card" in body(mail, "plain")
    assert "gone before your payment" in body(mail, "html")
    assert "https://shop.test/concerts/nachtfahrt-berlin" in Tags(body(mail, "html")).links


def test_lines_fit_a_terminal_and_the_wire() -> None:
    mail = COMPOSER.compose(envelope(samples.confirmed()), now=NOW)
    assert all(len(line) <= 78 for line in bytes(mail).split(b"\r\n"))
    assert b"\n" not in bytes(mail).replace(b"\r\n", b"")


def test_markup_in_any_field_stays_text() -> None:
    clean = Tags(body(sent(samples.confirmed()), "html"))
    concert = ConcertInfo(
        **{**vars(samples.CONCERT), "title": ATTACK, "artist": ATTACK, "venue": ATTACK, "address": ATTACK}
    )
    tickets = tuple(each.__class__(**{**vars(each), "tier": ATTACK, "seat": ATTACK}) for each in samples.TICKETS)
    hostile = Tags(body(sent(samples.confirmed(name=ATTACK, concert=concert, tickets=tickets)), "html"))
    assert hostile.tags == clean.tags
    assert hostile.links == clean.links


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\u2028", "\x0b", "\x85"])
def test_a_name_cannot_add_headers_or_lines(ending: str) -> None:
    name = f"Ada{ending}Bcc: victim@example.com{ending}{ending}Injected"
    concert = ConcertInfo(**{**vars(samples.CONCERT), "title": f"Show{ending}Bcc: victim@example.com"})
    mail = sent(samples.created(name=name, concert=concert, number=f"N{ending}Bcc: x@y.test"))
    assert set(mail.keys()) == set(sent(samples.created()).keys())
    assert [address.addr_spec for address in mail["To"].addresses] == ["ada@example.com"]
    assert not any(line.startswith(("Bcc:", "Injected")) for line in body(mail, "plain").splitlines())


@pytest.mark.parametrize(
    "email", ["ada@example.com\r\nBcc: x@y.test", "ada@example.com, x@y.test", "no-address", "a b@c.test", "<@>"]
)
def test_an_address_that_is_none_is_refused(email: str) -> None:
    with pytest.raises(Undeliverable):
        sent(samples.created(email=email))


@settings(max_examples=30)
@given(name=texts, title=texts, city=texts, zone=texts)
def test_no_text_breaks_a_mail(name: str, title: str, city: str, zone: str) -> None:
    concert = ConcertInfo(**{**vars(samples.CONCERT), "title": title, "city": city, "time_zone": zone})
    mail = COMPOSER.compose(envelope(samples.created(name=name, concert=concert)), now=NOW)
    received = BytesParser(policy=default).parsebytes(bytes(mail))
    assert [address.addr_spec for address in received["To"].addresses] == ["ada@example.com"]


def test_an_unknown_zone_falls_back_to_utc() -> None:
    concert = ConcertInfo(**{**vars(samples.CONCERT), "time_zone": "Atlantis/Capital"})
    assert "Friday 17 April 2026, 18:00" in body(sent(samples.created(concert=concert)), "plain")
    assert "held until 12:15, UTC" in sent(samples.created(concert=concert))["Subject"]


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "€133.00"), ("JPY", "JP¥13,300"), ("KWD", "KWD13.300")])
def test_money_has_its_currency_s_digits(currency: str, shown: str) -> None:
    text = body(sent(samples.created(currency=currency)), "plain").replace("\xa0", " ")
    assert f"Total  {shown}" in text
