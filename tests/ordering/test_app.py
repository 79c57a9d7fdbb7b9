"""Ordering's REST interface: who may, what is refused, and what the answers look like."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from services.defaults.auth import ORDERS_SCOPE, PROFILE_SCOPE, TokenIssuer
from services.ordering.wire import OrderBody, OrderPageBody
from tests.ordering.support import (
    BUYER,
    CONCERT_ID,
    DECLINED,
    GOOD,
    SEATED,
    STANDING,
    STRANGER,
    WEBHOOK_KEY,
    FakeCatalog,
)

PLACE = {"concertId": CONCERT_ID, "lines": [{"tierId": SEATED, "quantity": 1}, {"tierId": STANDING, "quantity": 2}]}
CARD = {"number": GOOD, "expiry": "12/40", "cvc": "123"}

NO_ORDER = "6f2c1d3e-0000-4000-8000-00000000dead"  # the same each time: it names tests


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


@pytest.fixture
def bearer(issuer: TokenIssuer) -> dict[str, str]:
    token = issuer.issue(BUYER.id, scopes=[ORDERS_SCOPE], claims={"email": BUYER.email, "name": BUYER.name})
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def stranger(issuer: TokenIssuer) -> dict[str, str]:
    token = issuer.issue(STRANGER.id, scopes=[ORDERS_SCOPE], claims={"email": STRANGER.email, "name": STRANGER.name})
    return {"Authorization": f"Bearer {token}"}


def keyed(bearer: dict[str, str], key: str = "") -> dict[str, str]:
    return bearer | {"Idempotency-Key": key or uuid4().hex}


async def post(client: Client, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    answer = await client.post(path, json=body, headers=headers)
    return answer.status_code, await answer.get_json()


async def placed(client: Client, bearer: dict[str, str]) -> dict[str, Any]:
    status, order = await post(client, "/orders", keyed(bearer), PLACE)
    assert status == 201
    return dict(order)


async def test_from_the_choice_to_the_tickets_and_back(client: Client, bearer: dict[str, str]) -> None:
    order = await placed(client, bearer)
    OrderBody.model_validate(order)
    path = f"/orders/{order['id']}"
    status, paid = await post(client, f"{path}/payment", keyed(bearer), {"card": CARD})
    assert (status, paid["status"]) == (200, "CONFIRMED")
    OrderBody.model_validate(paid)
    read = await client.get(path, headers=bearer)
    assert await read.get_json() == paid
    status, cancelled = await post(client, f"{path}/cancel", bearer)
    assert (status, cancelled["status"], cancelled["cancelReason"]) == (200, "CANCELLED", "BUYER")
    OrderBody.model_validate(cancelled)
    assert [entry["event"] for entry in cancelled["timeline"]] == [
        "placed",
        "payment_started",
        "confirmed",
        "cancelled",
        "refund_due",
        "tickets_released",
        "refunded",
    ]


async def test_a_replay_is_200_with_the_same_body(client: Client, bearer: dict[str, str]) -> None:
    headers = keyed(bearer)
    first, second = await post(client, "/orders", headers, PLACE), await post(client, "/orders", headers, PLACE)
    assert (first[0], second[0]) == (201, 200)
    assert first[1] == second[1]
    status, problem = await post(client, "/orders", headers, PLACE | {"lines": PLACE["lines"][:1]})
    assert (status, problem["code"]) == (422, "INVALID")


async def test_snake_case_is_understood(client: Client, bearer: dict[str, str]) -> None:
    body = {"concert_id": CONCERT_ID, "lines": [{"tier_id": SEATED.upper(), "quantity": 1}]}
    assert (await post(client, "/orders", keyed(bearer), body))[0] == 201


async def test_a_declined_card_is_402(client: Client, bearer: dict[str, str]) -> None:
    order = await placed(client, bearer)
    headers = keyed(bearer)
    for _ in range(2):
        status, problem = await post(
            client, f"/orders/{order['id']}/payment", headers, {"card": CARD | {"number": DECLINED}}
        )
        assert (status, problem["code"]) == (402, "PAYMENT_DECLINED")


async def test_sold_out_is_a_conflict_with_its_own_code(
    client: Client, bearer: dict[str, str], catalog: FakeCatalog
) -> None:
    catalog.stock[SEATED] = 0
    status, problem = await post(client, "/orders", keyed(bearer), PLACE)
    assert (status, problem["code"]) == (409, "SOLD_OUT")


async def test_pages(client: Client, bearer: dict[str, str], stranger: dict[str, str]) -> None:
    ids = [(await placed(client, bearer))["id"] for _ in range(3)]
    await placed(client, stranger)
    first = await (await client.get("/orders?first=2", headers=bearer)).get_json()
    OrderPageBody.model_validate(first)
    assert first["pageInfo"]["hasNextPage"]
    after = {"first": "2", "after": first["pageInfo"]["endCursor"]}
    second = await (await client.get("/orders", query_string=after, headers=bearer)).get_json()
    assert [node["id"] for node in first["nodes"] + second["nodes"]] == ids[::-1]
    assert not second["pageInfo"]["hasNextPage"]


async def test_a_strangers_order_is_404_everywhere(
    client: Client, bearer: dict[str, str], stranger: dict[str, str]
) -> None:
    path = f"/orders/{(await placed(client, bearer))['id']}"
    assert (await client.get(path, headers=stranger)).status_code == 404
    assert (await post(client, f"{path}/payment", keyed(stranger), {"card": CARD}))[0] == 404
    assert (await post(client, f"{path}/cancel", stranger))[0] == 404
    assert (await (await client.get(path, headers=bearer)).get_json())["status"] == "PENDING"


ROUTES = [
    ("GET", "/orders"),
    ("POST", "/orders"),
    ("GET", f"/orders/{NO_ORDER}"),
    ("POST", f"/orders/{NO_ORDER}/payment"),
    ("POST", f"/orders/{NO_ORDER}/cancel"),
]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic Zm9vOmJhcg=="}])
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nobody_gets_in_without_a_token(client: Client, method: str, path: str, headers: dict[str, str]) -> None:
    answer = await client.open(path, method=method, json={}, headers=headers)
    assert answer.status_code == 401
    assert (await answer.get_json())["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_token_for_other_things_does_not_buy(
    client: Client, issuer: TokenIssuer, method: str, path: str
) -> None:
    token = issuer.issue(BUYER.id, scopes=[PROFILE_SCOPE], claims={"email": BUYER.email, "name": BUYER.name})
    answer = await client.open(path, method=method, json={}, headers=keyed({"Authorization": f"Bearer {token}"}))
    assert (answer.status_code, (await answer.get_json())["code"]) == (403, "FORBIDDEN")
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


@pytest.mark.parametrize("claims", [{}, {"email": ""}, {"email": "a@b.c" * 100}])
async def test_a_token_must_say_where_mails_go(client: Client, issuer: TokenIssuer, claims: dict[str, str]) -> None:
    headers = keyed({"Authorization": f"Bearer {issuer.issue(BUYER.id, scopes=[ORDERS_SCOPE], claims=claims)}"})
    assert (await post(client, "/orders", headers, PLACE))[0] == 401


def order_of(**changes: Any) -> dict[str, Any]:
    return PLACE | changes


def line(**changes: Any) -> dict[str, Any]:
    return order_of(lines=[{"tierId": SEATED, "quantity": 1} | changes])


BAD_ORDERS: list[Any] = [
    None,
    [],
    "x",
    {},
    order_of(concertId=None),
    order_of(concertId="1"),
    order_of(concertId="a" * 10_000),
    order_of(concertId="\x00"),
    order_of(concertId=5),
    order_of(lines=[]),
    order_of(lines=None),
    order_of(lines={}),
    order_of(lines=[None]),
    order_of(lines=[{"tierId": SEATED, "quantity": 1}] * 11),
    order_of(lines=[{"tierId": SEATED, "quantity": 6}, {"tierId": STANDING, "quantity": 5}]),
    order_of(price=1),
    line(quantity=0),
    line(quantity=-1),
    line(quantity=11),
    line(quantity=10**400),
    line(quantity=1.5),
    line(quantity="1"),
    line(quantity=True),
    line(quantity=None),
    line(tierId="' OR 1=1 --"),
    line(unitPrice=1),
]


@pytest.mark.parametrize("body", BAD_ORDERS)
async def test_a_bad_order_is_refused(client: Client, bearer: dict[str, str], catalog: FakeCatalog, body: Any) -> None:
    status, problem = await post(client, "/orders", keyed(bearer), body)
    assert (status, problem["code"]) == (422, "INVALID")
    assert problem["detail"]
    assert catalog.calls == []


@pytest.mark.parametrize("key", [None, "", " ", "x" * 201, "ключ", "a b"])
async def test_a_write_needs_a_key(client: Client, bearer: dict[str, str], key: str | None) -> None:
    order = await placed(client, bearer)
    headers = bearer if key is None else bearer | {"Idempotency-Key": key}
    for path, body in (("/orders", PLACE), (f"/orders/{order['id']}/payment", {"card": CARD})):
        status, problem = await post(client, path, headers, body)
        assert (status, problem["code"]) == (422, "INVALID")
        assert "Idempotency-Key" in problem["fields"]


@pytest.mark.parametrize(
    ("card", "field"),
    [
        (CARD | {"number": "4242424242424241"}, "card.number"),
        (CARD | {"number": "x" * 1000}, "card.number"),
        (CARD | {"number": 4242424242424242}, "card.number"),
        (CARD | {"expiry": "01/20"}, "card.expiry"),
        (CARD | {"cvc": "1"}, "card.cvc"),
        ({"number": GOOD}, "card.cvc"),
        (None, "card"),
        ("4242", "card"),
    ],
)
async def test_a_bad_card_is_refused_beside_its_field(
    client: Client, bearer: dict[str, str], card: Any, field: str
) -> None:
    order = await placed(client, bearer)
    status, problem = await post(client, f"/orders/{order['id']}/payment", keyed(bearer), {"card": card})
    assert (status, problem["code"]) == (422, "INVALID")
    assert field in problem["fields"]
    assert "42424242" not in json.dumps(problem)


def cursor(text: str) -> str:
    return "after=" + base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "query",
    [
        cursor(f"0001-01-01T00:00:00+14:00 {NO_ORDER}"),
        cursor(f"2030-01-01T00:00:00 {NO_ORDER}"),
        cursor("2030-01-01T00:00:00+00:00 1"),
        "first=0",
        "first=101",
        "first=x",
        "first=" + "9" * 400,
        "after=%00",
        "after=bm90aGluZw==",
        "page=2",
    ],
)
async def test_a_bad_page_is_refused(client: Client, bearer: dict[str, str], query: str) -> None:
    answer = await client.get(f"/orders?{query}", headers=bearer)
    assert (answer.status_code, (await answer.get_json())["code"]) == (422, "INVALID")


@pytest.mark.parametrize("path", ["/orders/1", "/orders/%00", f"/orders/{NO_ORDER}"])
async def test_what_is_no_order_is_404(client: Client, bearer: dict[str, str], path: str) -> None:
    assert (await client.get(path, headers=bearer)).status_code == 404


async def test_a_body_that_is_no_json_is_refused(client: Client, bearer: dict[str, str]) -> None:
    headers = keyed(bearer) | {"Content-Type": "application/json"}
    answer = await client.post("/orders", data=b"{", headers=headers)
    assert 400 <= answer.status_code < 500


def notice(**changes: Any) -> bytes:
    event = {"id": uuid4().hex, "type": "charge.updated", "paymentId": str(uuid4()), "status": "succeeded"}
    return json.dumps(event | changes).encode()


def signed(body: bytes, *, key: str = WEBHOOK_KEY, at_s: int | None = None) -> dict[str, str]:
    at = str(int(time.time()) if at_s is None else at_s)
    digest = hmac.new(key.encode(), b"webhook." + at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"Payments-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


async def hear(client: Client, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    answer = await client.post("/webhooks/payments", data=body, headers=headers)
    return answer.status_code, await answer.get_json()


async def test_a_notification_is_handled_once(client: Client) -> None:
    body = notice()
    assert await hear(client, body, signed(body)) == (200, {"handled": True})
    assert await hear(client, body, signed(body)) == (200, {"handled": False})


async def test_a_notification_needs_its_signature(client: Client) -> None:
    body = notice()
    wrong = [
        {},
        {"Payments-Signature": "t=1,v1=00"},
        signed(body, key="another key altogether, 32 bytes"),
        signed(body, at_s=int(time.time()) - 301),
        signed(notice()),
    ]
    assert [(await hear(client, body, headers))[0] for headers in wrong] == [401] * len(wrong)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", notice(id="../x"), notice(paymentId=1), notice(more=1)])
async def test_a_bad_notification_is_refused(client: Client, body: bytes) -> None:
    assert (await hear(client, body, signed(body)))[0] == 422


def test_every_route_says_who_may_call_it_and_how_often(app: Quart) -> None:
    own = {"reading", "writing", "webhooks"}
    routes = [rule for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] in own]
    marks = {rule.rule: vars(app.view_functions[rule.endpoint]) for rule in routes}
    assert len(routes) == 6
    assert all(mark["_quart_rate_limiter_limits"] for mark in marks.values())
    assert {path: mark["__authorization__"] for path, mark in marks.items()} == {
        path: "signature" if path.startswith("/webhooks") else "bearer" for path in marks
    }


async def test_the_interface_is_documented(client: Client) -> None:
    document = await (await client.get("/openapi.json")).get_json()
    place = document["paths"]["/orders"]["post"]
    assert {"200", "201", "401", "409", "422"} <= set(place["responses"])
    assert {"name": "idempotency-key", "in": "header", "required": True}.items() <= {
        name: value for name, value in place["parameters"][0].items() if name != "schema"
    }.items()
