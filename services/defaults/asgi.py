"""What wraps every application between the server and Quart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from services.defaults.deadline import DEADLINE_HEADER, deadline_scope, parse_deadline

HEAR_OUT_S: Final = 2.0
MERE_LOOKS: Final = frozenset({"GET", "HEAD"})
BODY_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})


class DeadlineMiddleware:
    """Gives everything that a request causes no more time than its caller has, where that one is `trusted`."""

    def __init__(self, app: Any, trusted: Callable[[str], bool]) -> None:
        self._app = app
        self._trusted = trusted
        self._name = DEADLINE_HEADER.lower().encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        value = next((v for k, v in scope.get("headers", ()) if k == self._name), b"")
        if value and not self._trusted((scope.get("client") or ("",))[0]):
            value = b""
        with deadline_scope(parse_deadline(value.decode("latin-1"))):
            await self._app(scope, receive, send)


class HearOutMiddleware:
    """Lets the body of a request that is refused unread arrive, and drops it, before the answer.

    A server that answers and closes while the client still sends resets the connection, and the client sees
    that instead of the answer. Whoever takes longer than `HEAR_OUT_S` is told that the connection ends.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("method") in MERE_LOOKS and BODY_HEADERS.isdisjoint(name for name, _ in scope["headers"]):
            await self._app(scope, receive, send)  # there is nothing to hear
            return
        heard = asyncio.Event()

        async def listen() -> Any:
            message = await receive()
            if not message.get("more_body", False):
                heard.set()
            return message

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                message = await self._hear_out(heard, message)
            await send(message)

        await self._app(scope, listen, answer)

    async def _hear_out(self, heard: asyncio.Event, message: Any) -> Any:
        try:
            async with asyncio.timeout(HEAR_OUT_S):
                await heard.wait()
        except TimeoutError:
            return {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        return message
