from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.defaults.errors import AppError, Conflict, RateLimited, Unavailable
from tests.gateway.fakes import NOW, ORDER_ID, Shop, make_order
from tests.gateway.web.browser import Browser, Page

ORDER = f"/orders/{ORDER_ID}"
CARD = {"number": "4242 4242 4242 4242", "expiry": "12/30", "cvc": "987"}
STRANGERS_ORDER = "/orders/33333333-3333-4333-8333-333333333333"


def set_order(shop: Shop, **changes: Any) -> None:
    shop.ordering.orders[:] = [make_order(**changes)]


def tickets(*codes: str | None) -> list[dict[str, Any]]:
    seat = {"tier": "Balcony", "section": "Left", "row": "C", "seat": "12"}
    return [{"id": f"t{index}", **seat, "code": code} for index, code in enumerate(codes)]


async def hold(browser: Browser, quantity: str = "2") -> Page:
    page = await browser.get("/concerts/night-1")
    return await browser.submit(page, "/concerts/night-1", **{"quantity-tier-1": quantity})


async def test_holding_tickets_leads_to_the_checkout(buyer: Browser, shop: Shop) -> None:
    page = await hold(buyer)
    assert (page.status, page.location) == (303, ORDER)
    (placed,) = shop.ordering.finished
    assert len(placed.removeprefix("place ")) == 32


async def test_a_form_sent_twice_carries_the_same_key(buyer: Browser, shop: Shop) -> None:
    page = await buyer.get("/concerts/night-1")
    for _ in range(2):
        await buyer.submit(page, "/concerts/night-1", **{"quantity-tier-1": "1"})
    first, second = shop.ordering.finished
    assert first == second


async def test_a_stranger_logs_in_and_keeps_the_choice(browser: Browser, shop: Shop) -> None:
    page = await hold(browser, "3")
    assert page.status == 303
    assert page.location == "/login?next=%2Fconcerts%2Fnight-1%3Fquantity-tier-1%3D3"
    assert shop.ordering.finished == []


async def test_a_stranger_who_opens_two_concerts_at_once_can_use_both(browser: Browser) -> None:
    pages = [await browser.get("/concerts/night-1")]
    browser.client.set_cookie("localhost", "tf_csrf", "")  # the second was asked for before the first had come
    pages.append(await browser.get("/concerts/night-2"))
    for number, page in enumerate(pages, 1):
        path = f"/concerts/night-{number}"
        fields = {**page.form(path).fields, f"quantity-tier-{number}": "1"}
        assert (await browser.post(path, fields, **{"Sec-Fetch-Site": "same-origin"})).status == 303


@pytest.mark.parametrize("quantity", ["0", "11", "-1", "x"])
async def test_a_choice_that_cannot_be_held_comes_back(browser: Browser, shop: Shop, token: str, quantity: str) -> None:
    for _ in ("a stranger", "a buyer"):
        page = await hold(browser, quantity)
        assert page.status == 422
        assert 'role="alert"' in page.text
        browser.log_in(token)
    assert shop.ordering.finished == []


async def test_sold_out_comes_back_to_the_choice_with_a_new_key(buyer: Browser, shop: Shop) -> None:
    shop.ordering.failure = Conflict("These tickets have just been sold.", code="SOLD_OUT")
    before = await buyer.get("/concerts/night-1")
    page = await buyer.submit(before, "/concerts/night-1", **{"quantity-tier-1": "2"})
    assert page.status == 409
    assert "These tickets have just been sold." in page.text
    form = page.form("/concerts/night-1")
    assert form.fields["quantity-tier-1"] == "2"
    assert form.fields["idempotency_key"] != before.form("/concerts/night-1").fields["idempotency_key"]


async def test_a_second_click_waits_for_the_first(buyer: Browser, shop: Shop) -> None:
    shop.ordering.failure = Conflict("It is being placed.", retry_after_s=0.05)

    async def succeed_soon() -> None:
        await shop.ordering.started.wait()
        shop.ordering.failure = None

    page, _ = await asyncio.gather(hold(buyer), succeed_soon())
    assert page.location == ORDER


async def test_the_checkout_says_what_until_when_and_how_much(buyer: Browser) -> None:
    page = await buyer.get(ORDER)
    assert page.status == 200
    assert "Pay €98.00" in page.text
    assert "14:10" in page.text  # 12:10 UTC, in Berlin
    assert "Berlin time" in page.text
    assert 'autocomplete="cc-number"' in page.text
    assert 'inputmode="numeric"' in page.text
    assert page.response.headers["Cache-Control"] == "private, no-store"


async def test_paying_leads_to_the_tickets(buyer: Browser, shop: Shop) -> None:
    page = await buyer.submit(await buyer.get(ORDER), f"{ORDER}/payment", **CARD)
    assert (page.status, page.location) == (303, ORDER)
    assert shop.ordering.finished == ["pay"]


async def test_a_declined_card_is_told_and_never_given_back(buyer: Browser, shop: Shop) -> None:
    shop.ordering.failure = Conflict("The card was declined.", code="PAYMENT_DECLINED", status=402)
    before = await buyer.get(ORDER)
    page = await buyer.submit(before, f"{ORDER}/payment", **CARD)
    assert page.status == 402
    assert "The card was declined." in page.text
    assert "4242 4242 4242 4242" not in page.text.partition("test bank")[0]
    assert "987" not in page.form(f"{ORDER}/payment").fields.values()
    key = "idempotency_key"
    assert page.form(f"{ORDER}/payment").fields[key] != before.form(f"{ORDER}/payment").fields[key]


