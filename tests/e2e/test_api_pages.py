"""The API pages of the REST services, and GraphiQL: they render, and ask no other host for anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from services.apphost.system import System

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("service", "route"), [("identity", "/login"), ("ordering", "/orders"), ("payments", "/charges")]
)
def test_the_page_of_an_api_shows_its_routes(chromium: Browser, system: System, service: str, route: str) -> None:
    with visit_of(chromium, f"{system.urls[service]}/docs") as page:
        expect(page.locator(".opblock-summary-path", has_text=route).first).to_be_visible()


def test_graphiql_runs_a_query(chromium: Browser, system: System) -> None:
    with visit_of(chromium, f"{system.urls['gateway']}/graphql") as page:
        page.get_by_role("button", name="Execute query").click()
        expect(page.locator(".result-window")).to_contain_text("startsAt")


@contextmanager
def visit_of(chromium: Browser, address: str) -> Iterator[Page]:
    """The page at an address; fails at its end where it asked another host for anything."""
    page = chromium.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(address)
    yield page
    assert hosts - {""} == {urlsplit(address).netloc}
    page.close()
