"""A connection to RabbitMQ that is rebuilt for ever: what `messaging.py` stands on.

aiormq does not reconnect, so a supervisor watches the connection and its channels; whichever dies takes the
others with it, because one way to rebuild is easier to trust than three.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import PublishError
from yarl import URL

from services.defaults.errors import Unavailable
from services.defaults.outages import back_off_s, is_news

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0  # of every call: a frozen broker must not freeze its callers
HEARTBEAT_S: Final = 2  # aiormq gives up after 3 × (heartbeat + 1) s of silence: 9 s
BACK_OFF_MAX_S: Final = 2.0

Topology = Callable[[AbstractChannel], Awaitable[None]]


class Unroutable(Unavailable):
    """The broker knows no queue for a message: its consumer has not been set up yet."""

    default_code = "UNROUTABLE"


@dataclass(frozen=True)
class Session:
    """One life of the connection. `control` declares and pings, `publisher` confirms what it publishes."""

    connection: AbstractConnection
    control: AbstractChannel
    publisher: AbstractChannel

    @property
    def alive(self) -> bool:
        return not (self.connection.is_closed or self.control.is_closed or self.publisher.is_closed)

    async def ended(self) -> None:
        """Returns when the connection or one of the channels is gone."""
        await asyncio.wait(
            [self.connection.closing, self.control.closing, self.publisher.closing],
            return_when=asyncio.FIRST_COMPLETED,
        )


class Link:
    """Holds the present session, or none while the broker is away."""

    def __init__(self, url: str) -> None:
        self._url = URL(url).update_query(heartbeat=str(HEARTBEAT_S))
        self._topologies: list[Topology] = []
        self._session: Session | None = None
        self._ready = asyncio.Event()
        self._declaring = asyncio.Lock()
        self._pinging: asyncio.Task[None] | None = None

    async def supervise(self) -> None:
        """Keeps a session for ever, waiting with full jitter between attempts; ends only by cancellation."""
        failures = 0
        while True:
            try:
                session = await self._open()
            except Unavailable as error:
                failures += 1
                if is_news(failures):
                    logger.warning("broker unreachable", extra={"reason": reason(error), "failures": failures})
                await asyncio.sleep(back_off_s(failures, BACK_OFF_MAX_S))
                continue
            failures = 0
            try:
                logger.info("broker connected")
                await session.ended()
                logger.warning("broker connection lost")
            finally:
                self._session = None
                self._ready.clear()
                await _close(session.connection)

    async def session(self) -> Session:
        """The present session, waiting TIMEOUT_S for one; raises Unavailable after that."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._ready.wait()
                while self._session is None or not self._session.alive:
                    await asyncio.sleep(0)  # it died this moment: let the supervisor see it
                    await self._ready.wait()
                return self._session
        except TimeoutError:
            raise Unavailable("The message broker cannot be reached.") from None

    def present(self) -> Session:
        """The present session; raises Unavailable at once where there is none."""
        if self._session is None:
            raise Unavailable("The message broker cannot be reached.")
        return self._session

    async def declare(self, topology: Topology) -> None:
        """Runs `topology` now or as soon as there is a session, and again in every session after that."""
        async with self._declaring:
            self._topologies.append(topology)
            if self._session is None:
                return
            try:
                with connection_errors():
                    await _within_time(topology(self._session.control))
            except Unavailable as error:
                # Its channel is gone, so the session is rebuilt, and this is done again there.
                logger.warning("declaring failed", extra={"reason": reason(error)})

    async def ping(self) -> None:
        """Raises Unavailable unless the broker answers.

        The question outlives an impatient caller: aiormq closes the channel of a cancelled call, and a broker
        that is merely slow must not lose its connection over that.
        """
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.create_task(self._ask(self.present().control))
            self._pinging.add_done_callback(_retrieve)
        await asyncio.shield(self._pinging)

    @staticmethod
    async def _ask(channel: AbstractChannel) -> None:
        with connection_errors():
            await channel.exchange_declare("amq.direct", passive=True, timeout=TIMEOUT_S)

    async def _open(self) -> Session:
        with connection_errors():
            connection = aiormq.connect(str(self._url)).connection
            try:
                await _within_time(connection.connect())
                control = await connection.channel(timeout=TIMEOUT_S)
                session = Session(connection, control, await connection.channel(timeout=TIMEOUT_S))
                async with self._declaring:
                    for topology in self._topologies:
                        await _within_time(topology(control))
                    self._session = session
                    self._ready.set()
            except BaseException:
                await _close(connection)
                raise
        return session

    @asynccontextmanager
    async def own_channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel that may die without harm to others, as it does when a queue is missing.

        What aiormq raises inside is not translated: the caller's own errors pass here, too.
        """
        session = await self.session()
        with connection_errors():
            channel = await session.connection.channel(timeout=TIMEOUT_S)
        try:
            yield channel
        finally:
            await channel.close()


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turns the many ways in which aiormq reports a lost connection into Unavailable.

    It rejects pending calls with CancelledError (missed heartbeats) or a bare Exception, too. A cancellation
    that somebody asked this very task for stays one.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable("The message broker was lost.") from None
    except PublishError as error:
        raise Unroutable("The message broker has no queue for a message.") from error
    except (Unavailable, ValueError, TypeError):
        raise  # ours, or a programming error
    except Exception as error:
        raise Unavailable(f"The message broker failed: {type(error).__name__}.") from error


def reason(error: Unavailable) -> str:
    """What is behind the error, for a log line; callers are not told."""
    return repr(error.__cause__ or error)


async def _within_time(call: Awaitable[Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await call


def _retrieve(task: asyncio.Task[None]) -> None:
    """Marks the outcome as seen: nobody may be waiting for it any more."""
    if not task.cancelled():
        task.exception()


async def _close(connection: AbstractConnection) -> None:
    # Whatever closing raises, the connection is gone; a frozen broker must not hold us up.
    with suppress(Exception):
        await _within_time(connection.close())
