from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos import catalog_pb2 as pb
from services.defaults.errors import Invalid, NotFound, Unavailable
from services.defaults.resilience import HttpAnswer
from services.gateway.clients import ConcertSearch
from services.gateway.clients.catalog import GrpcCatalog
from services.gateway.clients.identity import HttpIdentity
from services.gateway.clients.ordering import HttpOrdering

ORDER_ID = "22222222-2222-4222-8222-222222222222"
MONEY = {"amountMinor": 9800, "currency": "EUR"}
ORDER = {
    "id": ORDER_ID,
    "number": "TF-1234",
    "status": "PENDING",
    "cancelReason": None,
    "concertId": "c1",
    "concert": {
        "id": "c1",
        "title": "Night",
        "artist": "The Fixtures",
        "slug": "night",
        "startsAt": "2030-06-02T20:00:00.000+02:00",
        "doorsAt": None,
        "timeZone": "Europe/Berlin",
        "venue": "Hall",
        "city": "Berlin",
        "country": "DE",
        "address": "",
    },
    "lines": [{"tierId": "t1", "tierName": "Floor", "quantity": 2, "unitPrice": MONEY}],
    "tickets": [{"id": "k1", "tier": "Floor", "section": None, "row": None, "seat": None, "code": None}],
    "total": MONEY,
    "createdAt": "2030-06-01T12:00:00.000Z",
    "expiresAt": "2030-06-01T12:10:00.000Z",
    "timeline": [{"event": "placed", "at": "2030-06-01T12:00:00.000Z"}],
}


@dataclass
class FakeGrpc:
    """Answers each method with what is set for it, or raises it."""

    answers: dict[str, Any]
    requests: list[tuple[str, Any]] = field(default_factory=list)

    async def call(self, method: str, request: Any) -> Any:
        self.requests.append((method, request))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FakeHttp:
    """Answers everything with `body`, or raises it."""

    body: Any
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        may_be_slow: bool = False,
    ) -> HttpAnswer:
        sent = {
            "json": json,
            "params": params,
            "token": token,
            "idempotency_key": idempotency_key,
            "headers": headers,
            "may_be_slow": may_be_slow,
        }
        self.requests.append((method, path, {name: value for name, value in sent.items() if value}))
        if isinstance(self.body, Exception):
            raise self.body
        return HttpAnswer(200, self.body, {})


