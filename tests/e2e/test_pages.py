"""Every page: nothing serious for axe, nothing wider than a phone, no error, no other host."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewVisit, Visit
from tests.e2e.test_buying import GOOD_CARD, choose_featured, pay

pytestmark = pytest.mark.e2e

SERIOUS = {"serious", "critical"}
PHONE = {"width": 390, "height": 844}


def open_path(path: str) -> Callable[[Visit], None]:
    return lambda visit: visit.go(path)


def open_concert(visit: Visit) -> None:
    visit.go("/")
    choose_featured(visit.page)


def open_bad_filter(visit: Visit) -> None:
    visit.expected = {422}
    visit.go("/concerts?text=" + "a" * 101)


def open_missing(visit: Visit) -> None:
    visit.expected = {404}
    visit.go("/nowhere")


def open_refused_login(visit: Visit) -> None:
    visit.expected = {401}
    visit.go("/login")
    visit.page.get_by_label("E-mail address").fill("nobody@ticketflow.test")
    visit.page.get_by_label("Password").fill("not the password")
    visit.page.get_by_role("button", name="Log in").click()


def open_checkout(visit: Visit) -> None:
    visit.register()
    choose_featured(visit.page)
    visit.page.get_by_role("button", name="Hold tickets").click()
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Pay for your tickets")


def open_tickets(visit: Visit) -> None:
    open_checkout(visit)
    pay(visit.page, GOOD_CARD)
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Your tickets")


def open_let_go(visit: Visit) -> None:
    open_checkout(visit)
    visit.page.get_by_role("button", name="Let these tickets go").click()
    expect(visit.page.get_by_role("heading", level=1)).to_contain_text("is cancelled")


def open_orders(visit: Visit) -> None:
    open_checkout(visit)
    visit.go("/orders")


PAGES: dict[str, Callable[[Visit], None]] = {
    "home": open_path("/"),
    "concerts": open_path("/concerts"),
    "filtered": open_path("/concerts?genre=Jazz&available=1&sort=price"),
    "empty": open_path("/concerts?text=nothing+is+called+so"),
    "bad filter": open_bad_filter,
    "filters on a phone": open_path("/concerts#filters"),
    "concert": open_concert,
    "register": open_path("/register"),
    "login": open_path("/login"),
    "refused login": open_refused_login,
    "missing": open_missing,
    "checkout": open_checkout,
    "tickets": open_tickets,
    "let go": open_let_go,
    "orders": open_orders,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_serves_everyone(new_visit: NewVisit, name: str) -> None:
    visit = new_visit(viewport=PHONE)
    PAGES[name](visit)
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        assert serious_problems(visit.page) == []
    for width in (390, 768, 1280):
        visit.page.set_viewport_size({"width": width, "height": 844})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def serious_problems(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{problem['id']}: {problem['nodes'][0]['html']}" for problem in found if problem["impact"] in SERIOUS]


def test_axe_would_notice(visit: Visit) -> None:
    """The control: a page that is bad on purpose."""
    visit.go("/")
    visit.page.evaluate("document.querySelector('main').innerHTML = '<input><img src=\"/favicon.ico\">'")
    assert serious_problems(visit.page)


def test_filters_narrow_the_list_in_place(visit: Visit) -> None:
    page = visit.page
    visit.go("/concerts")
    everything = page.locator(".count").text_content()
    page.locator(".count").evaluate("count => { count.dataset.same = 'yes' }")
    page.get_by_label("Genre").focus()
    page.get_by_label("Genre").select_option(index=1)
    expect(page.locator(".count")).not_to_have_text(everything or "")
    expect(page).to_have_url(re.compile(r"/concerts\?genre="))
    expect(page.get_by_role("status")).to_have_attribute("data-same", "yes")  # or no screen reader would tell of it
    expect(page.get_by_role("link", name="remove this filter")).to_have_count(1)
    expect(page.get_by_label("Genre")).to_be_focused()
    page.get_by_role("link", name=re.compile("remove this filter")).click()
    expect(page.locator(".count")).to_have_text(everything or "")


def test_filters_work_on_a_phone_without_scripts(new_visit: NewVisit) -> None:
    visit = new_visit(viewport=PHONE, java_script_enabled=False)
    page = visit.page
    visit.go("/concerts")
    page.get_by_role("link", name="Filters").click()
    page.get_by_label("City").select_option(index=1)
    page.get_by_role("button", name="Show concerts").click()
    expect(page.get_by_role("link", name="Filters (1)")).to_be_visible()


def test_the_list_goes_on_and_back(visit: Visit) -> None:
    page = visit.page
    visit.go("/concerts")
    first = page.locator(".card h2").first.text_content()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".card h2").first).not_to_have_text(first or "")
    page.get_by_role("link", name="Previous page").click()
    expect(page.locator(".card h2").first).to_have_text(first or "")


def test_tickets_print_one_a_page(visit: Visit) -> None:
    open_tickets(visit)
    visit.page.emulate_media(media="print")
    expect(visit.page.locator("header.top")).to_be_hidden()
    pages = len(re.findall(rb"/Type\s*/Page\b", visit.page.pdf(prefer_css_page_size=True)))
    assert pages == visit.page.locator(".pass").count() == 2


def test_no_script_sees_the_session(visit: Visit) -> None:
    visit.register()
    assert visit.page.evaluate("document.cookie") == ""
    cookies = {str(cookie.get("name")): cookie for cookie in visit.page.context.cookies()}
    assert {"tf_access", "tf_refresh", "tf_csrf"} <= set(cookies)
    assert all(cookie.get("httpOnly") and cookie.get("sameSite") == "Lax" for cookie in cookies.values())


def test_a_lost_access_token_is_renewed_for_every_tab(visit: Visit) -> None:
    visit.register()
    context = visit.page.context
    context.clear_cookies(name="tf_access")
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.evaluate("address => { location.href = address }", visit.shop + "/orders")
    for tab in tabs:
        expect(tab.get_by_role("heading", level=1)).to_have_text("My orders")
    visit.go("/orders")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("My orders")
