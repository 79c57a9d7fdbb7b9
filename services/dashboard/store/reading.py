"""Reading beside the writer: a few threads with a connection each, and a bound on how long a search may take."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from services.dashboard.store.schema import open_reader
from services.defaults.errors import Unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

READERS: Final = 2
TIME_LIMIT_S: Final = 5.0
LOOK_EVERY: Final = 20_000  # steps of SQLite's machine between two looks at the clock: about a millisecond


class Readers:
    """Runs reads. Each sees the file as it stood when it began, whatever is written meanwhile."""

    def __init__(self, connections: list[sqlite3.Connection], threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` finds; raises `Unavailable` where that takes too long or the file cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._free.get()  # there are as many as threads
        deadline = time.monotonic() + TIME_LIMIT_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, LOOK_EVERY)
        try:
            connection.execute("BEGIN")
            return work(connection)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise Unavailable("That search takes too long. Narrow it down.") from error
            logger.warning("telemetry cannot be read", extra={"reason": str(error)})
            raise Unavailable("The telemetry cannot be read now.") from error
        finally:
            connection.rollback()
            self._free.put(connection)


@contextmanager
def open_readers(path: Path) -> Iterator[Readers]:
    """Readers of the file at `path`, which must be there."""
    connections = [open_reader(path) for _ in range(READERS)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="telemetry-reader") as threads:
        try:
            yield Readers(connections, threads)
        finally:
            threads.shutdown()
            for connection in connections:
                connection.close()
