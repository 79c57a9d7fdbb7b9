from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from quart import Response

from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.errors import AppError, Invalid, RateLimited, Unauthorized, Unavailable
from services.gateway.neighbours import Neighbours
from services.gateway.shared_redis import open_shared_redis
from services.gateway.web.session import Jar, Sessions
from services.gateway.web.views import Session, User

SECRET = "a-secret-of-the-tests-with-enough-bytes"
USER = User(id="u1", email="ada@ticketflow.test", name="Ada")


def issue(*, lives_s: float = 900) -> str:
    issuer = TokenIssuer(secret=SECRET, issuer="i", audience="a", lifetime_s=900)
    return issuer.issue("u1", now_s=time.time() - 900 + lives_s)


class Identity:
    """Exchanges a refresh token once, as the real one does; `failure` is what it raises instead."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls = 0
        self.failure = failure

    async def refresh(self, token: str, address: str) -> Session:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.failure:
            raise self.failure
        if self.calls > 1:
            raise Unauthorized("It was used before.")
        return Session(access_token=issue(), refresh_token="new", expires_in=900, user=USER)


def make_sessions(identity: Identity, neighbours: Neighbours | None = None) -> Sessions:
    return Sessions(
        TokenVerifier(secret=SECRET, issuer="i", audience="a"), identity.refresh, neighbours or Neighbours()
    )


async def test_a_good_access_token_costs_no_call() -> None:
    identity = Identity()
    recalled = await make_sessions(identity).recall(issue(), "old", "::1")
    assert recalled.principal
    assert recalled.principal.subject == "u1"
    assert recalled.fresh is None
    assert identity.calls == 0


@pytest.mark.parametrize(
    "access", [lambda: "", lambda: "rubbish", lambda: issue(lives_s=-3600), lambda: issue(lives_s=20)]
)
async def test_without_a_lasting_access_token_the_session_is_renewed(access: Callable[[], str]) -> None:
    recalled = await make_sessions(Identity()).recall(access(), "old", "::1")
    assert recalled.fresh
    assert recalled.token == recalled.fresh.access_token
    assert recalled.principal


async def test_any_number_of_tabs_renew_once_and_all_stay() -> None:
    identity = Identity()
    sessions = make_sessions(identity)
    tabs = await asyncio.gather(*(sessions.recall("", "old", "::1") for _ in range(20)))
    late = await sessions.recall("", "old", "::1")
    assert {tab.fresh.refresh_token for tab in (*tabs, late) if tab.fresh} == {"new"}
    assert all(tab.principal for tab in (*tabs, late))
    assert identity.calls == 1


async def test_a_refusal_costs_nobody_a_token_that_still_lives() -> None:
    """Another instance has exchanged the refresh token: its answer is on the way to the browser."""
    recalled = await make_sessions(Identity(Unauthorized("spent"))).recall(issue(lives_s=20), "old", "::1")
    assert recalled.principal
    assert recalled.fresh is None


@pytest.mark.parametrize("refusal", [Unauthorized("revoked"), Invalid("no such thing")])
async def test_a_dead_cookie_is_asked_about_once(refusal: AppError) -> None:
    identity = Identity(refusal)
    sessions = make_sessions(identity)
    for _ in range(3):
        recalled = await sessions.recall("", "old", "::1")
        assert recalled.principal is None
        assert recalled.doubt is None
    assert identity.calls == 1


@pytest.mark.parametrize("absence", [Unavailable("away"), RateLimited("not now")])
async def test_an_absent_identity_leaves_doubt_not_a_stranger(absence: AppError) -> None:
    recalled = await make_sessions(Identity(absence)).recall("", "old", "::1")
    assert recalled.principal is None
    assert recalled.doubt is absence


async def test_a_late_tab_does_not_bring_back_what_was_logged_out() -> None:
    sessions = make_sessions(Identity())
    await sessions.recall("", "old", "::1")
    await sessions.forget("new")
    assert (await sessions.recall("", "old", "::1")).principal is None


async def test_tabs_at_two_gateways_renew_once_and_stay(redis_url: str) -> None:
    identity = Identity()
    async with open_shared_redis(redis_url) as one, open_shared_redis(redis_url) as other:
        gateways = [make_sessions(identity, Neighbours(redis, SECRET)) for redis in (one, other)]
        tabs = await asyncio.gather(*(gateways[number % 2].recall("", "old", "::1") for number in range(20)))
        assert all(tab.principal for tab in tabs)
        assert {tab.fresh.refresh_token for tab in tabs if tab.fresh} == {"new"}
        assert identity.calls == 1
        await gateways[0].forget("new")
        assert (await gateways[1].recall("", "old", "::1")).principal is None


@pytest.mark.parametrize(("production", "name"), [(True, "__Host-tf_access"), (False, "tf_access")])
def test_no_script_sees_a_cookie_and_no_other_site_sends_it(production: bool, name: str) -> None:
    response = Response()
    Jar(production).keep_session(response, Session(access_token="a", refresh_token="r", expires_in=900, user=USER))
    access, refresh = response.headers.getlist("Set-Cookie")
    assert access.startswith(f"{name}=a;")
    for cookie in (access, refresh):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        assert ("Secure" in cookie) is production
