"""Buttons: what they do, and that only our own pages can press them."""

from __future__ import annotations

import pytest

from services.dashboard.pages import live, routes
from services.dashboard.pages.guard import FIELD
from tests.dashboard import samples
from tests.dashboard.desk import HEADERS, Desk
from tests.dashboard.fakes import FakeControl
from tests.defaults.test_addresses import OPEN_REDIRECTS


async def test_a_button_acts_and_leads_back() -> None:
    desk = Desk()
    assert desk.control
    answer = await desk.press("/resources/ordering/restart")
    assert desk.control.done == [("ordering", "restart")]
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?did=restart&part=ordering")
    assert "ordering is restarting." in await desk.page(answer.headers["Location"])
    answer = await desk.press("/resources/ordering/stop", {"from": "one"})
    assert answer.headers["Location"].startswith("/resources/ordering?")


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("running", {"restart", "stop", "freeze"}),
        ("frozen", {"thaw", "stop"}),
        ("stopped", {"start"}),
        ("starting", {"stop", "restart"}),
        ("failed", {"start", "stop"}),
    ],
)
async def test_a_part_has_the_buttons_that_make_sense(state: str, verbs: set[str]) -> None:
    html = await Desk(control=FakeControl(found=[samples.part(state=state)])).page("/")
    every = {"start", "stop", "restart", "freeze", "thaw"}
    assert {verb for verb in every if f'action="/resources/ordering/{verb}"' in html} == verbs


async def test_a_server_is_asked_about_first() -> None:
    server = samples.part(name="postgres", kind="server", service="postgres")
    html = await Desk(control=FakeControl(found=[server, samples.part()])).page("/")
    assert 'action="/resources/postgres/stop" data-ask="Stop postgres?' in html
    assert 'action="/resources/ordering/stop">' in html


async def test_the_dashboard_warns_before_it_ends_itself() -> None:
    own = samples.part(name="dashboard", service="dashboard")
    html = await Desk(control=FakeControl(found=[own])).page("/")
    assert 'data-ask="Freeze dashboard? It is what you are looking at' in html


async def test_a_server_of_somebody_else_has_no_buttons() -> None:
    html = await Desk(control=FakeControl(found=[samples.part(managed=False)])).page("/")
    assert "/resources/ordering/stop" not in html


async def test_there_is_no_other_button() -> None:
    desk = Desk()
    assert desk.control
    assert (await desk.press("/resources/ordering/explode")).status_code == 404
    assert (await Desk(control=None).press("/resources/ordering/stop")).status_code == 404
    assert (await desk.get("/resources/ordering/stop")).status_code == 405
    assert desk.control.done == []


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {FIELD: ""}),
        ({}, {FIELD: "made up"}),
        ({}, {FIELD: "ä" * 40}),
        ({"Origin": "https://evil.example"}, {}),
        ({"Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Sec-Fetch-Site": "same-site"}, {}),
        ({"Host": "evil.example:18888"}, {}),
    ],
)
async def test_a_form_of_another_site_is_refused(headers: dict[str, str], fields: dict[str, str]) -> None:
    desk = Desk()
    assert desk.control
    answer = await desk.press("/resources/postgres/stop", fields, headers)
    assert answer.status_code == 403
    assert desk.control.done == []


async def test_our_own_page_is_not_refused() -> None:
    """The control of the test above: the same request, from here."""
    desk = Desk()
    headers = {"Origin": "http://localhost:18888", "Sec-Fetch-Site": "same-origin"}
    assert (await desk.press("/resources/ordering/stop", headers=headers)).status_code == 303


async def test_buttons_are_pressed_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "SUBMITS_A_MINUTE", 1)
    desk = Desk()
    assert (await desk.press("/messages/replay")).status_code == 303
    answer = await desk.press("/messages/replay")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "<h1>One moment, please</h1>" in await answer.get_data(as_text=True)


@pytest.mark.parametrize("path", ["/resources/ordering/stop", "/messages/replay"])
async def test_the_address_of_a_button_says_what_it_is(path: str) -> None:
    answer = await Desk().get(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    html = await answer.get_data(as_text=True)
    assert "<h1>This address only takes forms</h1>" in html
    assert 'aria-label="Main"' in html


async def test_a_refusal_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 0)
    answer = await Desk().get("/live/logs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")


async def test_a_form_without_the_token_is_refused_as_a_page() -> None:
    answer = await Desk(token="a token of more than thirty-two bytes").client.post("/messages/replay", headers=HEADERS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "<h1>The token is needed here</h1>" in await answer.get_data(as_text=True)


async def test_dead_letters_are_replayed_one_by_one_and_all() -> None:
    desk = Desk()
    assert desk.queues
    html = await desk.page("/messages")
    assert "MalformedEvent: not a CloudEvents 1.0 event" in html
    assert "&#34;id&#34;: &#34;e-1&#34;" in html, "the payload is shown"
    answer = await desk.press("/messages/replay", {"message_id": "m-1"})
    assert answer.headers["Location"] == "/messages?replayed=1"
    assert [letter.message_id for letter in desk.queues.letters] == ["m-2"]
    await desk.press("/messages/replay")
    assert desk.queues.letters == []
    assert "No dead letters." in await desk.page("/messages")


async def test_the_token_lets_in_and_leads_on() -> None:
    desk = Desk(token="a token of more than thirty-two bytes")
    asked = await desk.get("/logs?text=x")
    assert asked.status_code == 303
    assert "%2Flogs%3Ftext%3Dx" in asked.headers["Location"]
    wrong = await desk.press("/token", {"token": "not that one", "next": "/logs?text=x"})
    assert wrong.status_code == 401
    assert "Set-Cookie" not in wrong.headers
    right = await desk.press("/token", {"token": "a token of more than thirty-two bytes", "next": "/logs?text=x"})
    assert (right.status_code, right.headers["Location"]) == (303, "/logs?text=x")
    assert (await desk.get("/logs?text=x")).status_code == 200, "the browser keeps the cookie"


@pytest.mark.parametrize("target", [*OPEN_REDIRECTS, "/logs\nX: y"])
async def test_the_way_on_stays_here(target: str) -> None:
    desk = Desk(token="a token of more than thirty-two bytes")
    answer = await desk.press("/token", {"token": "a token of more than thirty-two bytes", "next": target})
    assert answer.headers["Location"] == "/"
