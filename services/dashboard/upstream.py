"""A neighbour that is asked over HTTP and may be away: whatever goes wrong is an `AppError` with a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from services.defaults.errors import AppError, Unavailable, from_problem

# In a trace that nobody keeps (W3C Trace Context, 3.2.2.5): looking must not make what is looked at.
UNTRACED: Final = {"traceparent": f"00-{'1' * 32}-{'1' * 16}-00"}
TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)  # a neighbour that is frozen must not freeze the page


@dataclass(frozen=True)
class File:
    """What a neighbour keeps, as it sent it."""

    content: bytes
    content_type: str
    disposition: str


class Upstream:
    """`name` is what the sentences call it ("The mailbox"); `base` is where its addresses begin."""

    def __init__(self, name: str, session: aiohttp.ClientSession, base: str) -> None:
        self._name = name
        self._session = session
        self._base = base.rstrip("/")

    async def json(self, method: str, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON. Raises the `AppError` that it stands for, `Unavailable` where there is none."""
        body, _ = await self._ask(method, path, params)
        try:
            return json.loads(body)
        except ValueError as error:
            raise Unavailable(f"{self._name} answered something that cannot be read.") from error

    async def file(self, path: str) -> File:
        """The answer as it is. Raises as `json` does."""
        body, headers = await self._ask("GET", path, None)
        return File(
            body, headers.get("Content-Type", "application/octet-stream"), headers.get("Content-Disposition", "")
        )

    async def _ask(self, method: str, path: str, params: Mapping[str, str] | None) -> tuple[bytes, Mapping[str, str]]:
        try:
            async with self._session.request(
                method, self._base + path, params=params, headers=UNTRACED, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise Unavailable(f"{self._name} does not answer.") from error
        if response.status >= 300:
            raise _error(response.status, content)
        return content, response.headers


def part(text: str) -> str:
    """A name as one part of a path: what is in it cannot lead elsewhere."""
    return quote(text, safe="")


def _error(status: int, content: bytes) -> AppError:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return from_problem(status, body)
