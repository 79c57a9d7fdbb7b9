"""Where the instances of a service are: from Consul, or from static addresses, by one interface.

Consul is asked by blocking queries, one for each service that is looked for, and what it last said stays
good while it is away: an agent that is down, frozen or restarted empty cuts no route. How a process makes
itself known is in `registration.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from consul.aio import Consul

from services.defaults.consul_agent import log_consul_failure, open_consul
from services.defaults.errors import Unavailable
from services.defaults.outages import back_off_s
from services.defaults.settings import CommonSettings, SettingsError

logger = logging.getLogger(__name__)

LEFT_OUT_S: Final = 5.0  # how long an instance that refused gets no calls, while others take them


@dataclass(frozen=True, order=True)
class Endpoint:
    """A host (name, IPv4 or bare IPv6 address) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Reads `host:port` or `[ipv6]:port`; raises `ValueError` with a sentence."""
        host, colon, port = text.strip().rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"{text!r} is not host:port")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))


class Discovery(Protocol):
    """Finds the instances of a service, by the name under which it registers."""

    async def endpoints(self, service: str) -> Sequence[Endpoint]:
        """Every instance that may be called now; empty if none is known."""

    async def pick(self, service: str) -> Endpoint:
        """The instance whose turn it is; raises `Unavailable` if none is known."""

    def refused(self, service: str, endpoint: Endpoint) -> None:
        """Tells that a call there failed before it was answered: it gets none for a while if others can."""


class Rotation:
    """Takes turns over the instances of each service, from a random start, past those that just refused."""

    def __init__(self, *, left_out_s: float = LEFT_OUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._left_out_s = left_out_s
        self._clock = clock
        self._turns: dict[str, itertools.count[int]] = {}
        self._refused: dict[tuple[str, Endpoint], float] = {}

    def pick(self, service: str, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The next of `endpoints`; raises `Unavailable` when there are none."""
        if not endpoints:
            raise Unavailable(f"No instance of {service} is known at the moment.", retry_after_s=1)
        willing = [e for e in endpoints if not self._is_left_out(service, e)] or endpoints
        # Instances of a caller that start together would otherwise all begin with the same callee.
        turn = self._turns.setdefault(service, itertools.count(random.randrange(1 << 16)))  # noqa: S311  # spread, no secret
        return willing[next(turn) % len(willing)]

    def refused(self, service: str, endpoint: Endpoint) -> None:
        now = self._clock()
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        self._refused[service, endpoint] = now + self._left_out_s

    def _is_left_out(self, service: str, endpoint: Endpoint) -> bool:
        return self._refused.get((service, endpoint), 0.0) > self._clock()


class StaticDiscovery:
    """The addresses that the environment names."""

    def __init__(self, addresses: Mapping[str, Sequence[Endpoint]], rotation: Rotation | None = None) -> None:
        self._addresses = {service: tuple(found) for service, found in addresses.items()}
        self._rotation = rotation or Rotation()

    async def endpoints(self, service: str) -> Sequence[Endpoint]:
        return self._addresses.get(service, ())

    async def pick(self, service: str) -> Endpoint:
        return self._rotation.pick(service, await self.endpoints(service))

    def refused(self, service: str, endpoint: Endpoint) -> None:
        self._rotation.refused(service, endpoint)


