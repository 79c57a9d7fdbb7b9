"""What is attached to a confirmation: QR codes, the tickets as a PDF, and the date for a calendar."""

import io
from datetime import UTC, timedelta
from pathlib import Path

import segno
from fpdf import FPDF
from icalendar import Calendar, Event

from services.contracts import OrderConfirmed, TicketInfo
from services.notifications.domain import display_name, one_line, seat_label
from services.notifications.formats import clock_time, concert_time, place

FONTS = Path(__file__).parent / "fonts"
# Nobody announces an end; without one a calendar shows no span at all.
CONCERT_LENGTH = timedelta(hours=3)
A5_MM = (148, 210)
QR_SCALE = 6  # pixels a module
QR_BORDER = 4  # modules: the quiet zone of ISO/IEC 18004
TEXT_LIMIT = 90  # characters of a title on a ticket: three lines at most
QR_SIDE_MM = 76.0

INK = (23, 21, 31)
MUTED = (94, 90, 105)
PAPER_TINT = (246, 243, 238)
ACCENT = (199, 62, 29)


def qr_png(code: str) -> bytes:
    """The code as a QR image; error correction M survives a creased print."""
    out = io.BytesIO()
    segno.make_qr(code, error="m").save(out, kind="png", scale=QR_SCALE, border=QR_BORDER)
    return out.getvalue()


def calendar(event: OrderConfirmed, link: str) -> bytes:
    """The concert as an iCalendar (RFC 5545) file; its UID is the order's, so a second one replaces the first."""
    entry = Event()
    entry.add("uid", f"{event.order_id}@ticketflow")
    entry.add("dtstamp", event.confirmed_at.astimezone(UTC))
    entry.add("dtstart", event.concert.starts_at.astimezone(UTC))
    entry.add("dtend", event.concert.starts_at.astimezone(UTC) + CONCERT_LENGTH)
    entry.add("summary", one_line(event.concert.title))
    entry.add("location", place(event.concert))
    entry.add("url", link)
    tickets = "\n".join(f"{one_line(ticket.tier)}: {seat_label(ticket)}" for ticket in event.tickets)
    entry.add("description", f"Order {one_line(event.number)}\n{tickets}\n{link}")
    result = Calendar()
    result.add("prodid", "-//TicketFlow//Tickets//EN")
    result.add("version", "2.0")
    result.add("method", "PUBLISH")
    result.add_component(entry)
    return bytes(result.to_ical())


def tickets_pdf(event: OrderConfirmed) -> bytes:
    """One A5 page for each ticket, to print or to show."""
    pdf = FPDF(format=A5_MM)
    pdf.set_title(f"Tickets {one_line(event.number)}")
    pdf.set_creation_date(event.confirmed_at)  # the same event makes the same file
    pdf.set_auto_page_break(auto=False)
    _choose_font(pdf, event)
    for number, ticket in enumerate(event.tickets, start=1):
        pdf.add_page()
        _draw_head(pdf, event)
        _draw_seat(pdf, ticket)
        _draw_code(pdf, ticket)
        _draw_foot(pdf, event, f"Ticket {number} of {len(event.tickets)}")
    return bytes(pdf.output())


def _choose_font(pdf: FPDF, event: OrderConfirmed) -> None:
    """One of PDF's own fonts where it knows all letters, which are Latin-1's; embedding another costs 0.3 s."""
    concert = event.concert
    shown = [concert.title, concert.artist, place(concert), event.name, event.number]
    shown += [text for ticket in event.tickets for text in (ticket.tier, seat_label(ticket), ticket.code)]
    try:
        one_line("".join(shown)).encode("latin-1")
    except UnicodeEncodeError:
        pdf.add_font("dejavu", "", FONTS / "DejaVuSans.ttf")
        pdf.add_font("dejavu", "B", FONTS / "DejaVuSans-Bold.ttf")
        pdf.set_font("dejavu")
    else:
        pdf.set_font("helvetica")


def _draw_head(pdf: FPDF, event: OrderConfirmed) -> None:
    concert = event.concert
    pdf.set_fill_color(*INK)
    pdf.rect(0, 0, pdf.w, 5, style="F")
    pdf.set_fill_color(*ACCENT)
    pdf.rect(0, 5, pdf.w, 1, style="F")
    pdf.set_y(14)
    _line(pdf, concert.title, size=17, bold=True)
    _line(pdf, concert.artist, size=11, colour=MUTED)
    pdf.ln(2)
    _line(pdf, concert_time(concert.starts_at, concert), size=11, bold=True)
    if concert.doors_at:
        _line(pdf, f"Doors {clock_time(concert.doors_at, concert)}", size=9, colour=MUTED)
    _line(pdf, place(concert), size=9, colour=MUTED)


def _draw_seat(pdf: FPDF, ticket: TicketInfo) -> None:
    top = max(pdf.get_y() + 4, 60.0)
    pdf.set_fill_color(*PAPER_TINT)
    pdf.rect(pdf.l_margin, top, pdf.epw, 21, style="F")
    pdf.set_y(top + 3)
    _line(pdf, ticket.tier, size=9, colour=MUTED, align="C")
    _line(pdf, seat_label(ticket), size=14, bold=True, align="C")


def _draw_code(pdf: FPDF, ticket: TicketInfo) -> None:
    top = pdf.get_y() + 8
    left = (pdf.w - QR_SIDE_MM) / 2
    pdf.image(io.BytesIO(qr_png(ticket.code)), x=left, y=top, w=QR_SIDE_MM, h=QR_SIDE_MM)
    pdf.set_y(top + QR_SIDE_MM)
    _line(pdf, ticket.code, size=10, bold=True, align="C")


def _draw_foot(pdf: FPDF, event: OrderConfirmed, which: str) -> None:
    pdf.set_y(pdf.h - 24)
    _line(pdf, f"{display_name(event.name)} · order {event.number} · {which}", size=8, align="C")
    _line(pdf, "This code admits one person, once. Do not share a picture of it.", size=8, colour=MUTED, align="C")


def _line(
    pdf: FPDF,
    text: str,
    *,
    size: float,
    bold: bool = False,
    colour: tuple[int, int, int] = INK,
    align: str = "L",
) -> None:
    text = one_line(text)
    text = text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 3]}..."
    pdf.set_font(pdf.font_family, "B" if bold else "", size)
    pdf.set_text_color(*colour)
    pdf.multi_cell(0, size * 0.5, text, align=align, new_x="LMARGIN", new_y="NEXT")
