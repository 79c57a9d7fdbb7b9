"""Order, pay, get the mail; and whatever should not work does not."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from services.apphost.system import System
from tests.integration.shop import ORDER, Shop, eventually, is_on_sale, open_shop, order_input

pytestmark = pytest.mark.integration

PLACE = f"mutation($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ {ORDER} }} }}"
CANCEL = f"mutation($id: ID!) {{ cancelOrder(id: $id) {{ {ORDER} }} }}"
DECLINED = {"number": "4000000000000002", "expiry": "12/40", "cvc": "123"}


async def mails_to(system: System, shop: Shop, address: str) -> list[dict[str, Any]]:
    async with shop.http.get(f"{system.urls['mailbox']}/api/messages") as response:
        messages = await response.json()
    listed = messages["messages"] if isinstance(messages, dict) else messages
    return [message for message in listed if address in str(message["to"])]


async def test_a_purchase_from_hold_to_mail(system: System, shop: Shop) -> None:
    account = await shop.register()
    concert = await shop.concert_on_sale()
    order = await shop.place(concert)
    assert order["status"] == "PENDING"
    assert order["expiresAt"]
    assert order["total"]["amountMinor"] == 2 * concert["tiers"][0]["price"]["amountMinor"]
    assert [ticket["code"] for ticket in order["tickets"]] == [None, None]

    paid = (await shop.pay(order["id"]))["data"]["payOrder"]
    assert paid["status"] == "CONFIRMED"
    codes = {ticket["code"] for ticket in paid["tickets"]}
    assert len(codes) == 2
    assert None not in codes

    async def both_mails() -> list[dict[str, Any]]:
        mails = await mails_to(system, shop, account["email"])
        return mails if len(mails) == 2 else []

    mails = await eventually(both_mails)
    bodies = []
    for mail in mails:
        async with shop.http.get(f"{system.urls['mailbox']}/api/messages/{mail['id']}") as response:
            bodies.append(await response.json())
    confirmed = next(body for body in bodies if all(code in body["text"] for code in codes))
    assert order["number"] in confirmed["text"]


async def test_my_orders_holds_mine_newest_first(buyer: Shop) -> None:
    concert = await buyer.concert_on_sale(seats=3)
    placed = [(await buyer.place(concert, quantity=1))["id"] for _ in range(3)]
    page = (await buyer.data("{ myOrders(first: 2) { nodes { id } pageInfo { hasNextPage endCursor } } }"))["myOrders"]
    rest = await buyer.data(
        "query($after: String) { myOrders(first: 2, after: $after) { nodes { id } pageInfo { hasNextPage } } }",
        after=page["pageInfo"]["endCursor"],
    )
    found = [node["id"] for node in page["nodes"] + rest["myOrders"]["nodes"]]
    assert found == placed[::-1]


async def test_another_persons_order_does_not_exist(buyer: Shop, system: System) -> None:
    order = await buyer.place(await buyer.concert_on_sale(), quantity=1)
    async with open_shop(system.urls["gateway"]) as stranger:
        await stranger.register()
        assert (await stranger.graphql(f'{{ order(id: "{order["id"]}") {{ id }} }}'))["data"]["order"] is None
        assert await stranger.error_code(CANCEL, id=order["id"]) == "NOT_FOUND"
        assert (await stranger.pay(order["id"]))["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        headers = {"Authorization": f"Bearer {stranger.token}"}
        async with stranger.http.get(f"{system.urls['ordering']}/orders/{order['id']}", headers=headers) as response:
            assert response.status == 404
    assert (await buyer.order(order["id"]))["order"]["status"] == "PENDING"


async def test_fifty_clicks_with_one_key_are_one_order(buyer: Shop) -> None:
    wanted = order_input(await buyer.concert_on_sale(), 1)
    answers = await asyncio.gather(*(buyer.graphql(PLACE, input=wanted) for _ in range(50)))
    placed = {answer["data"]["placeOrder"]["id"] for answer in answers if not answer.get("errors")}
    codes = {error["extensions"]["code"] for answer in answers for error in answer.get("errors") or []}
    assert len(placed) == 1
    assert codes <= {"CONFLICT"}  # the first was still in flight
    assert len((await buyer.data("{ myOrders { nodes { id } } }"))["myOrders"]["nodes"]) == 1


async def test_a_key_belongs_to_one_body(buyer: Shop) -> None:
    concert = await buyer.concert_on_sale()
    key = secrets.token_hex(8)
    await buyer.place(concert, quantity=1, key=key)
    assert await buyer.error_code(PLACE, input=order_input(concert, 2, key)) == "INVALID"


async def test_a_declined_card_leaves_the_order_to_be_paid_otherwise(buyer: Shop) -> None:
    order = await buyer.place(await buyer.concert_on_sale(), quantity=1)
    declined = await buyer.pay(order["id"], DECLINED)
    assert declined["errors"][0]["extensions"]["code"] == "PAYMENT_DECLINED"
    assert (await buyer.order(order["id"]))["order"]["status"] == "PENDING"
    assert (await buyer.pay(order["id"]))["data"]["payOrder"]["status"] == "CONFIRMED"


async def test_a_card_that_is_answered_late_is_charged_once(buyer: Shop) -> None:
    order = await buyer.place(await buyer.concert_on_sale(), quantity=1)
    await buyer.pay(order["id"], {"number": "4000000000000341", "expiry": "12/40", "cvc": "123"})

    async def confirmed() -> bool:
        return bool((await buyer.order(order["id"]))["order"]["status"] == "CONFIRMED")

    assert await eventually(confirmed, within_s=60)


async def test_a_cancelled_order_frees_its_tickets(buyer: Shop) -> None:
    order = await buyer.place(await buyer.concert_on_sale(), quantity=1)
    cancelled = (await buyer.data(CANCEL, id=order["id"]))["cancelOrder"]
    assert (cancelled["status"], cancelled["cancelReason"]) == ("CANCELLED", "BUYER")
    assert (await buyer.pay(order["id"]))["errors"][0]["extensions"]["code"] == "CONFLICT"


@pytest.mark.parametrize("quantity", [0, -1, 11, 2**31 - 1])
async def test_quantities_out_of_range_are_refused(buyer: Shop, quantity: int) -> None:
    wanted = order_input(await buyer.concert_on_sale(), quantity)
    assert await buyer.error_code(PLACE, input=wanted) == "INVALID"
    assert (await buyer.data("{ myOrders { nodes { id } } }"))["myOrders"]["nodes"] == []


async def test_what_cannot_be_bought_is_refused(buyer: Shop) -> None:
    query = "{ concerts(first: 100) { nodes { id onSaleAt available tiers { id available } } } }"
    concerts = (await buyer.data(query))["concerts"]["nodes"]
    sold_out = next(concert for concert in concerts if concert["available"] == 0)
    not_yet = next(concert for concert in concerts if not is_on_sale(concert))
    good = await buyer.concert_on_sale()
    assert await buyer.error_code(PLACE, input=order_input(sold_out, 1)) == "SOLD_OUT"
    assert await buyer.error_code(PLACE, input=order_input(not_yet, 1)) == "CONFLICT"
    foreign = order_input(good, 1) | {"concertId": sold_out["id"]}
    assert await buyer.error_code(PLACE, input=foreign) == "INVALID"
    unknown = order_input(good, 1) | {"concertId": "00000000-0000-4000-8000-000000000000"}
    assert await buyer.error_code(PLACE, input=unknown) == "NOT_FOUND"
