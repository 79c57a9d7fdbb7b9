"""Visitors of the running shop, in the machine's own Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from services.apphost.system import System

# Chromium as root has no sandbox; the rest keeps it from calling its maker.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
)
TIMEOUT_MS = 20_000
expect.set_options(timeout=TIMEOUT_MS)
PASSWORD = "an umbrella for the third balcony"


def new_email() -> str:
    """An address that nobody has an account for, in this run or one before it."""
    return f"visitor-{uuid4().hex[:12]}@ticketflow.test"


@dataclass
class Visit:
    """One visitor, watched: `problems` are errors in the console and requests to other hosts.

    A status in `expected` is one that the test brings about, and that the console may repeat.
    """

    page: Page
    shop: str
    problems: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._on_request)

    def go(self, path: str) -> None:
        self.page.goto(self.shop + path)

    def register(self) -> None:
        """Makes an account of their own, and is logged in to it."""
        self.go("/register")
        self.page.get_by_label("Name").fill("Ada Lovelace")
        self.page.get_by_label("E-mail address").fill(new_email())
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Create account").click()
        self.page.wait_for_url(self.shop + "/")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if not any(f"status of {status}" in message.text for status in self.expected):
            self.problems.append(message.text)

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.shop).netloc and not request.url.startswith("data:"):
            self.problems.append(f"asked {request.url}")


NewVisit = Callable[..., Visit]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser a module: Playwright keeps an event loop running, which tests elsewhere must not meet."""
    program = shutil.which("chromium") or pytest.fail("There is no chromium on PATH: `make test-e2e` installs it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def new_visit(system: System, chromium: Browser) -> Iterator[NewVisit]:
    """`new_visit(**options of a Playwright context)`: each visitor has cookies of their own."""
    with visits_of(chromium, f"http://localhost:{system.ports['gateway']}") as make:
        yield make


@contextmanager
def visits_of(chromium: Browser, address: str) -> Iterator[NewVisit]:
    """Visits that begin at an address; fails at its end where one of them met a problem."""
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        context = chromium.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(TIMEOUT_MS)
        visit = Visit(context.new_page(), address)
        visit.watch()
        visits.append(visit)
        return visit

    yield make
    for visit in visits:
        visit.page.context.close()
    assert [problem for visit in visits for problem in visit.problems] == []


@pytest.fixture
def visit(new_visit: NewVisit) -> Visit:
    """A visitor with a desktop's browser."""
    return new_visit()
