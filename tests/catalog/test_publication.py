"""Putting one concert up for sale from outside."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.catalog.publication import publish, read_description
from services.catalog.store.concerts import Concerts
from services.catalog.store.stock import Stock
from services.defaults.database import STATEMENT_TIMEOUT_S, Database, migrate, open_database
from services.defaults.errors import Conflict, Invalid
from tests.catalog.conftest import MODELS
from tests.conftest import PostgresServer

ROOT = Path(__file__).parents[2]


def describe(**changes: Any) -> bytes:
    description = {
        "slug": "last-boat-home",
        "title": "Last Boat Home",
        "artist": "The Night Ferries",
        "genre": "Rock",
        "description": "Four friends from a ferry port.",
        "startsAt": "2099-05-17T20:00:00+02:00",
        "onSaleAt": "2020-05-17T20:00:00+02:00",
        "currency": "CHF",
        "venue": {
            "name": "Haus der Klänge",
            "city": "Zürich",
            "country": "CH",
            "address": "Am See 1",
            "timeZone": "Europe/Zurich",
        },
        "tiers": [
            {"name": "Standing", "capacity": 7, "priceMinor": 4900},
            {"name": "Balcony", "capacity": 3, "priceMinor": 9000, "includes": "A drink."},
        ],
    }
    return json.dumps(description | changes).encode()


async def test_a_published_concert_is_on_sale(database: Database, concerts: Concerts) -> None:
    published = json.loads(await publish(Stock(database), describe()))
    concert = await concerts.get_concert("last-boat-home")
    assert concert
    assert [(str(tier.id), tier.name, tier.available, tier.price_minor) for tier in concert.tiers] == [
        (published["tiers"][0]["id"], "Standing", 7, 4900),
        (published["tiers"][1]["id"], "Balcony", 3, 9000),
    ]
    assert (str(concert.id), concert.venue.city) == (published["id"], "Zürich")
    assert concert.sort_price_minor == 5145  # in euro cents


async def test_a_slug_is_published_once(database: Database) -> None:
    await publish(Stock(database), describe())
    with pytest.raises(Conflict, match="last-boat-home already"):
        await publish(Stock(database), describe(title="Another"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "Last Boat"}, "slug"),
        ({"slug": "x" * 101}, "slug"),
        ({"title": ""}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"startsAt": "2099-05-17T20:00:00"}, "startsAt"),
        ({"startsAt": "tomorrow"}, "startsAt"),
        ({"currency": "XXX"}, "currency"),
        ({"tiers": []}, "tiers"),
        ({"tiers": [{"name": "Standing", "capacity": 0, "priceMinor": 1}]}, "tiers.0.capacity"),
        ({"tiers": [{"name": "Standing", "capacity": 10**7, "priceMinor": 1}]}, "tiers.0.capacity"),
        ({"tiers": [{"name": "Standing", "capacity": 1, "priceMinor": -1}]}, "tiers.0.priceMinor"),
        ({"venue": {}}, "venue.timeZone"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_description_names_its_fault(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_description(describe(**changes))
    assert field in refused.value.fields


@pytest.mark.parametrize("description", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_description_is_refused(description: bytes) -> None:
    with pytest.raises(Invalid):
        read_description(description)


def test_the_verb_reads_the_description_and_prints_the_ids(database: Database, database_url: str) -> None:
    first, again = run_publish(database_url), run_publish(database_url)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["slug"] == "last-boat-home"
    assert (again.returncode, again.stdout) == (1, "")
    assert "There is a concert named last-boat-home already." in again.stderr
    assert "Traceback" not in again.stderr


async def test_a_tier_of_a_million_may_take_longer_than_a_statement_for_people(postgres: PostgresServer) -> None:
    url = postgres.create_database("slow")
    await migrate(url, MODELS)
    async with open_database(url, MODELS) as database:
        await database.execute(
            f"""
            CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_sleep({STATEMENT_TIMEOUT_S} + 0.5); RETURN NULL; END $$
            """
        )
        await database.execute("CREATE TRIGGER slow AFTER INSERT ON tickets EXECUTE FUNCTION take_long()")
    published = await asyncio.to_thread(run_publish, url)
    assert published.returncode == 0, published.stderr


def run_publish(database_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.catalog", "publish"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        input=describe().decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
