"""Searches and page tokens, without any server."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.catalog.domain import Concert, Venue
from services.catalog.search import (
    ConcertQuery,
    PageKey,
    Sort,
    _checksum,
    concert_query,
    fold,
    like_pattern,
    page_token,
)
from services.defaults.errors import Invalid

VENUE = Venue(uuid4(), "Hall", "Zürich", "CH", "Street 1", "Europe/Zurich")
CONCERT = Concert(
    id=uuid4(),
    slug="s",
    title="Élan",
    artist="A",
    genre="Rock",
    description="",
    starts_at=datetime(2030, 1, 2, 20, 30, 0, 123456, tzinfo=UTC),
    doors_at=None,
    on_sale_at=datetime(2029, 1, 1, tzinfo=UTC),
    title_key="elan",
    sort_price_minor=4200,
    venue=VENUE,
    tiers=(),
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Łódź   Straße ", "lodz strasse"),
        ("KØBENHAVN", "kobenhavn"),
        ("Cœur", "coeur"),
        ("İstanbul", "istanbul"),
        ("", ""),
    ],
)
def test_text_is_compared_without_capitals_accents_and_extra_spaces(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_wildcards_are_taken_literally() -> None:
    assert like_pattern(r"50%_\x") == r"%50\%\_\\x%"


def test_searches_that_mean_the_same_are_equal() -> None:
    one = concert_query(text="Night  FERRIES", city="Zürich", genre="ROCK")
    assert one == concert_query(text="ferries night night", city=" zurich", genre="rock", page_size=20)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"text": "x" * 101}, "text"),
        ({"city": "x" * 101}, "city"),
        ({"genre": "x" * 101}, "genre"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 101}, "page_size"),
        ({"from_date": "tomorrow"}, "from_date"),
        ({"from_date": "2030-02-30"}, "from_date"),
        ({"from_date": "2030-W01-1"}, "from_date"),
        ({"to_date": "2030-1-1"}, "to_date"),
        ({"to_date": "٢٠٣٠-٠١-٠١"}, "to_date"),
        ({"from_date": "2030-01-02", "to_date": "2030-01-01"}, "to_date"),
        ({"page_token": "nonsense"}, "page_token"),
        ({"page_token": "é"}, "page_token"),
        ({"page_token": "A" * 10_001}, "page_token"),
    ],
)
def test_a_search_out_of_bounds_is_refused_by_field(wrong: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        concert_query(**wrong)  # type: ignore[arg-type]  # the names are those above
    assert list(caught.value.fields) == [field]


def test_dates_are_read() -> None:
    query = concert_query(from_date="2030-01-01", to_date="2030-01-01")
    assert (query.from_date, query.to_date) == (date(2030, 1, 1), date(2030, 1, 1))


@pytest.mark.parametrize(("sort", "value"), [(Sort.DATE, CONCERT.starts_at), (Sort.PRICE, 4200), (Sort.TITLE, "elan")])
def test_a_token_leads_to_where_its_page_ended(sort: Sort, value: object) -> None:
    token = page_token(concert_query(sort=sort), CONCERT)
    assert concert_query(sort=sort, page_token=token).after == PageKey(value, CONCERT.id)  # type: ignore[arg-type]  # one of the three


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=200))
@example("Rock\u00adnight")  # a soft hyphen
@example("\U0001f468\u200d\U0001f469\u200d\U0001f467")  # a family, held together by what nobody sees
@example("\ud55c" * 200)  # each is taken apart into three letters
@example("\ufdfa" * 200)  # and this one into eighteen: none into more
def test_a_title_of_any_text_makes_a_good_token(title: str) -> None:
    query = concert_query(sort=Sort.TITLE)
    concert = replace(CONCERT, title_key=fold(title))
    after = concert_query(sort=Sort.TITLE, page_token=page_token(query, concert)).after
    assert after == PageKey(concert.title_key, CONCERT.id)


@given(st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = page_token(concert_query(), CONCERT)
    at = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that mean nothing
    other = data.draw(st.sampled_from("abcXYZ019-_").filter(lambda char: char != token[at]))
    with pytest.raises(Invalid):
        concert_query(page_token=token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("other", [{"sort": Sort.PRICE}, {"text": "jazz"}, {"available_only": True}])
def test_a_token_is_good_for_its_own_search_alone(other: dict[str, object]) -> None:
    token = page_token(concert_query(), CONCERT)
    with pytest.raises(Invalid):
        concert_query(page_token=token, **other)  # type: ignore[arg-type]  # the names are those above


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        (Sort.DATE, 10**30),
        (Sort.DATE, -(10**30)),
        (Sort.DATE, "x"),
        (Sort.PRICE, 2**63),
        (Sort.PRICE, -1),
        (Sort.PRICE, 1.5),
        (Sort.TITLE, 7),
        (Sort.TITLE, "a\x00b"),
        (Sort.TITLE, "a\ud800"),
        (Sort.TITLE, None),
    ],
)
def test_a_forged_token_with_an_impossible_value_is_refused(sort: Sort, value: object) -> None:
    with pytest.raises(Invalid):
        concert_query(sort=sort, page_token=forge(concert_query(sort=sort), [value, uuid4().hex]))


@pytest.mark.parametrize("rest", [[], ["x"], [1, 2], [1, "no uuid"], [1, uuid4().hex, 3]])
def test_a_forged_token_of_another_shape_is_refused(rest: list[object]) -> None:
    with pytest.raises(Invalid):
        concert_query(page_token=forge(concert_query(), rest))


def test_a_forged_token_of_deep_brackets_is_refused() -> None:
    with pytest.raises(Invalid):
        concert_query(page_token=seal(b"[" * 7000))


def forge(query: ConcertQuery, rest: list[object]) -> str:
    return seal(json.dumps([query.digest, *rest]).encode())


def seal(payload: bytes) -> str:
    return base64.urlsafe_b64encode(_checksum(payload) + payload).decode().rstrip("=")
