"""Postgres through Tortoise: a pool with bounds, hot statements as SQL, and errors that people can be told.

Tortoise keeps its models in one registry a process; everything else about a database is in the `Database`
that `open_database` gives.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import asyncpg
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, IntegrityError, TransactionManagementError
from tortoise.migrations.api import migrate as tortoise_migrate

from services.defaults.errors import Unavailable
from services.defaults.telemetry import query_span

CONNECT_TIMEOUT_S: Final = 1.9
STATEMENT_TIMEOUT_S: Final = 1.9
ACQUIRE_TIMEOUT_S: Final = 1.0  # for a server that answers nobody; with a statement that times out, inside 3 s
BUSY_TIMEOUT_S: Final = 8.0  # for one that does: a crowd on its first click is no outage
RETRY_AFTER_S: Final = 2.0
LISTEN_RETRY_S: Final = 1.0
CONNECTION: Final = "default"  # Tortoise's name for the only one that there is
MIGRATION_LOCK: Final = 0x7469636B  # "tick": one advisory lock for the migrations of a database

# What asyncpg raises when the server is away, going down, coming up, or does not answer in time.
_AWAY: Final = (
    OSError,
    TimeoutError,
    DBConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that was lost in the middle of a statement
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
)

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


def _unavailable(cause: BaseException) -> Unavailable:
    logger.warning("database unavailable", extra={"reason": type(cause).__name__})
    return Unavailable("The shop's records cannot be reached right now.", retry_after_s=RETRY_AFTER_S)


def _guarded(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Turns a server that is away into `Unavailable`, and a refused constraint into Tortoise's error for it."""

    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except _AWAY as error:
            raise _unavailable(error) from error
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityError(error) from error

    return wrapper


