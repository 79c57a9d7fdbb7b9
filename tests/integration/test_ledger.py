"""The ledger and the rush against a real shop: its books close, and a damage that is really done is named."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiormq
import asyncpg
import pytest

from services.apphost.audit.ledger import audit
from services.apphost.audit.read import PAYMENTS_BOOKS
from services.apphost.system import System
from services.contracts import NOTIFICATIONS_DEAD_QUEUE, NOTIFICATIONS_QUEUE
from tests.integration.shop import Shop, eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SETTLE_S = 40.0


@pytest.fixture
async def order(buyer: Shop, system: System) -> dict[str, Any]:
    """A paid order of two tickets, with its mails sent."""
    placed = await buyer.place(await buyer.concert_on_sale())
    paid: dict[str, Any] = (await buyer.pay(placed["id"]))["data"]["payOrder"]
    report = await audit(system.state, settle_s=SETTLE_S, acknowledged={paid["id"]: paid["status"]})
    assert report.closes, report.render()
    return paid


@contextlib.asynccontextmanager
async def removed(url: str, table: str, condition: str, *values: Any) -> AsyncIterator[None]:
    """Rows are gone inside the block, and back after it."""
    database = await asyncpg.connect(url)
    try:
        rows = await database.fetch(f"DELETE FROM {table} WHERE {condition} RETURNING *", *values)
        assert rows
        try:
            yield
        finally:
            await database.copy_records_to_table(table, records=rows)
    finally:
        await database.close()


@contextlib.contextmanager
def overcharged(file: Path, order_number: str) -> Iterator[None]:
    """Inside the block the provider has taken a cent too much for an order."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as books:
        change = "UPDATE charges SET amount_minor = amount_minor + ? WHERE reference = ?"
        assert books.execute(change, (1, order_number)).rowcount == 1
        try:
            yield
        finally:
            books.execute(change, (-1, order_number))


async def findings(system: System) -> list[str]:
    return [f"{finding.what}: {finding.problem}" for finding in (await audit(system.state, settle_s=3)).findings]


async def test_a_lost_ticket_row_is_named(system: System, order: dict[str, Any]) -> None:
    ticket = order["tickets"][0]["id"]
    async with removed(
        system.urls["ordering_database"], "order_tickets", "ticket_id = $1 AND code IS NOT NULL", ticket
    ):
        found = "\n".join(await findings(system))
        assert f"order {order['id']} ({order['number']}): is for 2 tickets, and has 1" in found
        assert f"ticket {ticket}: is sold to order {order['id']}" in found
    assert await findings(system) == []


async def test_a_lost_event_is_named(system: System, order: dict[str, Any]) -> None:
    condition = "order_id = $1 AND type = 'order.confirmed.v1'"
    async with removed(system.urls["ordering_database"], "outbox", condition, order["id"]):
        (found,) = await findings(system)
        assert found.startswith(f"order {order['id']} ({order['number']}): should have the events order.created.v1,")
    assert await findings(system) == []


async def test_a_lost_ticket_of_the_hall_is_named(system: System, order: dict[str, Any]) -> None:
    free = "id = (SELECT id FROM tickets WHERE sold_order_id IS NULL AND hold_order_id IS NULL LIMIT 1)"
    async with removed(system.urls["catalog_database"], "tickets", free):
        (found,) = await findings(system)
        assert found.startswith("concert ")
    assert await findings(system) == []


async def test_a_wrong_charge_is_named(system: System, order: dict[str, Any]) -> None:
    with overcharged(system.state / PAYMENTS_BOOKS, order["number"]):
        found = await findings(system)
        assert [each.partition(": ")[2] for each in found if each.startswith("money")] == [
            "the provider has kept +1 (minor units) against the confirmed orders"
        ]
        assert any(f"of order {order['id']}: is of" in each for each in found)
    assert await findings(system) == []


async def test_a_lost_account_is_named(system: System, order: dict[str, Any], buyer: Shop) -> None:
    me = (await buyer.data("{ me { id } }"))["me"]["id"]
    url = system.urls["identity_database"]
    tokens = "family_id IN (SELECT id FROM token_families WHERE user_id = $1)"
    async with (
        removed(url, "refresh_tokens", tokens, me),
        removed(url, "token_families", "user_id = $1", me),
        removed(url, "users", "id = $1", me),
    ):
        (found,) = await findings(system)
        assert found.endswith(f"belongs to user {me}, who has no account")
    assert await findings(system) == []


async def test_a_dead_letter_is_counted_and_is_nobody_s_order(system: System, order: dict[str, Any]) -> None:
    connection = await aiormq.connect(system.urls["rabbitmq"])
    try:
        channel = await connection.channel()
        await channel.basic_publish(b"{", routing_key=NOTIFICATIONS_QUEUE)

        async def buried() -> bool:
            counts = dict((await audit(system.state, settle_s=SETTLE_S)).counts)
            return counts["dead letters"] == "1"

        assert await eventually(buried)
        assert await findings(system) == []
        assert (await channel.queue_purge(NOTIFICATIONS_DEAD_QUEUE)).message_count == 1  # looking took nothing away
    finally:
        await connection.close()


async def run(*arguments: str) -> tuple[int, str]:
    """The app host's verb; its exit code, and what it printed."""
    command = [sys.executable, "-m", "services.apphost", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout + done.stderr


async def test_the_command_says_whether_the_books_close(system: System, order: dict[str, Any], tmp_path: Path) -> None:
    state = ("--state", str(system.state))
    code, printed = await run("audit", *state)
    assert (code, "The books close." in printed) == (0, True)
    async with removed(system.urls["ordering_database"], "outbox", "order_id = $1", order["id"]):
        code, printed = await run("audit", *state, "--settle-s", "2")
        assert (code, order["number"] in printed) == (1, True)
    code, printed = await run("audit", "--state", str(tmp_path))
    assert (code, "No system runs from" in printed, "Traceback" in printed) == (2, True, False)


async def test_a_part_that_cannot_be_read_is_named(system: System) -> None:
    with system.down("mailbox"):
        code, printed = await run("audit", "--state", str(system.state), "--settle-s", "1")
    assert (code, "Cannot read the mailbox" in printed) == (2, True), printed


async def test_a_rush_sells_every_ticket_once(system: System) -> None:
    code, printed = await run("rush", "--buyers", "12", "--tickets", "6", "--seed", "5", "--state", str(system.state))
    assert code == 0, printed
    assert "6 sold of 6; 0 held, 0 left" in printed
    assert "seed 5" in printed
    assert "The books close." in printed
    assert (system.state / "rush.svg").read_text().startswith("<svg")