def moment(value: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(value)
    return timestamp


def wire_concert() -> pb.Concert:
    return pb.Concert(
        id="c1",
        slug="night",
        title="Night",
        artist="The Fixtures",
        genre="Rock",
        description="Loud.",
        starts_at=moment(datetime(2030, 6, 2, 18, tzinfo=UTC)),
        on_sale_at=moment(datetime(2030, 1, 1, tzinfo=UTC)),
        venue=pb.Venue(id="v1", name="Hall", city="Berlin", country="DE"),
        tiers=[
            pb.Tier(
                id="t1",
                name="Seats",
                price=pb.Money(amount_minor=4900, currency="EUR"),
                seating=pb.SEATING_SEATED,
                capacity=10,
                available=3,
                includes="A seat.",
            )
        ],
        price_from=pb.Money(amount_minor=4900, currency="EUR"),
        available=3,
        time_zone="Europe/Berlin",
    )


async def test_a_search_and_its_page() -> None:
    answer = pb.ListConcertsResponse(concerts=[wire_concert()], next_page_token="t2", total_count=9)
    grpc = FakeGrpc({"ListConcerts": answer})
    search = ConcertSearch(text="a", city="b", genre="c", from_date=date(2030, 1, 2), sort="PRICE", first=5)
    page = await GrpcCatalog(grpc).list_concerts(search)
    assert grpc.requests == [
        (
            "ListConcerts",
            pb.ListConcertsRequest(
                text="a", city="b", genre="c", from_date="2030-01-02", sort=pb.CONCERT_SORT_PRICE, page_size=5
            ),
        )
    ]
    assert (page["totalCount"], page["pageInfo"]) == (9, {"hasNextPage": True, "endCursor": "t2"})
    concert = page["nodes"][0]
    assert concert["startsAt"] == datetime(2030, 6, 2, 18, tzinfo=UTC)
    assert concert["doorsAt"] is None
    assert concert["venue"]["address"] is None
    assert concert["tiers"][0]["seating"] == "SEATED"
    assert concert["tiers"][0]["price"] == {"amountMinor": 4900, "currency": "EUR"}


async def test_the_last_page_has_no_cursor() -> None:
    page = await GrpcCatalog(FakeGrpc({"ListConcerts": pb.ListConcertsResponse()})).list_concerts(ConcertSearch())
    assert page["pageInfo"] == {"hasNextPage": False, "endCursor": None}


async def test_fields_at_fault_in_a_search_have_graphqls_names() -> None:
    wrong = Invalid("No.", fields={"page_token": "Changed.", "from_date": "No date.", "text": "Too long."})
    with pytest.raises(Invalid) as raised:
        await GrpcCatalog(FakeGrpc({"ListConcerts": wrong})).list_concerts(ConcertSearch())
    assert raised.value.fields == {"after": "Changed.", "from": "No date.", "text": "Too long."}


async def test_one_concert_or_none() -> None:
    grpc = FakeGrpc({"GetConcert": pb.GetConcertResponse(concert=wire_concert())})
    found = await GrpcCatalog(grpc).get_concert(slug="night")
    assert found
    assert found["title"] == "Night"
    assert grpc.requests == [("GetConcert", pb.GetConcertRequest(slug="night"))]
    assert await GrpcCatalog(FakeGrpc({"GetConcert": NotFound("No.")})).get_concert(slug="x") is None


async def test_many_concerts_by_id() -> None:
    grpc = FakeGrpc({"BatchGetConcerts": pb.BatchGetConcertsResponse(concerts=[wire_concert()])})
    found = await GrpcCatalog(grpc).get_concerts(["c1", "gone"])
    assert found.keys() == {"c1"}
    assert grpc.requests == [("BatchGetConcerts", pb.BatchGetConcertsRequest(ids=["c1", "gone"]))]


async def test_identity_is_told_who_asks_and_answers_a_session() -> None:
    user = {"id": "u1", "email": "a@b.test", "name": "A"}
    body = {
        "accessToken": "at",
        "refreshToken": "rt",
        "expiresIn": 900,
        "tokenType": "Bearer",
        "user": user,
    }
    http = FakeHttp(body)
    session = await HttpIdentity(http).login(email="a@b.test", password="p", client_address="192.0.2.1")
    assert session == {"accessToken": "at", "refreshToken": "rt", "expiresIn": 900, "user": user}
    sent = {"json": {"email": "a@b.test", "password": "p"}, "headers": {"X-Forwarded-For": "192.0.2.1"}}
    assert http.requests == [("POST", "/login", sent)]


async def test_me_is_asked_with_the_token() -> None:
    http = FakeHttp({"id": "u1", "email": "a@b.test", "name": "A"})
    assert (await HttpIdentity(http).me("at"))["id"] == "u1"
    assert http.requests == [("GET", "/me", {"token": "at"})]


async def test_an_order_in_graphqls_shape() -> None:
    order = await HttpOrdering(FakeHttp(ORDER)).get_order("at", ORDER_ID)
    assert order
    assert order["createdAt"] == datetime(2030, 6, 1, 12, tzinfo=UTC)
    assert order["concert"]["startsAt"] == datetime(2030, 6, 2, 18, tzinfo=UTC)
    assert order["concert"]["venue"] == {"name": "Hall", "city": "Berlin", "country": "DE", "address": None}
    assert order["timeline"] == [{"event": "placed", "at": datetime(2030, 6, 1, 12, tzinfo=UTC)}]


async def test_placing_and_paying_carry_their_key() -> None:
    http = FakeHttp(ORDER)
    ordering = HttpOrdering(http)
    lines = [{"tierId": "t1", "quantity": 2}]
    await ordering.place_order("at", concert_id="c1", lines=lines, idempotency_key="k1")
    card = {"number": "4242", "expiry": "12/40", "cvc": "123"}
    await ordering.pay_order("at", ORDER_ID, card=card, idempotency_key="k2")
    placed = {"json": {"concertId": "c1", "lines": lines}, "token": "at", "idempotency_key": "k1"}
    paid = {"json": {"card": card}, "token": "at", "idempotency_key": "k2", "may_be_slow": True}
    assert http.requests == [("POST", "/orders", placed), ("POST", f"/orders/{ORDER_ID}/payment", paid)]


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "é", "\x00", "two words", "\ud800"])
async def test_a_key_that_no_header_can_carry_travels_in_another_form(key: str) -> None:
    http = FakeHttp(ORDER)
    for _ in range(2):
        await HttpOrdering(http).place_order("at", concert_id="c1", lines=[], idempotency_key=key)
    sent = {options["idempotency_key"] for _, _, options in http.requests}
    assert len(sent) == 1
    assert re.fullmatch(r"sha256-[0-9a-f]{64}", sent.pop())


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_a_key_too_short_or_too_long_is_invalid(key: str) -> None:
    http = FakeHttp(ORDER)
    with pytest.raises(Invalid) as raised:
        await HttpOrdering(http).place_order("at", concert_id="c1", lines=[], idempotency_key=key)
    assert list(raised.value.fields) == ["idempotencyKey"]
    assert not http.requests


@pytest.mark.parametrize("order_id", ["", "x", "../me", f"{ORDER_ID}/payment", "%2e%2e", "1" * 5000])
async def test_what_is_no_orders_id_asks_nobody(order_id: str) -> None:
    http = FakeHttp(ORDER)
    ordering = HttpOrdering(http)
    assert await ordering.get_order("at", order_id) is None
    with pytest.raises(NotFound):
        await ordering.cancel_order("at", order_id)
    assert not http.requests


async def test_orders_come_in_pages() -> None:
    http = FakeHttp({"nodes": [ORDER], "pageInfo": {"hasNextPage": True, "endCursor": "c"}})
    page = await HttpOrdering(http).list_orders("at", first=1, after="b")
    assert page["nodes"][0]["number"] == "TF-1234"
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": "c"}
    assert http.requests == [("GET", "/orders", {"params": {"first": "1", "after": "b"}, "token": "at"})]


async def test_pings_raise_where_nobody_answers() -> None:
    away = Unavailable("Away.")
    grpc, http = FakeGrpc({"ListConcerts": away}), FakeHttp(away)
    for ping in (GrpcCatalog(grpc).ping, HttpIdentity(http).ping, HttpOrdering(http).ping):
        with pytest.raises(Unavailable):
            await ping()
