"""The API pages of the REST services, and GraphiQL: they render, and ask no other host for anything."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from services.apphost.system import System

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("service", "route"), [("identity", "/login"), ("ordering", "/orders"), ("payments", "/charges")]
)
def test_the_page_of_an_api_shows_its_routes(chromium: Browser, system: System, service: str, route: str) -> None:
    page = chromium.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(f"{system.urls[service]}/docs")
    expect(page.locator(".opblock-summary-path", has_text=route).first).to_be_visible()
    assert hosts - {""} == {urlsplit(system.urls[service]).netloc}
    page.close()
