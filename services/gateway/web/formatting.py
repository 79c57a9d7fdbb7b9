"""Money, dates and times in the reader's format. The words of the pages are English."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import get_locale_identifier, parse_locale
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_currency, format_decimal, get_currency_precision

from services.gateway.web.views import Money

DEFAULT_LOCALE = Locale("en", "GB")
# Not all that Babel knows. It keeps what it finds for one locale where all look that have nothing of their own there
# (LocaleDataDict.__getitem__, 2.18), so that one with gaps (wa, io) would spoil the dates of those loaded after it.
_WELL_COVERED = (
    "ar bg ca cs da de de_AT de_CH el en_AU en_CA en_GB en_IE en_IN en_NZ en_US en_ZA es es_AR es_MX es_US et eu fa fi "
    "fr fr_BE fr_CA fr_CH ga gl he hi hr hu id is it it_CH ja ko lb lt lv mt nb nl nl_BE no pl pt pt_BR pt_PT ro ru sk "
    "sl sq sr sr_Latn sv sv_FI th tr uk vi zh zh_HK zh_TW"
)
OFFERED = frozenset(_WELL_COVERED.split())
_LETTERS_BEFORE_DIGITS = re.compile(r"[A-Za-z](?=\d)")
MAX_HEADER_CHARS = 200  # of Accept-Language; browsers send well under 100


@dataclass(frozen=True)
class Reader:
    """How one reader writes money and time."""

    locale: Locale

    @cached_property
    def lang(self) -> str:
        """The BCP 47 tag of what this reader's formats produce."""
        return str(self.locale).replace("_", "-")

    def money(self, money: Money) -> str:
        """€98.00, or 98,00 € where people write it so."""
        amount = Decimal(money.amount_minor).scaleb(-get_currency_precision(money.currency))
        written = format_currency(amount, money.currency, locale=self.locale)
        # CLDR sets a space between letters and digits (UTS 35, currencySpacing); Babel leaves it out.
        return _LETTERS_BEFORE_DIGITS.sub("\\g<0>\N{NO-BREAK SPACE}", written)

    def number(self, number: int) -> str:
        return format_decimal(number, locale=self.locale)

    def day(self, moment: datetime, zone: ZoneInfo) -> str:
        """Fri 12 Dec."""
        return _without_comma(format_skeleton("MMMEd", moment, tzinfo=zone, locale=self.locale))

    def long_day(self, moment: datetime, zone: ZoneInfo) -> str:
        """Friday, 12 December 2025."""
        return format_date(moment.astimezone(zone).date(), "full", locale=self.locale)

    def clock(self, moment: datetime, zone: ZoneInfo) -> str:
        """20:00, or 8:00 pm where people say so."""
        return format_time(moment, "short", tzinfo=zone, locale=self.locale)

    def day_and_time(self, moment: datetime, zone: ZoneInfo) -> str:
        """Fri 12 Dec, 20:00."""
        return f"{self.day(moment, zone)}, {self.clock(moment, zone)}"

    def plain_day(self, day: date) -> str:
        """12 Dec 2025, of a calendar day without a zone."""
        return format_skeleton("yMMMd", day, locale=self.locale)


@lru_cache(maxsize=512)
def reader_for(accept_language: str) -> Reader:
    """The reader's formats from an `Accept-Language` header (RFC 9110, 12.5.4); British where it names none we have."""
    for tag in _preferred(accept_language[:MAX_HEADER_CHARS]):
        locale = _known(tag)
        if locale:
            return Reader(locale)
    return Reader(DEFAULT_LOCALE)


def countdown_words(left: timedelta) -> str:
    """How long a hold still lasts, rounded down to what can be relied on: "9 minutes"."""
    minutes, seconds = divmod(int(left.total_seconds()), 60)
    if minutes:
        return f"{minutes} minute{'s' if minutes != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"


def zone_name(zone: ZoneInfo) -> str:
    """The place that a zone is named for: "Berlin" of Europe/Berlin."""
    return zone.key.rpartition("/")[2].replace("_", " ")


def _preferred(header: str) -> list[str]:
    weighted: list[tuple[float, str]] = []
    for part in header.split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = _weight(parameters)
        if tag and weight > 0:
            weighted.append((weight, tag.strip()))
    # Sorting is stable: equal weights keep the order of the header.
    return [tag for _, tag in sorted(weighted, key=lambda entry: -entry[0])]


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _known(tag: str) -> Locale | None:
    try:
        parts = parse_locale(tag, sep="-")
    except ValueError:
        return None
    for identifier in (get_locale_identifier(parts), parts[0]):
        if identifier in OFFERED:
            return Locale.parse(identifier)
    return DEFAULT_LOCALE if parts[0] == "en" else None


def _without_comma(text: str) -> str:
    """People write "Fri 12 Dec"; CLDR puts a comma after the English weekday."""
    return text.replace(", ", " ", 1) if text[:1].isascii() and text.find(",") == text.find(" ") - 1 else text
