"""What the catalog decides, without any server."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain import (
    MAX_TICKETS,
    Hold,
    HoldState,
    Sale,
    Seating,
    adjacent,
    check_sale,
    check_same_request,
    choose_seats,
    hold_request,
    ticket_code,
)
from services.defaults.errors import Conflict, Invalid

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
ORDER, CONCERT, TIER, OTHER = (uuid4() for _ in range(4))
SALE = Sale(
    starts_at=NOW + timedelta(days=9),
    on_sale_at=NOW - timedelta(days=9),
    now=NOW,
    seating={TIER: Seating.GENERAL},
    names={TIER: "Standing"},
)


def a_hold(**changes: object) -> Hold:
    request = hold_request(ORDER, CONCERT, [(TIER, 2)], 60)
    hold = Hold(ORDER, CONCERT, request.fingerprint, 2, HoldState.HELD, NOW + timedelta(seconds=60), NOW)
    return replace(hold, **changes)  # type: ignore[arg-type]  # replace checks the names itself


@pytest.mark.parametrize(
    ("lines", "ttl_s", "field"),
    [
        ([], 60, "lines"),
        ([(TIER, 0)], 60, "lines"),
        ([(TIER, -1)], 60, "lines"),
        ([(TIER, -1), (OTHER, 3)], 60, "lines"),
        ([(TIER, 3), (TIER, -1)], 60, "lines"),
        ([(TIER, 11)], 60, "lines"),
        ([(TIER, 6), (OTHER, 5)], 60, "lines"),
        ([(TIER, 6), (TIER, 5)], 60, "lines"),
        ([(TIER, 2**31 - 1)], 60, "lines"),
        ([(TIER, 1)], 0.999, "ttl"),
        ([(TIER, 1)], 1800.5, "ttl"),
        ([(TIER, 1)], -5, "ttl"),
        ([(TIER, 1)], float("nan"), "ttl"),
    ],
)
def test_a_request_out_of_bounds_is_refused_by_field(lines: list[tuple[UUID, int]], ttl_s: float, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        hold_request(ORDER, CONCERT, lines, ttl_s)
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(("quantity", "ttl_s"), [(1, 1), (MAX_TICKETS, 1800)])
def test_the_bounds_themselves_are_allowed(quantity: int, ttl_s: float) -> None:
    assert hold_request(ORDER, CONCERT, [(TIER, quantity)], ttl_s).quantity == quantity


def test_lines_of_one_tier_are_one_line() -> None:
    assert hold_request(ORDER, CONCERT, [(TIER, 1), (TIER, 2)], 60).quantities == {TIER: 3}


@given(st.permutations([(uuid4(), 1), (uuid4(), 2), (uuid4(), 3)]), st.floats(1, 1800))
def test_the_fingerprint_knows_no_order_and_no_ttl(lines: list[tuple[UUID, int]], ttl_s: float) -> None:
    request = hold_request(ORDER, CONCERT, lines, ttl_s)
    assert request.fingerprint == hold_request(ORDER, CONCERT, sorted(lines), 60).fingerprint


@pytest.mark.parametrize(
    ("concert_id", "lines"), [(CONCERT, [(TIER, 3)]), (CONCERT, [(OTHER, 2)]), (OTHER, [(TIER, 2)])]
)
def test_another_request_has_another_fingerprint(concert_id: UUID, lines: list[tuple[UUID, int]]) -> None:
    with pytest.raises(Conflict):
        check_same_request(a_hold(), hold_request(ORDER, concert_id, lines, 60))


def test_a_concert_on_sale_is_sold() -> None:
    check_sale(SALE, hold_request(ORDER, CONCERT, [(TIER, 1)], 60))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"starts_at": NOW}, Conflict),
        ({"starts_at": NOW - timedelta(days=1)}, Conflict),
        ({"on_sale_at": NOW + timedelta(seconds=1)}, Conflict),
        ({"seating": {OTHER: Seating.GENERAL}}, Invalid),
    ],
)
def test_a_concert_past_or_not_on_sale_and_a_strange_tier_are_refused(
    change: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_sale(replace(SALE, **change), hold_request(ORDER, CONCERT, [(TIER, 1)], 60))  # type: ignore[arg-type]  # as above


def test_a_lease_ends_at_its_time_and_not_before() -> None:
    assert not a_hold(expires_at=NOW + timedelta(microseconds=1)).lapsed
    assert a_hold(expires_at=NOW).lapsed
    assert a_hold(expires_at=NOW - timedelta(hours=1)).time_left == timedelta(0)


# Rows of seats, a gap between each two, some taken: as the free positions of a tier are.
free_seats = st.sets(st.integers(1, 120), max_size=80).map(sorted)


@given(free_seats, st.integers(1, MAX_TICKETS))
def test_seats_chosen_are_free_distinct_and_as_many_as_there_are(free: list[int], quantity: int) -> None:
    chosen = choose_seats(free, quantity)
    assert len(chosen) == len(set(chosen)) == min(quantity, len(free))
    assert set(chosen) <= set(free)


@given(free_seats, st.integers(1, MAX_TICKETS))
def test_seats_are_together_wherever_so_many_are_free_together(free: list[int], quantity: int) -> None:
    possible = any(set(range(first, first + quantity)) <= set(free) for first in free)
    assert not possible or adjacent(choose_seats(free, quantity))


def test_a_party_that_fits_nowhere_is_split_as_little_as_possible() -> None:
    assert sorted(choose_seats([1, 3, 5, 6, 7, 9], 4)) == [1, 5, 6, 7]


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_codes_keep_all_their_entropy(one: bytes, other: bytes) -> None:
    assert (ticket_code(one) == ticket_code(other)) == (one == other)


def test_a_code_is_short_and_made_of_capitals_and_digits() -> None:
    code = ticket_code(secrets.token_bytes(16))
    assert len(code) == 26
    assert code.isalnum()
    assert code == code.upper()
