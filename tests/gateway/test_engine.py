from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart

from services.defaults.auth import Principal
from services.defaults.errors import Conflict, Unavailable
from services.gateway.engine import execute
from services.gateway.limits import Act, Rate
from services.gateway.resolvers.concerts import sale_state
from tests.gateway.conftest import MakeDeps
from tests.gateway.fakes import CONCERT_ID, NOW, ORDER_ID, Shop, make_concert, make_order

Run = Callable[..., Awaitable[dict[str, Any]]]

PLACE = """
mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { id number status total { amountMinor } } }
"""
PLACED = {"concertId": CONCERT_ID, "lines": [{"tierId": "tier-1", "quantity": 2}], "idempotencyKey": "key-1"}


@pytest.fixture
async def app_context() -> AsyncIterator[None]:
    """Writes are tracked by the application."""
    async with Quart("test").app_context():
        yield


@pytest.fixture
def run(make_deps: MakeDeps, app_context: None) -> Run:
    """Executes a query, as somebody who is logged in unless told otherwise."""

    async def execute_query(
        query: str, variables: Any = None, *, deps: Any = None, logged_in: bool = True
    ) -> dict[str, Any]:
        who = {"principal": Principal("user-1"), "token": "access-1"}
        context = (deps or make_deps()).context(
            **(who if logged_in else {"principal": None, "token": None}), client_address="192.0.2.1"
        )
        return await execute(query, variables, context)

    return execute_query


def codes(result: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in result.get("errors", [])]


async def test_concerts_come_in_pages(run: Run) -> None:
    result = await run(
        "{ concerts(first: 2) { totalCount pageInfo { hasNextPage endCursor } nodes { title startsAt } } }"
    )
    assert result == {
        "data": {
            "concerts": {
                "totalCount": 30,
                "pageInfo": {"hasNextPage": True, "endCursor": "2"},
                "nodes": [
                    {"title": "Night 1", "startsAt": "2030-06-02T12:00:00Z"},
                    {"title": "Night 2", "startsAt": "2030-06-03T12:00:00Z"},
                ],
            }
        }
    }


async def test_a_filter_reaches_the_catalog(run: Run, shop: Shop) -> None:
    await run(
        """query ($filter: ConcertFilter) { concerts(filter: $filter, sort: PRICE) { totalCount } }""",
        {"filter": {"text": "rock", "city": "Berlin", "from": "2030-06-01", "availableOnly": True}},
    )
    (search,) = shop.catalog.searches
    assert (search.text, search.city, search.sort, search.available_only) == ("rock", "Berlin", "PRICE", True)
    assert (str(search.from_date), search.to_date, search.first) == ("2030-06-01", None, 20)


@pytest.mark.parametrize(
    "arguments",
    [
        "first: 0",
        "first: 101",
        "first: -1",
        "first: 99999999999",
        'first: "2"',
        "first: 1.5",
        "sort: LOUD",
        'filter: {from: "2030-02-30"}',
        'filter: {from: "2030-1-1"}',
        'filter: {from: "2030-W01-1"}',
        'filter: {from: "yesterday"}',
        "filter: {from: 3}",
        'filter: {from: "2030-06-02", to: "2030-06-01"}',
        "filter: {smell: 1}",
        "filter: 3",
    ],
)
async def test_arguments_that_make_no_sense_are_invalid(run: Run, shop: Shop, arguments: str) -> None:
    result = await run(f"{{ concerts({arguments}) {{ totalCount }} }}")
    assert set(codes(result)) == {"INVALID"}
    assert not shop.catalog.searches


@pytest.mark.parametrize(
    "value", [{"first": "2"}, {"first": 10**30}, {"first": True}, {"first": []}, {"first": {"a": 1}}]
)
async def test_variables_of_another_type_are_invalid(run: Run, value: Any) -> None:
    result = await run("query ($first: Int) { concerts(first: $first) { totalCount } }", value)
    assert codes(result) == ["INVALID"]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (
            "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }",
            {"input": {"email": "a@b.test", "password": ["hunter2"]}},
        ),
        ("mutation ($i: LoginInput!) { login(input: $i) { accessToken } }", {"i": "hunter2"}),
        ("mutation ($i: LoginInput!) { login(input: $i) { accessToken } }", {"i": {"password": "hunter2"}}),
        ('mutation { login(input: {email: 1, password: "hunter2"}) { accessToken } }', None),
        ('query ($first: Int = "hunter2") { concerts(first: $first) { totalCount } }', None),
    ],
)
async def test_what_was_sent_is_not_repeated_in_an_error(run: Run, query: str, variables: Any) -> None:
    result = await run(query, variables)
    assert set(codes(result)) == {"INVALID"}
    assert "hunter2" not in str(result)


