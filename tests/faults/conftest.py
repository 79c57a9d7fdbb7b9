"""One shop for all fault tests, with short times, so that what a crash leaves behind is taken up soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from services.apphost.site import DATABASES
from services.apphost.system import System, running_system
from tests.conftest import run
from tests.faults.desk import Desk, open_desk
from tests.faults.instances import SHORT_TIMES


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole shop that may be harmed; every test leaves it well, and its books closed."""
    with running_system(tmp_path_factory.mktemp("faults"), env=SHORT_TIMES) as system:
        run(commit_before_answering(system))
        yield system


async def commit_before_answering(system: System) -> None:
    """Sets right what tests elsewhere do without: their Postgres may lose what it has just acknowledged when killed."""
    connection = await asyncpg.connect(system.urls["postgres"])
    try:
        for name in DATABASES:
            await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
        # The setting is for new connections.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY($1)", DATABASES
        )
    finally:
        await connection.close()


@pytest.fixture
async def desk(system: System) -> AsyncIterator[Desk]:
    async with open_desk(system) as desk:
        yield desk
