"""What is attached, read back by other means than those that wrote it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from icalendar import Calendar, Event

from services.contracts import ConcertInfo
from services.notifications.documents import QR_BORDER, QR_SCALE, calendar, qr_png, tickets_pdf
from tests.contracts import samples
from tests.notifications.qr_reader import read_qr

LINK = "https://shop.test/orders/1"


@pytest.mark.parametrize("code", ["TF-8F3K-22QP-XJ7W", "tf_lower-case.code", "A"])
def test_the_qr_code_says_the_ticket_s_code(code: str) -> None:
    assert read_qr(qr_png(code), scale=QR_SCALE, border=QR_BORDER) == code


def test_the_calendar_holds_the_evening() -> None:
    event = samples.confirmed()
    parsed = Calendar.from_ical(calendar(event, LINK).decode())
    (entry,) = parsed.walk("VEVENT")
    assert isinstance(entry, Event)
    assert entry.start == datetime(2026, 4, 17, 18, 0, tzinfo=UTC)
    assert entry.duration > timedelta(0)
    assert str(entry["summary"]) == "Nachtfahrt: The Long Way Home"
    assert str(entry["location"]) == "Columbiahalle, Columbiadamm 13, Berlin"
    assert str(entry["uid"]).startswith(event.order_id)
    assert "Left, row C, seat 14" in str(entry["description"])


def test_a_title_cannot_add_lines_to_the_calendar() -> None:
    concert = ConcertInfo(**{**vars(samples.CONCERT), "title": "A\r\nBEGIN:VALARM\r\nTRIGGER:-P1D"})
    text = calendar(samples.confirmed(concert=concert), LINK).decode()
    assert not re.search(r"^BEGIN:VALARM", text, re.MULTILINE)


def test_the_pdf_has_a_page_for_each_ticket() -> None:
    pdf = tickets_pdf(samples.confirmed())
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == len(samples.TICKETS)


def test_the_same_event_makes_the_same_pdf() -> None:
    assert tickets_pdf(samples.confirmed()) == tickets_pdf(samples.confirmed())


@pytest.mark.parametrize("title", ["Кино", "Ελλάδα", "椎名林檎", "🎸 Live 🎸", "x" * 2000, "", "\x00\x1b[31m"])
def test_the_pdf_takes_any_title(title: str) -> None:
    concert = ConcertInfo(**{**vars(samples.CONCERT), "title": title})
    assert tickets_pdf(samples.confirmed(concert=concert)).startswith(b"%PDF-")
