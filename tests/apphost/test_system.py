"""What fault tests do to parts: crash them, keep them down, freeze them."""

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisDownError
from redis.exceptions import TimeoutError as RedisFrozenError

from services.apphost.errors import ApphostError
from services.apphost.system import running_system


def test_a_part_is_restarted_kept_down_and_frozen(tmp_path: Path) -> None:
    with (
        running_system(tmp_path, "redis") as system,
        Redis.from_url(system.urls["redis"], socket_timeout=0.3, retry=None) as client,
    ):
        first = system.pid("redis")
        system.restart("redis")
        assert system.pid("redis") not in (0, first)
        assert client.ping()

        with system.down("redis"), pytest.raises(RedisDownError):
            client.ping()
        assert client.ping()

        with system.frozen("redis"), pytest.raises(RedisFrozenError):
            client.ping()
        assert client.ping()


def test_a_part_that_is_down_cannot_be_harmed(tmp_path: Path) -> None:
    """Where there is no process, no signal may go anywhere: 0 would be the caller's own group."""
    with running_system(tmp_path, "redis") as system, system.down("redis"):
        assert system.pid("redis") == 0
        with pytest.raises(ApphostError, match="redis does not run"):
            system.kill("redis")
        with pytest.raises(ApphostError, match="redis does not run"), system.frozen("redis"):
            pytest.fail("it froze")


def test_a_part_is_back_even_after_a_block_that_failed(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis") as system:
        with pytest.raises(ZeroDivisionError), system.down("redis"):
            raise ZeroDivisionError
        with Redis.from_url(system.urls["redis"]) as client:
            assert client.ping()


def test_an_acknowledged_row_outlives_a_killed_database(tmp_path: Path) -> None:
    """Also where fsync is off: killed at once, what was acknowledged is there, or the ledger would not close."""
    with running_system(tmp_path, "postgres") as system:
        for number in range(3):
            asyncio.run(write_rows(system.urls["postgres"], number))
            system.restart("postgres")
            assert asyncio.run(count_rows(system.urls["postgres"], number)) == 200


async def write_rows(url: str, number: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE TABLE kept_{number} (id int)")
    for row in range(200):
        await connection.execute(f"INSERT INTO kept_{number} VALUES ({row})")
    connection.terminate()


async def count_rows(url: str, number: int) -> int:
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM kept_{number}")
    finally:
        await connection.close()
    return found


def test_a_system_that_does_not_start_says_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("damaged")
    with pytest.raises(ApphostError, match="did not start") as caught, running_system(tmp_path, "redis"):
        pytest.fail("it started")
    assert "The state folder is damaged" in "\n".join(caught.value.__notes__)


def test_what_a_caller_adds_reaches_the_parts(tmp_path: Path) -> None:
    with running_system(tmp_path, "mailbox", env={"TICKETFLOW_TEST": "hidden", "MAILBOX_MAX_BYTES": "4321"}) as system:
        environ = Path(f"/proc/{system.pid('mailbox')}/environ").read_bytes().split(b"\0")
    assert b"MAILBOX_MAX_BYTES=4321" in environ
    assert not [entry for entry in environ if entry.startswith(b"TICKETFLOW_")]
    assert "MAILBOX_MAX_BYTES" not in os.environ
