"""The real servers start, answer in their own protocol, keep strangers out, and stop."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp
import aiormq
import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from services.apphost.lifetime import start_part
from services.apphost.ports import free_ports
from services.apphost.process import Command, start
from services.apphost.servers.postgres import postgres as postgres_part
from services.apphost.servers.redis import redis
from tests.conftest import STOP_S, PostgresServer, running

# Makes a cluster, as a first `make up` does.
FIRST_START = """
import sys
from pathlib import Path
from services.apphost.process import Command, start
from services.apphost.servers.postgres import postgres
postgres(Path(sys.argv[1]), 1, "password").prepare()
"""


def test_a_first_start_that_was_killed_leaves_no_half_a_cluster(tmp_path: Path) -> None:
    command = Command(argv=[sys.executable, "-c", FIRST_START, str(tmp_path)], env=dict(os.environ))
    killed = start(command, print)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("*/PG_VERSION")) and time.monotonic() < deadline:  # among the first of what is written
        time.sleep(0.01)
    killed.kill()
    assert killed.join(STOP_S) == -signal.SIGKILL
    (port,) = free_ports(1)
    with running(postgres_part(tmp_path, port, "password", durable=False)):
        assert not (tmp_path / "data.new").exists()


async def test_postgres_starts_while_nobody_has_taken_leave_of_the_killed_one(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    part = postgres_part(tmp_path, port, "password", durable=False)
    killed = await start_part(part, print)
    assert killed
    killed.kill()
    await asyncio.to_thread(os.waitid, os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # ended, and stays a zombie
    try:
        again = await start_part(part, print)
        assert again
        await again.stop(STOP_S)
    finally:
        await killed.wait()


async def test_each_database_is_closed_to_the_others_role(postgres: PostgresServer) -> None:
    mine, other = postgres.create_database("mine"), postgres.create_database("other")

    connection = await asyncpg.connect(mine)
    await connection.execute("CREATE TABLE thing (id int)")
    await connection.close()

    intruder = mine.rpartition("/")[0] + "/" + other.rpartition("/")[2]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(intruder)


async def test_redis_wants_its_password(redis_url: str) -> None:
    client: Redis = Redis.from_url(redis_url)
    assert await client.set("key", "value")
    await client.aclose()

    stranger: Redis = Redis.from_url("redis://" + redis_url.rpartition("@")[2])
    with pytest.raises(AuthenticationError):
        await stranger.get("key")
    await stranger.aclose()


def test_redis_keeps_its_data_in_a_folder_of_any_name(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    folder = tmp_path / 'my "own" \\state'
    with running(redis(folder, port, "password")):
        assert (folder / "appendonlydir").is_dir()


async def test_rabbitmq_delivers_and_knows_no_guest(rabbitmq_url: str) -> None:
    connection = await aiormq.connect(rabbitmq_url)
    channel = await connection.channel()
    queue = "probe"
    await channel.queue_declare(queue, exclusive=True)
    await channel.basic_publish(b"hello", routing_key=queue)
    message = await channel.basic_get(queue)
    await connection.close()
    assert message.body == b"hello"

    guest = "amqp://guest:guest@" + rabbitmq_url.rpartition("@")[2]
    with pytest.raises(aiormq.exceptions.AMQPError):
        await aiormq.connect(guest)


async def test_consul_takes_a_registration(consul_addr: str) -> None:
    async with aiohttp.ClientSession() as session:
        service = {"Name": "probe", "ID": "probe-1", "Address": "127.0.0.1", "Port": 1}
        async with session.put(f"{consul_addr}/v1/agent/service/register", json=service) as answer:
            assert answer.status == 200
        async with session.get(f"{consul_addr}/v1/health/service/probe") as answer:
            assert [entry["Service"]["ID"] for entry in await answer.json()] == ["probe-1"]
