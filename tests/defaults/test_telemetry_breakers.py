"""How many circuit breakers are open, as it is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.defaults import attempts
from services.defaults.errors import AppError
from tests.defaults.scripted import QUICK, answer, scripted


class Counted:
    """In place of a counter: what was added to it."""

    def __init__(self) -> None:
        self.added: list[tuple[int, dict[str, str]]] = []

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        self.added.append((amount, attributes))


async def test_a_breaker_is_counted_while_it_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    changes, open_now = Counted(), Counted()
    monkeypatch.setattr(attempts, "_breaker_changes", changes)
    monkeypatch.setattr(attempts, "_breakers_open", open_now)
    policy = replace(QUICK, retries=0, break_after=2)
    async with scripted(answer(500), answer(500), answer(200), policy=policy) as (_, shop):
        for _ in range(2):
            with pytest.raises(AppError):
                await shop.request("GET", "/")
        assert sum(amount for amount, _ in open_now.added) == 1
        await asyncio.sleep(policy.break_s + 0.05)
        await shop.request("GET", "/")
    assert sum(amount for amount, _ in open_now.added) == 0
    assert [attributes["state"] for _, attributes in changes.added] == ["opened", "half-opened", "closed"]
    assert {attributes["peer"] for _, attributes in changes.added + open_now.added} == {"shop"}
