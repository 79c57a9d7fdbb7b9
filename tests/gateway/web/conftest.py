from __future__ import annotations

import pytest

from services.gateway.app import create_app
from tests.gateway.conftest import MakeDeps
from tests.gateway.fakes import Shop
from tests.gateway.web.browser import Browser
from tests.gateway.web.samples import coming_concert


@pytest.fixture
def shop() -> Shop:
    """Thirty concerts on sale."""
    shop = Shop()
    shop.catalog.concerts[:] = [coming_concert(number) for number in range(1, 31)]
    return shop


@pytest.fixture
def browser(make_deps: MakeDeps) -> Browser:
    """A visitor without a session, in front of the fake services."""
    return Browser(create_app(make_deps()))


@pytest.fixture
def buyer(browser: Browser, token: str) -> Browser:
    """A visitor who is logged in."""
    browser.log_in(token)
    return browser
