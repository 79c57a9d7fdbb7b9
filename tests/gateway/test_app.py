from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from services.defaults.auth import TokenIssuer
from services.defaults.errors import Unavailable
from services.gateway.answers import AnswerCache
from services.gateway.app import create_app
from services.gateway.guard import QueryLimits
from services.gateway.limits import Act, Rate
from tests.gateway.conftest import AUDIENCE, ISSUER, SECRET, MakeDeps
from tests.gateway.fakes import CONCERT_ID, Shop, make_concert
from tests.gateway.measured import watch_loop
from tests.gateway.test_guard import BOMBS, INTROSPECTION, NONSENSE

CONCERTS = "{ concerts(first: 2) { nodes { title } } }"
PLACE = f"""mutation {{ placeOrder(input: {{
  concertId: "{CONCERT_ID}", lines: [{{tierId: "tier-1", quantity: 1}}], idempotencyKey: "key-1"
}}) {{ id }} }}"""


@pytest.fixture
def app(make_deps: MakeDeps) -> Quart:
    return create_app(make_deps())


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


async def ask(
    client: Any, query: Any, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Status and body of a request with `query` and what else its JSON shall hold."""
    sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    response = await client.post("/graphql", json={"query": query, **more}, headers=sent)
    assert response.mimetype == "application/json"
    return response.status_code, json.loads(await response.get_data())


async def send(client: Any, body: bytes | str, content_type: str = "application/json") -> tuple[int, str]:
    """Status and first error code of a request with this very body."""
    response = await client.post("/graphql", data=body, headers={"Content-Type": content_type})
    return response.status_code, code_of(json.loads(await response.get_data()))


def code_of(body: dict[str, Any]) -> str:
    errors = body.get("errors")
    return str(errors[0]["extensions"]["code"]) if errors else ""


async def test_a_query_is_answered(client: Client) -> None:
    status, body = await ask(client, CONCERTS)
    assert status == 200
    assert body == {"data": {"concerts": {"nodes": [{"title": "Night 1"}, {"title": "Night 2"}]}}}


async def test_the_operation_to_run_is_named(client: Client) -> None:
    both = 'query A { concert(slug: "night-1") { title } } query B { concert(slug: "night-2") { title } }'
    assert (await ask(client, both, operationName="B"))[1]["data"] == {"concert": {"title": "Night 2"}}
    assert (await ask(client, both, operationName="A"))[1]["data"] == {"concert": {"title": "Night 1"}}
    assert (await ask(client, both))[0] == 400
    assert (await ask(client, both, operationName="C"))[0] == 400


async def test_text_beyond_ascii_arrives_whole(client: Client, shop: Shop) -> None:
    for query in (r'{ concerts(filter: {text: "caf\u00e9 \ud83d\ude00"}) { totalCount } }',
                  '{ concerts(filter: {text: "café 😀"}) { totalCount } }'):  # fmt: skip
        assert (await ask(client, query))[0] == 200
        assert shop.catalog.searches[-1].text == "café 😀"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "INVALID"),
        ("{", 400, "INVALID"),
        (b"\xff\xfe", 400, "INVALID"),
        ("null", 400, "INVALID"),
        ('"{ me { id } }"', 400, "INVALID"),
        ("{}", 400, "INVALID"),
        ('{"query": null}', 400, "INVALID"),
        ('{"query": 1}', 400, "INVALID"),
        ('{"query": ["{ me { id } }"]}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "variables": []}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "variables": "x"}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "operationName": 1}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "variables": {"a": NaN}}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "variables": {"a": "\\ud800"}}', 400, "INVALID"),
        ('{"query": "{ concert(slug: \\"\\ud800\\") { id } }"}', 400, "INVALID"),
        ('{"query": "{ me { id } }", "variables": {"a": ' + "9" * 5000 + "}}", 400, "INVALID"),
        ("[" * 60_000, 400, "INVALID"),
        ('{"a":' * 12_000, 400, "INVALID"),
        ('[{"query": "{ me { id } }"}]', 400, "QUERY_TOO_COMPLEX"),
        ("[" + ",".join(['{"query": "{ me { id } }"}'] * 1000) + "]", 400, "QUERY_TOO_COMPLEX"),
        ('{"query": "{ a }", "variables": {"a": ' + "[" * 900 + "]" * 900 + "}}", 400, "QUERY_TOO_COMPLEX"),
        (json.dumps({"query": "{ me { id } }", "variables": {"a": "x" * 100_000}}), 413, "QUERY_TOO_COMPLEX"),
        (json.dumps({"query": "#" * 3_000_000}), 413, "QUERY_TOO_COMPLEX"),
    ],
)
async def test_bodies_that_are_refused(client: Client, shop: Shop, body: bytes | str, status: int, code: str) -> None:
    assert await send(client, body) == (status, code)
    assert not shop.catalog.searches


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=a", 415),
        ("application/graphql", 415),
        ("", 415),
    ],
)
async def test_only_json_is_taken(client: Client, content_type: str, status: int) -> None:
    assert (await send(client, json.dumps({"query": CONCERTS}), content_type))[0] == status


@pytest.mark.parametrize("query", [*BOMBS.values()], ids=BOMBS.keys())
async def test_bombs_are_refused(client: Client, query: str) -> None:
    status, code = await send(client, json.dumps({"query": query}))
    assert (status, code) in {(400, "QUERY_TOO_COMPLEX"), (413, "QUERY_TOO_COMPLEX")}


@pytest.mark.parametrize("query", [*NONSENSE.values()], ids=NONSENSE.keys())
async def test_nonsense_is_refused(client: Client, query: str) -> None:
    assert await send(client, json.dumps({"query": query})) == (400, "INVALID")


@pytest.mark.parametrize(
    "query",
    [
        "{ nothing }",
        "{ concerts { nodes } }",
        "{ concerts { nodes { title { x } } } }",
        "{ concerts(first: true) { totalCount } }",
        "{ concert(title: 1) { id } }",
        "query A { me { id } } query A { me { id } }",
        "query { me { id } } query B { me { id } }",
        "query ($a: Nothing) { me { id } }",
        "{ me { id @nothing } }",
        "{ me @include { id } }",
        "query ($a: Int) { me { id } }",
        "{ concert(id: $a) { id } }",
        "{ ...a } fragment a on Nothing { id }",
        "mutation { login(input: {email: 1}) { expiresIn } }",
        "mutation { nothing }",
        "mutation { placeOrder { id } }",
    ],
)
async def test_what_does_not_fit_the_schema_is_refused(client: Client, query: str) -> None:
    assert await send(client, json.dumps({"query": query})) == (400, "INVALID")


async def test_errors_of_a_query_are_not_without_end(client: Client) -> None:
    status, body = await ask(client, "{" + "nothing " * 400 + "}")
    assert status == 400
    assert len(body["errors"]) == 20


@pytest.mark.parametrize("first", ["0", "101", "-1"])
async def test_page_sizes_are_bounded(client: Client, first: str) -> None:
    status, body = await ask(client, f"{{ concerts(first: {first}) {{ totalCount }} }}")
    assert (status, code_of(body)) == (400, "INVALID")


async def test_queries_are_not_taken_from_an_address(client: Client, make_deps: MakeDeps) -> None:
    for one in (client, create_app(make_deps(production=True)).test_client()):
        response = await one.get("/graphql", query_string={"query": "{ concerts { totalCount } }"})
        assert response.status_code == 405
        assert "POST" in response.headers["Allow"]


async def test_a_token_lets_in(client: Client, token: str) -> None:
    status, body = await ask(client, "{ me { email } }", token=token)
    assert (status, body) == (200, {"data": {"me": {"email": "buyer@ticketflow.test"}}})


def forged(**changes: Any) -> str:
    settings: dict[str, Any] = {"secret": SECRET, "issuer": ISSUER, "audience": AUDIENCE, "lifetime_s": 900} | changes
    return TokenIssuer(**settings).issue("user-1")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer " + "x" * 5000,
        "Basic dXNlcjpwYXNz",
        "Bearer " + forged(secret="another-secret-of-quite-enough-bytes"),
        "Bearer " + forged(issuer="https://elsewhere.test"),
        "Bearer " + forged(audience="catalog"),
        "Bearer " + forged(typ="svc+jwt"),
    ],
)
async def test_a_bad_token_makes_a_stranger_who_sees_what_all_may_see(client: Client, header: str) -> None:
    status, body = await ask(client, "{ me { id } }", headers={"Authorization": header})
    assert (status, code_of(body), body["data"]) == (200, "UNAUTHENTICATED", None)
    status, body = await ask(client, CONCERTS, headers={"Authorization": header})
    assert (status, body.get("errors")) == (200, None)


async def test_an_expired_token_does_not_keep_its_owner_from_renewing_it(client: Client, expired_token: str) -> None:
    assert code_of((await ask(client, "{ me { id } }", token=expired_token))[1]) == "UNAUTHENTICATED"
    query = 'mutation { refreshToken(refreshToken: "refresh-1") { accessToken } }'
    status, body = await ask(client, query, token=expired_token)
    assert (status, body) == (200, {"data": {"refreshToken": {"accessToken": "access-1"}}})


async def test_introspection_and_graphiql_are_for_development(make_deps: MakeDeps) -> None:
    develop = create_app(make_deps()).test_client()
    status, body = await ask(develop, INTROSPECTION)
    assert status == 200
    assert {"Concert", "Order"} <= {kind["name"] for kind in body["data"]["__schema"]["types"]}
    assert (await develop.get("/graphql")).status_code == 200

    limits = QueryLimits(introspection=False)
    production = create_app(make_deps(production=True, query_limits=lambda: limits)).test_client()
    status, body = await ask(production, INTROSPECTION)
    assert (status, code_of(body)) == (400, "FORBIDDEN")
    assert (await production.get("/graphql")).status_code == 405
    assert (await production.get("/graphql/assets/graphiql.min.js")).status_code == 404
    assert (await ask(production, "{ __typename }"))[0] == 200


async def test_graphiql_comes_from_this_host_alone(client: Client) -> None:
    response = await client.get("/graphql")
    page = await response.get_data(as_text=True)
    assert isinstance(page, str)
    sources = [part.split('"')[0] for part in page.replace('src="', 'href="').split('href="')[1:]]
    assert len(sources) == 6
    for source in sources:
        assert source.startswith("/graphql/assets/")
        assert (await client.get(source)).status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert (await client.get("/graphql/assets/..%2F..%2F..%2F..%2Fpyproject.toml")).status_code == 404


async def test_requests_are_limited_by_address(make_deps: MakeDeps) -> None:
    client = create_app(make_deps(requests_per_minute=2)).test_client()
    answers = [await client.post("/graphql", json={"query": CONCERTS}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert code_of(json.loads(await answers[-1].get_data())) == "RATE_LIMITED"
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_guesses_are_limited(make_deps: MakeDeps) -> None:
    client = create_app(make_deps(rates={Act.LOGIN_ACCOUNT: Rate(1, 60)})).test_client()
    query = 'mutation { login(input: {email: "a@b.test", password: "wrong"}) { expiresIn } }'
    assert (await ask(client, query))[0] == 200
    response = await client.post("/graphql", json={"query": query})
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert code_of(json.loads(await response.get_data())) == "RATE_LIMITED"


async def test_orders_are_limited_by_person(make_deps: MakeDeps, token: str) -> None:
    client = create_app(make_deps(rates={Act.ORDER_PERSON: Rate(1, 60)})).test_client()
    assert (await ask(client, PLACE, token=token))[0] == 200
    assert (await ask(client, PLACE, token=token))[0] == 429


@pytest.mark.parametrize(
    ("proxies", "expected"), [((), "<local>"), (("10.0.0.0/8",), "<local>"), (("127.0.0.1",), "203.0.113.9")]
)
async def test_the_clients_address_is_taken_from_trusted_proxies_only(
    make_deps: MakeDeps, shop: Shop, proxies: tuple[str, ...], expected: str
) -> None:
    client = create_app(make_deps(trusted_proxies=proxies)).test_client()
    query = 'mutation { login(input: {email: "a@b.test", password: "right"}) { expiresIn } }'
    response = await client.post(
        "/graphql",
        json={"query": query},
        headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"},
        scope_base={"client": ("127.0.0.1", 1)} if "127.0.0.1" in proxies else None,
    )
    assert response.status_code == 200
    assert shop.identity.calls == [f"login from {expected}"]


async def test_a_write_outlives_the_client_that_asked_for_it(app: Quart, shop: Shop, token: str) -> None:
    shop.ordering.delay_s = 0.05
    body = json.dumps({"query": PLACE}).encode()
    headers = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {token}".encode())]

    async def receive() -> dict[str, Any]:
        if not shop.ordering.started.is_set() and messages:
            return messages.pop()
        await shop.ordering.started.wait()
        return {"type": "http.disconnect"}

    async def send_nothing(message: Any) -> None:
        pytest.fail("the client has gone")

    messages = [{"type": "http.request", "body": body, "more_body": False}]
    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"spec_version": "2.1"},
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "extensions": {},
    }
    await app(scope, receive, send_nothing)  # type: ignore[arg-type] # a server's callables, without its types
    assert shop.ordering.finished == []
    await asyncio.sleep(0.1)
    assert shop.ordering.finished == ["place key-1"]


async def test_a_crowd_asking_the_same_costs_one_look(app: Quart, shop: Shop) -> None:
    shop.catalog.delay_s = 0.02
    answers = await asyncio.gather(*(ask(app.test_client(), CONCERTS) for _ in range(20)))
    assert len(shop.catalog.searches) == 1
    assert all(answer == answers[0] for answer in answers)


async def test_an_answer_with_errors_is_not_kept(client: Client, shop: Shop) -> None:
    shop.catalog.failure = Unavailable("Away.")
    assert code_of((await ask(client, CONCERTS))[1]) == "UNAVAILABLE"
    shop.catalog.failure = None
    assert code_of((await ask(client, CONCERTS))[1]) == ""


async def test_a_kept_answer_grows_old(make_deps: MakeDeps, shop: Shop) -> None:
    moment = 0.0
    deps = make_deps(answers=AnswerCache(ttl_s=1, clock=lambda: moment))
    client = create_app(deps).test_client()
    await ask(client, CONCERTS)
    moment = 0.9
    await ask(client, CONCERTS)
    assert len(shop.catalog.searches) == 1
    moment = 1.1
    await ask(client, CONCERTS)
    assert len(shop.catalog.searches) == 2


WHOLE = """{ concerts(first: 100) { nodes { id slug title artist genre description startsAt onSaleAt timeZone
  venue { id name city country address } priceFrom { amountMinor currency } available saleState
  tiers { id name includes seating capacity available price { amountMinor currency } } } } }"""


async def test_the_costliest_query_leaves_room_for_others(app: Quart, shop: Shop) -> None:
    shop.catalog.concerts = [make_concert(n, tiers=make_concert()["tiers"] * 5) for n in range(100)]
    await ask(app.test_client(), "{ __typename }")  # the engine is ready once the process serves
    longest_s, turns = await watch_loop(ask(app.test_client(), WHOLE))
    assert longest_s < 0.05
    assert turns > 50


async def test_no_bomb_stalls_the_loop(app: Quart) -> None:
    await ask(app.test_client(), "{ __typename }")
    for query in BOMBS.values():
        longest_s, _ = await watch_loop(ask(app.test_client(), query))
        assert longest_s < 0.05


async def test_answers_carry_security_headers_and_no_leave_for_other_sites(client: Client) -> None:
    response = await client.post("/graphql", json={"query": CONCERTS}, headers={"Origin": "https://elsewhere.test"})
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Referrer-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_health_and_liveness(client: Client) -> None:
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/alive")).status_code == 200
