"""The app host's control socket: what runs, its last lines, and the buttons (services/apphost)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp

from services.dashboard.parts import Part, read_part
from services.dashboard.upstream import Upstream, part
from services.defaults.errors import Unavailable


class Control(Protocol):
    """Every call raises `Unavailable` while nobody listens, and the app host's own refusals."""

    async def parts(self) -> Sequence[Part]:
        """Every part, in the topology's order."""

    async def log(self, name: str, lines: int) -> Sequence[str]:
        """The last lines that a part has printed, oldest first."""

    async def act(self, name: str, verb: str) -> Part:
        """Does one of `VERBS` to a part, and tells how it is afterwards."""


class SocketControl:
    """The control by HTTP over the Unix socket."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def parts(self) -> Sequence[Part]:
        body = await self._upstream.json("GET", "/parts")
        return [_read(each) for each in _field(body, "parts")]

    async def log(self, name: str, lines: int) -> Sequence[str]:
        body = await self._upstream.json("GET", f"/parts/{part(name)}/log", {"lines": str(lines)})
        return [str(line) for line in _field(body, "lines")]

    async def act(self, name: str, verb: str) -> Part:
        return _read(await self._upstream.json("POST", f"/parts/{part(name)}/{part(verb)}"))


@asynccontextmanager
async def open_control(socket: str) -> AsyncIterator[Control | None]:
    """The control behind the Unix socket at that path; None where there is no path."""
    if not socket:
        yield None
        return
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session:
        yield SocketControl(Upstream("The app host", session, "http://apphost"))


def _field(body: Any, name: str) -> list[Any]:
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise Unavailable("The app host answered something that cannot be read.")
    return found


def _read(body: Any) -> Part:
    try:
        return read_part(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("The app host answered something that cannot be read.") from error
