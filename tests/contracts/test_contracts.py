"""The events on the wire: golden samples, evolution, and what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts import (
    EVENT_TYPES,
    ORDER_CANCELLED,
    ORDER_CONFIRMED,
    ORDER_CREATED,
    CancelReason,
    LineInfo,
    MalformedEvent,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    TicketInfo,
    UnknownEvent,
    decode,
    encode,
    type_of,
)
from tests.contracts import samples

GOLDEN = Path(__file__).parent / "golden"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
EVENTS: dict[str, OrderEvent] = {
    ORDER_CREATED: samples.created(),
    ORDER_CONFIRMED: samples.confirmed(),
    ORDER_CANCELLED: samples.cancelled(),
}


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def changed(name: str, **changes: Any) -> bytes:
    """The golden sample with attributes replaced, or left out where the change is None."""
    body = json.loads(golden(name)) | changes
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def with_data(name: str, **changes: Any) -> bytes:
    return changed(name, data=json.loads(golden(name))["data"] | changes)


def test_every_event_and_version_has_a_golden_sample() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EVENT_TYPES) == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_writes_the_golden_sample(name: str) -> None:
    body = encode(EVENTS[name], event_id="evt-1", time=AT, traceparent=TRACEPARENT)
    assert json.loads(body) == json.loads(golden(name))


@pytest.mark.parametrize("name", EVENTS)
def test_reads_the_golden_sample(name: str) -> None:
    envelope = decode(golden(name))
    assert envelope.data == EVENTS[name]
    assert (envelope.id, envelope.type, envelope.time, envelope.traceparent) == ("evt-1", name, AT, TRACEPARENT)


@pytest.mark.parametrize("name", EVENTS)
def test_ignores_fields_that_a_later_writer_may_add(name: str) -> None:
    assert decode(with_data(name, giftWrap=True)).data == EVENTS[name]
    assert decode(changed(name, dataschema="urn:later")).data == EVENTS[name]


def test_reads_a_sample_without_optional_fields() -> None:
    body = json.loads(golden(ORDER_CREATED))
    del body["data"]["concert"]["doorsAt"], body["data"]["concert"]["address"], body["traceparent"]
    envelope = decode(json.dumps(body).encode())
    assert envelope.traceparent == ""
    assert envelope.data.concert.doors_at is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\xff\xfe",
        golden(ORDER_CREATED)[:-30],
        changed(ORDER_CREATED, specversion="0.3"),
        changed(ORDER_CREATED, id=None),
        changed(ORDER_CREATED, id="a b\r\nBcc: x"),
        changed(ORDER_CREATED, time="yesterday"),
        changed(ORDER_CREATED, time="2026-03-01T12:00:00"),
        changed(ORDER_CREATED, data=None),
        changed(ORDER_CREATED, data=[]),
        with_data(ORDER_CREATED, orderId=None),
        with_data(ORDER_CREATED, orderId=7),
        with_data(ORDER_CREATED, totalMinor=-1),
        with_data(ORDER_CREATED, totalMinor="13300"),
        with_data(ORDER_CREATED, currency="euro"),
        with_data(ORDER_CREATED, lines={}),
        with_data(ORDER_CANCELLED, reason="BORED"),
    ],
)
def test_refuses_what_is_no_event(body: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(body)


@pytest.mark.parametrize("kind", ["order.created.v2", "order.shipped.v1", "order.created"])
def test_tells_an_unknown_event_from_a_malformed_one(kind: str) -> None:
    with pytest.raises(UnknownEvent):
        decode(changed(ORDER_CREATED, type=kind))


def test_a_refusal_quotes_nothing_of_the_body() -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode(with_data(ORDER_CREATED, email=["ada@example.com"]))
    assert "data.email" in str(caught.value)
    assert "ada@example.com" not in str(caught.value)


def test_an_event_that_could_not_be_read_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="currency"):
        samples.created(currency="euro")
    with pytest.raises(ValueError, match="created_at"):
        samples.created(created_at=datetime(2026, 3, 1))  # noqa: DTZ001 - a naive time is what is refused


texts = st.text(st.characters(codec="utf-8"), max_size=60)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    timezones=st.just(UTC),
)
amounts = st.integers(0, 2**53)
lines = st.builds(LineInfo, tier_id=ids, tier_name=texts, quantity=st.integers(1, 10), unit_price_minor=amounts)
tickets = st.builds(
    TicketInfo,
    id=ids,
    tier=texts,
    section=st.none() | texts,
    row=st.none() | texts,
    seat=st.none() | texts,
    code=ids,
)
orders = st.fixed_dictionaries(
    {
        "order_id": ids,
        "number": ids,
        "name": texts,
        "lines": st.lists(lines, max_size=3).map(tuple),
        "total_minor": amounts,
        "currency": st.sampled_from(["EUR", "JPY", "GBP"]),
        "created_at": moments,
    }
)
events = st.one_of(
    st.builds(lambda fields, at: samples.created(**fields, expires_at=at), orders, moments),
    st.builds(
        lambda fields, those, at: samples.confirmed(**fields, tickets=tuple(those), confirmed_at=at),
        orders,
        st.lists(tickets, max_size=3),
        moments,
    ),
    st.builds(
        lambda fields, why, paid: samples.cancelled(**fields, reason=why, refunded=paid),
        orders,
        st.sampled_from(CancelReason),
        st.booleans(),
    ),
)


@given(event=events, at=moments)
def test_reads_back_whatever_it_writes(event: OrderCreated | OrderConfirmed | OrderCancelled, at: datetime) -> None:
    envelope = decode(encode(event, event_id="evt-1", time=at))
    assert envelope.data == event
    assert (envelope.type, envelope.time) == (type_of(event), at)
