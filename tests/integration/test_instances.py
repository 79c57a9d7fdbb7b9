"""Two instances of every service that may have several behind one shop: none notices that the other is there."""

from __future__ import annotations

import asyncio
import html
import random
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from services.apphost.audit.ledger import audit
from services.apphost.rush.buyer import PAY, PLACE
from services.apphost.rush.gateway import Gateway, open_door
from services.apphost.rush.plan import GOOD, LATE
from services.apphost.system import System, running_system
from tests.integration.shop import SESSION, Shop, eventually, open_shop, order_input

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # twice as many processes start

# A card that is answered late is looked after soon, by whichever instance comes first.
SHORT_TIMES = {"PAYMENTS_TIMEOUT_S": "1", "PAYMENTS_LATE_S": "2", "RECHECK_S": "0.5"}
SERVICES = ("gateway", "catalog", "identity", "ordering", "notifications")
BUYERS = 24
SETTLE_S = 60.0
LOGIN = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
REFRESH = f"mutation($t: String!) {{ refreshToken(refreshToken: $t) {{ {SESSION} }} }}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A shop with two instances of each service."""
    folder = tmp_path_factory.mktemp("pair")
    with running_system(folder, env=SHORT_TIMES, without=("dashboard",), instances=2) as system:
        yield system


@pytest.fixture
async def here(pair: System) -> AsyncIterator[Shop]:
    """A stranger at the first gateway."""
    async with open_shop(pair.urls["gateway"]) as shop:
        yield shop


@pytest.fixture
async def there(pair: System) -> AsyncIterator[Shop]:
    """A stranger at the second."""
    async with open_shop(pair.urls["gateway-2"]) as shop:
        yield shop


def test_the_welcome_says_where_each_gateway_is(pair: System) -> None:
    assert any("2 instances of each service" in line for line in pair.output)
    for name in ("gateway", "gateway-2"):
        assert f"  {pair.urls[name].replace('127.0.0.1', 'localhost')}" in pair.output


@pytest.mark.parametrize("service", SERVICES)
async def test_both_are_found_through_consul(pair: System, here: Shop, service: str) -> None:
    async def known() -> bool:
        async with here.http.get(f"{pair.urls['consul']}/v1/health/service/{service}?passing=true") as answer:
            found = {entry["Service"]["Port"] for entry in await answer.json()}
        urls = (pair.urls[service], pair.urls[f"{service}-2"])
        return found == {int(url.rpartition(":")[2]) for url in urls}

    assert await eventually(known)


async def test_a_purchase_over_both_gateways(pair: System, here: Shop, there: Shop) -> None:
    account = await here.register()
    there.token = here.token
    order = await there.place(await there.concert_on_sale())
    assert (await here.order(order["id"]))["order"]["number"] == order["number"]
    paid = (await here.pay(order["id"]))["data"]["payOrder"]
    assert paid["status"] == "CONFIRMED"
    renewed = (await there.data(REFRESH, t=account["refreshToken"]))["refreshToken"]
    here.token = renewed["accessToken"]
    assert (await here.data("{ me { email } }"))["me"]["email"] == account["email"]
    report = await audit(pair.state, settle_s=SETTLE_S, acknowledged={order["id"]: "CONFIRMED"})
    assert report.closes, report.render()
    assert await mails_of(pair, here, order["id"]) == {1}  # two relays, two workers: each event once


async def test_a_key_is_one_order_at_both(here: Shop, there: Shop) -> None:
    await here.register()
    there.token = here.token
    wanted = order_input(await here.concert_on_sale(), 1)
    answers = await asyncio.gather(*(shop.graphql(PLACE, input=wanted) for shop in (here, there) * 10))
    placed = {answer["data"]["placeOrder"]["id"] for answer in answers if not answer.get("errors")}
    assert len(placed) == 1
    refusals = {error["extensions"]["code"] for answer in answers for error in answer.get("errors") or []}
    assert refusals <= {"CONFLICT"}


async def test_of_refreshes_at_both_one_wins_and_nobody_is_logged_out(here: Shop, there: Shop) -> None:
    session = await here.register()
    answers = await asyncio.gather(*(shop.graphql(REFRESH, t=session["refreshToken"]) for shop in (here, there) * 10))
    won = [answer["data"]["refreshToken"] for answer in answers if not answer.get("errors")]
    assert len(won) == 1
    assert await there.data(REFRESH, t=won[0]["refreshToken"])


