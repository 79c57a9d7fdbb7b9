"""Histograms: differences, sums and percentiles."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.domain.histograms import Buckets, Explicit, Exponential, grown, merged, quantile
from services.dashboard.domain.latencies import percentile

BOUNDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
SHARES = st.floats(0, 1)
MEASURED = st.lists(st.floats(0.0001, 4.9), min_size=1, max_size=60)


def explicit(measured: list[float]) -> Explicit:
    counts = [0] * (len(BOUNDS) + 1)
    for value in measured:
        counts[bisect_left(BOUNDS, value)] += 1
    return Explicit(BOUNDS, tuple(counts))


def exponential(measured: list[float], scale: int = 3) -> Exponential:
    positive: dict[int, int] = {}
    for value in measured:
        index = math.ceil(math.log2(value) * 2**scale) - 1
        positive[index] = positive.get(index, 0) + 1
    return Exponential(scale, 0, positive)


@given(MEASURED, SHARES)
def test_a_percentile_lies_in_the_bucket_of_the_value_with_its_rank(measured: list[float], share: float) -> None:
    exact = sorted(measured)[max(0, math.ceil(share * len(measured)) - 1)]
    at = bisect_left(BOUNDS, exact)
    low = BOUNDS[at - 1] if at else 0.0
    found = quantile(share, [explicit(measured)])
    assert found is not None
    assert low - 1e-9 <= found <= BOUNDS[at] + 1e-9


@given(MEASURED, SHARES)
def test_exponential_buckets_are_right_within_their_base(measured: list[float], share: float) -> None:
    exact = sorted(measured)[max(0, math.ceil(share * len(measured)) - 1)]
    found = quantile(share, [exponential(measured)])
    assert found is not None
    base = 2 ** (2**-3)
    assert exact / base - 1e-9 <= found <= exact * base + 1e-9


@given(MEASURED, SHARES, SHARES)
def test_percentiles_grow_with_their_share(measured: list[float], one: float, other: float) -> None:
    low, high = (quantile(share, [explicit(measured)]) for share in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high + 1e-12


@given(MEASURED, MEASURED)
def test_what_has_grown_is_what_was_measured_since(before: list[float], since: list[float]) -> None:
    assert grown(explicit(before), explicit(before + since)) == explicit(since)
    difference = grown(exponential(before), exponential(before + since))
    assert isinstance(difference, Exponential)
    assert {index: count for index, count in difference.positive.items() if count} == exponential(since).positive


@given(MEASURED, MEASURED)
def test_sums_are_as_if_measured_together(one: list[float], other: list[float]) -> None:
    assert merged([explicit(one), explicit(other)]) == [explicit(one + other)]
    assert merged([exponential(one), exponential(other)]) == [exponential(one + other)]


@given(MEASURED, MEASURED, st.integers(-4, 6), st.integers(-4, 6))
def test_scales_meet_at_the_coarser(one: list[float], other: list[float], scale: int, second: int) -> None:
    (together,) = merged([exponential(one, scale), exponential(other, second)])
    assert together == exponential(one + other, min(scale, second))


@pytest.mark.parametrize(
    "before",
    [None, Explicit((1.0, 2.0), (9, 9, 9)), Explicit((1.0, 3.0), (0, 0, 0)), Exponential(0, 1, {0: 1})],
    ids=["nothing", "reset", "other bounds", "other kind"],
)
def test_what_cannot_be_compared_begins_anew(before: Buckets | None) -> None:
    after = Explicit((1.0, 2.0), (1, 2, 3))
    assert grown(before, after) == after


def test_an_exponential_reset_begins_anew() -> None:
    after = Exponential(2, 1, {3: 1})
    assert grown(Exponential(2, 5, {3: 4}), after) == after


@pytest.mark.parametrize("buckets", [[], [Explicit((), (7,))], [Explicit((1.0,), (0, 0))], [Exponential(0)]])
def test_of_nothing_known_there_is_no_percentile(buckets: list[Buckets]) -> None:
    assert quantile(0.5, buckets) is None


def test_beyond_the_last_bound_the_bound_is_the_answer() -> None:
    assert quantile(0.99, [Explicit((1.0, 2.0), (0, 0, 5))]) == 2.0


def test_negative_and_zero_measurements() -> None:
    buckets = Exponential(0, zero=2, positive={0: 2}, negative={0: 2})  # (1, 2], 0, [-2, -1)
    assert quantile(0.0, [buckets]) == -2.0
    assert quantile(0.5, [buckets]) == 0.0
    assert quantile(1.0, [buckets]) == 2.0


def test_indexes_beyond_what_a_float_holds() -> None:
    found = quantile(0.5, [Exponential(-10, 0, {2**31: 1, -(2**31): 1})])
    assert found is not None
    assert math.isfinite(found)


@given(st.lists(st.integers(0, 10**12), min_size=1), SHARES)
def test_the_nearest_rank_is_one_of_the_durations(durations: list[int], share: float) -> None:
    found = percentile(durations, share)
    assert found in durations
    assert sum(each <= found for each in durations) >= share * len(durations) - 1e-6
