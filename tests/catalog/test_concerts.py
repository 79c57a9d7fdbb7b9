"""Reading concerts, on a real Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.catalog.domain import Concert, Left, Seating
from services.catalog.search import Sort, concert_query, page_token
from services.catalog.service import Holds
from services.catalog.store.concerts import Concerts
from services.defaults.database import Database
from tests.catalog.support import VENUE, a_concert, a_request, general, lapse, publish, seated

LISBON = replace(VENUE, id=uuid4(), name="Armazém", city="Lisbon", time_zone="Europe/Lisbon")
AUCKLAND = replace(VENUE, id=uuid4(), name="The Shed", city="Auckland", time_zone="Pacific/Auckland")


async def found(concerts: Concerts, **search: Any) -> list[str]:
    return [concert.slug for concert in (await concerts.list_concerts(concert_query(**search)))[0]]


async def test_a_concert_is_read_whole(database: Database, concerts: Concerts) -> None:
    tiers = [general(10, sold=4), seated(3, 3)]
    made = await publish(database, a_concert(*tiers))
    concert = await concerts.get_concert(made.slug)
    assert concert is not None
    assert concert == await concerts.get_concert(made.id)
    assert (concert.title, concert.starts_at, concert.venue.name) == (made.title, made.starts_at, VENUE.name)
    assert [(tier.seating, tier.capacity, tier.available) for tier in concert.tiers] == [
        (Seating.GENERAL, 10, 6),
        (Seating.SEATED, 6, 6),
    ]
    assert (concert.available, concert.cheapest.price_minor) == (12, 2500)


async def test_an_unknown_concert_is_nothing(concerts: Concerts) -> None:
    assert await concerts.get_concert(uuid4()) is None
    assert await concerts.get_concert("nowhere") is None
    assert await concerts.get_concerts([uuid4()]) == []


async def test_a_past_concert_is_read_but_not_listed(database: Database, concerts: Concerts) -> None:
    past = await publish(database, a_concert(starts_at=datetime.now(UTC) - timedelta(hours=1)))
    assert await concerts.get_concert(past.slug) is not None
    assert await concerts.get_concerts([past.id]) != []
    assert await concerts.list_concerts(concert_query()) == ([], 0)


async def test_held_tickets_are_not_available_until_their_lease_ends(
    database: Database, concerts: Concerts, holds: Holds
) -> None:
    made = await publish(database, a_concert(general(5)))
    request = a_request(made, 2)
    await holds.hold(request)
    assert await available(concerts, made.slug) == 3
    await lapse(database, request.order_id)
    assert await available(concerts, made.slug) == 5


async def available(concerts: Concerts, slug: str) -> int:
    concert = await concerts.get_concert(slug)
    assert concert
    return concert.available


@pytest.mark.parametrize(
    "text", ["boat", "LAST boat", "ferries last", "zurich", "haus klange", "rock", "Nïght FERRIES", "home", "  "]
)
async def test_text_is_found_in_title_artist_venue_city_and_genre(
    database: Database, concerts: Concerts, text: str
) -> None:
    made = await publish(database, a_concert())
    assert await found(concerts, text=text) == [made.slug]


@pytest.mark.parametrize("text", ["train", "boat train", "%", "_", "\\", "b%t", "' OR 1=1 --"])
async def test_text_that_is_not_there_finds_nothing(database: Database, concerts: Concerts, text: str) -> None:
    await publish(database, a_concert())
    assert await found(concerts, text=text) == []


async def test_a_wildcard_in_a_title_is_found_as_itself(database: Database, concerts: Concerts) -> None:
    made = await publish(database, a_concert(title="100% Live_"))
    assert await found(concerts, text="0% live_") == [made.slug]


async def test_city_and_genre_filter_without_case_and_accents(database: Database, concerts: Concerts) -> None:
    zurich = await publish(database, a_concert())
    lisbon = await publish(database, a_concert(venue=LISBON, genre="Jazz"))
    assert await found(concerts, city="zurich") == [zurich.slug]
    assert await found(concerts, city="LISBON") == [lisbon.slug]
    assert await found(concerts, genre="jazz") == [lisbon.slug]
    assert await found(concerts, genre="jazz", city="Zürich") == []


async def test_dates_are_those_on_the_venues_wall(database: Database, concerts: Concerts) -> None:
    """19:30 on the 2nd in Auckland is the morning of the 2nd in UTC; 00:30 on the 3rd is still the 2nd."""
    evening = await publish(database, a_concert(venue=AUCKLAND, starts_at=datetime(2040, 7, 2, 7, 30, tzinfo=UTC)))
    night = await publish(database, a_concert(venue=AUCKLAND, starts_at=datetime(2040, 7, 2, 12, 30, tzinfo=UTC)))
    assert await found(concerts, from_date="2040-07-02", to_date="2040-07-02") == [evening.slug]
    assert await found(concerts, from_date="2040-07-03") == [night.slug]
    assert await found(concerts, to_date="2040-07-01") == []


async def test_available_only_leaves_out_what_cannot_be_bought_now(
    database: Database, concerts: Concerts, holds: Holds
) -> None:
    open_ = await publish(database, a_concert())
    await publish(database, a_concert(general(3, sold=3)))
    await publish(database, a_concert(on_sale_at=datetime.now(UTC) + timedelta(days=1)))
    held = await publish(database, a_concert(general(2), starts_at=open_.starts_at + timedelta(days=1)))
    request = a_request(held, 2)
    await holds.hold(request)
    assert await found(concerts, available_only=True) == [open_.slug]
    await lapse(database, request.order_id)
    assert await found(concerts, available_only=True) == [open_.slug, held.slug]
    assert (await concerts.list_concerts(concert_query()))[1] == 4


@pytest.mark.parametrize("sort", Sort)
async def test_pages_of_each_sort_hold_every_concert_once_and_in_order(
    database: Database, concerts: Concerts, sort: Sort
) -> None:
    start = datetime.now(UTC) + timedelta(days=1)
    for number in range(7):  # pairs that tie in every sort: the id decides
        await publish(
            database,
            a_concert(
                title=f"Évening {number // 2}",
                starts_at=start + timedelta(days=number // 2),
                sort_price_minor=number // 2,
            ),
        )
    pages = await read_pages(concerts, sort, page_size=2)
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    listed = [concert for page in pages for concert in page]
    assert len({concert.id for concert in listed}) == 7
    keys = [{Sort.DATE: c.starts_at, Sort.PRICE: c.sort_price_minor, Sort.TITLE: c.title_key}[sort] for c in listed]
    assert keys == sorted(keys)  # type: ignore[type-var]  # all of one kind


async def read_pages(concerts: Concerts, sort: Sort, page_size: int) -> list[Sequence[Concert]]:
    pages: list[Sequence[Concert]] = []
    token = ""
    while True:
        query = concert_query(sort=sort, page_size=page_size, page_token=token)
        rows, total_count = await concerts.list_concerts(query)
        assert total_count == 7
        pages.append(rows[:page_size])
        if len(rows) <= page_size:
            return pages
        token = page_token(query, rows[page_size - 1])


async def test_active_holds_are_counted(database: Database, concerts: Concerts, holds: Holds) -> None:
    made = await publish(database, a_concert(general(5)))
    first, second, third = (a_request(made, 1) for _ in range(3))
    for request in (first, second, third):
        await holds.hold(request)
    await holds.confirm(first.order_id)
    await lapse(database, second.order_id)
    assert await concerts.count_active_holds() == 1


async def test_what_is_left_is_counted_of_the_soonest_concerts_on_sale(
    database: Database, concerts: Concerts, holds: Holds
) -> None:
    now = datetime.now(UTC)
    later = await publish(database, a_concert(general(9), starts_at=now + timedelta(days=9)))
    sooner = await publish(database, a_concert(general(5), starts_at=now + timedelta(days=2)))
    await publish(database, a_concert(general(5), starts_at=now - timedelta(hours=1)))
    await publish(database, a_concert(general(5), on_sale_at=now + timedelta(days=1)))
    kept, lapsed = a_request(sooner, 2), a_request(sooner, 1)
    for request in (kept, lapsed):
        await holds.hold(request)
    await lapse(database, lapsed.order_id)
    expected = [Left(sooner.id, sooner.slug, 3), Left(later.id, later.slug, 9)]
    assert await concerts.count_left(10) == expected
    assert await concerts.count_left(1) == expected[:1]
