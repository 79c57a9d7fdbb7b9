"""A store of its own for each test, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.dashboard.store import Store, open_store
from services.dashboard.store.pruning import Limits
from tests.dashboard.support import Clock

ROOMY = Limits(max_bytes=50_000_000, max_age_s=3600)


@asynccontextmanager
async def running_store(path: Path, clock: Clock, limits: Limits = ROOMY) -> AsyncIterator[Store]:
    """The store at `path`, with its writer at work."""
    stop = asyncio.Event()
    async with open_store(path, limits, clock_ns=clock) as store, asyncio.TaskGroup() as tasks:
        tasks.create_task(store.writer.run(stop))
        yield store
        stop.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "telemetry.db"


@pytest.fixture
async def store(store_path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with running_store(store_path, clock) as store:
        yield store
