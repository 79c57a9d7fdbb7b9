"""Starts the mailbox: SMTP on one port, its pages on another."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from services.defaults.health import Health
from services.defaults.run import main, serve_http
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow
from services.mailbox.app import create_app
from services.mailbox.settings import Settings
from services.mailbox.smtp import smtp_server
from services.mailbox.store import MailStore

NAME = "mailbox"


async def serve() -> None:
    settings = follow(Settings, os.environ).current
    async with AsyncExitStack() as stack:
        stack.enter_context(setup_telemetry(NAME, settings))
        store = await asyncio.to_thread(MailStore, Path(settings.mailbox_dir))
        await stack.enter_async_context(
            smtp_server(store, settings.host, settings.mailbox_smtp_port, max_bytes=settings.mailbox_max_bytes)
        )

        async def check_folder() -> None:
            await asyncio.to_thread(store.check)

        health = Health(NAME, settings.release, {"folder": check_folder})
        await serve_http(create_app(store, health), settings, health)


if __name__ == "__main__":
    main(NAME, {"serve": serve})
