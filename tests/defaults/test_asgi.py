"""What stands between the server and Quart, without either."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.defaults import asgi
from services.defaults.asgi import HearOutMiddleware

PARTS = [
    {"type": "http.request", "body": b"x", "more_body": True},
    {"type": "http.request", "body": b"x", "more_body": False},
]


async def exchange(
    status: int, parts: list[dict[str, Any]], method: str = "POST", headers: tuple[Any, ...] = ()
) -> tuple[list[Any], int]:
    """What is sent by an application that answers at once and reads beside it, and how much had arrived by then."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    sent, arrived = [], 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reader = asyncio.create_task(read(receive))
        await send({"type": "http.response.start", "status": status, "headers": []})
        reader.cancel()

    async def read(receive: Any) -> None:
        nonlocal arrived
        while True:
            await receive()
            arrived += 1

    async def send(message: Any) -> None:
        sent.append((message, arrived))

    for part in parts:
        inbox.put_nowait(part)
    await HearOutMiddleware(app)({"type": "http", "method": method, "headers": headers}, inbox.get, send)
    message, heard = sent[0]
    return message["headers"], heard


async def test_a_refusal_waits_until_the_body_has_arrived() -> None:
    assert await exchange(413, PARTS) == ([], 2)


@pytest.mark.parametrize(("headers", "heard"), [((), 0), (((b"content-length", b"2"),), 2)])
async def test_a_mere_look_has_no_body_to_wait_for_unless_it_says_so(headers: tuple[Any, ...], heard: int) -> None:
    assert await exchange(404, PARTS, "GET", headers) == ([], heard)


async def test_a_good_answer_waits_for_nothing() -> None:
    assert await exchange(200, PARTS) == ([], 0)


async def test_whoever_dawdles_is_told_that_the_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "HEAR_OUT_S", 0.05)
    assert await exchange(413, PARTS[:1]) == ([(b"connection", b"close")], 1)
