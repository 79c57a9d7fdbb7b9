"""Reading every part's books. Each is read at one moment of its own, so what is in flight may differ between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import asyncpg

from services.apphost.audit import statements
from services.apphost.audit.queues import read_broker
from services.apphost.audit.records import (
    Books,
    Catalog,
    Charge,
    Event,
    Hold,
    Identity,
    Key,
    Order,
    Ordering,
    Payment,
    Seat,
    Stock,
)
from services.apphost.errors import ApphostError

PAYMENTS_BOOKS: Final = "payments.db"  # in the state folder
READ_S: Final = 30.0

T = TypeVar("T")


async def read_books(state: Path, urls: Mapping[str, str], acknowledged: Mapping[str, str]) -> Books:
    """Everything, of the system whose state folder and addresses these are.

    Ordering comes first and the mailbox last, so that what moves on meanwhile looks like progress and not like loss.
    Raises ApphostError that names the first part that cannot be read.
    """
    ordering = await _part("ordering's database", _read_ordering(urls["ordering_database"]))
    return Books(
        ordering=ordering,
        charges=await _part("the payment provider's books", _read_charges(state / PAYMENTS_BOOKS)),
        catalog=await _part("the catalog's database", _read_catalog(urls["catalog_database"])),
        identity=await _part("identity's database", _read_identity(urls["identity_database"])),
        broker=await _part("the broker", read_broker(urls["rabbitmq"])),
        mails=await _part("the mailbox", _read_mails(urls["mailbox"])),
        acknowledged=acknowledged,
    )


async def _part(name: str, reading: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(READ_S):
            return await reading
    except (OSError, ValueError, asyncpg.PostgresError, sqlite3.Error, aiohttp.ClientError) as error:
        reason = str(error) or type(error).__name__
        raise ApphostError(f"Cannot read {name}: {reason}.", "Start the system, or wait until it is well.") from error


async def _read_catalog(url: str) -> Catalog:
    async with _snapshot(url) as database:
        stocks = [Stock(**row) for row in await database.fetch(statements.STOCKS)]
        holds = [Hold(**row) for row in await database.fetch(statements.HOLDS)]
        seats = [Seat(**row) for row in await database.fetch(statements.SEATS)]
    return Catalog(stocks=tuple(stocks), holds=tuple(holds), seats=tuple(seats))


async def _read_ordering(url: str) -> Ordering:
    async with _snapshot(url) as database:
        orders = [_order(dict(row)) for row in await database.fetch(statements.ORDERS)]
        payments = [Payment(**row) for row in await database.fetch(statements.PAYMENTS)]
        events = [Event(**row) for row in await database.fetch(statements.EVENTS)]
        keys = [Key(**row) for row in await database.fetch(statements.KEYS)]
        now: datetime = await database.fetchval("SELECT now()")
    return Ordering(now=now, orders=tuple(orders), payments=tuple(payments), events=tuple(events), keys=tuple(keys))


def _order(row: dict[str, Any]) -> Order:
    return Order(**{**row, "tickets": json.loads(row["tickets"] or "{}")})


async def _read_identity(url: str) -> Identity:
    async with _snapshot(url) as database:
        users = await database.fetch(statements.USERS)
        broken = await database.fetch(statements.BROKEN_FAMILIES)
    return Identity(user_ids=frozenset(row["id"] for row in users), broken_families=tuple(row["id"] for row in broken))


@contextlib.asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction in which every statement sees the same moment."""
    connection = await asyncpg.connect(url, timeout=READ_S, command_timeout=READ_S)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close(timeout=READ_S)


async def _read_charges(file: Path) -> tuple[Charge, ...]:
    rows = await asyncio.to_thread(_select_charges, file)
    return tuple(_charge(*row) for row in rows)


def _select_charges(file: Path) -> list[tuple[str, str, int, str, str]]:
    # Read-only: a file that is not there must not be made, and the provider may be writing to it.
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statements.CHARGES).fetchall()


def _charge(payment_id: str, status: str, amount_minor: int, currency: str, due_at: str) -> Charge:
    # The provider writes down when a late charge succeeds, and not that it did.
    late = status == "pending" and datetime.fromisoformat(due_at) <= datetime.now(UTC)
    return Charge(
        payment_id=payment_id,
        status="succeeded" if late else status,
        amount_minor=amount_minor,
        currency=currency,
    )


async def _read_mails(mailbox: str) -> Counter[str]:
    timeout = aiohttp.ClientTimeout(total=READ_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http,
        http.get(f"{mailbox}/api/messages") as response,
    ):
        listed = await response.json()
    # The local part of an event's Message-ID is the event's id.
    return Counter(mail["messageId"].strip("<>").partition("@")[0] for mail in listed["messages"])
