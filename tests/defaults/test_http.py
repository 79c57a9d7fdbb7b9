from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart_rate_limiter import rate_limit
from quart_schema import validate_request

from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.deadline import DEADLINE_HEADER, remaining_s
from services.defaults.errors import Conflict, Forbidden, Unavailable
from services.defaults.health import Health
from services.defaults.http import (
    Model,
    authenticated,
    client_address,
    create_http_app,
    principal,
    public,
    run_to_completion,
)

SECRET = "k" * 32


class Line(Model):
    tier_id: str
    quantity: int


def create_app(**options: Any) -> Quart:
    verifier = TokenVerifier(secret=SECRET, issuer="i", audience="a")
    app = create_http_app("sample", Health("sample", "1", {}), verifier=verifier, **options)

    @app.post("/lines")
    @public
    @validate_request(Line)
    async def lines(data: Line) -> dict[str, Any]:
        return {"tierId": data.tier_id}

    @app.get("/me")
    @authenticated("me")
    async def me() -> dict[str, str]:
        return {"subject": principal().subject}

    @app.get("/conflict")
    async def conflict() -> dict[str, str]:
        raise Conflict("Sold out.", code="SOLD_OUT")

    @app.get("/closed")
    async def closed() -> dict[str, str]:
        raise Forbidden("Not here.", status=400)

    @app.get("/away")
    async def away() -> dict[str, str]:
        raise Unavailable("Back soon.", retry_after_s=1.2)

    @app.get("/bug")
    async def bug() -> dict[str, str]:
        raise RuntimeError("the password is hunter2")

    @app.get("/limited")
    @rate_limit(1, timedelta(minutes=1))
    async def limited() -> dict[str, str]:
        return {"address": client_address()}

    @app.get("/left")
    async def left() -> dict[str, float]:
        return {"s": remaining_s(30.0)}

    return app


@pytest.fixture
def client() -> Any:
    return create_app().test_client()


async def problem(response: Any) -> dict[str, Any]:
    assert response.mimetype == "application/problem+json"
    body: dict[str, Any] = await response.get_json()
    return body


async def test_answers_health_and_liveness(client: Any) -> None:
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/alive")).status_code == 200


async def test_health_fails_while_liveness_does_not() -> None:
    async def broken() -> None:
        raise OSError

    client = create_http_app("sample", Health("sample", "1", {"postgres": broken})).test_client()
    assert (await client.get("/health")).status_code == 503
    assert (await client.get("/alive")).status_code == 200


@pytest.mark.parametrize("body", [{"tierId": "t", "quantity": 1}, {"tier_id": "t", "quantity": 1}])
async def test_bodies_may_be_spelled_both_ways(client: Any, body: dict[str, Any]) -> None:
    response = await client.post("/lines", json=body)
    assert await response.get_json() == {"tierId": "t"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"quantity": 1}, "tierId"),
        ({"tierId": "t", "quantity": "many"}, "quantity"),
        ({"tierId": "t", "quantity": 1, "price": 0}, "price"),
    ],
)
async def test_an_invalid_body_is_told_by_field(client: Any, body: dict[str, Any], field: str) -> None:
    response = await client.post("/lines", json=body)
    answer = await problem(response)
    assert (response.status_code, answer["code"]) == (422, "INVALID")
    assert field in answer["fields"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1", b"nul", b"[" * 60_000])
async def test_a_body_that_is_no_json_is_a_client_error(client: Any, body: bytes) -> None:
    response = await client.post("/lines", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert (await problem(response))["code"] == "INVALID"


async def test_a_body_too_large_is_413() -> None:
    client = create_app(max_body_bytes=100).test_client()
    response = await client.post("/lines", json={"tierId": "t" * 200, "quantity": 1})
    assert response.status_code == 413
    await problem(response)


async def test_errors_of_the_tree_keep_their_code(client: Any) -> None:
    response = await client.get("/conflict")
    assert response.status_code == 409
    assert (await problem(response))["code"] == "SOLD_OUT"


async def test_unavailable_says_when_to_come_again(client: Any) -> None:
    assert (await client.get("/away")).headers["Retry-After"] == "2"


async def test_an_unexpected_error_tells_nothing(client: Any) -> None:
    response = await client.get("/bug")
    answer = await problem(response)
    assert (response.status_code, answer["code"]) == (500, "INTERNAL")
    assert "hunter2" not in str(answer)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("PUT", "/me", 405)])
async def test_routing_errors_are_problems(client: Any, method: str, path: str, status: int) -> None:
    response = await client.open(path, method=method)
    assert response.status_code == status
    await problem(response)


async def test_a_route_may_need_a_token(client: Any) -> None:
    token = TokenIssuer(secret=SECRET, issuer="i", audience="a", lifetime_s=60).issue("u", scopes=["me"])
    refused = await client.get("/me")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="ticketflow"'  # RFC 6750, 3.1: no error code
    taken = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert await taken.get_json() == {"subject": "u"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}])
