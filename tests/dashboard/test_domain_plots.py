"""Values over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.domain.histograms import Explicit
from services.dashboard.domain.plots import BEFORE, Growth, Level, Total, added, growth_line, growths, held, level_line


def total(slot: int, value: float, *, fresh: bool = False) -> Total:
    return Total(slot=slot, fresh=fresh, value=value)


def level(slot: int, value: float) -> Level:
    return Level(slot=slot, mean=value, low=value - 1, high=value + 1, last=value)


def values(gains: dict[int, Growth]) -> dict[int, float]:
    return {slot: growth.value for slot, growth in sorted(gains.items())}


def test_a_counter_gains_what_it_went_up_by() -> None:
    gains = growths([total(BEFORE, 5), total(0, 7), total(3, 10)], 5, 9)
    assert values(gains) == {0: 2, 1: 0, 2: 0, 3: 3, 4: 0}


def test_where_an_old_counter_stood_first_says_nothing() -> None:
    assert values(growths([total(1, 1_000_000), total(2, 1_000_001)], 3, 2)) == {1: 0, 2: 1}


def test_a_counter_that_began_within_gained_all_it_has() -> None:
    assert values(growths([total(1, 3, fresh=True)], 3, 1)) == {1: 3}


def test_a_counter_that_began_anew_gained_what_it_has_now() -> None:
    assert values(growths([total(BEFORE, 100), total(0, 4)], 1, 0)) == {0: 4}


def test_a_series_that_is_gone_has_no_values() -> None:
    assert values(growths([total(BEFORE, 1), total(0, 2)], 4, 1)) == {0: 1, 1: 0}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_what_a_counter_gained_adds_up(steps: list[int]) -> None:
    standings = [sum(steps[: end + 1]) for end in range(len(steps))]
    totals = [total(BEFORE, 0), *(total(slot, value) for slot, value in enumerate(standings))]
    assert sum(values(growths(totals, len(steps), len(steps))).values()) == sum(steps)


def test_a_histogram_of_negative_values_is_not_taken_for_a_reset() -> None:
    buckets = (Explicit((0.0,), (2, 0)), Explicit((0.0,), (3, 0)))
    before = Total(slot=BEFORE, fresh=False, value=-2, counted=2, buckets=buckets[0])
    now = Total(slot=0, fresh=False, value=-5, counted=3, buckets=buckets[1])
    assert growths([before, now], 1, 0)[0] == Growth(-3, 1, (Explicit((0.0,), (1, 0)),))


def test_differences_count_each() -> None:
    assert values(added([total(BEFORE, 9), total(0, 1), total(0, 2), total(2, 4)])) == {0: 3, 2: 4}


def test_a_level_stays_until_the_series_is_gone() -> None:
    stood = held([level(BEFORE, 2), level(1, 5)], 5, 3)
    assert [stood[slot].last for slot in range(4)] == [2, 5, 5, 5]
    assert 4 not in stood


@pytest.mark.parametrize(
    ("aggregate", "expected"), [("avg", 3.0), ("min", 1.0), ("max", 5.0), ("sum", 6.0), ("last", 4.0)]
)
def test_levels_of_several_series(aggregate: str, expected: float) -> None:
    assert level_line(aggregate, [{0: level(0, 2)}, {0: level(0, 4)}], 2) == [expected, None]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("rate", 1.0), ("count", 10.0), ("sum", 30.0), ("avg", 3.0), ("p50", 4.0)],
)
def test_figures_of_a_histogram(aggregate: str, expected: float) -> None:
    gain = Growth(15.0, 5, (Explicit((4.0, 8.0), (5, 0, 0)),))
    other = Growth(15.0, 5, (Explicit((4.0, 8.0), (0, 5, 0)),))
    assert growth_line(aggregate, [{0: gain}, {0: other}], 2, 10.0) == [expected, None]


def test_figures_of_a_counter() -> None:
    assert growth_line("increase", [{0: Growth(6.0)}, {0: Growth(4.0), 1: Growth()}], 2, 5.0) == [10.0, 0.0]
    assert growth_line("rate", [{0: Growth(6.0)}, {0: Growth(4.0), 1: Growth()}], 2, 5.0) == [2.0, 0.0]


def test_a_histogram_that_stood_still_has_no_average() -> None:
    assert growth_line("avg", [{0: Growth()}], 1, 5.0) == [None]
    assert growth_line("p99", [{0: Growth()}], 1, 5.0) == [None]
