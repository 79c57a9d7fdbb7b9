"""The caller's deadline: nested scopes only shorten it, and its header survives nonsense."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.defaults.deadline import deadline_scope, format_deadline, no_deadline, parse_deadline, remaining_s


def test_without_a_deadline_the_default_stands() -> None:
    assert remaining_s(30.0) == 30.0


def test_a_scope_caps_the_default_and_ends() -> None:
    with deadline_scope(2.0):
        assert 1.5 < remaining_s(30.0) <= 2.0
        assert remaining_s(1.0) == 1.0
    assert remaining_s(30.0) == 30.0


def test_an_inner_scope_shortens_and_never_lengthens() -> None:
    with deadline_scope(2.0):
        with deadline_scope(60.0):
            assert remaining_s(30.0) <= 2.0
        with deadline_scope(0.5):
            assert remaining_s(30.0) <= 0.5
        with deadline_scope(None):
            assert remaining_s(30.0) <= 2.0
        assert remaining_s(30.0) > 0.5


def test_a_deadline_that_has_passed_leaves_nothing() -> None:
    with deadline_scope(-1.0):
        assert remaining_s(30.0) == 0.0


async def test_tasks_started_inside_have_the_same_deadline() -> None:
    async def ask() -> float:
        return remaining_s(30.0)

    with deadline_scope(1.0):
        inside = asyncio.create_task(ask())
    assert await inside <= 1.0
    assert remaining_s(30.0) == 30.0


def test_what_is_for_others_too_has_no_deadline() -> None:
    with deadline_scope(1.0):
        with no_deadline():
            assert remaining_s(30.0) == 30.0
        assert remaining_s(30.0) <= 1.0


@pytest.mark.parametrize(
    "value", [None, "", "-5", "1.5", "abc", "٣٠", "1e3", "9" * 400, " 10", "10ms"], ids=lambda v: repr(v)[:12]
)
def test_a_senseless_header_is_no_deadline(value: str | None) -> None:
    assert parse_deadline(value) is None


def test_a_header_beyond_an_hour_counts_as_an_hour() -> None:
    assert parse_deadline("9999999") == 3600.0


@given(st.floats(min_value=0, max_value=3600))
def test_what_is_sent_is_read_back_and_never_longer(timeout_s: float) -> None:
    read = parse_deadline(format_deadline(timeout_s))
    assert read is not None
    assert timeout_s - 0.0011 <= read <= timeout_s