async def test_a_variable_that_does_not_fit_is_named(run: Run) -> None:
    query = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }"
    result = await run(query, {"input": {"email": "a@b.test", "password": 7}})
    expected = "Variable < $input > is not valid: Expected type < String > at value.password."
    assert result["errors"][0]["message"] == expected


async def test_a_concert_is_found_by_either_key_and_is_null_if_unknown(run: Run) -> None:
    found = await run('{ concert(slug: "night-3") { title } }')
    assert found == {"data": {"concert": {"title": "Night 3"}}}
    assert await run(f'{{ concert(id: "{CONCERT_ID}") {{ title }} }}') == {"data": {"concert": {"title": "Night 1"}}}
    assert await run('{ concert(slug: "nowhere") { title } }') == {"data": {"concert": None}}
    assert codes(await run("{ concert { title } }")) == ["INVALID"]
    assert codes(await run('{ concert(id: "a", slug: "b") { title } }')) == ["INVALID"]


async def test_facets_are_those_of_every_concert(run: Run, shop: Shop) -> None:
    venue = {"id": "v2", "name": "Bar", "city": "Aachen", "country": "DE", "address": None}
    shop.catalog.concerts += [make_concert(number) for number in range(40, 140)]
    shop.catalog.concerts.append(make_concert(140, genre="Jazz", venue=venue))
    result = await run("{ concertFacets { cities genres } }")
    assert result["data"]["concertFacets"] == {"cities": ["Aachen", "Berlin"], "genres": ["Jazz", "Rock"]}


async def test_facets_are_read_once_however_often_a_query_names_them(run: Run, shop: Shop) -> None:
    result = await run("{" + " ".join(f"a{number}: concertFacets {{ cities }}" for number in range(15)) + "}")
    assert list(result["data"].values()) == [{"cities": ["Berlin"]}] * 15
    assert len(shop.catalog.searches) == 1


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ON_SALE"),
        ({"available": 0}, "SOLD_OUT"),
        ({"onSaleAt": NOW + timedelta(days=1), "available": 0}, "NOT_YET"),
        ({"startsAt": NOW}, "ENDED"),
    ],
)
def test_sale_state(changes: dict[str, Any], state: str) -> None:
    assert sale_state(make_concert(**changes), NOW) == state


@pytest.mark.parametrize(
    "query",
    [
        "{ me { id } }",
        "{ myOrders { nodes { id } } }",
        f'{{ order(id: "{ORDER_ID}") {{ id }} }}',
        f'mutation {{ cancelOrder(id: "{ORDER_ID}") {{ id }} }}',
        'mutation { placeOrder(input: {concertId: "c", lines: [], idempotencyKey: "k"}) { id } }',
        """mutation { payOrder(input: {orderId: "o", idempotencyKey: "k",
           card: {number: "4", expiry: "1", cvc: "1"}}) { id } }""",
    ],
)
async def test_what_is_authorized_needs_a_token(run: Run, shop: Shop, query: str) -> None:
    assert codes(await run(query, logged_in=False)) == ["UNAUTHENTICATED"]
    assert not shop.identity.calls
    assert not shop.ordering.finished
    assert "UNAUTHENTICATED" not in codes(await run(query))


@pytest.mark.parametrize(
    "query", ["{ concerts { totalCount } }", '{ concert(slug: "night-1") { id } }', "{ concertFacets { cities } }"]
)
async def test_a_closed_shop_shows_concerts_only_to_members(run: Run, make_deps: MakeDeps, query: str) -> None:
    closed = make_deps(public_browsing=False)
    assert codes(await run(query, deps=closed)) == []  # and is not remembered for strangers
    assert codes(await run(query, deps=closed, logged_in=False)) == ["UNAUTHENTICATED"]
    assert codes(await run(query, logged_in=False)) == []


