from __future__ import annotations

from services.defaults.outages import BASE_S, back_off_s, is_news


def test_an_outage_of_an_hour_is_a_dozen_lines() -> None:
    assert [failures for failures in range(1, 40) if is_news(failures)] == [1, 2, 4, 8, 16, 32]


def test_waits_grow_up_to_the_maximum_and_differ() -> None:
    assert all(0 <= back_off_s(1, 30) <= BASE_S * 2 for _ in range(100))
    late = [back_off_s(10**6, 30) for _ in range(100)]
    assert max(late) <= 30
    assert len(set(late)) == 100
