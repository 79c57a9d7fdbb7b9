"""Pages that stay up to date: one stream of server-sent events for each tab, one rendering for each address.

However many tabs show an address, it is rendered once a change and at most once a second; a slow reader gets the
latest rendering, never a queue of old ones. (https://html.spec.whatwg.org/multipage/server-sent-events.html)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from services.dashboard.store.changes import Changes, Kind
from services.defaults.errors import RateLimited

logger = logging.getLogger(__name__)

MAX_STREAMS: Final = 200
PACE_S: Final = 1.0
UNPROMPTED_S: Final = 2.0  # between two renderings of what tells nobody that it changes: processes, queues, mails
SHARE: Final = 8  # rendering takes at most this part of the time, however dear an address is
LOOK_UP_S: Final = 0.5  # how soon a stream sees that the process is stopping
HEARTBEAT_S: Final = 15.0  # a reader that has gone is found out by writing to it
RETRY_MS: Final = 2_000

Render = Callable[[], Awaitable[str]]


class Live:
    """The streams of this process. `stopping` ends them all within `LOOK_UP_S`: no shutdown waits for a reader."""

    def __init__(self, changes: Changes, stopping: Callable[[], bool]) -> None:
        self._changes = changes
        self._stopping = stopping
        self._topics: dict[str, _Topic] = {}

    @property
    def readers(self) -> int:
        return sum(topic.readers for topic in self._topics.values())

    def admit(self) -> None:
        """Raises `RateLimited` where no further stream is served."""
        if self.readers >= MAX_STREAMS:
            raise RateLimited("Too many pages are open. This one does not stay up to date.", retry_after_s=30)

    async def stream(self, address: str, render: Render, watch: Kind | None) -> AsyncIterator[bytes]:
        """Events named `page`, each with the HTML that the address shows now, until the reader goes."""
        topic = self._topics.get(address) or _Topic(render, self._changes, watch)
        self._topics[address] = topic
        topic.readers += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            async for event in topic.events(self._stopping):
                yield event
        finally:
            topic.readers -= 1
            if not topic.readers:
                topic.close()
                self._topics.pop(address, None)


class _Topic:
    """One address that somebody looks at."""

    def __init__(self, render: Render, changes: Changes, watch: Kind | None) -> None:
        self.readers = 0
        self._render = render
        self._changes = changes
        self._watch: Kind | None = watch
        self._html = ""
        self._version = 0
        self._news = asyncio.Event()
        self._work = asyncio.create_task(self._keep_rendering(), name="live page")

    def close(self) -> None:
        self._work.cancel()

    async def events(self, stopping: Callable[[], bool]) -> AsyncIterator[bytes]:
        seen, wrote_at = 0, time.monotonic()
        while not (stopping() or self._work.done()):
            if await self._newer_than(seen):
                seen, wrote_at = self._version, time.monotonic()
                yield _event("page", self._html)
            elif time.monotonic() - wrote_at > HEARTBEAT_S:
                wrote_at = time.monotonic()
                yield b": still here\n\n"

    async def _newer_than(self, seen: int) -> bool:
        if self._version == seen:
            await _within(self._news.wait(), LOOK_UP_S)
        return self._version != seen

    async def _keep_rendering(self) -> None:
        try:
            while True:
                seen = self._changes.version(self._watch) if self._watch else 0
                began = time.monotonic()
                self._publish(await self._render())
                await asyncio.sleep(max(PACE_S, SHARE * (time.monotonic() - began)))
                await self._until_changed(seen)
        except Exception:
            logger.exception("a live page could not be rendered")  # its readers connect anew, and it is tried again

    async def _until_changed(self, seen: int) -> None:
        if self._watch:
            await self._changes.wait(self._watch, seen)
        else:
            await asyncio.sleep(UNPROMPTED_S - PACE_S)

    def _publish(self, html: str) -> None:
        if html == self._html:
            return
        self._html = html
        self._version += 1
        self._news.set()
        self._news = asyncio.Event()


def _event(name: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode()


async def _within(wait: Awaitable[object], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wait
    except TimeoutError:
        return
