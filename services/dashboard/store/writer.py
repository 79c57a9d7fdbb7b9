"""The one writer: batches wait in a bounded queue, and one thread keeps several of them in one transaction.

Who hands a batch over hears when it is safe on disk. What finds no place in the queue is refused at once, so that
a flood costs its senders time, and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

from services.dashboard.store.batches import Batch
from services.dashboard.store.changes import Changes, Kind
from services.dashboard.store.inserts import Inserts
from services.dashboard.store.pruning import STEP_ROWS, Limits, prune, shrink
from services.defaults.errors import Unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_PENDING_ROWS: Final = 10_000
TRANSACTION_ROWS: Final = 4_000  # also bounds how long a reader waits for what is newest
IDLE_S: Final = 5.0  # between two looks at the age of what is kept
RETRY_AFTER_S: Final = 1.0
BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(eq=False)
class Waiting:
    """A batch in the queue; `kept` becomes the number of rows that there was no room for."""

    batch: Batch
    kind: Kind
    kept: asyncio.Future[int] = field(default_factory=asyncio.Future)


@dataclass
class Counts:
    """Since the start of the process."""

    received: dict[Kind, int] = field(default_factory=lambda: {"spans": 0, "logs": 0, "points": 0})
    rejected: dict[Kind, int] = field(default_factory=lambda: {"spans": 0, "logs": 0, "points": 0})
    shortened: dict[Kind, int] = field(default_factory=lambda: {"spans": 0, "logs": 0, "points": 0})
    refused: int = 0


class Writer:
    """`submit` from the event loop; `run` does the work, and must run as long as batches may come."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        thread: Executor,
        limits: Limits,
        changes: Changes,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._limits = limits
        self._changes = changes
        self._clock_ns = clock_ns
        self._inserts = Inserts(connection)
        self._queue: deque[Waiting] = deque()
        self._arrived = asyncio.Event()
        self._failure = ""
        self._ended = False
        self.pending_rows = 0
        self.counts = Counts()

    async def submit(self, batch: Batch, kind: Kind) -> int:
        """Returns once the batch is kept, with the number of its rows that there was no room for.

        Raises `Unavailable` where too much is waiting already, the file cannot be written, or `run` has ended.
        """
        if self._ended:
            raise _unkept()
        if self.pending_rows and self.pending_rows + len(batch) > MAX_PENDING_ROWS:
            self.refuse()
        waiting = Waiting(batch, kind)
        waiting.kept.add_done_callback(asyncio.Future.exception)  # its sender may have gone: nobody else looks
        self._queue.append(waiting)
        self.pending_rows += len(batch)
        self._arrived.set()
        return await asyncio.shield(waiting.kept)

    def refuse(self) -> NoReturn:
        """Counts a request that is not taken, and raises `Unavailable` for it."""
        self.counts.refused += 1
        raise Unavailable("Too much telemetry at once. Send it again in a moment.", retry_after_s=RETRY_AFTER_S)

    async def check(self) -> None:
        """Raises where what came last could not be kept."""
        if self._failure:
            raise OSError(self._failure)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps what is submitted until told to stop, and then what still waits. Ends early, with the error,
        where the file turns out to be damaged: the next start moves it aside.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while self._queue or not stop.is_set():
                await self._until_something_to_do(stopping)
                await self._write(self._take())
        finally:
            stopping.cancel()
            self._ended = True
            self._give_up(self._queue)

    async def _until_something_to_do(self, stopping: asyncio.Task[bool]) -> None:
        if self._queue:
            return
        self._arrived.clear()
        arrived = asyncio.create_task(self._arrived.wait())
        await asyncio.wait((arrived, stopping), timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()

    def _take(self) -> list[Waiting]:
        taken: list[Waiting] = []
        rows = 0
        while self._queue and (not taken or rows + len(self._queue[0].batch) <= TRANSACTION_ROWS):
            taken.append(self._queue.popleft())
            rows += len(taken[-1].batch)
        return taken

    async def _write(self, taken: list[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            unplaced = await loop.run_in_executor(self._thread, self._keep, [each.batch for each in taken])
        except sqlite3.Error as error:
            if str(error) != self._failure:  # once: a full disk stays full for many requests
                logger.error("telemetry cannot be kept", extra={"reason": str(error)})
            self._failure = str(error)
            self._give_up(taken)
            if getattr(error, "sqlite_errorcode", None) in BROKEN:
                raise
            return
        except asyncio.CancelledError:  # whether they are kept nobody knows: their senders try again
            self._give_up(taken)
            raise
        if taken:
            self._failure = ""
        for each, rest in zip(taken, unplaced, strict=True):
            self._confirm(each, rest)
        self._changes.note({each.kind for each in taken})

    def _confirm(self, waiting: Waiting, unplaced: int) -> None:
        batch, kind = waiting.batch, waiting.kind
        self.pending_rows -= len(batch)
        self.counts.received[kind] += len(batch) + batch.rejected
        self.counts.rejected[kind] += unplaced + batch.rejected
        self.counts.shortened[kind] += batch.shortened
        waiting.kept.set_result(unplaced)

    def _give_up(self, taken: Iterable[Waiting]) -> None:
        for each in taken:
            self.pending_rows -= len(each.batch)
            each.kept.set_exception(_unkept())

    def _keep(self, batches: list[Batch]) -> list[int]:
        """In the writer's thread: everything in one transaction, and then room for the next."""
        now_ns = self._clock_ns()
        unplaced = self._in_transaction(lambda: [self._inserts.keep(batch, now_ns) for batch in batches])
        steps = 1 + sum(len(batch) for batch in batches) // STEP_ROWS
        while steps and self._in_transaction(lambda: prune(self._connection, self._inserts, self._limits, now_ns)):
            steps -= 1
        shrink(self._connection, self._limits)
        return unplaced

    def _in_transaction(self, work: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # some errors, such as a full disk, have ended it already
                self._connection.execute("ROLLBACK")
            self._inserts.reload()
            raise
        return result


def _unkept() -> Unavailable:
    return Unavailable("Telemetry cannot be kept now.", retry_after_s=RETRY_AFTER_S)
