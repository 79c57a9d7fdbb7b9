"""A confirmed order as a calendar entry (RFC 5545)."""

from datetime import datetime, timedelta

from icalendar import Calendar, Event

from services.gateway.web.views import Order, OrderConcert

USUAL_LENGTH = timedelta(hours=3)  # a concert's end is not announced; calendars need one


def calendar_file(order: Order, concert: OrderConcert, address: str, now: datetime) -> bytes:
    """One event; `address` leads back to the order. The same order gives the same UID, so it is never doubled."""
    event = Event()
    event.add("uid", f"{order.id}@ticketflow")
    event.add("dtstamp", now)
    event.add("dtstart", concert.starts_at)
    event.add("dtend", concert.starts_at + USUAL_LENGTH)
    event.add("summary", concert.title)
    event.add("location", f"{concert.venue.name}, {concert.venue.whereabouts}")
    event.add("description", f"Order {order.number}, {order.quantity} × tickets. {address}")
    event.add("url", address)
    calendar = Calendar()
    calendar.add("prodid", "-//TicketFlow//Tickets//EN")
    calendar.add("version", "2.0")
    calendar.add_component(event)
    return bytes(calendar.to_ical())
