"""The provider's REST interface."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from tests.payments.support import API_KEY, Clock

BEARER = {"Authorization": f"Bearer {API_KEY}"}

NO_CHARGE = "6f2c1d3e-0000-4000-8000-00000000dead"  # the same each time: it names tests


def body(number: str = "4242424242424242", **changes: Any) -> dict[str, Any]:
    return {
        "paymentId": str(uuid4()),
        "amountMinor": 5000,
        "currency": "EUR",
        "card": {"number": number, "expiry": "12/30", "cvc": "123"},
        "reference": "K7QF-2M9X",
    } | changes


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


async def charge(client: Client, sent: Any) -> tuple[int, Any]:
    answer = await client.post("/charges", json=sent, headers=BEARER)
    return answer.status_code, await answer.get_json()


async def test_charge_look_up_refund(client: Client) -> None:
    sent = body()
    status, made = await charge(client, sent)
    assert (status, made["status"], made["declineCode"]) == (200, "succeeded", None)
    path = f"/charges/{sent['paymentId']}"
    found = await client.get(path, headers=BEARER)
    assert await found.get_json() == made
    for _ in range(2):
        back = await client.post(f"{path}/refund", headers=BEARER)
        assert (await back.get_json())["status"] == "refunded"
    assert (await charge(client, sent))[1]["status"] == "refunded"


async def test_a_charge_that_is_called_off_first_never_happens(client: Client) -> None:
    sent = body()
    path = f"/charges/{sent['paymentId']}"
    for _ in range(2):
        called_off = await client.post(f"{path}/void", headers=BEARER)
        assert (called_off.status_code, (await called_off.get_json())["status"]) == (200, "voided")
    status, made = await charge(client, sent)
    assert (status, made["status"], made["declineCode"]) == (200, "voided", None)


@pytest.mark.parametrize(
    ("number", "after"),
    [("4242424242424242", "succeeded"), ("4000000000000002", "declined"), ("4000000000000341", "voided")],
)
async def test_calling_off_gives_nothing_back(client: Client, clock: Clock, number: str, after: str) -> None:
    sent = body(number)
    await charge(client, sent)
    called_off = await client.post(f"/charges/{sent['paymentId']}/void", headers=BEARER)
    assert (await called_off.get_json())["status"] == after
    clock.advance(60)
    assert (await charge(client, sent))[1]["status"] == after


async def test_a_declined_card_says_why(client: Client) -> None:
    status, made = await charge(client, body("4000000000009995"))
    assert (status, made["status"], made["declineCode"]) == (200, "declined", "insufficient_funds")


async def test_a_late_charge_is_pending_then_succeeds(client: Client, clock: Clock) -> None:
    sent = body("4000000000000341")
    assert (await charge(client, sent))[1]["status"] == "pending"
    clock.advance(8)
    assert (await charge(client, sent))[1]["status"] == "succeeded"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic Zm9v"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/charges"),
        ("GET", f"/charges/{NO_CHARGE}"),
        ("POST", f"/charges/{NO_CHARGE}/void"),
        ("POST", f"/charges/{NO_CHARGE}/refund"),
    ],
)
async def test_a_stranger_gets_nowhere(client: Client, method: str, path: str, headers: dict[str, str]) -> None:
    answer = await client.open(path, method=method, json=body(), headers=headers)
    assert answer.status_code == 401


async def test_an_unknown_charge_is_404(client: Client) -> None:
    assert (await client.get(f"/charges/{uuid4()}", headers=BEARER)).status_code == 404


@pytest.mark.parametrize(
    "sent",
    [
        body(paymentId="1"),
        body(amountMinor=-1),
        body(amountMinor=10**30),
        body(amountMinor="5"),
        body(amountMinor=True),
        body(currency="euro"),
        body(reference="a\x00b"),
        body(reference="x" * 101),
        body(card={"number": 4242424242424242, "expiry": "12/30", "cvc": "123"}),
        body(card="4242424242424242"),
        body(card=None),
        body(surprise=1),
        [],
        None,
        {},
    ],
)
async def test_a_bad_body_is_refused(client: Client, sent: Any) -> None:
    status, problem = await charge(client, sent)
    assert status == 422
    assert problem["code"] == "INVALID"


def test_every_route_says_who_may_call_it_and_how_often(app: Quart) -> None:
    routes = [rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith("charges.")]
    marks = [vars(app.view_functions[endpoint]) for endpoint in routes]
    assert len(routes) == 4
    assert {mark["__authorization__"] for mark in marks} == {"api key"}
    assert all(mark["_quart_rate_limiter_limits"] for mark in marks)
