from __future__ import annotations

import pytest

from services.defaults.errors import Unavailable
from tests.defaults.test_addresses import OPEN_REDIRECTS
from tests.gateway.fakes import Shop
from tests.gateway.web.browser import Browser

EMAIL = "ada@ticketflow.test"


async def test_logging_in_leads_back_and_hides_the_tokens(browser: Browser) -> None:
    form = await browser.get("/login?next=/concerts/night-1?quantity-tier-1=2")
    page = await browser.submit(form, "/login", email=EMAIL, password="right")
    assert (page.status, page.location) == (303, "/concerts/night-1?quantity-tier-1=2")
    assert browser.cookie("tf_access") == "access-1"
    assert "access-1" not in page.text


async def test_a_wrong_password_keeps_what_was_typed_but_the_password(browser: Browser) -> None:
    form = await browser.get("/login")
    page = await browser.submit(form, "/login", email=EMAIL, password="wrong-password")
    assert page.status == 401
    assert f'value="{EMAIL}"' in page.text
    assert "wrong-password" not in page.text
    assert "Address and password do not match." in page.text
    assert "autofocus" in page.text
    assert browser.cookie("tf_access") is None


async def test_a_form_with_mistakes_names_each_beside_its_field(browser: Browser) -> None:
    form = await browser.get("/register")
    page = await browser.submit(form, "/register", name="Ada", email="<script>", password="hunter2")
    assert page.status == 422
    assert 'id="email-error"' in page.text
    assert 'aria-describedby=" email-error"' in page.text
    assert 'id="password-error"' in page.text
    assert 'value="Ada"' in page.text
    assert 'value="&lt;script&gt;"' in page.text
    assert "hunter2" not in page.text


async def test_registering_logs_in(browser: Browser) -> None:
    form = await browser.get("/register?next=/orders")
    page = await browser.submit(form, "/register", name="Ada", email=EMAIL, password="correct horse")
    assert (page.status, page.location) == (303, "/orders")
    assert browser.cookie("tf_refresh") == "refresh-1"


async def test_an_address_that_is_taken_says_so_beside_the_field(browser: Browser) -> None:
    form = await browser.get("/register")
    page = await browser.submit(form, "/register", name="Ada", email="taken@ticketflow.test", password="correct horse")
    assert page.status == 409
    assert "It is taken." in page.text


@pytest.mark.parametrize("target", OPEN_REDIRECTS)
async def test_no_next_leads_off_the_site(browser: Browser, target: str) -> None:
    form = await browser.get("/login")
    page = await browser.submit(form, "/login", email=EMAIL, password="right", next=target)
    assert (page.status, page.location) == (303, "/")


async def test_somebody_logged_in_has_no_use_for_the_form(buyer: Browser) -> None:
    assert (await buyer.get("/login?next=/orders")).location == "/orders"


@pytest.mark.parametrize("path", ["/login", "/register", "/logout", "/concerts/night-1", "/orders/x/payment"])
async def test_a_form_that_is_not_ours_is_refused(buyer: Browser, shop: Shop, path: str) -> None:
    fields = {"email": EMAIL, "password": "right", "quantity-tier-1": "1", "csrf_token": "0" * 64}
    page = await buyer.post(path, fields)
    assert page.status == 403
    assert "This form is out of date" in page.text
    assert shop.identity.calls == []
    assert not shop.ordering.started.is_set()


async def test_a_good_form_from_another_site_is_refused(browser: Browser, shop: Shop) -> None:
    form = await browser.get("/login")
    fields = {**form.form("/login").fields, "email": EMAIL, "password": "right"}
    strangers = ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"})
    for headers in strangers:
        assert (await browser.post("/login", fields, **headers)).status == 403
    assert shop.identity.calls == []


async def test_a_form_of_before_the_login_is_worth_nothing_after_it(browser: Browser, token: str) -> None:
    form = await browser.get("/concerts/night-1")
    browser.log_in(token)
    page = await browser.submit(form, "/concerts/night-1", **{"quantity-tier-1": "1"})
    assert page.status == 403


async def test_logging_out_ends_the_session_everywhere(buyer: Browser, shop: Shop) -> None:
    buyer.client.set_cookie("localhost", "tf_refresh", "refresh-1")
    page = await buyer.submit(await buyer.get("/"), "/logout")
    assert (page.status, page.location) == (303, "/")
    assert shop.identity.calls == ["logout"]
    assert not buyer.cookie("tf_access")
    assert not buyer.cookie("tf_refresh")


@pytest.mark.parametrize("failure", [Unavailable("away"), RuntimeError("broken")])
async def test_logging_out_here_does_not_wait_for_identity(buyer: Browser, shop: Shop, failure: Exception) -> None:
    buyer.client.set_cookie("localhost", "tf_refresh", "refresh-1")
    home = await buyer.get("/")
    shop.identity.failure = failure
    page = await buyer.submit(home, "/logout")
    assert (page.status, page.location) == (303, "/")
    assert not buyer.cookie("tf_access")
    assert not buyer.cookie("tf_refresh")


async def test_logging_out_works_when_the_session_cannot_be_renewed_either(buyer: Browser, shop: Shop) -> None:
    home = await buyer.get("/")
    shop.identity.failure = Unavailable("away")
    buyer.log_in("")
    buyer.client.set_cookie("localhost", "tf_refresh", "refresh-1")
    page = await buyer.post("/logout", home.form("/logout").fields, **{"Sec-Fetch-Site": "same-origin"})
    assert (page.status, page.location) == (303, "/")
    assert not buyer.cookie("tf_refresh")


async def test_an_address_alone_logs_nobody_out(buyer: Browser, shop: Shop) -> None:
    page = await buyer.get("/logout")
    assert page.status == 200
    assert "Log out?" in page.text
    assert shop.identity.calls == []


async def test_without_identity_nobody_is_sent_to_log_in(browser: Browser, shop: Shop) -> None:
    """Whoever has a session must not be told to log in only because nobody can tell."""
    shop.identity.failure = Unavailable("away")
    browser.client.set_cookie("localhost", "tf_refresh", "refresh-1")
    assert (await browser.get("/orders")).status == 503
    assert (await browser.get("/")).status == 200
    assert browser.cookie("tf_refresh") == "refresh-1"
