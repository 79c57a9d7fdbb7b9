"""One buyer's requests to the shop, over a few connections that the whole crowd shares."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

LOST: Final = "LOST"  # no answer, or none that makes sense
PASSING: Final = frozenset({"UNAVAILABLE", "RATE_LIMITED", "INTERNAL", LOST})
ANSWER_S: Final = 60.0
PAUSE_S: Final = 1.0  # before a retry, where the shop names no wait
PATIENCE_S: Final = 90.0  # with one wish, retries and all


@dataclass(frozen=True)
class Sample:
    """One request: what it was for, when it went out and how long its answer took (s), and the error code, if any."""

    kind: str
    at_s: float
    took_s: float
    code: str


@dataclass(frozen=True)
class Answer:
    """``data`` is the one field that was asked for. ``code`` is empty unless the shop refused."""

    data: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    retry_after_s: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the same request may have another answer later."""
        return self.code in PASSING or (self.code == "CONFLICT" and self.retry_after_s is not None)


Send = Callable[[str, Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]
"""A query, its variables and an access token, to GraphQL's answer. Raises aiohttp's errors, OSError or ValueError."""


class Gateway:
    """``clock`` gives the seconds since the sale began; at most ``at_once`` requests are under way."""

    def __init__(self, send: Send, clock: Callable[[], float], *, at_once: int) -> None:
        self._send = send
        self._clock = clock
        self._turn = asyncio.Semaphore(at_once)
        self.samples: list[Sample] = []

    async def ask(self, kind: str, query: str, variables: Mapping[str, Any], token: str = "") -> Answer:
        """Sends one request, once."""
        async with self._turn:
            began_s = self._clock()
            try:
                answer = read_answer(await self._send(query, variables, token))
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
                answer = Answer(code=LOST)
            self.samples.append(Sample(kind, began_s, self._clock() - began_s, answer.code))
        return answer

    async def insist(
        self, kind: str, query: str, variables: Mapping[str, Any], token: str, chance: random.Random
    ) -> Answer:
        """Repeats the same request while its refusal may pass, as long after as the shop asks for."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = await self.ask(kind, query, variables, token)
            if not answer.may_pass or time.monotonic() > deadline:
                return answer
            # Jitter: those who were refused together must not come back together.
            await asyncio.sleep((answer.retry_after_s or PAUSE_S) * chance.uniform(1.0, 1.3))


def read_answer(body: Mapping[str, Any]) -> Answer:
    """A GraphQL answer with one field. Raises KeyError where it is none."""
    for error in body.get("errors") or ():
        extensions = error["extensions"]
        return Answer(code=extensions["code"], retry_after_s=extensions.get("retryAfter"))
    (data,) = body["data"].values()
    return Answer(data=data or {})


@asynccontextmanager
async def open_door(url: str) -> AsyncIterator[Send]:
    """The way to the gateway at ``url``. Connections are for everybody; `Gateway` bounds how many are in use."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as http:

        async def send(query: str, variables: Mapping[str, Any], token: str) -> Mapping[str, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            payload = {"query": query, "variables": variables}
            async with http.post(f"{url}/graphql", json=payload, headers=headers) as response:
                body: Mapping[str, Any] = await response.json()
            return body

        yield send
