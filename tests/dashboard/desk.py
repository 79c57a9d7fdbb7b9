"""The pages over neighbours in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from quart import Quart, Response
from quart.typing import TestClientProtocol

from services.apphost.ports import free_ports, is_taken
from services.dashboard.app import Deps, create_app
from services.dashboard.pages.guard import FIELD
from services.dashboard.token import Access
from services.defaults.health import Health
from tests.dashboard.fakes import FakeControl, FakeMails, FakeQueues, FakeRegistry, FakeStore

HEADERS = {"Host": "localhost:18888", "Accept": "text/html"}


@dataclass
class Desk:
    """Somebody at the dashboard."""

    store: FakeStore = field(default_factory=FakeStore)
    control: FakeControl | None = field(default_factory=FakeControl)
    registry: FakeRegistry | None = None
    queues: FakeQueues | None = field(default_factory=FakeQueues)
    mails: FakeMails | None = field(default_factory=FakeMails)
    token: str = ""

    def __post_init__(self) -> None:
        self.health = Health("dashboard", "test", {})
        neighbours: dict[str, Any] = {"queues": self.queues, "mails": self.mails, "registry": self.registry}
        self.app = create_app(
            Deps(store=self.store, access=Access(self.token), health=self.health, control=self.control, **neighbours)
        )
        self.client: TestClientProtocol = self.app.test_client()

    async def get(self, path: str, **headers: str) -> Response:
        answer: Response = await self.client.get(path, headers=HEADERS | headers)
        return answer

    async def page(self, path: str, status: int = 200) -> str:
        """The page's HTML."""
        answer = await self.get(path)
        text: str = await answer.get_data(as_text=True)
        assert answer.status_code == status, text
        return text

    async def press(
        self, path: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Sends a form as one of our pages would; `fields` may say otherwise."""
        form = {FIELD: await self.form_token(), **(fields or {})}
        answer: Response = await self.client.post(path, form=form, headers={**HEADERS, **(headers or {})})
        return answer

    async def form_token(self) -> str:
        """What our forms carry."""
        found = re.search(rf'name="{FIELD}" value="([^"]+)"', await self.page("/token"))
        assert found
        return found[1]


@asynccontextmanager
async def serving(app: Quart) -> AsyncIterator[str]:
    """The application on a port of loopback; yields its address."""
    (port,) = free_ports(1)
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    stop = asyncio.Event()
    server = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    while not is_taken(port):
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await server