async def test_guesses_are_counted_together(here: Shop, there: Shop) -> None:
    """30 wrong guesses at one account are allowed, wherever they are made."""
    account = await here.register()
    guess = {"email": account["email"], "password": "not the password"}
    found: Counter[str] = Counter()
    for shop in (here, there) * 20:
        _, body = await shop.post_graphql({"query": LOGIN, "variables": {"input": guess}})
        found[body["errors"][0]["extensions"]["code"]] += 1
    assert found == {"UNAUTHENTICATED": 30, "RATE_LIMITED": 10}


async def test_a_form_of_one_gateway_is_taken_by_the_other(pair: System, here: Shop) -> None:
    account = await here.register()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{pair.urls['gateway']}/login") as page:
            token = re.search(r'name="csrf_token" value="([^"]+)"', await page.text())
        assert token
        form = {"email": account["email"], "password": account["password"], "csrf_token": html.unescape(token[1])}
        async with browser.post(f"{pair.urls['gateway-2']}/login", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
        for gateway in ("gateway", "gateway-2"):
            async with browser.get(f"{pair.urls[gateway]}/orders", allow_redirects=False) as orders:
                assert orders.status == 200


async def test_purchases_go_on_while_an_instance_of_ordering_is_killed(pair: System, here: Shop) -> None:
    """Whoever repeats a request with its key gets what they asked for, and the books close."""
    await here.register()
    concert = await here.concert_on_sale(seats=BUYERS)
    told: dict[str, str] = {}
    killed = asyncio.Event()
    async with open_door(pair.urls["gateway"]) as first, open_door(pair.urls["gateway-2"]) as second:
        doors = [Gateway(send, asyncio.get_running_loop().time, at_once=BUYERS) for send in (first, second)]

        async def buy(number: int) -> None:
            placed = await ask(doors[number % 2], PLACE, order_input(concert, 1), here.token)
            if number >= BUYERS // 2:
                await killed.wait()
            card = {"number": LATE if number % 6 == 0 else GOOD, "expiry": "12/40", "cvc": "123"}
            wish = {"orderId": placed["id"], "card": card, "idempotencyKey": secrets.token_hex(8)}
            paid = await ask(doors[(number + 1) % 2], PAY, wish, here.token)
            told[paid["id"]] = paid["status"]

        buyers = [asyncio.create_task(buy(number)) for number in range(BUYERS)]
        await eventually(partial(has_begun, doors))
        before = pair.pid("ordering-2")
        await asyncio.to_thread(pair.kill, "ordering-2")
        killed.set()
        await asyncio.gather(*buyers)

    async def all_confirmed() -> bool:
        orders = (await here.data("{ myOrders(first: 50) { nodes { id status } } }"))["myOrders"]["nodes"]
        return [order["status"] for order in orders] == ["CONFIRMED"] * BUYERS

    assert await eventually(all_confirmed, within_s=60)
    assert len(told) == BUYERS

    async def is_back() -> bool:
        return pair.pid("ordering-2") not in {0, before}

    assert await eventually(is_back)
    report = await audit(pair.state, settle_s=SETTLE_S, acknowledged=told)
    assert report.closes, report.render()


async def has_begun(doors: Sequence[Gateway]) -> bool:
    """Whether half of the orders are placed."""
    return sum(len(door.samples) for door in doors) >= BUYERS // 2


async def ask(gateway: Gateway, query: str, wish: Mapping[str, Any], token: str) -> Mapping[str, Any]:
    """What the shop answers in the end, to a buyer who repeats the request while its refusal may pass."""
    found = await gateway.insist("wish", query, {"input": wish}, token, random.Random(wish["idempotencyKey"]))
    assert not found.code, found
    return found.data


async def mails_of(system: System, shop: Shop, order_id: str) -> set[int]:
    """How many mails there are of each of an order's events."""
    connection = await asyncpg.connect(system.urls["ordering_database"])
    try:
        rows = await connection.fetch("SELECT event_id FROM outbox WHERE order_id = $1", UUID(order_id))
    finally:
        await connection.close()
    async with shop.http.get(f"{system.urls['mailbox']}/api/messages") as response:
        ids = [mail["messageId"].strip("<>").partition("@")[0] for mail in (await response.json())["messages"]]
    return {ids.count(str(row["event_id"])) for row in rows}
