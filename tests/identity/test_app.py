"""Identity's REST edge, through Quart's test client, on a real Postgres."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from quart import Quart
from quart.testing.connections import TestHTTPConnection as HTTPConnection
from quart.typing import TestClientProtocol as Client
from quart.wrappers import Response

from services.identity.app import Deps, RouteLimits, create_app
from services.identity.passwords import HashingCost, PasswordHasher

SECRET = "a signing key of the tests, 32 bytes or more"
ANN = {"email": "ann@example.com", "password": "correct horse battery", "name": "Ann"}
LOGIN = {"email": ANN["email"], "password": ANN["password"]}
NOW = int(time.time())


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


async def post(client: Client, path: str, body: Any, *, peer: str = "", **headers: str) -> Response:
    scope = {"client": (peer, 1)} if peer else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, json=body, headers=named, scope_base=scope)


async def session_of(response: Response) -> dict[str, Any]:
    body: dict[str, Any] = await response.get_json()
    assert set(body) == {"accessToken", "refreshToken", "expiresIn", "tokenType", "user"}
    return body


async def problem_of(response: Response) -> dict[str, Any]:
    assert response.mimetype == "application/problem+json"
    body: dict[str, Any] = await response.get_json()
    assert body["status"] == response.status_code
    assert {"type", "title", "detail", "code"} <= set(body)
    return body


async def test_the_whole_flow(client: Client) -> None:
    registered = await post(client, "/register", ANN)
    assert registered.status_code == 201
    assert (await session_of(registered))["tokenType"] == "Bearer"

    logged_in = await post(client, "/login", LOGIN)
    assert logged_in.status_code == 200
    first = await session_of(logged_in)
    assert first["user"] == {"id": first["user"]["id"], "email": "ann@example.com", "name": "Ann"}
    assert first["expiresIn"] == 900

    refreshed = await post(client, "/refresh", {"refreshToken": first["refreshToken"]})
    assert refreshed.status_code == 200
    second = await session_of(refreshed)

    me = await client.get("/me", headers={"Authorization": f"Bearer {second['accessToken']}"})
    assert (me.status_code, await me.get_json()) == (200, first["user"])

    logged_out = await post(client, "/logout", {"refreshToken": second["refreshToken"]})
    assert (logged_out.status_code, await logged_out.get_data()) == (204, b"")
    again = await post(client, "/refresh", {"refresh_token": second["refreshToken"]})
    assert (again.status_code, (await problem_of(again))["code"]) == (401, "UNAUTHENTICATED")


async def test_answers_with_tokens_are_not_stored(client: Client) -> None:
    for path, body in (("/register", ANN), ("/login", LOGIN)):
        response = await post(client, path, body)
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_taken_address_is_a_conflict_at_its_field(client: Client) -> None:
    await post(client, "/register", ANN)
    response = await post(client, "/register", ANN | {"email": "ANN@example.com"})
    problem = await problem_of(response)
    assert (response.status_code, problem["code"], set(problem["fields"])) == (409, "CONFLICT", {"email"})


async def test_spaces_at_the_ends_of_a_password_are_part_of_it(client: Client) -> None:
    await post(client, "/register", ANN | {"password": " correct horse battery "})
    assert (await post(client, "/login", LOGIN)).status_code == 401
    assert (await post(client, "/login", LOGIN | {"password": " correct horse battery "})).status_code == 200


async def test_a_login_tells_nobody_who_has_an_account(client: Client) -> None:
    await post(client, "/register", ANN)
    answers = []
    for email in ("ann@example.com", "nobody@example.com", "not an address"):
        response = await post(client, "/login", {"email": email, "password": "a wrong password"})
        problem = await problem_of(response)
        answers.append((response.status_code, problem["code"], problem["detail"], problem.get("fields")))
    assert set(answers) == {(401, "UNAUTHENTICATED", "E-mail or password is wrong.", None)}


async def test_a_login_keeps_where_it_came_from(client: Client, deps: Deps) -> None:
    await post(client, "/register", ANN, peer="127.0.0.1", X_Forwarded_For="198.51.100.4", User_Agent="Phone")
    await post(client, "/login", LOGIN, peer="203.0.113.5", X_Forwarded_For="198.51.100.4", User_Agent="x\x07y")
    rows = await deps.service.store._database.fetch(
        "SELECT address, user_agent FROM token_families ORDER BY created_at"
    )
    assert rows == [
        {"address": "198.51.100.4", "user_agent": "Phone"},
        {"address": "203.0.113.5", "user_agent": "xy"},  # that peer is no trusted proxy
    ]


async def test_nonsense_in_headers_does_no_harm(client: Client) -> None:
    response = await post(
        client, "/register", ANN, peer="127.0.0.1", X_Forwarded_For="' OR 1=1 --" * 50, User_Agent="\xff" * 5000
    )
    assert response.status_code == 201


# --- Who may come in


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(encode(json.dumps(part).encode()) for part in (header, claims)) + "."


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: dict[str, Any], secret: str = SECRET) -> str:
    """Signed by hand, so that the header may say anything."""
    text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    digest = header["alg"].replace("HS", "sha")
    return f"{text}.{encode(hmac.digest(secret.encode(), text.encode(), digest))}"


HEADER = {"alg": "HS256", "typ": "at+jwt"}
CLAIMS: dict[str, Any] = {
    "iss": "https://ticketflow.test",
    "aud": "ticketflow",
    "sub": "00000000-0000-4000-8000-000000000000",
    "iat": NOW,
    "exp": NOW + 900,
    "jti": "a",
    "scope": "profile",
}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name not in names}


FORGED: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: unsigned({"alg": "none", "typ": "at+jwt"}, CLAIMS),
    "no algorithm, in capitals": lambda: unsigned({"alg": "NONE", "typ": "at+jwt"}, CLAIMS),
    "HS384": lambda: signed(HEADER | {"alg": "HS384"}, CLAIMS),
    "HS512": lambda: signed(HEADER | {"alg": "HS512"}, CLAIMS),
    "another key": lambda: signed(HEADER, CLAIMS, "another key that has 32 bytes or more"),
    "a cut signature": lambda: signed(HEADER, CLAIMS)[:-4],
    "another's payload": lambda: swapped(signed(HEADER, CLAIMS), CLAIMS | {"sub": "someone"}),
    "a wrong issuer": lambda: signed(HEADER, CLAIMS | {"iss": "https://evil.test"}),
    "no issuer": lambda: signed(HEADER, without("iss")),
    "a wrong audience": lambda: signed(HEADER, CLAIMS | {"aud": "catalog"}),
    "no audience": lambda: signed(HEADER, without("aud")),
    "a wrong type": lambda: signed(HEADER | {"typ": "svc+jwt"}, CLAIMS),
    "no type": lambda: signed({"alg": "HS256"}, CLAIMS),
    "expired": lambda: signed(HEADER, CLAIMS | {"iat": NOW - 1000, "exp": NOW - 100}),
    "no expiry": lambda: signed(HEADER, without("exp")),
    "an expiry that is no number": lambda: signed(HEADER, CLAIMS | {"exp": "never"}),
    "from the future": lambda: signed(HEADER, CLAIMS | {"iat": NOW + 500}),
    "not yet valid": lambda: signed(HEADER, CLAIMS | {"nbf": NOW + 500}),
    "an unknown critical parameter": lambda: signed(HEADER | {"crit": ["x"], "x": 1}, CLAIMS),
    "a huge header": lambda: signed(HEADER | {"x": "y" * 5000}, CLAIMS),
    "no claims": lambda: signed(HEADER, {}),
    "no such account": lambda: signed(HEADER, CLAIMS),
    "a subject that is no text": lambda: signed(HEADER, CLAIMS | {"sub": ["a"]}),
    "no token": lambda: "a.b.c",
    "two parts": lambda: "a.b",
    "deep JSON": lambda: f"{encode(b'[' * 1500)}.e30.AA",
    "an empty one": lambda: "",
}


def swapped(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encode(json.dumps(claims).encode())}.{signature}"


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_token_is_refused(client: Client, forge: Callable[[], str]) -> None:
    response = await client.get("/me", headers={"Authorization": f"Bearer {forge()}"})
    assert (response.status_code, (await problem_of(response))["code"]) == (401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="ticketflow", error="invalid_token"'


async def test_the_same_token_made_rightly_is_accepted(client: Client) -> None:
    """The control of the matrix above: what it varies is the only reason for its refusals."""
    user = (await session_of(await post(client, "/register", ANN)))["user"]
    token = signed(HEADER, CLAIMS | {"sub": user["id"]})
    response = await client.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "bearer", "Token x", "Bearer a b"])
async def test_no_bearer_token_is_no_entry(client: Client, header: str | None) -> None:
    response = await client.get("/me", headers={} if header is None else {"Authorization": header})
    assert (response.status_code, (await problem_of(response))["code"]) == (401, "UNAUTHENTICATED")


# --- Bad input

LONG = "x" * 2000
BAD_REGISTRATIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"email", "password", "name"}),
    "no address": (ANN | {"email": "ann"}, {"email"}),
    "an address of the wrong type": (ANN | {"email": 7}, {"email"}),
    "null": (ANN | {"email": None}, {"email"}),
    "a list": (ANN | {"name": ["Ann"]}, {"name"}),
    "an object": (ANN | {"password": {"$ne": ""}}, {"password"}),
    "NUL in the address": (ANN | {"email": "ann\x00@example.com"}, {"email"}),
    "NUL in the name": (ANN | {"name": "Ann\x00"}, {"name"}),
    "a line break in the name": (ANN | {"name": "Ann\r\nBcc: eve@example.com"}, {"name"}),
    "half a surrogate pair in the name": (ANN | {"name": "\ud800"}, {"name"}),
    "half a surrogate pair in the password": (ANN | {"password": "\ud800" * 12}, {"password"}),
    "a long address": (ANN | {"email": LONG}, {"email"}),
    "a long name": (ANN | {"name": "x" * 81}, {"name"}),
    "a very long name": (ANN | {"name": LONG}, {"name"}),
    "a short password": (ANN | {"password": "short"}, {"password"}),
    "a long password": (ANN | {"password": "x y" * 50}, {"password"}),
    "a very long password": (ANN | {"password": LONG}, {"password"}),
    "a common password": (ANN | {"password": "password123"}, {"password"}),
    "a field too many": (ANN | {"isAdmin": True}, {"isAdmin"}),
}


@pytest.mark.parametrize(("body", "fields"), BAD_REGISTRATIONS.values(), ids=BAD_REGISTRATIONS.keys())
async def test_a_bad_registration_is_told_field_by_field(
    client: Client, body: dict[str, Any], fields: set[str]
) -> None:
    response = await client.post("/register", data=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = await problem_of(response)
    assert (response.status_code, problem["code"], set(problem["fields"])) == (422, "INVALID", fields)
    assert all(sentence[-1] in ".?" for sentence in problem["fields"].values())
    assert LONG not in str(problem)


@pytest.mark.parametrize("path", ["/register", "/login", "/refresh", "/logout"])
@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", {400, 422}),
        (b"not json", {400}),
        (b"[]", {422}),
        (b'"text"', {422}),
        (b"null", {422}),
        (b"1e999", {422}),
        (b"9" * 5000, {400, 422}),
        (b"[" * 30_000, {400, 422}),
        (b'{"a":' * 10_000, {400, 422}),
        (b"\xff\xfe{}", {400, 422}),
        (b'{"refreshToken": "' + b"x" * 70_000 + b'"}', {413}),
    ],
    ids=["empty", "text", "list", "string", "null", "inf", "bigint", "deep", "deep-cut", "utf-16", "huge"],
)
async def test_a_body_that_is_no_such_thing_is_refused(client: Client, path: str, raw: bytes, status: set[int]) -> None:
    response = await client.post(path, data=raw, headers={"Content-Type": "application/json"})
    assert response.status_code in status
    assert (await problem_of(response))["code"] == "INVALID"


async def test_a_form_is_not_json(client: Client) -> None:
    response = await client.post("/login", form=LOGIN)
    assert (response.status_code, (await problem_of(response))["code"]) == (415, "INVALID")


async def test_half_a_surrogate_pair_is_nobody_s_password_or_token(client: Client) -> None:
    for path, body in (
        ("/login", {"email": "a@example.com", "password": "\ud800"}),
        ("/refresh", {"refreshToken": "\ud800"}),
    ):
        assert (await post(client, path, body)).status_code == 422


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/login", 405), ("GET", "/nothing", 404)])
async def test_the_wrong_way_and_the_wrong_place_are_problems_too(
    client: Client, method: str, path: str, status: int
) -> None:
    response = await client.open(path, method=method, json={})
    assert response.status_code == status
    await problem_of(response)


# --- Limits


def test_every_route_declares_its_authorization_and_its_rate_limit(app: Quart) -> None:
    declared = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        limited = hasattr(view, "_quart_rate_limiter_limits") or hasattr(view, "_quart_rate_limiter_exempt")
        if not rule.endpoint.startswith(("probes.", "openapi", "swagger_ui")):
            declared[rule.rule] = (getattr(view, "__authorization__", None), limited)
    assert declared == {
        "/register": ("public", True),
        "/login": ("public", True),
        "/refresh": ("public", True),
        "/logout": ("public", True),
        "/me": ("bearer", True),
    }


@pytest.mark.parametrize(
    ("path", "method"),
    [("/register", "POST"), ("/login", "POST"), ("/refresh", "POST"), ("/logout", "POST"), ("/me", "GET")],
)
async def test_requests_beyond_a_route_s_limit_wait(deps: Deps, path: str, method: str) -> None:
    limits = RouteLimits(register=2, login=2, refresh=2, read=2)
    client = create_app(dataclasses.replace(deps, limits=limits)).test_client()
    one, two = {"client": ("192.0.2.1", 1)}, {"client": ("192.0.2.2", 1)}
    answers = [await client.open(path, method=method, json={}, scope_base=one) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert (await problem_of(answers[-1]))["code"] == "RATE_LIMITED"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    other = await client.open(path, method=method, json={}, scope_base=two)
    assert other.status_code != 429


async def test_accounts_behind_one_gateway_read_apart(deps: Deps) -> None:
    client = create_app(dataclasses.replace(deps, limits=dataclasses.replace(deps.limits, read=1))).test_client()
    sessions = [
        await session_of(await post(client, "/register", ANN | {"email": f"user{i}@example.com"})) for i in range(2)
    ]
    bearers = [{"Authorization": f"Bearer {session['accessToken']}"} for session in sessions]
    answers = [await client.get("/me", headers=headers) for headers in (bearers[0], bearers[1], bearers[0])]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_the_api_document_names_the_errors(client: Client) -> None:
    document = await (await client.get("/openapi.json")).get_json()
    responses = document["paths"]["/register"]["post"]["responses"]
    assert {"201", "400", "409", "413", "415", "422", "429", "503"} == set(responses)


async def test_guessing_is_limited_and_says_when_to_try_again(client: Client) -> None:
    wrong = LOGIN | {"password": "a wrong password"}
    answers = [await post(client, "/login", wrong) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 180


# --- Pages of the API


async def test_health_names_the_database(client: Client) -> None:
    body = await (await client.get("/health")).get_json()
    assert body["checks"]["postgres"]["status"] == "pass"


async def test_production_shows_no_api_pages(deps: Deps) -> None:
    client = create_app(dataclasses.replace(deps, api_pages=False)).test_client()
    assert (await client.get("/openapi.json")).status_code == 404


class HeldHasher(PasswordHasher):
    """Says when it is asked to hash, and goes on when it is let."""

    def __init__(self) -> None:
        super().__init__(HashingCost(memory_kib=64, passes=1, lanes=1))
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def hash(self, password: str) -> str:
        self.asked.set()
        await self.go_on.wait()
        return await super().hash(password)


async def test_a_client_that_leaves_does_not_undo_its_registration(deps: Deps) -> None:
    body = json.dumps(ANN).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    with HeldHasher() as hasher:
        app = create_app(dataclasses.replace(deps, service=dataclasses.replace(deps.service, hasher=hasher)))
        async with app.test_client().request("/register", method="POST", headers=headers) as connection:
            assert isinstance(connection, HTTPConnection)
            await connection.send(body)
            await connection.send_complete()
            await hasher.asked.wait()
            await connection.disconnect()
        hasher.go_on.set()
        await asyncio.gather(*app.config["WRITES"])
        assert (await post(app.test_client(), "/login", LOGIN)).status_code == 200
