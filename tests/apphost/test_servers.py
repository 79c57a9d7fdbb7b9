"""The real servers start, answer in their own protocol, keep strangers out, and stop."""

import asyncio
import os
from pathlib import Path

import aiohttp
import aiormq
import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from services.apphost.lifetime import start_part
from services.apphost.ports import free_ports
from services.apphost.servers.postgres import postgres as postgres_part
from tests.conftest import STOP_S, PostgresServer


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
