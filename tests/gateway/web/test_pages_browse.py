from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.defaults.errors import Unavailable
from services.gateway.app import create_app
from services.gateway.web.routes import Rates
from tests.gateway.conftest import MakeDeps
from tests.gateway.fakes import CONCERT_ID, Shop
from tests.gateway.web.browser import Browser
from tests.gateway.web.samples import coming_concert

MAX_FIRST_PAGE_BYTES = 100_000
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


async def test_home_shows_what_is_on(browser: Browser) -> None:
    page = await browser.get("/")
    assert page.status == 200
    assert "New on sale" in page.text
    assert 'href="/concerts/night-1"' in page.text
    assert "Berlin" in page.text


async def test_the_first_page_is_light(browser: Browser) -> None:
    page = await browser.get("/")
    style, script = (
        page.text.partition(f"/{name}")[0].rpartition('"')[2] + f"/{name}" for name in ("shop.css", "shop.js")
    )
    sizes = [len(page.text)]
    for address in (style, script, f"/posters/{CONCERT_ID}.svg"):
        answer = await browser.get(address)
        assert answer.status == 200
        sizes.append(len(answer.text))
    *fixed, poster = sizes
    assert sum(fixed) + 13 * poster < MAX_FIRST_PAGE_BYTES  # the featured poster, and two rows of six


async def test_pages_run_no_script_and_ask_no_other_host(browser: Browser) -> None:
    page = await browser.get("/")
    policy = page.response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert "<script>" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_a_hostile_title_is_only_text(browser: Browser, shop: Shop) -> None:
    hostile = {"title": HOSTILE, "artist": HOSTILE, "description": HOSTILE, "genre": HOSTILE}
    venue = {"id": "v", "name": HOSTILE, "city": HOSTILE, "country": "DE", "address": HOSTILE}
    shop.catalog.concerts[:] = [coming_concert(1, **hostile, venue=venue)]
    for path in ("/", "/concerts", "/concerts/night-1"):
        page = await browser.get(path)
        assert page.status == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "{{7*7}}" in page.text


async def test_a_search_reaches_the_catalog_and_stays_in_its_form(browser: Browser, shop: Shop) -> None:
    page = await browser.get("/concerts?text=jazz&city=Berlin&sort=price&available=1")
    search = next(search for search in shop.catalog.searches if search.text)
    assert (search.text, search.city, search.sort, search.available_only) == ("jazz", "Berlin", "PRICE", True)
    assert 'value="jazz"' in page.text
    assert "30 concerts" in page.text


async def test_pages_of_the_list_lead_on_and_back(browser: Browser) -> None:
    first = await browser.get("/concerts")
    assert 'rel="next" href="/concerts?after=24&amp;back="' in first.text
    assert 'rel="prev"' not in first.text
    second = await browser.get("/concerts?after=24&back=")
    assert 'rel="prev" href="/concerts"' in second.text
    assert 'rel="next"' not in second.text


async def test_an_empty_result_says_what_to_loosen(browser: Browser, shop: Shop) -> None:
    shop.catalog.concerts.clear()
    page = await browser.get("/concerts?text=jazz&city=Berlin")
    assert page.status == 200
    assert "Search without “jazz”" in page.text
    assert 'href="/concerts?text=jazz">Search without Berlin' in page.text


async def test_a_bad_filter_comes_back_with_its_sentence(browser: Browser) -> None:
    page = await browser.get("/concerts?from=soon&text=jazz")
    assert page.status == 422
    assert 'aria-invalid="true"' in page.text
    assert 'id="from-error"' in page.text
    assert 'value="jazz"' in page.text


