"""A thousand guesses at passwords: a few are looked at, and none tells whether there is such an account."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest

from tests.faults.desk import Desk
from tests.faults.instances import Instance, instance

pytestmark = pytest.mark.faults

GUESSES = 1000
AT_ONCE = 20
LIMIT = 10
WIDE = "1000000"


@pytest.mark.parametrize("exists", [True, False], ids=["that exists", "that does not"])
async def test_at_one_account(desk: Desk, exists: bool) -> None:
    account = await desk.rival.register()
    email, password = account["email"], account["password"]
    if not exists:
        email = f"no-{email}"
    limits = {"LOGIN_ACCOUNT_LIMIT": str(LIMIT), "LOGIN_ADDRESS_LIMIT": WIDE, "LOGIN_LIMIT": WIDE}
    async with instance(desk.system, "identity", **limits) as identity:
        answers = await guess(desk.http, identity, [email] * GUESSES)
        assert answers == {401: LIMIT, 429: GUESSES - LIMIT}
        assert await guess(desk.http, identity, [email], password) == {429: 1}  # found too late


async def test_from_one_address(desk: Desk) -> None:
    limits = {"LOGIN_ACCOUNT_LIMIT": WIDE, "LOGIN_ADDRESS_LIMIT": str(LIMIT), "LOGIN_LIMIT": WIDE}
    accounts = [f"account-{number}@ticketflow.test" for number in range(GUESSES)]
    async with instance(desk.system, "identity", **limits) as identity:
        assert await guess(desk.http, identity, accounts) == {401: LIMIT, 429: GUESSES - LIMIT}


async def test_without_limits_every_guess_is_looked_at(desk: Desk) -> None:
    """The positive control of both."""
    limits = {"LOGIN_ACCOUNT_LIMIT": WIDE, "LOGIN_ADDRESS_LIMIT": WIDE, "LOGIN_LIMIT": WIDE}
    async with instance(desk.system, "identity", **limits) as identity:
        answers = await guess(desk.http, identity, ["somebody@ticketflow.test"] * (LIMIT * 3))
        assert answers == {401: LIMIT * 3}


async def guess(
    http: aiohttp.ClientSession, identity: Instance, emails: list[str], password: str = "wrong horse battery"
) -> Counter[int]:
    """How often each status was answered."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(email: str) -> int:
        async with turn, http.post(f"{identity.url}/login", json={"email": email, "password": password}) as answer:
            return answer.status

    return Counter(await asyncio.gather(*(one(email) for email in emails)))
