from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel import Locale, localedata
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.web.formatting import OFFERED, Reader, countdown_words, reader_for, zone_name
from services.gateway.web.views import Money

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = datetime(2025, 12, 12, 19, 0, tzinfo=UTC)
PRICE = Money(amount_minor=123456, currency="EUR")


@pytest.mark.parametrize(
    ("header", "when", "price"),
    [
        ("", "Fri 12 Dec, 20:00", "€1,234.56"),
        ("en", "Fri 12 Dec, 20:00", "€1,234.56"),
        ("en-US,en;q=0.9", "Fri Dec 12, 8:00\u202fPM", "€1,234.56"),
        ("de-DE,de;q=0.9,en;q=0.5", "Fr. 12. Dez., 20:00", "1.234,56\xa0€"),
        ("nl", "vr 12 dec, 20:00", "€\xa01.234,56"),
    ],
)
def test_the_reader_gets_their_own_format(header: str, when: str, price: str) -> None:
    reader = reader_for(header)
    assert reader.day_and_time(EVENING, BERLIN) == when
    assert reader.money(PRICE) == price


def test_the_time_is_the_venues() -> None:
    assert reader_for("en").clock(EVENING, ZoneInfo("Europe/Lisbon")) == "19:00"
    assert reader_for("en").long_day(datetime(2025, 12, 12, 23, 30, tzinfo=UTC), BERLIN) == "Saturday, 13 December 2025"


def test_minor_units_are_the_currencys() -> None:
    assert reader_for("en-US").money(Money(amount_minor=5000, currency="JPY")) == "¥5,000"
    assert reader_for("en").money(Money(amount_minor=9800, currency="EUR")) == "€98.00"
    assert reader_for("en").money(Money(amount_minor=14900, currency="PLN")) == "PLN\xa0149.00"


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("fr;q=0.3, sv;q=0.9", "sv"),
        ("xx-yy, sv;q=0.2", "sv"),
        ("de;q=0, fr", "fr"),
        ("en;q=abc, de", "de"),
        ("*", "en-GB"),
        ("../../etc/passwd", "en-GB"),
        ("a" * 5000, "en-GB"),
        ("en, de;q=0.5", "en-GB"),
        ("en-SG, de;q=0.5", "en-GB"),
        ("de-LI", "de"),
        ("zh-TW", "zh-Hant-TW"),
        ("wa, io;q=0.9, ko;q=0.8", "ko"),
        ("wa", "en-GB"),
    ],
)
def test_the_most_wanted_known_language_wins(header: str, lang: str) -> None:
    assert reader_for(header).lang == lang


def samples(reader: Reader) -> list[str]:
    """What a reader is shown in the course of a year."""
    evenings = [EVENING.replace(month=month, day=month) for month in (2, 5, 8, 11)]
    days = [(reader.day_and_time(day, BERLIN), reader.long_day(day, BERLIN)) for day in evenings]
    return [text for pair in days for text in pair] + [reader.plain_day(EVENING.date()), reader.money(PRICE)]


def test_no_reader_spoils_the_formats_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {}
    for name in sorted(OFFERED):
        monkeypatch.setattr(localedata, "_cache", {})  # as in a process that has just begun
        alone[name] = samples(Reader(Locale.parse(name)))
    for order in (sorted(alone), sorted(alone, reverse=True)):
        monkeypatch.setattr(localedata, "_cache", {})
        for name in order * 2:
            assert samples(Reader(Locale.parse(name))) == alone[name], name


def test_a_locale_with_gaps_would_spoil_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    shown = []
    for first in ("ko", "wa"):
        monkeypatch.setattr(localedata, "_cache", {})
        samples(Reader(Locale.parse(first)))
        shown.append(samples(Reader(Locale.parse("ko"))))
    assert shown[0] != shown[1]


@given(st.text(max_size=80))
def test_no_header_breaks_a_page(header: str) -> None:
    assert reader_for(header).plain_day(date(2025, 12, 1))


def test_what_is_left_is_never_promised_too_long() -> None:
    assert countdown_words(timedelta(minutes=9, seconds=59)) == "9 minutes"
    assert countdown_words(timedelta(minutes=1, seconds=1)) == "1 minute"
    assert countdown_words(timedelta(seconds=1)) == "1 second"
    assert countdown_words(timedelta()) == "0 seconds"


def test_a_zone_is_called_by_its_city() -> None:
    assert zone_name(ZoneInfo("America/New_York")) == "New York"