async def test_a_card_with_a_mistake_is_not_sent(buyer: Browser, shop: Shop) -> None:
    page = await buyer.submit(await buyer.get(ORDER), f"{ORDER}/payment", number="42", expiry="x", cvc="")
    assert page.status == 422
    assert all(f'id="{name}-error"' in page.text for name in ("number", "expiry", "cvc"))
    assert shop.ordering.finished == []


async def test_an_unknown_outcome_says_what_is_certain(buyer: Browser, shop: Shop) -> None:
    shop.ordering.failure = Unavailable("away")
    page = await buyer.submit(await buyer.get(ORDER), f"{ORDER}/payment", **CARD)
    assert page.status == 503
    assert "you are never charged twice" in page.text
    assert "Your tickets stay held until 14:10." in page.text
    assert "Refresh" not in page.response.headers  # a form is not sent again by itself


@pytest.mark.parametrize("absence", [Unavailable("away"), RateLimited("not now")])
async def test_a_session_that_cannot_be_renewed_just_now_is_no_old_form(
    buyer: Browser, shop: Shop, absence: AppError
) -> None:
    before = await buyer.get(ORDER)
    shop.identity.failure = absence
    buyer.log_in("")  # the browser drops an access token at its end
    buyer.client.set_cookie("localhost", "tf_refresh", "refresh-1")
    page = await buyer.submit(before, f"{ORDER}/payment", **CARD)
    assert page.status == absence.status
    assert "out of date" not in page.text
    assert shop.ordering.finished == []


async def test_a_payment_that_is_being_checked_looks_again_by_itself(buyer: Browser, shop: Shop) -> None:
    timeline = [{"event": event, "at": NOW} for event in ("placed", "payment_started", "payment_unclear")]
    set_order(shop, timeline=timeline)
    page = await buyer.get(ORDER)
    assert "Checking your payment" in page.text
    assert page.response.headers["Refresh"] == f"3; url={ORDER}"
    assert "Card number" not in page.text


async def test_a_hold_that_ended_offers_the_same_choice_again(buyer: Browser, shop: Shop) -> None:
    set_order(shop, expiresAt=datetime.now(UTC) - timedelta(minutes=1))
    page = await buyer.get(ORDER)
    assert "Your hold has ended" in page.text
    assert "/concerts/night-1?quantity-tier-1=2" in page.text


async def test_a_confirmed_order_has_one_pass_a_ticket(buyer: Browser, shop: Shop) -> None:
    set_order(shop, status="CONFIRMED", expiresAt=None, tickets=tickets("CODE-1", "CODE-2"))
    page = await buyer.get(ORDER)
    assert page.text.count('class="qr"') == 2
    assert "CODE-2" in page.text
    assert "TF-1234" in page.text
    assert "Buyer" in page.text


async def test_the_calendar_is_for_confirmed_orders(buyer: Browser, shop: Shop) -> None:
    assert (await buyer.get(f"{ORDER}/calendar.ics")).status == 404
    set_order(shop, status="CONFIRMED", expiresAt=None, tickets=tickets("CODE-1"))
    page = await buyer.get(f"{ORDER}/calendar.ics")
    assert page.response.mimetype == "text/calendar"
    assert "BEGIN:VEVENT" in page.text


async def test_cancelling_leads_back_to_the_order(buyer: Browser, shop: Shop) -> None:
    page = await buyer.submit(await buyer.get(ORDER), f"{ORDER}/cancellation")
    assert (page.status, page.location) == (303, ORDER)
    assert shop.ordering.finished == ["cancel"]


async def test_a_cancellation_that_comes_too_late_says_why(buyer: Browser, shop: Shop) -> None:
    set_order(shop, status="CONFIRMED", expiresAt=None, tickets=tickets("CODE-1"))
    page = await buyer.get(ORDER)
    shop.ordering.failure = Conflict("The concert has begun.")
    refused = await buyer.submit(page, f"{ORDER}/cancellation")
    assert refused.status == 409
    assert "The concert has begun." in refused.text


@pytest.mark.parametrize("path", [STRANGERS_ORDER, f"{STRANGERS_ORDER}/calendar.ics", "/orders/%00", "/orders/..%2f"])
async def test_a_strangers_order_does_not_exist(buyer: Browser, path: str) -> None:
    assert (await buyer.get(path)).status == 404


@pytest.mark.parametrize("path", [ORDER, "/orders", f"{ORDER}/calendar.ics"])
async def test_orders_are_for_whoever_is_logged_in(browser: Browser, path: str) -> None:
    page = await browser.get(path)
    assert page.status == 303
    assert page.location.startswith("/login?next=%2Forders")


async def test_my_orders_lists_them(buyer: Browser, shop: Shop) -> None:
    page = await buyer.get("/orders")
    assert "Night 1" in page.text
    assert "Pay until 14:10" in page.text
    shop.ordering.orders.clear()
    assert "No orders yet" in (await buyer.get("/orders")).text


async def test_a_reload_of_the_payments_address_leads_to_the_order(buyer: Browser) -> None:
    assert (await buyer.get(f"{ORDER}/payment")).location == ORDER


@pytest.mark.parametrize("name", ["a%0D%0ASet-Cookie:x", "%E2%82%AC", "a%3Fb%23c"])
async def test_no_address_becomes_a_header(browser: Browser, name: str) -> None:
    for form in ("payment", "cancellation"):
        page = await browser.get(f"/orders/{name}/{form}")
        assert page.status == 303
        assert page.location == f"/orders/{name.replace(':', '%3A')}"
