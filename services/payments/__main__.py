"""The sandbox provider's composition root: `python -m services.payments [serve]`."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from services.defaults.health import Health
from services.defaults.run import Background, main, serve_http
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow
from services.payments.app import Deps, create_app
from services.payments.settings import Settings
from services.payments.store import open_books
from services.payments.webhooks import open_herald


async def serve() -> None:
    s = follow(Settings, os.environ).current
    async with AsyncExitStack() as stack:
        stack.enter_context(setup_telemetry("payments", s))
        books = await stack.enter_async_context(open_books(s.payments_db))
        health = Health("payments", s.release, {"books": books.ping})
        deps = Deps(
            books=books,
            health=health,
            api_key=s.payments_api_key,
            clock=now,
            late_s=s.payments_late_s,
            stall_s=s.payments_stall_s,
            charge_limit=s.charge_limit,
            api_pages=not s.production,
        )
        loops: list[Background] = []
        if s.payments_webhook_url:
            herald = open_herald(books, url=s.payments_webhook_url, key=s.payments_api_key, clock=now)
            loops.append((await stack.enter_async_context(herald)).run)
        await serve_http(create_app(deps), s, health, background=loops)


def now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main("payments", {"serve": serve})
