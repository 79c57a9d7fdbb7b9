"""What the tests of the shared clients need: small servers on loopback, and bounded waits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from services.defaults.discovery import Endpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[Endpoint]:
    """An HTTP server on loopback that gives every request to `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Endpoint("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 8.0) -> None:
    """Returns once the condition holds; raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110  # what is awaited happens in another process
            await asyncio.sleep(0.02)


async def completed(condition: Callable[[], bool]) -> bool:
    """A plain condition, for `eventually`."""
    return condition()


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
