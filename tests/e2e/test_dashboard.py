"""The dashboard beside the running shop, as people use it: one order from click to mail, and a broker that dies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from services.apphost.system import System
from tests.e2e.conftest import NewVisit, Visit, visits_of
from tests.e2e.test_buying import GOOD_CARD, choose_featured, expect_tickets, pay
from tests.e2e.test_pages import PHONE, serious_problems

pytestmark = pytest.mark.e2e

SLOW_MS = 60_000
NUMBER = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b")
PAGES = {
    "resources": "/",
    "resource": "/resources/ordering",
    "traces": "/traces",
    "no trace": "/traces?service=nobody",
    "map": "/map",
    "logs": "/logs",
    "metrics": "/plots",
    "metric": "/plots/http.server.request.duration?by=service",
    "signals": "/signals",
    "business": "/business",
    "messages": "/messages",
    "mails": "/mails",
    "order": "/orders",
    "token": "/token",
}


@pytest.fixture(scope="module")
def system(observed_system: System) -> System:
    """The shop of these tests has its dashboard."""
    return observed_system


@pytest.fixture
def new_look(system: System, chromium: Browser) -> Iterator[NewVisit]:
    """As `new_visit`, at the dashboard."""
    with visits_of(chromium, f"http://localhost:{system.ports['dashboard']}") as make:
        yield make


@pytest.fixture
def look(new_look: NewVisit) -> Visit:
    return new_look()


@pytest.fixture(scope="module")
def number(system: System, chromium: Browser) -> str:
    """The number of an order that somebody has just bought tickets with."""
    with visits_of(chromium, f"http://localhost:{system.ports['gateway']}") as make:
        return buy(make())


def buy(visit: Visit) -> str:
    page = visit.page
    visit.register()
    choose_featured(page)
    page.get_by_role("button", name="Hold tickets").click()
    pay(page, GOOD_CARD)
    expect_tickets(page, 2)
    found = NUMBER.search(page.locator("main").inner_text())
    assert found
    return found[0]


def find_order(look: Visit, number: str) -> None:
    """Types the number; spans are on their way for some seconds, and the page asks for them again."""
    look.expected = {404}
    look.go("/")
    look.page.get_by_label("Order number").fill(number)
    look.page.get_by_role("button", name="Find the order").click()
    expect(look.page.get_by_role("heading", level=1)).to_have_text(re.compile("order", re.IGNORECASE))


def until_shown(page: Page, text: str) -> None:
    """Opens the page again until it shows a text."""
    for _ in range(60):
        if page.get_by_text(text).first.is_visible():
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(page.get_by_text(text).first).to_be_visible()


def test_an_order_is_one_trace_from_the_click_to_the_mail(look: Visit, number: str) -> None:
    page = look.page
    find_order(look, number)
    until_shown(page, "Send the mail to the buyer")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {number}")
    for step in ("Take the order", "Hold the tickets", "Charge the card", "Make the held tickets the buyer's"):
        expect(page.get_by_text(step, exact=True).first).to_be_visible()

    page.get_by_role("link", name="Press “Pay”").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Press “Pay”")
    titles = page.locator(".fall .plain").all_inner_texts()
    hops = [
        "Press “Pay”",
        "Shop: pay the order",
        "Take the payment for the order",
        "Charge the card",
        "Make the held tickets the buyer's",
        "Tell the broker: “order confirmed”",
        "Work on “order confirmed”",
        "Send the mail to the buyer",
    ]
    places = [titles.index(hop) for hop in hops]
    assert places == sorted(places)
    services = set(page.locator(".fall .who").all_inner_texts())
    assert services >= {"gateway", "ordering", "catalog", "payments", "notifications"}


def test_a_step_opens_with_the_keyboard_and_tells_all(look: Visit, number: str) -> None:
    page = look.page
    find_order(look, number)
    until_shown(page, "Send the mail to the buyer")
    page.get_by_role("link", name="Press “Pay”").first.click()
    step = page.locator(".fall summary").first
    step.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("http.request.method").first).to_be_visible()
    page.wait_for_timeout(2500)  # a stream that arrives does not fold it up again
    expect(page.get_by_text("http.request.method").first).to_be_visible()
    assert serious_problems(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_serves_everyone(new_look: NewVisit, number: str, name: str) -> None:
    look = new_look(viewport=PHONE)
    look.go(PAGES[name])
    for scheme in ("light", "dark"):
        look.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        assert serious_problems(look.page) == []
    for width in (390, 768, 1280):
        look.page.set_viewport_size({"width": width, "height": 844})
        assert look.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_without_scripts(new_look: NewVisit, number: str, name: str) -> None:
    look = new_look(java_script_enabled=False)
    look.go(PAGES[name])
    expect(look.page.get_by_role("heading", level=1)).to_be_visible()
    expect(look.page.get_by_role("navigation")).to_be_visible()


def test_the_mail_is_read_in_its_sandbox(look: Visit, number: str) -> None:
    page = look.page
    look.go("/mails")
    page.get_by_role("link", name=re.compile("^Your 2 tickets")).first.click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text(number).first).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("link", name=re.compile(r"\.pdf")).click()
    assert downloading.value.suggested_filename.endswith(".pdf")


def test_plots_are_drawn(look: Visit, number: str) -> None:
    look.go("/signals")
    until_shown(look.page, "By operation, from the traces")
    expect(look.page.locator(".plot canvas").first).to_be_visible(timeout=SLOW_MS)


def test_new_lines_arrive_by_themselves(look: Visit, new_visit: NewVisit, number: str) -> None:
    look.go("/logs?text=account+opened")
    before = look.page.locator(".log").count()
    look.page.evaluate("window.same = true")
    new_visit().register()
    expect(look.page.locator(".log")).not_to_have_count(before, timeout=SLOW_MS)
    assert look.page.evaluate("window.same"), "the page was not loaded again"


def test_a_service_is_stopped_and_started_again(look: Visit) -> None:
    page = look.page
    look.go("/resources/payments")
    page.get_by_role("button", name="Stop payments").click()
    expect(page.get_by_text("payments has been stopped.")).to_be_visible()
    page.get_by_role("button", name="Start payments").click(timeout=SLOW_MS)
    expect(page.get_by_role("button", name="Freeze payments")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".facts .state.pass")).to_have_text("running", timeout=SLOW_MS)


def test_a_dead_broker_is_red_and_the_outbox_grows_and_drains(look: Visit, new_visit: NewVisit) -> None:
    page = look.page
    look.go("/resources/rabbitmq")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop rabbitmq").click()
    expect(page.locator(".facts .state.fail")).to_have_text("stopped", timeout=SLOW_MS)
    buy(new_visit())
    look.go("/messages")
    waiting = page.locator(".plot", has_text="Events waiting in the outbox").locator(".now")
    expect(page.get_by_role("alert")).to_contain_text("The message broker")
    expect(waiting).to_have_text("2", timeout=SLOW_MS)
    look.go("/")
    expect(page.locator("#part-notifications .state.fail").first).to_be_visible(timeout=SLOW_MS)

    page.get_by_role("button", name="Start rabbitmq").click()
    look.go("/messages")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible(timeout=SLOW_MS)
    expect(waiting).to_have_text("0", timeout=SLOW_MS)


def test_whoever_says_no_stops_nothing(look: Visit) -> None:
    page = look.page
    look.go("/resources/postgres")
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Stop postgres").click()
    expect(page.locator(".facts .state.pass")).to_have_text("running")