async def test_what_is_forbidden_to_everybody_says_nothing_of_tokens(client: Any, headers: dict[str, str]) -> None:
    refused = await client.get("/closed", headers=headers)
    assert (refused.status_code, (await problem(refused))["code"]) == (400, "FORBIDDEN")
    assert "WWW-Authenticate" not in refused.headers


async def test_a_token_for_other_things_is_told_so(client: Any) -> None:
    token = TokenIssuer(secret=SECRET, issuer="i", audience="a", lifetime_s=60).issue("u", scopes=["other"])
    refused = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert (refused.status_code, (await problem(refused))["code"]) == (403, "FORBIDDEN")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="ticketflow", error="insufficient_scope"'


async def test_a_rate_limit_is_429_with_retry_after(client: Any) -> None:
    assert (await client.get("/limited")).status_code == 200
    response = await client.get("/limited")
    assert (response.status_code, (await problem(response))["code"]) == (429, "RATE_LIMITED")
    assert int(response.headers["Retry-After"]) > 0


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy() -> None:
    spoofed = {"X-Forwarded-For": "9.9.9.9"}
    peer = {"scope_base": {"client": ("127.0.0.1", 1)}}
    direct = await create_app().test_client().get("/limited", headers=spoofed, **peer)
    proxied = (
        await create_app(trusted_proxies=["127.0.0.0/8"])
        .test_client()
        .get("/limited", headers={"X-Forwarded-For": "6.6.6.6, 9.9.9.9"}, **peer)
    )
    assert (await direct.get_json())["address"] == "127.0.0.1"
    assert (await proxied.get_json())["address"] == "9.9.9.9"


@pytest.mark.parametrize(("sent", "expected"), [("1500", 1.5), ("junk", 30.0), ("", 30.0)])
async def test_the_callers_deadline_is_adopted(client: Any, sent: str, expected: float) -> None:
    response = await client.get("/left", headers={DEADLINE_HEADER: sent})
    assert (await response.get_json())["s"] == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize(("proxies", "expected"), [([], 30.0), (["10.0.0.0/8"], 30.0), (["127.0.0.1"], 1.5)])
async def test_a_stranger_sets_no_deadline(proxies: list[str], expected: float) -> None:
    client = create_app(open_to_strangers=True, trusted_proxies=proxies).test_client()
    peer = {"scope_base": {"client": ("127.0.0.1", 1)}}
    response = await client.get("/left", headers={DEADLINE_HEADER: "1500"}, **peer)
    assert (await response.get_json())["s"] == pytest.approx(expected, abs=0.5)


async def test_api_pages_name_no_foreign_host(client: Any) -> None:
    page = await (await client.get("/docs")).get_data(as_text=True)
    assert "https://" not in page
    assert (await client.get("/docs/assets/swagger-ui.css")).status_code == 200
    assert "/lines" in (await (await client.get("/openapi.json")).get_json())["paths"]


async def test_api_pages_can_be_turned_off() -> None:
    client = create_app(api_pages=False).test_client()
    assert (await client.get("/openapi.json")).status_code == 404
    assert (await client.get("/docs")).status_code == 404


async def test_a_write_outlives_the_client_that_asked_for_it() -> None:
    app = create_app()
    started, release, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write() -> None:
        started.set()
        await release.wait()
        done.set()

    async with app.app_context():
        handler = asyncio.create_task(run_to_completion(write()))
        await started.wait()
        handler.cancel()  # what Quart does when the client goes away
        with pytest.raises(asyncio.CancelledError):
            await handler
        release.set()
        await asyncio.wait_for(done.wait(), 5)