async def test_sessions_begin_renew_and_end(run: Run, shop: Shop) -> None:
    user = "{ accessToken refreshToken expiresIn user { id email name } }"
    registered = await run(
        f'mutation {{ register(input: {{email: "n@b.test", password: "right", name: "N"}}) {user} }}',
        logged_in=False,
    )
    assert registered["data"]["register"]["user"] == {"id": "user-1", "email": "n@b.test", "name": "N"}
    renewed = await run(f'mutation {{ refreshToken(refreshToken: "refresh-1") {user} }}', logged_in=False)
    assert renewed["data"]["refreshToken"]["expiresIn"] == 900
    ended = await run('mutation { logout(refreshToken: "refresh-1") }', logged_in=False)
    assert ended == {"data": {"logout": True}}
    assert shop.identity.calls == ["register", "refresh", "logout"]


async def test_a_field_at_fault_is_named(run: Run) -> None:
    result = await run(
        'mutation { register(input: {email: "taken@ticketflow.test", password: "p", name: "N"}) { expiresIn } }'
    )
    (error,) = result["errors"]
    assert error["extensions"] == {"code": "CONFLICT", "fields": {"email": "It is taken."}}
    assert error["message"] == "There is an account with this address."
    assert error["path"] == ["register"]


async def test_guessing_a_password_is_limited_by_account_and_by_address(
    run: Run, make_deps: MakeDeps, shop: Shop
) -> None:
    query = 'mutation { login(input: {email: "%s", password: "wrong"}) { expiresIn } }'
    deps = make_deps(rates={Act.LOGIN_ACCOUNT: Rate(2, 60), Act.LOGIN_ADDRESS: Rate(4, 60)})
    for _ in range(2):
        assert codes(await run(query % "Buyer@b.test", deps=deps)) == ["UNAUTHENTICATED"]
    limited = await run(query % " buyer@B.test", deps=deps)
    assert codes(limited) == ["RATE_LIMITED"]
    assert 1 <= limited["errors"][0]["extensions"]["retryAfter"] <= 60
    assert codes(await run(query % "other@b.test", deps=deps)) == ["UNAUTHENTICATED"]
    assert codes(await run(query % "third@b.test", deps=deps)) == ["RATE_LIMITED"]
    assert shop.identity.calls == ["login from 192.0.2.1"] * 3


async def test_an_order_is_placed_paid_and_cancelled(run: Run, shop: Shop) -> None:
    placed = await run(PLACE, {"input": PLACED})
    assert placed["data"]["placeOrder"] == {
        "id": ORDER_ID,
        "number": "TF-1234",
        "status": "PENDING",
        "total": {"amountMinor": 9800},
    }
    paid = await run(
        "mutation ($input: PayOrderInput!) { payOrder(input: $input) { status expiresAt } }",
        {
            "input": {
                "orderId": ORDER_ID,
                "card": {"number": "4242424242424242", "expiry": "12/40", "cvc": "123"},
                "idempotencyKey": "key-2",
            }
        },
    )
    assert paid["data"]["payOrder"] == {"status": "CONFIRMED", "expiresAt": None}
    cancelled = await run(f'mutation {{ cancelOrder(id: "{ORDER_ID}") {{ status cancelReason }} }}')
    assert cancelled["data"]["cancelOrder"] == {"status": "CANCELLED", "cancelReason": "BUYER"}
    assert shop.ordering.finished == ["place key-1", "pay", "cancel"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Conflict("Sold out.", code="SOLD_OUT"), "SOLD_OUT"),
        (Conflict("Declined.", code="PAYMENT_DECLINED", status=402), "PAYMENT_DECLINED"),
        (Conflict("Under way.", code="REQUEST_IN_FLIGHT"), "CONFLICT"),
        (Unavailable("Away.", retry_after_s=1.2), "UNAVAILABLE"),
    ],
)
async def test_codes_are_those_of_the_contract(run: Run, shop: Shop, failure: Any, code: str) -> None:
    shop.ordering.failure = failure
    result = await run(PLACE, {"input": PLACED})
    assert codes(result) == [code]
    assert result["errors"][0]["message"] == failure.message
    assert result["data"] is None


