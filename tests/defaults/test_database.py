"""The database against a real Postgres: bounds, transactions, and what happens while the server is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError

from services.defaults import database as database_module
from services.defaults.database import Database, migrate, open_database
from services.defaults.errors import Conflict, Unavailable
from services.defaults.health import Health

MODELS = "services.identity.models"


@pytest.fixture
async def database(postgres: Any) -> AsyncIterator[Database]:
    async with open_database(postgres.create_database("defaults"), MODELS, pool_size=3) as opened:
        await opened.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        yield opened


async def count(database: Database) -> int:
    row = await database.fetch_one("SELECT count(*) AS n FROM things")
    assert row is not None
    return int(row["n"])


async def insert_twice(database: Database) -> None:
    async with database.transaction():
        await database.execute("INSERT INTO things VALUES (1, 'a')")
        await database.execute("INSERT INTO things VALUES (1, 'a')")


async def test_statements_return_rows_or_how_many_they_touched(database: Database) -> None:
    rows = await database.fetch("INSERT INTO things VALUES ($1, $2), (2, 'b') RETURNING id, name", 1, "a")
    assert rows == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert await database.execute("UPDATE things SET name = $1", "c") == 2
    assert await database.fetch_one("SELECT 1 FROM things WHERE id = 9") is None


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await insert_twice(database)
    assert await count(database) == 0
    async with database.transaction():
        await database.execute("INSERT INTO things VALUES (1, 'a')")
    assert await count(database) == 1


async def test_a_queue_of_refusals_moves(postgres: Any) -> None:
    """Who waits behind others that are told no is not told that the database is away."""

    async def be_refused(database: Database) -> None:
        async with database.transaction():
            await database.fetch("SELECT pg_sleep(0.4)")
            raise Conflict("No.")

    async with open_database(postgres.create_database("defaults"), MODELS, pool_size=1) as database:
        refusals = await asyncio.gather(*(be_refused(database) for _ in range(6)), return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [Conflict] * 6  # after longer than one waits for a dead server


async def test_a_busy_instance_is_ready(postgres: Any) -> None:
    """A probe that waits its turn in a crowd would take out of the way, one by one, those who serve it."""
    served = asyncio.Event()

    async def be_served(database: Database) -> None:
        await database.fetch("SELECT pg_sleep(0.4)")
        served.set()

    async with open_database(postgres.create_database("defaults"), MODELS, pool_size=1) as database:
        crowd = [asyncio.create_task(be_served(database)) for _ in range(5)]
        await served.wait()
        ready, _ = await Health("shop", "1", {"postgres": database.ping}).report()
        assert ready
        assert not all(task.done() for task in crowd)
        await asyncio.gather(*crowd)


async def test_a_transaction_that_was_left_open_ends_when_its_connection_goes_back(postgres: Any) -> None:
    async with open_database(postgres.create_database("defaults"), MODELS, pool_size=1) as database:
        await database.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        await database.execute("BEGIN; INSERT INTO things VALUES (1, 'a')")
        assert await count(database) == 0


async def test_a_constraint_that_refuses_is_an_integrity_error(database: Database) -> None:
    await database.execute("INSERT INTO things VALUES (1, 'a')")
    with pytest.raises(IntegrityError):
        await database.execute("INSERT INTO things VALUES (1, 'b')")


async def test_many_callers_share_few_connections(database: Database) -> None:
    results = await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.001)") for _ in range(100)))
    assert len(results) == 100


async def test_a_full_pool_refuses_in_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "ACQUIRE_TIMEOUT_S", 0.0)  # who was served before is long gone
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.transaction():
            held.set()
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(3)]
    await held.wait()
    with pytest.raises(Unavailable):
        await database.ping()
    release.set()
    await asyncio.gather(*holders)
    await database.ping()


async def test_a_server_that_is_away_is_unavailable_with_a_time_to_return() -> None:
    async with open_database("postgres://u:p@127.0.0.1:9/none", MODELS) as database:
        with pytest.raises(Unavailable) as caught:
            await database.ping()
        assert caught.value.retry_after_s
        with pytest.raises(Unavailable):
            async with database.transaction():
                pass


async def test_lost_connections_heal_by_themselves(database: Database, postgres: Any) -> None:
    await database.ping()
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ticketflow-identity'"
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            await database.ping()
            break
        except Unavailable:
            assert time.monotonic() < deadline
    assert await count(database) == 0


async def test_a_notification_wakes_the_listener(database: Database) -> None:
    wakes: asyncio.Queue[None] = asyncio.Queue()
    async with database.listen("things", lambda: wakes.put_nowait(None)):
        await asyncio.wait_for(wakes.get(), 5)  # once for the connection
        await database.execute("NOTIFY other_things")
        await database.execute("NOTIFY things")
        await asyncio.wait_for(wakes.get(), 5)
    assert wakes.empty()  # the other channel's woke nobody


async def test_migrations_run_once_whoever_else_tries(postgres: Any) -> None:
    url = postgres.create_database("migrations")
    await asyncio.gather(*(migrate(url, MODELS) for _ in range(3)))
    async with open_database(url, MODELS) as database:
        assert await database.fetch("SELECT 1 FROM users") == []
        names = await database.fetch("SELECT name FROM tortoise_migrations")
        assert len({row["name"] for row in names}) == len(names) > 0
