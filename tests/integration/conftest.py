from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.apphost.system import System
from tests.integration.shop import Shop, open_shop


@pytest.fixture
async def shop(system: System) -> AsyncIterator[Shop]:
    """A stranger at the gateway."""
    async with open_shop(system.urls["gateway"]) as opened:
        yield opened


@pytest.fixture
async def buyer(shop: Shop) -> Shop:
    """A person with an account of their own."""
    await shop.register()
    return shop