async def test_a_failure_of_ours_tells_nothing(run: Run, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.catalog.failure = RuntimeError("postgres://catalog:secret@10.0.0.7/catalog")
    result = await run("{ concerts { totalCount } }")
    (error,) = result["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"] == "Something went wrong on our side."
    assert "secret" not in str(result)
    assert "secret" in caplog.text  # whoever runs the shop does learn of it


async def test_a_missing_value_is_a_failure_of_ours(run: Run, shop: Shop) -> None:
    shop.catalog.concerts = [make_concert(title=None)]
    assert codes(await run("{ concerts { nodes { title } } }")) == ["INTERNAL"]


async def test_the_concerts_of_a_list_of_orders_are_fetched_together(run: Run, shop: Shop) -> None:
    shop.ordering.orders = [make_order(str(n), concertId=f"concert-{2 + n % 5}") for n in range(20)]
    result = await run("{ myOrders { nodes { id concert { title tiers { id } } } } }")
    titles = [order["concert"]["title"] for order in result["data"]["myOrders"]["nodes"]]
    assert titles == [f"Night {2 + n % 5}" for n in range(20)]
    assert len(shop.catalog.batches) == 1
    assert len(shop.catalog.batches[0]) == 5


@pytest.mark.parametrize("failure", [Unavailable("Away."), None])
async def test_an_order_shows_what_it_kept_of_its_concert_where_the_catalog_cannot(
    run: Run, shop: Shop, failure: Any
) -> None:
    shop.catalog.failure, shop.catalog.concerts = failure, []
    result = await run(
        f'{{ order(id: "{ORDER_ID}") {{ concert {{ title startsAt doorsAt timeZone venue {{ name city }} }} }} }}'
    )
    assert "errors" not in result
    assert result["data"]["order"]["concert"] == {
        "title": "Night 1, as ordered",
        "startsAt": "2030-06-02T12:00:00Z",
        "doorsAt": None,
        "timeZone": "Europe/Berlin",
        "venue": {"name": "Hall", "city": "Berlin"},
    }


@pytest.mark.parametrize("field", ["description", "tiers { id }", "saleState", "venue { id }"])
async def test_what_an_order_did_not_keep_is_unavailable(run: Run, shop: Shop, field: str) -> None:
    shop.catalog.failure = Unavailable("Away.")
    result = await run(f'{{ order(id: "{ORDER_ID}") {{ number concert {{ title {field} }} }} }}')
    assert result["data"]["order"] == {"number": "TF-1234", "concert": None}
    assert codes(result) == ["UNAVAILABLE"]


PLACE_AND_SHOW = "mutation($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ concert {{ {} }} }} }}"


async def test_a_new_order_shows_the_concert_that_came_with_its_hold(run: Run, shop: Shop) -> None:
    result = await run(PLACE_AND_SHOW.format("id title doorsAt venue { name city }"), {"input": PLACED})
    assert result["data"]["placeOrder"]["concert"]["title"] == "Night 1, as ordered"
    assert shop.catalog.batches == []


@pytest.mark.parametrize(
    "fields", ["description", "venue { id }", "saleState", "...{ title }", "venue { ... { name } }", "__typename"]
)
async def test_what_did_not_come_with_the_hold_is_asked_for(run: Run, shop: Shop, fields: str) -> None:
    result = await run(PLACE_AND_SHOW.format(f"title {fields}"), {"input": PLACED})
    assert result["data"]["placeOrder"]["concert"]["title"] == "Night 1"
    assert shop.catalog.batches == [[CONCERT_ID]]


async def test_a_later_look_at_an_order_shows_the_concert_as_it_is_now(run: Run, shop: Shop) -> None:
    result = await run(f'{{ order(id: "{ORDER_ID}") {{ concert {{ title }} }} }}')
    assert result["data"]["order"]["concert"]["title"] == "Night 1"


async def test_a_strangers_order_is_null_to_read_and_not_found_to_change(run: Run) -> None:
    other = "33333333-3333-4333-8333-333333333333"
    assert await run(f'{{ order(id: "{other}") {{ id }} }}') == {"data": {"order": None}}
    assert codes(await run(f'mutation {{ cancelOrder(id: "{other}") {{ id }} }}')) == ["NOT_FOUND"]


async def test_public_answers_are_remembered_and_private_ones_are_not(
    run: Run, make_deps: MakeDeps, shop: Shop
) -> None:
    deps = make_deps()
    for _ in range(3):
        await run("{ concerts { totalCount } }", deps=deps)
        await run("{ concerts { totalCount } me { id } }", deps=deps)
    assert len(shop.catalog.searches) == 1 + 3
    assert shop.identity.calls == ["me"] * 3
    await run("query ($first: Int) { concerts(first: $first) { totalCount } }", {"first": 3}, deps=deps)
    await run("query ($first: Int) { concerts(first: $first) { totalCount } }", {"first": 4}, deps=deps)
    assert [search.first for search in shop.catalog.searches[-2:]] == [3, 4]
