"""One shop for all fault tests, with short times, so that what a crash leaves behind is taken up soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.apphost.system import System, running_system
from tests.faults.desk import Desk, open_desk
from tests.faults.instances import SHORT_TIMES


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole shop that may be harmed; every test leaves it well, and its books closed."""
    with running_system(tmp_path_factory.mktemp("faults"), env=SHORT_TIMES, without=("dashboard",)) as system:
        yield system


@pytest.fixture
async def desk(system: System) -> AsyncIterator[Desk]:
    async with open_desk(system) as desk:
        yield desk
