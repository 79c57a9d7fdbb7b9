"""The catalog through its gRPC contract, on grpclib's in-memory channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.testing import ChannelFor
from redis.asyncio import Redis

from protos import catalog_pb2 as pb
from protos.catalog_grpc import CatalogStub
from services.catalog.app import Deps, create_app
from services.catalog.cache import open_cache
from services.catalog.service import Holds
from services.catalog.store.concerts import Concerts
from services.catalog.store.stock import NewConcert
from services.defaults.auth import ACCESS_TOKEN_TYPE, SERVICE_TOKEN_TYPE, TokenIssuer, TokenVerifier
from services.defaults.database import Database
from services.defaults.errors import AppError
from services.defaults.grpc import with_health_and_reflection, wrap_call
from services.defaults.grpc_errors import from_grpc_error
from services.defaults.health import Health
from tests.catalog.support import Ledger, a_concert, general, ledger, publish, seated

SECRET = "a signing key of the tests, 32 bytes or more"
ISSUER = "https://ticketflow.test"
VERIFIER = TokenVerifier(secret=SECRET, issuer=ISSUER, audience="catalog", typ=SERVICE_TOKEN_TYPE)


@asynccontextmanager
async def in_memory(deps: Deps) -> AsyncIterator[Channel]:
    """The app as it is served, errors mapped, with no socket between."""

    async def wrap(event: RecvRequest) -> None:
        event.method_func = wrap_call(event)  # type: ignore[assignment]  # its protocol names the argument

    transport = ChannelFor(with_health_and_reflection([create_app(deps)], Health("catalog", "1", {})))
    async with transport as channel:
        listen(transport._server, RecvRequest, wrap)
        yield channel


@pytest.fixture
async def channel(concerts: Concerts, holds: Holds, redis_url: str) -> AsyncIterator[Channel]:
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    async with (
        open_cache(redis_url, ttl_s=lambda: 30) as cache,
        in_memory(Deps(concerts=concerts, holds=holds, cache=cache, verifier=VERIFIER)) as channel,
    ):
        yield channel


@pytest.fixture
def catalog(channel: Channel) -> CatalogStub:
    return CatalogStub(channel)


def token(**changes: Any) -> dict[str, str]:
    options = {"secret": SECRET, "issuer": ISSUER, "audience": "catalog", "lifetime_s": 60, **changes}
    issuer = TokenIssuer(**{"typ": SERVICE_TOKEN_TYPE, **options})
    return {"authorization": f"Bearer {issuer.issue('ordering')}"}


async def refusal(call: Awaitable[Any]) -> AppError:
    with pytest.raises(GRPCError) as caught:
        await call
    return from_grpc_error(caught.value)


def a_hold(concert: NewConcert, *quantities: int, **changes: Any) -> pb.HoldTicketsRequest:
    lines = [
        pb.HoldLine(tier_id=str(tier.id), quantity=quantity)
        for tier, quantity in zip(concert.tiers, quantities, strict=False)
    ]
    fields = {
        "order_id": str(uuid4()),
        "concert_id": str(concert.id),
        "lines": lines,
        "ttl": Duration(seconds=60),
        **changes,
    }
    return pb.HoldTicketsRequest(**fields)


# --- reads


async def test_a_concert_by_slug_and_by_id(database: Database, catalog: CatalogStub) -> None:
    made = await publish(database, a_concert(general(5, sold=2), seated(3), doors_at=None))
    answer = await catalog.GetConcert(pb.GetConcertRequest(slug=made.slug))
    assert answer == await catalog.GetConcert(pb.GetConcertRequest(id=str(made.id)))
    concert = answer.concert
    assert (concert.title, concert.time_zone, concert.available) == (made.title, "Europe/Zurich", 6)
    assert concert.price_from == pb.Money(amount_minor=2500, currency="CHF")
    assert concert.starts_at.ToDatetime(UTC) == made.starts_at
    assert not concert.HasField("doors_at")
    assert [tier.seating for tier in concert.tiers] == [pb.SEATING_GENERAL, pb.SEATING_SEATED]


async def test_concerts_are_listed_page_by_page(database: Database, catalog: CatalogStub) -> None:
    starts = datetime.now(UTC) + timedelta(days=1)
    made = [await publish(database, a_concert(starts_at=starts + timedelta(days=n))) for n in range(3)]
    first = await catalog.ListConcerts(pb.ListConcertsRequest(page_size=2))
    rest = await catalog.ListConcerts(pb.ListConcertsRequest(page_size=2, page_token=first.next_page_token))
    assert [c.slug for c in (*first.concerts, *rest.concerts)] == [concert.slug for concert in made]
    assert (first.total_count, rest.total_count, rest.next_page_token) == (3, 3, "")


async def test_reads_are_cached(database: Database, catalog: CatalogStub) -> None:
    made = await publish(database, a_concert())

    async def titles() -> set[str]:
        listed = await catalog.ListConcerts(pb.ListConcertsRequest())
        got = await catalog.GetConcert(pb.GetConcertRequest(id=str(made.id)))
        batch = await catalog.BatchGetConcerts(pb.BatchGetConcertsRequest(ids=[str(made.id)]))
        return {listed.concerts[0].title, got.concert.title, batch.concerts[0].title}

    assert await titles() == {made.title}
    await database.execute("UPDATE concerts SET title = 'Renamed'")
    assert await titles() == {made.title}


async def test_a_batch_leaves_out_unknown_concerts_and_keeps_the_order(
    database: Database, catalog: CatalogStub
) -> None:
    made = [str((await publish(database, a_concert())).id) for _ in range(3)]
    asked = [made[2], str(uuid4()), made[0], made[2]]
    for _ in range(2):  # from the database, then from the cache
        answer = await catalog.BatchGetConcerts(pb.BatchGetConcertsRequest(ids=asked))
        assert [concert.id for concert in answer.concerts] == [made[2], made[0]]
    assert not (await catalog.BatchGetConcerts(pb.BatchGetConcertsRequest())).concerts


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListConcertsRequest(text="a\x00b"), "text"),
        (pb.ListConcertsRequest(text="a\nb"), "text"),
        (pb.ListConcertsRequest(city="\x1b[31m"), "city"),
        (pb.ListConcertsRequest(genre="x" * 101), "genre"),
        (pb.ListConcertsRequest(page_size=2**31 - 1), "page_size"),
        (pb.ListConcertsRequest(page_size=-1), "page_size"),
        (pb.ListConcertsRequest(page_token="\x00"), "page_token"),
        (pb.ListConcertsRequest(from_date="\x002030-01-01"), "from_date"),
        (pb.ListConcertsRequest(sort=77), "sort"),  # type: ignore[arg-type]  # an open enum carries any number
    ],
)
async def test_a_bad_search_is_refused_by_field(
    catalog: CatalogStub, request_: pb.ListConcertsRequest, field: str
) -> None:
    error = await refusal(catalog.ListConcerts(request_))
    assert (error.code, list(error.fields)) == ("INVALID", [field])


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (pb.GetConcertRequest(), "INVALID", "id"),
        (pb.GetConcertRequest(id=str(uuid4()), slug="x"), "INVALID", "id"),
        (pb.GetConcertRequest(id="42"), "INVALID", "id"),
        (pb.GetConcertRequest(id="{" + "a" * 34 + "}"), "INVALID", "id"),
        (pb.GetConcertRequest(slug="x" * 101), "INVALID", "slug"),
        (pb.GetConcertRequest(slug="a\x00"), "INVALID", "slug"),
        (pb.GetConcertRequest(slug="nowhere"), "NOT_FOUND", None),
        (pb.GetConcertRequest(id=str(uuid4())), "NOT_FOUND", None),
    ],
)
async def test_a_concert_that_is_misnamed_or_unknown(
    catalog: CatalogStub, request_: pb.GetConcertRequest, code: str, field: str | None
) -> None:
    error = await refusal(catalog.GetConcert(request_))
    assert (error.code, list(error.fields)) == (code, [field] if field else [])


async def test_a_batch_out_of_bounds_is_refused(catalog: CatalogStub) -> None:
    for ids in (["x"], [str(uuid4()) for _ in range(101)]):
        error = await refusal(catalog.BatchGetConcerts(pb.BatchGetConcertsRequest(ids=ids)))
        assert (error.code, list(error.fields)) == ("INVALID", ["ids"])


# --- writes


async def test_hold_confirm_release(database: Database, catalog: CatalogStub) -> None:
    made = await publish(database, a_concert(general(5), seated(3)))
    request = a_hold(made, 2, 1)
    held = await catalog.HoldTickets(request, metadata=token())
    assert held.hold.state == pb.HOLD_STATE_HELD
    assert held.hold.time_left.seconds == 60
    assert held.concert.slug == made.slug
    assert sorted(ticket.seat for ticket in held.hold.tickets) == ["", "", "1"]
    assert {ticket.price.amount_minor for ticket in held.hold.tickets} == {2500, 5000}

    order = request.order_id
    sold = await catalog.ConfirmHold(pb.ConfirmHoldRequest(order_id=order), metadata=token())
    assert sold.hold.state == pb.HOLD_STATE_CONFIRMED
    assert all(len(ticket.code) == 26 for ticket in sold.hold.tickets)
    assert await ledger(database, made) == Ledger(free=5, held=0, sold=3)

    for released in (3, 0):
        answer = await catalog.ReleaseHold(pb.ReleaseHoldRequest(order_id=order), metadata=token())
        assert answer.released == released


async def test_missing_tickets_are_sold_out(database: Database, catalog: CatalogStub) -> None:
    made = await publish(database, a_concert(general(3, sold=2)))
    assert (await refusal(catalog.HoldTickets(a_hold(made, 2), metadata=token()))).code == "SOLD_OUT"


BAD_HOLDS: dict[str, dict[str, Any]] = {
    "order_id": {"order_id": "1"},
    "concert_id": {"concert_id": ""},
    "ttl": {"ttl": Duration(seconds=1801)},
    "lines": {"lines": []},
}


@pytest.mark.parametrize("field", BAD_HOLDS)
async def test_a_bad_hold_is_refused_by_field(database: Database, catalog: CatalogStub, field: str) -> None:
    made = await publish(database, a_concert())
    error = await refusal(catalog.HoldTickets(a_hold(made, 1, **BAD_HOLDS[field]), metadata=token()))
    assert (error.code, list(error.fields)) == ("INVALID", [field])
    assert await ledger(database, made) == Ledger(free=10, held=0, sold=0)


@pytest.mark.parametrize("quantities", [(0,), (-1,), (11,), (2**31 - 1,), (9, 2)])
async def test_quantities_out_of_bounds_are_refused(
    database: Database, catalog: CatalogStub, quantities: tuple[int, ...]
) -> None:
    made = await publish(database, a_concert(general(20), general(20)))
    error = await refusal(catalog.HoldTickets(a_hold(made, *quantities), metadata=token()))
    assert (error.code, list(error.fields)) == ("INVALID", ["lines"])


async def test_an_empty_hold_request_is_invalid(catalog: CatalogStub) -> None:
    assert (await refusal(catalog.HoldTickets(pb.HoldTicketsRequest(), metadata=token()))).code == "INVALID"


Write = Callable[[CatalogStub, dict[str, str]], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "hold": lambda catalog, metadata: catalog.HoldTickets(pb.HoldTicketsRequest(), metadata=metadata),
    "confirm": lambda catalog, metadata: catalog.ConfirmHold(pb.ConfirmHoldRequest(), metadata=metadata),
    "release": lambda catalog, metadata: catalog.ReleaseHold(pb.ReleaseHoldRequest(), metadata=metadata),
}
STRANGERS: dict[str, Callable[[], dict[str, str]]] = {  # made when they are needed: a token lives for a minute
    "nobody": dict,
    "not a token": lambda: {"authorization": "Bearer x"},
    "another scheme": lambda: {"authorization": "Basic eDp5"},
    "another key": lambda: token(secret="another signing key, of 32 bytes or more"),
    "another audience": lambda: token(audience="ticketflow"),
    "another issuer": lambda: token(issuer="https://elsewhere.test"),
    "a buyer's kind of token": lambda: token(typ=ACCESS_TOKEN_TYPE),
    "an old token": lambda: token(lifetime_s=-3600),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("stranger", STRANGERS)
async def test_strangers_write_nothing(catalog: CatalogStub, write: str, stranger: str) -> None:
    error = await refusal(WRITES[write](catalog, STRANGERS[stranger]()))
    assert error.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("write", WRITES)
async def test_with_a_service_token_the_message_itself_is_judged(catalog: CatalogStub, write: str) -> None:
    assert (await refusal(WRITES[write](catalog, token()))).code == "INVALID"


async def test_health_is_told_over_grpc(channel: Channel) -> None:
    answer = await HealthStub(channel).Check(HealthCheckRequest(service="ticketflow.catalog.v1.Catalog"))
    assert answer.status == HealthCheckResponse.SERVING


async def test_bytes_that_are_no_message_are_invalid(channel: Channel) -> None:
    """A field of text that is no UTF-8; BytesValue has bytes where GetConcertRequest has its id."""
    method = f"/{pb.DESCRIPTOR.services_by_name['Catalog'].full_name}/GetConcert"
    call = UnaryUnaryMethod(channel, method, BytesValue, pb.GetConcertResponse)
    assert (await refusal(call(BytesValue(value=b"\xff")))).code == "INVALID"
