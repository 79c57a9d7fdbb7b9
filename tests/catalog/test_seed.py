"""The demo data: worth looking at, and the same however often it is sown."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from services.catalog.domain import Concert
from services.catalog.search import concert_query
from services.catalog.seed import WEEKDAYS, concert_day, row_names, seed, seeded_id, sold_positions
from services.catalog.store.concerts import Concerts
from services.catalog.store.stock import Stock
from services.defaults.database import Database, migrate, open_database
from tests.catalog.conftest import MODELS
from tests.conftest import PostgresServer

TABLES = ("venues", "concerts", "tiers", "tickets", "holds")
NOW = datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seeded_url(postgres: PostgresServer) -> str:
    """A database of the module's own: sowing takes a while."""
    url = postgres.create_database("seeded")
    await migrate(url, MODELS)
    async with open_database(url, MODELS) as database:
        assert await sow(database, NOW) == 60
    return url


@pytest.fixture
async def database(seeded_url: str) -> AsyncIterator[Database]:
    async with open_database(seeded_url, MODELS) as database:
        yield database


@pytest.fixture
async def listed(database: Database) -> list[Concert]:
    return (await Concerts(database).list_concerts(concert_query(page_size=100)))[0]


async def sow(database: Database, now: datetime) -> int:
    return await seed(Stock(database), now=now, entropy=secrets.token_bytes)


async def snapshot(database: Database) -> list[str]:
    """A digest of each table's rows."""
    digests = []
    for table in TABLES:
        row = await database.fetch_one(f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) AS d FROM {table} t")
        assert row
        digests.append(row["d"])
    return digests


async def test_seeding_again_on_a_later_day_changes_nothing(database: Database) -> None:
    before = await snapshot(database)
    assert await sow(database, NOW + timedelta(days=12)) == 0
    assert await snapshot(database) == before


async def test_the_demo_shop_has_everything_that_a_shop_has(listed: list[Concert]) -> None:
    assert len(listed) == 60
    assert len({concert.venue.city for concert in listed}) == 12
    assert len({concert.venue.id for concert in listed}) == 15
    assert len({concert.genre for concert in listed}) >= 8
    assert len({concert.description for concert in listed}) == 60
    assert {concert.cheapest.currency for concert in listed} == {"EUR"}  # so that prices can be compared
    assert sum(concert.available == 0 for concert in listed) == 1
    assert sum(0 < concert.available < 30 for concert in listed) >= 3
    assert sum(concert.on_sale_at > NOW for concert in listed) == 2
    assert sum(NOW - timedelta(days=7) < concert.on_sale_at <= NOW for concert in listed) >= 5
    assert all(len(concert.tiers) >= 2 for concert in listed)
    assert 60_000 <= sum(tier.capacity for concert in listed for tier in concert.tiers) <= 100_000
    for concert in listed:
        assert_plausible(concert)


def assert_plausible(concert: Concert) -> None:
    """Doors before the music, both at an hour when people go out, one currency, a sale before the concert."""
    starts_at = concert.starts_at.astimezone(ZoneInfo(concert.venue.time_zone))
    assert concert.doors_at
    assert timedelta(minutes=15) <= concert.starts_at - concert.doors_at <= timedelta(hours=2)
    assert starts_at.hour >= (11 if starts_at.weekday() == WEEKDAYS.index("Sun") else 15)
    assert concert.on_sale_at < concert.starts_at
    assert len({tier.currency for tier in concert.tiers}) == 1
    assert all(tier.includes for tier in concert.tiers)


async def test_no_house_has_two_concerts_in_one_evening(listed: list[Concert]) -> None:
    evenings = Counter((concert.venue.id, concert.starts_at.date()) for concert in listed)
    assert max(evenings.values()) == 1


async def test_what_is_sold_belongs_to_the_box_office(database: Database) -> None:
    wrong = await database.fetch(
        """
        SELECT h.order_id FROM holds h LEFT JOIN tickets k ON k.sold_order_id = h.order_id
        GROUP BY h.order_id, h.quantity, h.state, h.channel
        HAVING count(k.id) <> h.quantity OR h.state <> 'CONFIRMED' OR h.channel <> 'BOX_OFFICE'
        """
    )
    owner = seeded_id("box-office", "glasshouse-riot-london")
    assert wrong == []
    assert await database.fetch("SELECT FROM holds WHERE order_id = $1", owner) != []


@pytest.mark.parametrize("today", [date(2030, 5, 6) + timedelta(days=n) for n in range(7)])  # Monday to Sunday
def test_the_first_week_is_the_seven_days_from_tomorrow(today: date) -> None:
    week = [concert_day(today, 1, day) for day in WEEKDAYS]
    assert sorted(week) == [today + timedelta(days=n) for n in range(1, 8)]
    assert [day.weekday() for day in week] == list(range(7))
    assert concert_day(today, 3, "Sun") == concert_day(today, 1, "Sun") + timedelta(weeks=2)


def test_rows_by_letters_and_numbers() -> None:
    assert row_names("A-D") == ["A", "B", "C", "D"]
    assert row_names("9-11") == ["9", "10", "11"]


@pytest.mark.parametrize("quantity", [0, 1, 57, 100])
def test_exactly_so_many_are_sold_and_always_the_same(quantity: int) -> None:
    positions = range(1, 101)
    sold = sold_positions(positions, quantity, "a tier")
    assert len(sold) == quantity
    assert sold <= set(positions)
    assert sold == sold_positions(positions, quantity, "a tier")
