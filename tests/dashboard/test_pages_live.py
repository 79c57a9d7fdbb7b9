"""Streams: what changes arrives, many readers cost one rendering, and all end when the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.dashboard.pages import live as live_module
from services.dashboard.pages.live import Live
from services.dashboard.store.changes import Changes
from services.defaults.errors import RateLimited
from tests.dashboard import samples
from tests.dashboard.desk import HEADERS, Desk


class Address:
    """A page that counts how often it is made."""

    def __init__(self) -> None:
        self.text = "first"
        self.made = 0

    async def render(self) -> str:
        self.made += 1
        return self.text


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "PACE_S", 0.01)
    monkeypatch.setattr(live_module, "UNPROMPTED_S", 0.02)
    monkeypatch.setattr(live_module, "LOOK_UP_S", 0.02)


async def event(stream: AsyncIterator[bytes]) -> str:
    """The next page that arrives."""
    async with asyncio.timeout(30):
        async for chunk in stream:
            if chunk.startswith(b"event: page"):
                return chunk.decode().replace("event: page\ndata: ", "").rstrip("\n")
    raise AssertionError("the stream has ended")


async def test_a_change_arrives() -> None:
    changes, address = Changes(), Address()
    stream = Live(changes, lambda: False).stream("/logs", address.render, "logs")
    assert await event(stream) == "first"
    address.text = "second"
    changes.note(["spans"])
    changes.note(["logs"])
    assert await event(stream) == "second"


async def test_what_tells_nobody_is_looked_at_again() -> None:
    address = Address()
    stream = Live(Changes(), lambda: False).stream("/", address.render, None)
    assert await event(stream) == "first"
    address.text = "second\nline"
    assert await event(stream) == "second\ndata: line"


async def test_many_readers_cost_one_rendering() -> None:
    changes, address = Changes(), Address()
    live = Live(changes, lambda: False)
    readers = [live.stream("/logs", address.render, "logs") for _ in range(100)]
    assert await asyncio.gather(*(event(reader) for reader in readers)) == ["first"] * 100
    assert address.made == 1
    address.text = "second"
    changes.note(["logs"])
    assert await asyncio.gather(*(event(reader) for reader in readers)) == ["second"] * 100
    assert address.made <= 3


async def test_a_slow_reader_gets_the_latest() -> None:
    changes, address = Changes(), Address()
    live = Live(changes, lambda: False)
    slow, quick = (live.stream("/logs", address.render, "logs") for _ in range(2))
    assert await event(slow) == await event(quick) == "first"
    for number in range(5):
        address.text = str(number)
        changes.note(["logs"])
        assert await event(quick) == str(number)
    assert await event(slow) == "4"


async def test_a_page_nobody_looks_at_is_not_made() -> None:
    address = Address()
    live = Live(Changes(), lambda: False)
    stream = live.stream("/", address.render, None)
    await event(stream)
    await stream.aclose()  # type: ignore[attr-defined] # an async generator, as Quart closes it
    made = address.made
    await asyncio.sleep(0.1)
    assert address.made == made
    assert live.readers == 0


async def test_a_page_that_breaks_ends_its_stream() -> None:
    async def broken() -> str:
        raise ZeroDivisionError

    stream = Live(Changes(), lambda: False).stream("/", broken, None)
    async with asyncio.timeout(30):
        assert [chunk async for chunk in stream] == [b"retry: 2000\n\n"]


async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MAX_STREAMS", 1)
    live = Live(Changes(), lambda: False)
    stream = live.stream("/", Address().render, None)
    live.admit()
    await event(stream)
    with pytest.raises(RateLimited):
        live.admit()


async def test_a_page_is_followed_over_http_until_the_process_stops() -> None:
    desk = Desk()
    connection = desk.client.request("/live/logs?service=ordering", headers=dict(HEADERS))
    async with asyncio.timeout(60), connection:
        await connection.send_complete()
        received = b""
        while b"broker unreachable" not in received:
            received += await connection.receive()
        desk.store.log_lines.insert(0, samples.log_line("another line", number=2))
        desk.store.changes.note(["logs"])
        while b"another line" not in received:
            received += await connection.receive()
        desk.health.draining = True
        answer = await connection.as_response()  # once the stream has ended
    assert answer.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", ["/live/", "/live/traces/0123", "/live/orders/NONE-NONE", "/live/messages"])
async def test_every_stream_begins_with_the_page_as_it_is(path: str) -> None:
    desk = Desk()
    connection = desk.client.request(path, headers=dict(HEADERS))
    async with asyncio.timeout(60), connection:
        await connection.send_complete()
        received = b""
        while b"<h1>" not in received:
            received += await connection.receive()
        desk.health.draining = True
        answer = await connection.as_response()
    assert answer.status_code == 200
    assert received.startswith(b"retry: ")
