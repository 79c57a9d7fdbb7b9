"""What is behind the gateway, in two instances, is restarted one after the other under load: nobody notices."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import pytest

from services.apphost.system import System, running_system
from tests.faults.desk import killed, open_desk
from tests.faults.instances import SHORT_TIMES
from tests.faults.load import new_seed, under_load

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]

RESTARTS = 20
SERVICES = ("ordering", "catalog", "identity", "notifications")  # a gateway's own clients are a load balancer's job


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(
        tmp_path_factory.mktemp("rolling"), env=SHORT_TIMES, without=("dashboard",), instances=2
    ) as system:
        yield system


async def test_twenty_restarts_under_load(pair: System) -> None:
    parts = itertools.cycle(f"{service}{which}" for service in SERVICES for which in ("", "-2"))
    async with open_desk(pair) as desk:
        async with under_load(desk, new_seed()) as load:
            for part in itertools.islice(parts, RESTARTS):
                await killed(pair, part, signal.SIGTERM)
                await load.goes_on()
        assert not load.failures
        assert not load.turned_away
        await desk.close()


async def test_a_service_without_instances_is_noticed(pair: System) -> None:
    """The positive control: where none is left, requests have to be made again."""
    async with open_desk(pair) as desk:
        async with under_load(desk, new_seed()) as load:
            with pair.down("ordering"), pair.down("ordering-2"):
                await load.meets_trouble()
            await load.goes_on()
        assert not load.failures
        await desk.close()
