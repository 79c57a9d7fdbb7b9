"""What the tests of the shared clients need: small servers on loopback, and bounded waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from services.apphost.ports import free_ports
from services.defaults.discovery import Endpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[Endpoint]:
    """An HTTP server on loopback that gives every request to `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Endpoint("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Wire:
    """A TCP proxy: the way to a server, that can be cut."""

    endpoint: Endpoint

    def __init__(self, target: Endpoint) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Resets every connection that is open now."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, onward[1]}
        await asyncio.gather(self._pump(reader, onward[1]), self._pump(onward[0], writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire_to(target: Endpoint) -> AsyncIterator[Wire]:
    wire = Wire(target)
    listener = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    wire.endpoint = Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with listener:
        yield wire
        wire.cut()


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 8.0) -> None:
    """Returns once the condition holds; raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(within_s):
        while not await condition():  # what is awaited happens in another process
            await asyncio.sleep(0.02)


async def completed(condition: Callable[[], bool]) -> bool:
    """A plain condition, for `eventually`."""
    return condition()


def unused_port() -> int:
    """A port on which nobody listens."""
    return free_ports(1)[0]
