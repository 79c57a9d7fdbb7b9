"""How a process of TicketFlow starts, serves and stops.

At SIGTERM (or Ctrl-C) it leaves Consul and fails readiness, waits for callers to notice, refuses new work,
finishes what is in flight within the grace period, and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import hypercorn.asyncio
import uvloop
from hypercorn.config import Config
from quart import Quart

from services.defaults.grpc import GrpcServer
from services.defaults.health import Health
from services.defaults.http import create_http_app
from services.defaults.registration import open_registration
from services.defaults.settings import CommonSettings, SettingsError
from services.defaults.telemetry.metering import watched_loop

if TYPE_CHECKING:
    from grpclib._typing import IServable

BACKLOG: Final = 1024
MAX_HEADER_BYTES: Final = 16 * 1024
ACCEPT_POLL_S: Final = 0.02

Background = Callable[[asyncio.Event], Awaitable[None]]
"""A loop beside the server, such as a relay. It returns soon after its event is set, and never before."""

Verb = Callable[[], Coroutine[Any, Any, None]]
logger = logging.getLogger(__name__)


def main(name: str, verbs: Mapping[str, Verb]) -> None:
    """Runs the verbs named on the command line in turn (`serve` if none), and ends the process with the outcome."""
    arguments = sys.argv[1:] or ["serve"]
    if not verbs.keys() >= set(arguments):
        sys.exit(f"usage: python -m services.{name} [{' | '.join(verbs)}] …")
    try:
        for verb in arguments:
            uvloop.run(verbs[verb]())
    except SettingsError as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(2)


async def serve_http(
    app: Quart,
    settings: CommonSettings,
    health: Health,
    *,
    background: Sequence[Background] = (),
    also: Sequence[tuple[Quart, int]] = (),
) -> None:
    """Serves `app` at the settings' address until told to stop, and `also` others, each at a port of its own."""
    told = _stop_signal()
    async with _background(background), contextlib.AsyncExitStack() as servers:
        stops = [
            await servers.enter_async_context(_http(each, settings, port))
            for each, port in [*also, (app, settings.port)]
        ]
        await _serve_until(told, settings, health, "http")
        for stop_accepting in stops:
            stop_accepting.set()


async def serve_grpc(
    handlers: Collection[IServable],
    settings: CommonSettings,
    health: Health,
    *,
    background: Sequence[Background] = (),
) -> None:
    """Serves `handlers` at PORT, and health and liveness over HTTP at ADMIN_PORT, until told to stop."""
    told = _stop_signal()
    admin = create_http_app(health.service, health, api_pages=False)
    server = GrpcServer(handlers, health)
    await server.start(settings.host, settings.port)  # before health can say that it is well
    async with _background(background), _http(admin, settings, settings.admin_port) as stop_accepting:
        await _serve_until(told, settings, health, "grpc")
        await server.stop(settings.grace_s)
        stop_accepting.set()


async def serve_worker(
    work: Background, settings: CommonSettings, health: Health, *, background: Sequence[Background] = ()
) -> None:
    """Runs `work`, with health and liveness over HTTP at PORT, until told to stop."""
    told = _stop_signal()
    admin = create_http_app(health.service, health, api_pages=False)
    async with (
        _background([work, *background], grace_s=settings.grace_s),
        _http(admin, settings, settings.port) as done,
    ):
        await _serve_until(told, settings, health, "worker")
        done.set()


async def _serve_until(told: asyncio.Event, settings: CommonSettings, health: Health, tag: str) -> None:
    """Registered, until told to stop; then long enough for callers to see that this instance is leaving."""

    async def ready() -> bool:
        return (await health.report())[0]

    async with watched_loop(), open_registration(settings, health.service, tags=[tag], ready=ready):
        logger.info("serving", extra={"address": f"{settings.host}:{settings.port}"})
        await told.wait()
        health.draining = True
    logger.info("stopping", extra={"drain_s": settings.drain_s})
    await asyncio.sleep(settings.drain_s)


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; ask for it before serving, for a signal may come at any time."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    return told


@asynccontextmanager
async def _http(app: Quart, settings: CommonSettings, port: int) -> AsyncIterator[asyncio.Event]:
    """Serves `app` while inside; yields the event that makes it finish and close."""
    stop = asyncio.Event()
    config = _hypercorn_config(settings, port)
    server = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    try:
        await _until_accepting(server, settings.host, port)
        yield stop
    finally:
        stop.set()
        await server


async def _until_accepting(server: asyncio.Task[None], host: str, port: int) -> None:
    while not server.done():
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(ACCEPT_POLL_S)
    await server  # it could not start: raise its reason


def _hypercorn_config(settings: CommonSettings, port: int) -> Config:
    config = Config()
    config.bind = [f"{settings.host}:{port}"]
    config.graceful_timeout = settings.grace_s
    config.backlog = BACKLOG
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)
    return config


@asynccontextmanager
async def _background(loops: Sequence[Background], *, grace_s: float = 5.0) -> AsyncIterator[None]:
    """Runs the loops while inside. One that fails ends the process: a supervisor starts it anew."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(loop, stop)) for loop in loops]
        yield
        stop.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()


async def _run(loop: Background, stop: asyncio.Event) -> None:
    await loop(stop)
    if not stop.is_set():
        raise RuntimeError(f"{getattr(loop, '__qualname__', loop)} ended before it was told to")
