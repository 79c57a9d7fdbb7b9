from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from services.defaults.errors import Invalid
from services.gateway.web.formatting import reader_for
from services.gateway.web.listing import Search, chips, parse_search, pick_rows
from services.gateway.web.views import Card, SaleState
from tests.gateway.fakes import NOW, make_concert


def parse(address: str) -> Search:
    return parse_search(MultiDict(parse_qsl(urlsplit(address).query, keep_blank_values=True)))


def make_card(number: int, **changes: Any) -> Card:
    return Card.model_validate({**make_concert(number), "saleState": "ON_SALE", **changes})


FILTERS = "text=Night+1&city=Berlin&genre=Rock&from=2030-06-01&to=2030-07-01&available=1&sort=price"
FULL = f"/concerts?{FILTERS}&after=c3&back=&back=c2"


def test_an_address_says_everything_and_nothing_else() -> None:
    assert parse(FULL).address() == FULL
    assert parse("/concerts?sort=date&text=&city=&available=0").address() == "/concerts"


@given(text=st.text(max_size=40), cursor=st.text(max_size=20, alphabet=st.characters(codec="ascii")))
def test_every_search_survives_its_own_address(text: str, cursor: str) -> None:
    try:
        search = parse_search(MultiDict([("text", text), ("after", cursor)]))
    except Invalid:
        return
    assert parse(search.address()) == search


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=tomorrow", "from"),
        ("to=2030-13-01", "to"),
        ("from=2030-W01-1", "from"),
        ("from=20300101", "from"),
        ("from=2030-06-02&to=2030-06-01", "to"),
        ("text=" + "a" * 101, "text"),
        ("city=a%00b", "city"),
        ("sort=cheap", "sort"),
    ],
)
def test_what_cannot_be_searched_is_named(query: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(f"/concerts?{query}")
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize("cursor", ["a" * 501, "ä"])
def test_a_cursor_that_cannot_be_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        parse_search(MultiDict({"after": cursor}))


def test_pages_lead_on_and_back() -> None:
    first = Search(city="Berlin")
    third = first.following("c2").following("c3")
    assert first.preceding() is None
    assert third.preceding() == first.following("c2")
    assert first.following("c2").preceding() == first
    assert parse(third.address()) == third


def test_each_filter_can_be_taken_off_alone() -> None:
    search = parse(FULL)
    found = {chip.label: chip.without for chip in chips(search, reader_for("en"))}
    assert set(found) == {"“Night 1”", "Berlin", "Rock", "from 1 Jun 2030", "until 1 Jul 2030", "Tickets available"}
    assert found["Berlin"] == f"/concerts?{FILTERS.replace('&city=Berlin', '')}"


def test_the_home_page_shows_each_concert_once() -> None:
    cards = [make_card(number, available=5 if number % 4 == 0 else 100 + number) for number in range(1, 40)]
    rows = pick_rows(cards, NOW)
    shown = [c.id for row in (rows.this_week, rows.nearly_gone, rows.new) for c in row]
    assert rows.featured
    assert len(shown) == len(set(shown))
    assert rows.featured.id not in shown
    assert [c.starts_at - NOW for c in rows.this_week] == [timedelta(days=n) for n in range(1, 7)]
    assert all(c.state is SaleState.FEW_LEFT for c in rows.nearly_gone)
    assert [(city.name, city.count) for city in rows.cities] == [("Berlin", 39)]


def test_only_what_can_be_bought_is_put_forward() -> None:
    gone = make_card(1, available=0, saleState="SOLD_OUT")
    later = make_card(2, saleState="NOT_YET", onSaleAt=NOW + timedelta(days=1))
    over = make_card(3, startsAt=NOW - timedelta(hours=1), saleState="ENDED")
    rows = pick_rows([gone, later, over], NOW)
    assert rows.featured is None
    assert [*rows.new, *rows.nearly_gone] == []
    assert [c.id for c in rows.this_week] == [gone.id, later.id]


def test_an_empty_house_is_no_error() -> None:
    rows = pick_rows([], NOW)
    assert rows.featured is None
    assert not rows.cities