async def test_a_concert_page_has_a_form_for_its_tickets(browser: Browser) -> None:
    page = await browser.get("/concerts/night-1?quantity-tier-1=3")
    form = page.form("/concerts/night-1")
    assert form.fields["quantity-tier-1"] == "3"
    assert len(form.fields["idempotency_key"]) == 32
    assert "€49.00" in page.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"available": 0}, "All tickets are sold."),
        ({"onSaleAt": datetime.now(UTC) + timedelta(days=3)}, "On sale from"),
        ({"startsAt": datetime.now(UTC) - timedelta(hours=1)}, "This concert is over."),
    ],
)
async def test_what_cannot_be_bought_says_why(
    browser: Browser, shop: Shop, changes: dict[str, object], words: str
) -> None:
    shop.catalog.concerts[:] = [coming_concert(1, **changes)]
    page = await browser.get("/concerts/night-1")
    assert page.status == 200
    assert words in page.text
    assert "Hold tickets" not in page.text


async def test_a_reader_gets_their_own_format(browser: Browser) -> None:
    page = await browser.get("/concerts/night-1", **{"Accept-Language": "de-DE"})
    assert "49,00\xa0€" in page.text


@pytest.mark.parametrize("path", ["/concerts/nothing", "/nowhere", "/posters/none.svg", "/assets/x/none.css"])
async def test_what_is_not_there_is_a_page_that_says_so(browser: Browser, path: str) -> None:
    page = await browser.get(path)
    assert page.status == 404
    assert "There is nothing at this address" in page.text


async def test_an_unknown_address_does_not_look_at_what_is_sent(browser: Browser, token: str) -> None:
    for member in (False, True):
        if member:
            browser.log_in(token)
        page = await browser.post("/nowhere", {"text": "x" * 70_000}, Referer="http://[")
        assert page.status == 404
        assert "There is nothing at this address" in page.text
        assert ("Log out" in page.text) is member


async def test_a_program_gets_a_problem_document(browser: Browser) -> None:
    response = await browser.client.get("/nowhere", headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"


async def test_an_absent_catalog_is_back_in_a_moment(browser: Browser, shop: Shop) -> None:
    shop.catalog.failure = Unavailable("The catalog is away.", retry_after_s=7)
    page = await browser.get("/concerts")
    assert page.status == 503
    assert page.response.headers["Retry-After"] == "7"
    assert page.response.headers["Refresh"] == "7; url=/concerts"
    shop.catalog.failure = None
    assert (await browser.get("/concerts")).status == 200


async def test_what_breaks_tells_nothing_of_its_insides(browser: Browser, shop: Shop) -> None:
    shop.catalog.failure = RuntimeError("secret detail")
    page = await browser.get("/")
    assert page.status == 500
    assert "secret detail" not in page.text
    assert "Something went wrong on our side" in page.text


async def test_posters_are_kept_for_ever_under_their_version(browser: Browser) -> None:
    home = await browser.get("/concerts/night-1")
    address = home.text.partition('class="poster" src="')[2].partition('"')[0]
    poster = await browser.get(address)
    assert poster.response.mimetype == "image/svg+xml"
    assert "immutable" in poster.response.headers["Cache-Control"]
    assert "Set-Cookie" not in poster.response.headers
    again = await browser.get(address, **{"If-None-Match": poster.response.headers["ETag"]})
    assert again.status == 304
    assert "immutable" not in (await browser.get(address + "0")).response.headers["Cache-Control"]


async def test_every_address_is_asked_only_so_often(make_deps: MakeDeps) -> None:
    browser = Browser(create_app(make_deps(), Rates(browse=2)))
    statuses = [(await browser.get("/concerts")).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = await browser.get("/concerts")
    assert int(refused.response.headers["Retry-After"]) >= 1
    assert "One moment, please" in refused.text


async def test_a_closed_shop_shows_strangers_the_door(make_deps: MakeDeps, token: str) -> None:
    browser = Browser(create_app(make_deps(public_browsing=False)))
    for path in ("/concerts", "/concerts/night-1", f"/posters/{CONCERT_ID}.svg"):
        assert (await browser.get(path)).location.startswith("/login")
    browser.log_in(token)
    assert (await browser.get("/concerts")).status == 200
