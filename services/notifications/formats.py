"""Dates and money as people write them, in English and in the venue's time."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_currency, get_currency_precision

from services.contracts import ConcertInfo
from services.notifications.domain import one_line

LOCALE = "en_GB"
LONG = "EEEE d MMMM y, HH:mm"
CLOCK = "HH:mm"


def money(amount_minor: int, currency: str) -> str:
    """An amount in minor units of an ISO 4217 currency, as in "€98.00"."""
    amount = Decimal(amount_minor).scaleb(-get_currency_precision(currency))
    return str(format_currency(amount, currency, locale=LOCALE))


def concert_time(moment: datetime, concert: ConcertInfo) -> str:
    """As in "Friday 12 December 2025, 20:00", where the concert is."""
    return str(format_datetime(moment, LONG, tzinfo=_zone(concert), locale=LOCALE))


def clock_time(moment: datetime, concert: ConcertInfo) -> str:
    """As in "20:00"."""
    return str(format_datetime(moment, CLOCK, tzinfo=_zone(concert), locale=LOCALE))


def deadline(moment: datetime, concert: ConcertInfo) -> str:
    """As in "20:15, Berlin time": a reader may live in another zone than the venue."""
    where = "UTC" if _zone(concert).key == "UTC" else f"{one_line(concert.city) or 'local'} time"
    return f"{clock_time(moment, concert)}, {where}"


def place(concert: ConcertInfo) -> str:
    """As in "Columbiahalle, Columbiadamm 13, Berlin"; an address that names the city needs it no second time."""
    venue, address, city = (one_line(part) for part in (concert.venue, concert.address, concert.city))
    parts = (venue, address, "" if city in address else city)
    return ", ".join(part for part in parts if part)


def _zone(concert: ConcertInfo) -> ZoneInfo:
    """The venue's zone, or UTC: a zone that this machine does not know must not cost anyone their tickets."""
    try:
        return ZoneInfo(concert.time_zone)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; the others are odd names
        return ZoneInfo("UTC")
