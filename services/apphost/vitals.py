"""How the parts are, as they say themselves and as is measured: only while somebody asks, and not too often."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from services.apphost.keeper import Keeper, State
from services.apphost.usage import Meter, Usage

LOOK_S: Final = 0.5  # what a look waits at most: the answer of a part that hangs is there at a later one
SERVICE_FRESH_S: Final = 1.0
SERVER_FRESH_S: Final = 5.0  # a check of a server opens a connection
ANSWER_S: Final = 2.0  # a service waits a second for what it needs before it says that it is not well

Health = Mapping[str, Any]


class Probe:
    """Repeats a measurement at most once in ``fresh_s``, and never beside itself."""

    def __init__(self, measure: Callable[[], Coroutine[Any, Any, None]], fresh_s: float) -> None:
        self._measure = measure
        self._fresh_s = fresh_s
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def under_way(self) -> list[asyncio.Task[None]]:
        """The measurement, if it is due or has not ended yet."""
        now = time.monotonic()
        if (self._task is None or self._task.done()) and now >= self._due:
            self._due = now + self._fresh_s
            self._task = asyncio.create_task(self._measure())
        return [self._task] if self._task is not None and not self._task.done() else []

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})


class Vitals:
    """``health`` by part, of those that answered: a service's own words, a server's ``pass`` or ``fail``."""

    def __init__(self, keepers: Mapping[str, Keeper], http: aiohttp.ClientSession) -> None:
        self._keepers = keepers
        self._http = http
        self._meter = Meter()
        self._weighing = Probe(self._weigh, SERVICE_FRESH_S)
        self._asking = {
            name: Probe(partial(self._ask, keeper), SERVICE_FRESH_S if keeper.part.health else SERVER_FRESH_S)
            for name, keeper in keepers.items()
            if keeper.part.check is not None
        }
        self.health: dict[str, Health] = {}
        self.usage: dict[str, Usage] = {}

    async def look(self, *names: str) -> None:
        """Measure what is due, of these parts or of all."""
        tasks = self._weighing.under_way()
        for name in names or self._keepers:
            if self._keepers[name].state is not State.RUNNING:
                self.health.pop(name, None)
            elif name in self._asking:
                tasks += self._asking[name].under_way()
        if tasks:
            await asyncio.wait(tasks, timeout=LOOK_S)

    async def close(self) -> None:
        for probe in (self._weighing, *self._asking.values()):
            await probe.close()

    async def _weigh(self) -> None:
        pids = {name: keeper.pid for name, keeper in self._keepers.items() if keeper.pid}
        self.usage = await asyncio.to_thread(self._meter.read, pids)

    async def _ask(self, keeper: Keeper) -> None:
        health = await (self._ask_service if keeper.part.health else _check_server)(keeper)
        if health is None or keeper.state is not State.RUNNING:
            self.health.pop(keeper.part.name, None)
        else:
            self.health[keeper.part.name] = health

    async def _ask_service(self, keeper: Keeper) -> Health | None:
        try:
            async with asyncio.timeout(ANSWER_S), self._http.get(keeper.part.health) as answer:
                health: Health = await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, ValueError):
            return None
        return health


async def _check_server(keeper: Keeper) -> Health | None:
    if keeper.part.check is None:
        return None
    try:
        await keeper.part.check()
    except Exception as error:  # whatever a client library raises; its message may hold a password
        return {"status": "fail", "output": type(error).__name__}
    return {"status": "pass"}
