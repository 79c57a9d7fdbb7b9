"""Pages that strangers share: nothing of one visitor reaches another, and nobody sees an older one than before."""

from __future__ import annotations

import pytest

from services.gateway import web
from services.gateway.answers import AnswerCache
from services.gateway.app import create_app
from tests.gateway.conftest import MakeDeps
from tests.gateway.fakes import Shop
from tests.gateway.web.browser import Browser
from tests.gateway.web.samples import coming_concert

SHARED = ("/", "/concerts", "/concerts?text=jazz&sort=price")


@pytest.mark.parametrize("path", SHARED)
async def test_a_strangers_page_holds_no_token_and_sets_no_cookie(browser: Browser, path: str) -> None:
    page = await browser.get(path)
    assert page.status == 200
    assert "csrf_token" not in page.text
    assert "Set-Cookie" not in page.response.headers


@pytest.mark.parametrize("path", SHARED)
async def test_a_member_and_a_stranger_never_get_each_others_page(make_deps: MakeDeps, token: str, path: str) -> None:
    app = create_app(make_deps())
    stranger, member = Browser(app), Browser(app)
    member.log_in(token)
    for _ in range(2):  # the second time from what the first has left
        assert "Log out" not in (await stranger.get(path)).text
        mine = await member.get(path)
        assert mine.form("/logout").fields["csrf_token"]
        assert mine.response.headers["Cache-Control"] == "private, no-store"
        assert "ETag" not in mine.response.headers


async def test_each_reader_has_their_formats(browser: Browser) -> None:
    british = await browser.get("/concerts", **{"Accept-Language": "en-GB"})
    german = await browser.get("/concerts", **{"Accept-Language": "de-DE"})
    assert "€49.00" in british.text
    assert "49,00" in german.text
    assert "€49.00" in (await browser.get("/concerts", **{"Accept-Language": "en-GB"})).text


async def test_searches_do_not_mix(browser: Browser) -> None:
    for text in ("jazz", "opera", "jazz"):
        assert f'value="{text}"' in (await browser.get(f"/concerts?text={text}")).text


async def test_what_a_link_carries_along_makes_no_page_of_its_own(make_deps: MakeDeps, shop: Shop) -> None:
    browser = Browser(create_app(make_deps(answers=AnswerCache(ttl_s=0.0))))
    for click in range(3):
        await browser.get(f"/concerts?text=jazz&fbclid={click}")
    assert len([search for search in shop.catalog.searches if search.text]) == 1


async def test_a_strangers_page_is_no_older_than_the_list(
    make_deps: MakeDeps, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "SHARED_TTL_S", 0.0)
    browser = Browser(create_app(make_deps(answers=AnswerCache(ttl_s=0.0))))
    assert "Sold out" not in (await browser.get("/concerts")).text
    shop.catalog.concerts[:] = [coming_concert(1, available=0)]
    assert "Sold out" in (await browser.get("/concerts")).text


async def test_a_page_that_has_not_changed_is_not_sent_again(browser: Browser, token: str) -> None:
    first = await browser.get("/concerts")
    etag = first.response.headers["ETag"]
    again = await browser.get("/concerts", **{"If-None-Match": etag})
    assert (again.status, again.text) == (304, "")
    for name in ("ETag", "Cache-Control", "Vary"):  # RFC 9110, 15.4.5
        assert again.response.headers[name] == first.response.headers[name]
    assert (await browser.get("/concerts?text=jazz", **{"If-None-Match": etag})).status == 200
    browser.log_in(token)
    assert (await browser.get("/concerts", **{"If-None-Match": etag})).status == 200


async def test_the_first_form_brings_the_cookie_that_it_needs(browser: Browser) -> None:
    await browser.get("/concerts")
    assert browser.cookie("tf_csrf") is None
    form = (await browser.get("/login")).form("/login")
    assert form.fields["csrf_token"]
    cookie = browser.cookie("tf_csrf")
    assert cookie
    await browser.get("/login")
    assert browser.cookie("tf_csrf") == cookie
