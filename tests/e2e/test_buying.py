"""From the home page to the QR code, as people do it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import PASSWORD, NewVisit, Visit, new_email

pytestmark = pytest.mark.e2e

GOOD_CARD, DECLINED_CARD, LATE_CARD = "4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0000 0000 0341"
LATE_MS = 60_000
MAX_TABS = 120  # more presses of Tab than any page has stops


def choose_featured(page: Page) -> None:
    page.get_by_role("link", name="Choose tickets").click()
    page.get_by_label(re.compile("^Quantity of")).first.fill("2")


def register_on_the_way(page: Page) -> None:
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_label("E-mail address").fill(new_email())
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()


def pay(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12/39")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name=re.compile("^Pay ")).click()


def expect_tickets(page: Page, count: int) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Your tickets")
    codes = page.locator("svg.qr")
    expect(codes).to_have_count(count)
    for index in range(count):
        box = codes.nth(index).bounding_box()
        assert box
        assert box["width"] >= 180, "a scanner needs it larger"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_stranger_buys_two_tickets(new_visit: NewVisit, scripts: bool) -> None:
    visit = new_visit(java_script_enabled=scripts)
    page = visit.page
    visit.go("/")
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    register_on_the_way(page)
    expect(page.get_by_label(re.compile("^Quantity of")).first).to_have_value("2")
    page.get_by_role("button", name="Hold tickets").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pay for your tickets")
    pay(page, GOOD_CARD)
    expect_tickets(page, 2)
    page.get_by_role("link", name="My orders").click()
    expect(page.locator(".order-row")).to_have_count(1)
    expect(page.locator(".order-row")).to_contain_text("Paid")


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit.page
    visit.register()
    press_on(page, page.get_by_role("link", name="Choose tickets"))
    more = page.get_by_role("button", name=re.compile("^One more")).first
    expect(more).to_be_visible()
    press_on(page, more)
    press_on(page, page.get_by_role("button", name="Hold tickets"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Pay for your tickets")
    for label, typed in (("Card number", GOOD_CARD), ("Expiry", "12/39"), ("Security code", "123")):
        tab_to(page, page.get_by_label(label))
        page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect_tickets(page, 1)


def test_the_first_stop_of_the_keyboard_skips_to_the_content(visit: Visit) -> None:
    visit.go("/")
    visit.page.keyboard.press("Tab")
    skip = visit.page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_declined_card_leaves_the_tickets_held(new_visit: NewVisit, scripts: bool) -> None:
    visit = new_visit(java_script_enabled=scripts)
    visit.expected = {402}
    page = visit.page
    visit.register()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    pay(page, DECLINED_CARD)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("declined")
    expect(alert).to_be_focused()
    expect(page.get_by_label("Card number")).to_have_value("")
    pay(page, GOOD_CARD)
    expect_tickets(page, 2)


def test_the_end_of_a_hold_sends_no_card_again(visit: Visit) -> None:
    """The page is the answer to the form that was refused."""
    visit.expected = {402}
    page = visit.page
    visit.register()
    page.clock.install()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    pay(page, DECLINED_CARD)
    expect(page.get_by_role("alert")).to_contain_text("declined")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {urlsplit(request.url).path}"))
    order = urlsplit(page.url).path.removesuffix("/payment")
    page.clock.run_for(minutes_left(page) * 60_000)
    expect(page).to_have_url(visit.shop + order)
    assert sent[0] == f"GET {order}"


def test_a_bank_that_answers_late_still_brings_the_tickets(new_visit: NewVisit) -> None:
    """Without scripts: the page looks again by itself."""
    page = (visit := new_visit(java_script_enabled=False)).page
    visit.register()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    pay(page, LATE_CARD)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your tickets", timeout=LATE_MS)
    expect(page.locator("svg.qr")).to_have_count(2)


def test_tickets_are_given_back_for_the_money(visit: Visit) -> None:
    page = visit.page
    visit.register()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    pay(page, GOOD_CARD)
    expect_tickets(page, 2)
    page.get_by_text("Give these tickets back").click()
    page.get_by_role("button", name=re.compile("^Cancel the order and refund")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is cancelled")
    expect(page.get_by_text("You cancelled this order.")).to_be_visible()
    expect(page.get_by_text(re.compile("back to your card")).first).to_be_visible()


def test_a_double_click_orders_once(visit: Visit) -> None:
    page = visit.page
    visit.register()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pay for your tickets")
    page.get_by_role("link", name="My orders").click()
    expect(page.locator(".order-row")).to_have_count(1)


def test_the_running_total_follows_the_choice(visit: Visit) -> None:
    page = visit.page
    visit.go("/")
    choose_featured(page)
    total = page.locator("[data-total]")
    two = total.text_content()
    page.get_by_role("button", name=re.compile("^One less")).first.click()
    expect(total).not_to_have_text(two or "")
    page.get_by_role("button", name=re.compile("^One less")).first.click()
    expect(total).to_have_text("€0.00")


def test_the_countdown_is_announced(visit: Visit) -> None:
    page = visit.page
    visit.register()
    page.clock.install()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    expect(page.locator("[data-left]")).to_have_text(re.compile(r"^\d+:\d\d left$"))
    page.clock.run_for((minutes_left(page) - 2) * 60_000)
    expect(page.locator("[data-tell]")).to_have_text(re.compile("[12] minutes? left to pay for your tickets."))


def minutes_left(page: Page) -> int:
    """Of the hold, the one that has begun counted whole."""
    return int((page.locator("[data-left]").text_content() or "").partition(":")[0]) + 1


def tab_to(page: Page, target: Locator) -> None:
    """Presses Tab until the target has the focus, and checks that the focus can be seen."""
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            assert target.evaluate("element => element.matches(':focus-visible')")
            return
    pytest.fail(f"The keyboard does not reach {target}")


def press_on(page: Page, target: Locator) -> None:
    tab_to(page, target)
    page.keyboard.press("Enter")
