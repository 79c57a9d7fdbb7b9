"""A TCP proxy: the way to a server, that can be slow, dead silent, or broken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.defaults.discovery import Endpoint


class Link:
    """`delay_s` is what each answer takes longer; `resets` breaks off whatever comes, open connections included.

    `silent` takes what comes and answers nothing, as behind a cable that was pulled. `tries` counts connections
    and requests' pieces that reached this end.
    """

    endpoint: Endpoint

    def __init__(self, target: Endpoint) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay_s = 0.0
        self.silent = False
        self.resets = False
        self.tries = 0

    def break_off(self) -> None:
        """From now on every connection is reset."""
        self.resets = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.delay_s, self.silent, self.resets = 0.0, False, False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tries += 1
        if self.resets:
            writer.transport.abort()
            return
        back, onward = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, onward}
        await asyncio.gather(self._pump(reader, onward, asks=True), self._pump(back, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool = False) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                self.tries += asks
                if self.silent:
                    continue
                if not asks:
                    await asyncio.sleep(self.delay_s)
                writer.write(chunk)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def link_to(target: Endpoint) -> AsyncIterator[Link]:
    link = Link(target)
    listener = await asyncio.start_server(link.accept, "127.0.0.1", 0)
    link.endpoint = Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])
    try:
        yield link
    finally:
        listener.close()
        link.break_off()
        await listener.wait_closed()