class LastKnown:
    """The instances of one service as last heard of.

    An empty list is believed only after `empty_grace_s`: an agent that restarted empty says the same until
    the services have registered again and passed their first check.
    """

    def __init__(self, *, empty_grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._empty_grace_s = empty_grace_s
        self._clock = clock
        self._known: tuple[Endpoint, ...] = ()
        self._empty_since: float | None = None

    def update(self, found: Sequence[Endpoint]) -> bool:
        """Takes an authoritative answer; tells whether it changes who is called."""
        fresh = tuple(sorted(set(found)))
        if not fresh:
            if self._empty_since is None:
                self._empty_since = self._clock()
            return False
        changed = fresh != self._known
        self._known, self._empty_since = fresh, None
        return changed

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        if self._empty_since is not None and self._clock() - self._empty_since >= self._empty_grace_s:
            return ()
        return self._known


@dataclass(frozen=True, kw_only=True)
class ConsulTiming:
    """Seconds. Consul may stretch a blocking query's `wait_s` by a sixteenth, to spread the herd."""

    wait_s: float = 30.0
    margin_s: float = 3.0
    first_answer_s: float = 3.0
    idle_pause_s: float = 0.5
    # Nomad registers anew within 30, at agents whose own server has forgotten them within 120 (Consul's anti-entropy),
    # and checks have to pass. Who is gone indeed refuses connections meanwhile, or its breaker opens.
    empty_grace_s: float = 150.0
    back_off_max_s: float = 10.0

    def query_timeout_s(self, index: int) -> float:
        """A query without an index is answered at once."""
        return self.margin_s + (self.wait_s + self.wait_s / 16 if index else 0.0)


@dataclass(frozen=True)
class _Watch:
    task: asyncio.Task[None]
    view: LastKnown
    tried: asyncio.Event  # set once the first query has ended, well or badly


class ConsulDiscovery:
    """Passing instances as Consul knows them; `fallback` answers while Consul knows none."""

    def __init__(
        self,
        consul: Consul,
        fallback: StaticDiscovery | None = None,
        *,
        timing: ConsulTiming | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self._consul = consul
        self._fallback = fallback or StaticDiscovery({})
        self._timing = timing or ConsulTiming()
        self._rotation = rotation or Rotation()
        self._watches: dict[str, _Watch] = {}

    async def endpoints(self, service: str) -> Sequence[Endpoint]:
        watch = self._watches.get(service) or self._start_watch(service)
        if not watch.tried.is_set():
            await self._wait_for_first_answer(watch)
        return watch.view.endpoints or await self._fallback.endpoints(service)

    async def pick(self, service: str) -> Endpoint:
        return self._rotation.pick(service, await self.endpoints(service))

    def refused(self, service: str, endpoint: Endpoint) -> None:
        self._rotation.refused(service, endpoint)

    async def close(self) -> None:
        """Ends the watches."""
        tasks = [watch.task for watch in self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_watch(self, service: str) -> _Watch:
        view, tried = LastKnown(empty_grace_s=self._timing.empty_grace_s), asyncio.Event()
        # A context of its own: the watch outlives the request that asks first, its trace and its deadline.
        task = asyncio.create_task(
            self._follow(service, view, tried), name=f"consul:{service}", context=contextvars.Context()
        )
        self._watches[service] = _Watch(task, view, tried)
        return self._watches[service]

    async def _wait_for_first_answer(self, watch: _Watch) -> None:
        try:
            async with asyncio.timeout(self._timing.first_answer_s):
                await watch.tried.wait()
        except TimeoutError:
            watch.tried.set()  # later callers do not wait again for an agent that is frozen

    async def _follow(self, service: str, view: LastKnown, tried: asyncio.Event) -> None:
        """Keeps `view` as Consul says, until cancelled."""
        index = failures = 0
        while True:
            try:
                index, found = await self._query(service, index)
            except Exception as error:  # whatever it is, a watch that died would freeze the list for ever
                # From the start again: a restarted agent's index has begun anew, and may never reach ours.
                index, failures = 0, failures + 1
                log_consul_failure(f"instances of {service}", failures, error)
                pause_s = back_off_s(failures, self._timing.back_off_max_s)
            else:
                failures = 0
                pause_s = self._apply(service, view, found)
            tried.set()
            await asyncio.sleep(pause_s)

    async def _query(self, service: str, index: int) -> tuple[int, list[Endpoint]]:
        """One blocking query: the index to ask with next, and the passing instances."""
        async with asyncio.timeout(self._timing.query_timeout_s(index)):
            answered, nodes = await self._consul.health.service(
                service, index=index or None, wait=f"{self._timing.wait_s:g}s", passing=True
            )
        return next_index(index, int(answered)), [_endpoint(node) for node in nodes or ()]

    def _apply(self, service: str, view: LastKnown, found: Sequence[Endpoint]) -> float:
        """Takes the answer; returns the pause before the next query."""
        if view.update(found):
            logger.info("instances changed", extra={"service": service, "instances": [str(e) for e in found]})
            return 0.0
        # Older agents wake a watch on a missing service at every unrelated change.
        return self._timing.idle_pause_s


def next_index(asked: int, answered: int) -> int:
    """The index for the next blocking query: anew from 0 if it ran backwards, as Consul's API guide says."""
    return answered if answered >= max(asked, 1) else 0


@asynccontextmanager
async def open_discovery(settings: CommonSettings, static: Mapping[str, str]) -> AsyncIterator[Discovery]:
    """Consul where the settings name it, with `static` to fall back on; else `static` alone.

    `static` maps a service to its comma-separated `host:port` addresses. Raises `SettingsError` for one
    that is malformed. A Consul that is down does not block the start.
    """
    fallback = StaticDiscovery(parse_addresses(static))
    if not settings.consul_http_addr:
        yield fallback
        return
    async with open_consul(settings) as consul:
        discovery = ConsulDiscovery(consul, fallback)
        try:
            yield discovery
        finally:
            await discovery.close()


def parse_addresses(static: Mapping[str, str]) -> dict[str, list[Endpoint]]:
    """Static addresses by service; raises `SettingsError` naming every service whose list is malformed."""
    parsed: dict[str, list[Endpoint]] = {}
    problems: list[str] = []
    for service, text in static.items():
        try:
            parsed[service] = [Endpoint.parse(part) for part in text.split(",") if part.strip()]
        except ValueError as error:
            problems.append(f"{service.upper()}_ADDR: {error}")
    if problems:
        raise SettingsError(*problems)
    return parsed


def _endpoint(node: Mapping[str, Any]) -> Endpoint:
    """A service that registered without an address is at its node's."""
    service = node["Service"]
    return Endpoint(service["Address"] or node["Node"]["Address"], service["Port"])
