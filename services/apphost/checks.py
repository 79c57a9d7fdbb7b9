"""Is it well? Each check speaks the part's own protocol to its end, and raises when it is not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import aiormq
import asyncpg
from redis.asyncio import Redis

ATTEMPT_S = 3.0
AMQP_PORT = 5672


async def check_postgres(url: str) -> None:
    """Raises OSError or asyncpg's errors while the server does not answer a query."""
    connection = await asyncpg.connect(url, timeout=ATTEMPT_S)
    try:
        await connection.fetchval("SELECT 1", timeout=ATTEMPT_S)
    finally:
        await connection.close(timeout=ATTEMPT_S)


async def check_redis(url: str) -> None:
    """Raises redis-py's errors while the server does not answer, or is still loading its data."""
    client: Redis = Redis.from_url(url, socket_timeout=ATTEMPT_S, socket_connect_timeout=ATTEMPT_S, retry=None)
    try:
        await client.ping()
    finally:
        await client.aclose()


async def check_rabbitmq(url: str) -> None:
    """Raises while no channel can be opened."""
    address = urlsplit(url)
    await check_port(address.port or AMQP_PORT, address.hostname or "")  # aiormq logs each refusal as an error
    connection = await aiormq.connect(f"{url}?connection_timeout={int(ATTEMPT_S * 1000)}")
    try:
        await connection.channel()
    finally:
        await connection.close()


async def check_consul(url: str) -> None:
    """Raises while the agent knows no leader; it refuses registrations until then."""
    async with _get(f"{url}/v1/status/leader") as answer:
        answer.raise_for_status()
        if not await answer.json():
            raise ConnectionError("consul has no leader yet")


async def check_http(url: str) -> None:
    """Raises aiohttp's errors while a GET is not answered with a 2xx."""
    async with _get(url) as answer:
        answer.raise_for_status()


async def check_passing(consul: str, service: str, port: int) -> None:
    """Raises while Consul does not pass callers on to the service's instance at the port."""
    async with _get(f"{consul}/v1/health/service/{service}?passing=true") as answer:
        answer.raise_for_status()
        if port not in {entry["Service"]["Port"] for entry in await answer.json()}:
            raise ConnectionError("it is not passing in Consul yet")


async def check_epmd(port: int) -> None:
    """Raises OSError or EOFError while Erlang's port mapper does not list its names (EPMD protocol, NAMES_REQ)."""
    async with asyncio.timeout(ATTEMPT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\x01n")
        await reader.readexactly(4)  # its own port; the names follow, and it closes
    writer.close()
    await writer.wait_closed()


async def check_port(port: int, host: str = "127.0.0.1") -> None:
    """Raises OSError while nothing accepts connections there."""
    async with asyncio.timeout(ATTEMPT_S):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


@contextlib.asynccontextmanager
async def _get(url: str) -> AsyncIterator[aiohttp.ClientResponse]:
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
        yield answer
