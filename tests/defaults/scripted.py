"""A shop on loopback that answers as told, and clients of it with little patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from services.defaults.attempts import Policy
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.resilience import HttpClient, open_http_client
from tests.defaults.loopback import serving

QUICK = Policy(
    total_s=3.0,
    attempt_s=0.3,
    connect_s=0.3,
    retries=3,
    backoff_s=0.01,
    backoff_max_s=1.5,
    break_after=5,
    break_s=0.3,
)
PATIENT = replace(QUICK, break_after=1000)


class Script:
    """Answers one request after another as told, the last for ever, and keeps what it was asked."""

    def __init__(self, *answers: web.Response | Callable[[], Awaitable[web.Response]]) -> None:
        self._answers = list(answers)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def respond(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer()

    @property
    def count(self) -> int:
        return len(self.requests)


def answer(status: int, body: Any = None, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b"" if body is None else json.dumps(body).encode()
    return web.Response(status=status, body=content, headers={"Content-Type": "application/json", **named})


def problem(status: int, code: str, **headers: str) -> web.Response:
    return answer(status, {"status": status, "detail": f"Because of {code}.", "code": code}, **headers)


async def hang() -> web.Response:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits that long")


class RawServer:
    """A TCP server that reads a request's first byte, and then resets the connection or says nothing."""

    endpoint: Endpoint

    def __init__(self, *, resets: bool) -> None:
        self._resets = resets
        self.count = 0
        self.closing = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            self.count += 1
            if self._resets:
                writer.transport.abort()
            else:
                await self.closing.wait()
        writer.close()


@asynccontextmanager
async def raw_server(*, resets: bool) -> AsyncIterator[RawServer]:
    server = RawServer(resets=resets)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.endpoint = Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with listener:
        yield server
        server.closing.set()


@asynccontextmanager
async def client_of(
    *endpoints: Endpoint, policy: Policy = PATIENT, max_answer_bytes: int = 10_000
) -> AsyncIterator[HttpClient]:
    discovery = StaticDiscovery({"shop": endpoints})
    async with open_http_client("shop", discovery, policy, max_answer_bytes=max_answer_bytes) as client:
        yield client


@asynccontextmanager
async def scripted(
    *answers: web.Response | Callable[[], Awaitable[web.Response]], policy: Policy = PATIENT
) -> AsyncIterator[tuple[Script, HttpClient]]:
    script = Script(*answers)
    async with serving(script.respond) as endpoint, client_of(endpoint, policy=policy) as client:
        yield script, client


class CountingDiscovery:
    """Static discovery that keeps what it picked, and what it was told to leave out."""

    def __init__(self) -> None:
        self.picked: list[Endpoint] = []
        self.left_out: list[Endpoint] = []
        self._inner = StaticDiscovery({})

    def add(self, *endpoints: Endpoint) -> None:
        self._inner = StaticDiscovery({"shop": endpoints})

    async def endpoints(self, service: str) -> Any:
        return await self._inner.endpoints(service)

    async def pick(self, service: str) -> Endpoint:
        self.picked.append(await self._inner.pick(service))
        return self.picked[-1]

    def refused(self, service: str, endpoint: Endpoint) -> None:
        self.left_out.append(endpoint)
        self._inner.refused(service, endpoint)