class Database:
    """One service's database.

    Statements take `$1`-style parameters. Inside `transaction()` they, and Tortoise's models, use its
    connection; outside, each takes one from the pool. All raise `Unavailable` where the server is away, and
    `tortoise.exceptions.IntegrityError` where a constraint refuses.
    """

    def __init__(self, url: str, context: TortoiseContext, pool_size: int) -> None:
        self._url = url
        self._context = context
        self._place = _place(url)
        # asyncpg's pool waits for ever; this queue in front of it does not.
        self._slots = asyncio.Semaphore(pool_size)
        self._served_at = 0.0  # on the monotonic clock: when somebody was last done with a connection
        self._in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)

    @_guarded
    async def fetch(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        """The rows, also those of `INSERT`, `UPDATE` or `DELETE … RETURNING`."""
        async with self._slot(), self._connection() as connection:
            with query_span(sql, self._place):
                rows = await connection.fetch(sql, *args)
        return [dict(row) for row in rows]

    async def fetch_one(self, sql: str, *args: Any) -> dict[str, Any] | None:
        """The first row, if there is one."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    @_guarded
    async def execute(self, sql: str, *args: Any) -> int:
        """How many rows the statement touched."""
        async with self._slot(), self._connection() as connection:
            with query_span(sql, self._place):
                status = await connection.execute(sql, *args)
        return int(last) if (last := str(status).rsplit(" ", 1)[-1]).isdigit() else 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """One transaction; an exception rolls it back. Do not start tasks inside: they would outlive it."""
        token = None
        try:
            async with self._slot():
                token = self._in_transaction.set(True)
                async with self._begun():
                    yield
        except _AWAY as error:
            raise _unavailable(error) from error
        finally:
            if token:
                self._in_transaction.reset(token)

    async def ping(self) -> None:
        """Raises where the server does not answer.

        While every connection is busy and the server answers others, that is the answer: a place in their queue
        comes later than a health check waits.
        """
        if self._slots.locked() and self._answers():
            return
        await self.fetch("SELECT 1")

    @asynccontextmanager
    async def listen(self, channel: str, wake: Callable[[], None]) -> AsyncIterator[None]:
        """Calls `wake` for each NOTIFY on `channel`, over a connection of its own that is renewed when lost.

        A notification sent while the connection is down is missed, so a listener polls as well; each new
        connection wakes once.
        """
        task = asyncio.create_task(self._listen_for_ever(channel, wake))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _listen_for_ever(self, channel: str, wake: Callable[[], None]) -> None:
        while True:
            try:
                await self._listen_once(channel, wake)
            except _AWAY as error:
                logger.info("listening again soon", extra={"channel": channel, "reason": type(error).__name__})
            await asyncio.sleep(LISTEN_RETRY_S)

    async def _listen_once(self, channel: str, wake: Callable[[], None]) -> None:
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(channel, lambda *_: wake())
            wake()
            await lost.wait()
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """The transaction's connection, or one of the pool; one that did not answer in time is given up.

        On its way back into the pool it would be waited for: its statement is still to be cancelled, by the same
        silent server.
        """
        async with self._client().acquire_connection() as connection:
            try:
                yield connection
            except TimeoutError:
                connection.terminate()
                raise

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[None]:
        """Tortoise's transaction, less two faults of it.

        Where BEGIN fails, it keeps the connection; and where one cannot be given back, it leaves the dead one to
        this task, whose every later statement would then fail.
        """
        outside = self._client()
        context = outside._in_transaction()
        try:
            await self._begin(context)
            async with AsyncExitStack() as stack:
                stack.push_async_exit(context)
                yield
        finally:
            self._context.connections.set(CONNECTION, outside)

    async def _begin(self, context: Any) -> None:
        try:
            await context.__aenter__()
        except BaseException:
            if hasattr(context, "token"):  # it had a connection already
                context.client._connection.terminate()
                await context.__aexit__(TransactionManagementError, None, None)  # so that it does not roll back
            raise

    def _client(self) -> Any:
        return self._context.connections.get(CONNECTION)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._in_transaction.get():
            yield
            return
        await self._take_slot()
        try:
            yield
        except (*_AWAY, Unavailable, asyncio.CancelledError):
            raise  # says nothing of a server that answers
        except BaseException:
            self._served_at = time.monotonic()  # a refusal is an answer, too
            raise
        else:
            self._served_at = time.monotonic()
        finally:
            self._slots.release()

    async def _take_slot(self) -> None:
        """Waits as long as the queue moves, BUSY_TIMEOUT_S at most. Raises TimeoutError."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        # In a task of its own: to ask anew would lose the place in the queue.
        taking, began = asyncio.ensure_future(self._slots.acquire()), time.monotonic()
        try:
            while not (await asyncio.wait({taking}, timeout=ACQUIRE_TIMEOUT_S))[0]:
                if not self._answers() or time.monotonic() - began > BUSY_TIMEOUT_S:
                    raise TimeoutError
        except BaseException:
            if not taking.cancel():
                self._slots.release()
            raise

    def _answers(self) -> bool:
        """Whether the server has lately served somebody."""
        return time.monotonic() - self._served_at <= ACQUIRE_TIMEOUT_S


@asynccontextmanager
async def open_database(
    url: str, models: str, *, pool_size: int = 10, statement_timeout_s: float | None = STATEMENT_TIMEOUT_S
) -> AsyncIterator[Database]:
    """The database at `url`, with the models of the module `models` (`services.identity.models`).

    Connects at the first statement, so a server that is away delays no start. At most `pool_size`
    connections. With `statement_timeout_s=None` a statement takes as long as it takes: not for what serves people.
    """
    config = tortoise_config(url, models, pool_size, statement_timeout_s)
    context = TortoiseContext()
    with context:
        await context.init(config=config, _enable_global_fallback=True)
        try:
            yield Database(url, context, pool_size)
        finally:
            await context.close_connections()


def _place(url: str) -> dict[str, Any]:
    """Which database this is, as its spans tell."""
    parts = urlsplit(url)
    return {
        "db.system.name": "postgresql",
        "db.namespace": parts.path.strip("/"),
        "server.address": parts.hostname or "",
    }


async def _keep_session(_: Any) -> None:
    """Gives a connection back to the pool as it is: a statement less for each use of one.

    asyncpg's own reset frees advisory locks, cursors, listeners and settings of the session. Nobody here leaves
    any behind in a pooled connection, and an open transaction it rolls back all the same.
    """


async def migrate(url: str, models: str) -> None:
    """Brings the database to the newest migration; of several processes at once, one does it."""
    async with _advisory_lock(url, MIGRATION_LOCK):
        with TortoiseContext() as context:
            # Building an index takes as long as it takes.
            await tortoise_migrate(config=tortoise_config(url, models, statement_timeout_s=None))
            await context.close_connections()


def tortoise_config(
    url: str, models: str, pool_size: int = 2, statement_timeout_s: float | None = STATEMENT_TIMEOUT_S
) -> dict[str, Any]:
    """Tortoise's configuration of the service that `models` belongs to; also for `python -m tortoise`."""
    package = models.rpartition(".")[0]
    label = package.rpartition(".")[2]
    connection = expand_db_url(url)
    connection["credentials"] |= {
        "minsize": 1,
        "maxsize": pool_size,
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": statement_timeout_s,
        "application_name": f"ticketflow-{label}",
        "max_inactive_connection_lifetime": 60.0,
        "reset": _keep_session,
        "server_settings": {
            "jit": "off",  # statements this short only pay for it
            "idle_in_transaction_session_timeout": "5s",  # a frozen instance does not keep its row locks
        },
    }
    return {
        "connections": {CONNECTION: connection},
        "apps": {
            label: {
                "models": [models],
                "default_connection": CONNECTION,
                "migrations": f"{package}.migrations",
            }
        },
        "use_tz": True,
    }


@asynccontextmanager
async def _advisory_lock(url: str, key: int) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", key)
        yield
    finally:
        await connection.close()  # and with the session ends its lock
