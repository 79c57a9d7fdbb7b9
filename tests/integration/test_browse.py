"""Looking for concerts, through GraphQL and straight at the catalog's gRPC."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import pytest
from grpclib.client import Channel

from protos.catalog_grpc import CatalogStub
from protos.catalog_pb2 import ListConcertsRequest
from services.apphost.system import System
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

PAGE = """
query($filter: ConcertFilter, $sort: ConcertSort, $after: String) {
  concerts(filter: $filter, sort: $sort, first: 20, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id slug title artist genre startsAt venue { city } priceFrom { amountMinor currency } available }
  }
}
"""


async def all_concerts(shop: Shop, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (await shop.data(PAGE, after=cursor, **arguments))["concerts"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            assert page["totalCount"] == len(found)
            return found
        cursor = page["pageInfo"]["endCursor"]


async def test_the_pages_together_hold_every_concert_once_in_order(shop: Shop) -> None:
    concerts = await all_concerts(shop)
    assert len(concerts) >= 50
    assert len({concert["id"] for concert in concerts}) == len(concerts)
    starts = [concert["startsAt"] for concert in concerts]
    assert starts == sorted(starts)
    assert len({concert["venue"]["city"] for concert in concerts}) == 12


async def test_filters_find_what_they_name_and_nothing_else(shop: Shop) -> None:
    some = (await all_concerts(shop))[7]
    city, genre = some["venue"]["city"], some["genre"]
    found = await all_concerts(shop, filter={"city": city, "genre": genre})
    assert some["id"] in {concert["id"] for concert in found}
    assert {(concert["venue"]["city"], concert["genre"]) for concert in found} == {(city, genre)}
    by_text = await all_concerts(shop, filter={"text": some["artist"]})
    assert some["id"] in {concert["id"] for concert in by_text}
    assert await all_concerts(shop, filter={"text": "%' OR 1=1 --"}) == []


async def test_a_concert_is_found_by_id_and_by_slug(shop: Shop) -> None:
    some = (await all_concerts(shop))[0]
    query = "query($id: ID, $slug: String) { concert(id: $id, slug: $slug) { id slug description } }"
    by_id = (await shop.data(query, id=some["id"]))["concert"]
    assert by_id == (await shop.data(query, slug=some["slug"]))["concert"]
    assert (await shop.data(query, slug="no-such-concert"))["concert"] is None


async def test_the_catalog_speaks_grpc(system: System) -> None:
    host, _, port = system.urls["catalog"].partition(":")
    channel = Channel(host, int(port))
    try:
        answer = await CatalogStub(channel).ListConcerts(ListConcertsRequest(page_size=5), timeout=5)
    finally:
        channel.close()
    assert len(answer.concerts) == 5
    assert answer.next_page_token


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{ a" * 2000, 400, "QUERY_TOO_COMPLEX"),
        ("query {" + " ".join(f"a{i}: concerts {{ totalCount }}" for i in range(16)) + "}", 400, "QUERY_TOO_COMPLEX"),
        ("{ concerts { " + "totalCount " * 900 + "} }", 400, "QUERY_TOO_COMPLEX"),
        ("fragment A on Query { ...B } fragment B on Query { ...A } { ...A }", 400, "QUERY_TOO_COMPLEX"),
        ('{ concerts(filter: { text: "' + "x" * 50_000 + '" }) { totalCount } }', 400, "QUERY_TOO_COMPLEX"),
        ("{ concerts(first: 0) { totalCount } }", 400, "INVALID"),
        ("{ nope }", 400, "INVALID"),
        ("{", 400, "INVALID"),
    ],
)
async def test_queries_beyond_the_limits_are_refused(shop: Shop, query: str, status: int, code: str) -> None:
    answered, body = await shop.post_graphql({"query": query})
    assert answered == status
    assert body["errors"][0]["extensions"]["code"] == code


async def test_a_flood_of_bombs_does_not_stall_the_gateway(shop: Shop) -> None:
    bombs = [asyncio.create_task(shop.post_graphql({"query": "{ a" * 2500})) for _ in range(50)]
    slowest = 0.0
    while not all(bomb.done() for bomb in bombs):
        began = time.perf_counter()
        async with shop.http.get(f"{shop.gateway}/alive") as response:
            assert response.status == 200
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 1.0  # unguarded, one such query holds the process for seconds
    assert {(await bomb)[0] for bomb in bombs} == {400}


async def test_a_body_beyond_the_limit_is_413(shop: Shop) -> None:
    body = io.BytesIO(json.dumps({"query": "x" * 3_000_000}).encode())
    headers = {"Content-Type": "application/json"}
    async with shop.http.post(f"{shop.gateway}/graphql", data=body, headers=headers) as response:
        assert response.status == 413


async def test_clients_that_send_too_much_again_and_again_are_told_each_time(shop: Shop) -> None:
    for _ in range(5):  # over one connection, which must neither break nor be reset
        body = io.BytesIO(b" " * 3_000_000)
        async with shop.http.post(f"{shop.gateway}/graphql", data=body) as response:
            assert response.status in {413, 415}


async def test_a_batch_is_refused(shop: Shop) -> None:
    status, body = await shop.post_graphql([{"query": "{ me { id } }"}] * 2)
    assert status == 400
    assert body["errors"]
