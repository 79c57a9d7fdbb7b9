"""The provider's books, in one SQLite file: they outlive a restart, as a real provider's would.

SQLite calls block, so they run in a thread, and in only one: it does one after the other, also where the
request that asked for one has gone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from services.payments.domain import (
    Charge,
    ChargeRequest,
    Status,
    as_of,
    called_off,
    check_same,
    decide,
    refunded,
    voided,
)

T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS charges (
    payment_id TEXT PRIMARY KEY, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
    reference TEXT NOT NULL, last4 TEXT NOT NULL, status TEXT NOT NULL, decline_code TEXT,
    notices INTEGER NOT NULL, created_at TEXT NOT NULL, due_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS notices (
    id TEXT PRIMARY KEY, payment_id TEXT NOT NULL, copies INTEGER NOT NULL, due_at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS notices_due ON notices (due_at);
"""
BUSY_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook to send, `copies` times, about how a charge stands now."""

    id: str
    copies: int
    charge: Charge


class Books:
    """Every change is one transaction. Times come from the caller and have an offset."""

    def __init__(self, connection: sqlite3.Connection, thread: Executor) -> None:
        self._connection = connection
        self._thread = thread

    async def charge(self, request: ChargeRequest, now: datetime, *, late_s: float) -> tuple[Charge, bool]:
        """The charge with this payment id, and whether this request has made it.

        Raises Conflict where the id belongs to a charge of another amount.
        """
        return await self._run(lambda: self._charge(request, now, late_s))

    async def find(self, payment_id: str, now: datetime) -> Charge | None:
        return await self._run(lambda: self._find(payment_id, now))

    async def call_off(self, payment_id: str, now: datetime) -> Charge:
        """Sees to it that a charge without an outcome, or not asked for yet, never takes money."""
        return await self._run(lambda: self._change(payment_id, now, voided))

    async def refund(self, payment_id: str, now: datetime) -> Charge:
        """Gives the money back, or sees to it that none is ever taken."""
        return await self._run(lambda: self._change(payment_id, now, refunded))

    async def due_notices(self, now: datetime, limit: int) -> list[Notice]:
        """Webhooks that are to be sent now; they stay until `settle_notice`."""
        return await self._run(lambda: self._due_notices(now, limit))

    async def settle_notice(self, notice_id: str) -> None:
        """The webhook was heard."""
        await self._run(lambda: self._execute("DELETE FROM notices WHERE id = ?", notice_id))

    async def postpone_notice(self, notice_id: str, until: datetime) -> None:
        await self._run(lambda: self._execute("UPDATE notices SET due_at = ? WHERE id = ?", _text(until), notice_id))

    async def ping(self) -> None:
        """Raises where the file cannot be read."""
        await self._run(lambda: self._execute("SELECT 1 FROM charges LIMIT 1"))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_transaction, work)

    def _in_transaction(self, work: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return result

    def _charge(self, request: ChargeRequest, now: datetime, late_s: float) -> tuple[Charge, bool]:
        existing = self._find(request.payment_id, now)
        if existing:
            check_same(existing, request)
            return existing, False
        charge = decide(request, now, late_s=late_s)
        self._save(charge)
        self._execute(
            "INSERT INTO notices (id, payment_id, copies, due_at) VALUES (?, ?, ?, ?)",
            uuid4().hex,
            charge.payment_id,
            charge.notices,
            _text(charge.due_at),
        )
        return charge, True

    def _change(self, payment_id: str, now: datetime, change: Callable[[Charge], Charge]) -> Charge:
        found = self._find(payment_id, now)
        charge = change(found) if found else called_off(payment_id, now)
        self._save(charge)
        return charge

    def _find(self, payment_id: str, now: datetime) -> Charge | None:
        row = self._execute("SELECT * FROM charges WHERE payment_id = ?", payment_id).fetchone()
        return as_of(_charge(row), now) if row else None

    def _save(self, charge: Charge) -> None:
        values = [_text(value) if isinstance(value, datetime) else value for value in astuple(charge)]
        self._execute("INSERT OR REPLACE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *values)

    def _due_notices(self, now: datetime, limit: int) -> list[Notice]:
        rows = self._execute(
            "SELECT n.id, n.copies, c.* FROM notices n JOIN charges c USING (payment_id)"
            " WHERE n.due_at <= ? ORDER BY n.due_at LIMIT ?",
            _text(now),
            limit,
        ).fetchall()
        return [Notice(row[0], row[1], as_of(_charge(row[2:]), now)) for row in rows]

    def _execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)


@asynccontextmanager
async def open_books(path: str) -> AsyncIterator[Books]:
    """The books at `path`, made where there are none."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="books") as thread:
        connection = await loop.run_in_executor(thread, _connect, path)
        try:
            yield Books(connection, thread)
        finally:
            await loop.run_in_executor(thread, connection.close)


def _connect(path: str) -> sqlite3.Connection:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    # With the log ahead, a killed process loses nothing that it has answered.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(SCHEMA)
    return connection


def _charge(row: tuple[Any, ...]) -> Charge:
    names = (field.name for field in fields(Charge))
    values = dict(zip(names, row, strict=True))
    for name in ("created_at", "due_at"):
        values[name] = datetime.fromisoformat(values[name])
    return Charge(**{**values, "status": Status(values["status"])})


def _text(moment: datetime) -> str:
    """Of one width, so that texts compare as times do."""
    return moment.isoformat(timespec="microseconds")
