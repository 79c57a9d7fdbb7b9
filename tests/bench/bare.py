"""The yardstick of browsing: one Quart route that does nothing, on the server that serves everything else."""

from __future__ import annotations

import asyncio
import os

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart

app = Quart(__name__)


@app.get("/")
async def nothing() -> dict[str, str]:
    return {"status": "pass"}


async def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['PORT']}"]
    config.errorlog = None
    await serve(app, config, shutdown_trigger=asyncio.Event().wait)


if __name__ == "__main__":
    uvloop.run(main())
