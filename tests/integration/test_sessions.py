"""Register, log in, refresh, re-use, log out: through GraphQL and through identity's REST."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from services.apphost.system import System
from tests.integration.shop import SESSION, Shop

pytestmark = pytest.mark.integration

REFRESH = f"mutation($t: String!) {{ refreshToken(refreshToken: $t) {{ {SESSION} }} }}"
LOGIN = f"mutation($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}"
LOGOUT = "mutation($t: String!) { logout(refreshToken: $t) }"


async def rest(shop: Shop, method: str, url: str, **options: Any) -> tuple[int, Any]:
    async with shop.http.request(method, url, **options) as response:
        return response.status, await response.json(content_type=None)


async def test_an_account_from_registration_to_logout(shop: Shop) -> None:
    session = await shop.register()
    assert (await shop.data("{ me { email name } }"))["me"] == {"email": session["email"], "name": "Test Buyer"}

    credentials = {"email": session["email"].upper(), "password": session["password"]}
    again = (await shop.data(LOGIN, input=credentials))["login"]
    assert again["user"] == session["user"]
    assert again["expiresIn"] == 900

    renewed = (await shop.data(REFRESH, t=again["refreshToken"]))["refreshToken"]
    assert renewed["refreshToken"] != again["refreshToken"]

    assert (await shop.data(LOGOUT, t=renewed["refreshToken"]))["logout"] is True
    assert await shop.error_code(REFRESH, t=renewed["refreshToken"]) == "UNAUTHENTICATED"


async def test_of_twenty_refreshes_at_once_one_wins_and_nobody_is_logged_out(shop: Shop) -> None:
    session = await shop.register()
    answers = await asyncio.gather(*(shop.graphql(REFRESH, t=session["refreshToken"]) for _ in range(20)))
    won = [answer["data"]["refreshToken"] for answer in answers if not answer.get("errors")]
    assert len(won) == 1
    assert await shop.data(REFRESH, t=won[0]["refreshToken"])


async def let_leeway_pass(database_url: str) -> None:
    """Inside the leeway, a token that turns up again would be taken for a second tab's."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE refresh_tokens SET spent_at = spent_at - interval '1 hour'")
    finally:
        await connection.close()


async def test_a_replayed_refresh_token_ends_its_family(shop: Shop, system: System) -> None:
    session = await shop.register()
    stolen = session["refreshToken"]
    mine = (await shop.data(REFRESH, t=stolen))["refreshToken"]["refreshToken"]
    await let_leeway_pass(system.urls["identity_database"])
    assert await shop.error_code(REFRESH, t=stolen) == "UNAUTHENTICATED"
    assert await shop.error_code(REFRESH, t=mine) == "UNAUTHENTICATED"


async def test_identity_speaks_rest(shop: Shop, system: System) -> None:
    identity = system.urls["identity"]
    session = await shop.register()
    credentials = {"email": session["email"], "password": session["password"]}
    status, logged_in = await rest(shop, "POST", f"{identity}/login", json=credentials)
    assert status == 200
    headers = {"Authorization": f"Bearer {logged_in['accessToken']}"}
    assert (await rest(shop, "GET", f"{identity}/me", headers=headers))[0] == 200
    token = {"refreshToken": logged_in["refreshToken"]}
    assert (await rest(shop, "POST", f"{identity}/refresh", json=token))[0] == 200
    assert (await rest(shop, "POST", f"{identity}/logout", json=token))[0] == 204


@pytest.mark.parametrize("query", ["{ me { id } }", "{ myOrders { nodes { id } } }", '{ order(id: "x") { id } }'])
async def test_a_stranger_is_told_to_log_in(shop: Shop, query: str) -> None:
    assert await shop.error_code(query) == "UNAUTHENTICATED"


async def test_a_wrong_password_and_an_unknown_account_get_the_same_answer(shop: Shop) -> None:
    session = await shop.register()
    wrong = await shop.graphql(LOGIN, input={"email": session["email"], "password": "not the password"})
    unknown = await shop.graphql(LOGIN, input={"email": "nobody@ticketflow.test", "password": "not the password"})
    assert wrong["errors"][0]["message"] == unknown["errors"][0]["message"]
    assert wrong["errors"][0]["extensions"]["code"] == unknown["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_demo_buyer_can_log_in(shop: Shop) -> None:
    demo = {"email": "demo@ticketflow.test", "password": "correct horse battery"}
    assert (await shop.data(LOGIN, input=demo))["login"]["user"]["email"] == demo["email"]
