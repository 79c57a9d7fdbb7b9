"""The sandbox provider on a file of its own, with a clock that the tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from quart import Quart

from services.defaults.health import Health
from services.payments.app import Deps, create_app
from services.payments.store import Books, open_books
from tests.payments.support import API_KEY, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books_path(tmp_path: Path) -> str:
    return str(tmp_path / "payments" / "books.db")


@pytest.fixture
async def books(books_path: str) -> AsyncIterator[Books]:
    async with open_books(books_path) as books:
        yield books


@pytest.fixture
def app(books: Books, clock: Clock) -> Quart:
    deps = Deps(
        books=books,
        health=Health("payments", "test", {"books": books.ping}),
        api_key=API_KEY,
        clock=clock,
        late_s=8,
        stall_s=0,
        charge_limit=100_000,
    )
    return create_app(deps)
