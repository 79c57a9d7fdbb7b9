"""The worker and the mailbox as the processes that they are."""

import asyncio
import contextlib
import os
import secrets
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.apphost.ports import free_ports
from services.defaults.messaging import Message
from tests.contracts import samples
from tests.defaults.rabbit import until
from tests.notifications.conftest import World

ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def process(module: str, *arguments: str, **env: str) -> AsyncIterator[Process]:
    """`python -m module`, told to stop at the end; it must end well and in time."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        cwd=ROOT, env={"PATH": os.environ["PATH"], "DRAIN_S": "0.1"} | env, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    try:
        yield child
        if child.returncode is None and not arguments:
            child.terminate()
        output, _ = await asyncio.wait_for(child.communicate(), 15)
        assert child.returncode == 0, output.decode()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def get_json(url: str) -> Any:
    try:
        async with aiohttp.ClientSession() as client, client.get(url) as response:
            return await response.json()
    except OSError:
        return {}


async def _answers(url: str, key: str, *values: Any) -> bool:
    return (await get_json(url)).get(key) in values


async def test_an_event_reaches_the_mailbox(world: World, rabbitmq_url: str, redis_url: str, tmp_path: Path) -> None:
    smtp, pages, health = free_ports(3)
    mailbox = {"PORT": str(pages), "MAILBOX_SMTP_PORT": str(smtp), "MAILBOX_DIR": str(tmp_path / "box")}
    worker = {
        "PORT": str(health),
        "RABBITMQ_URL": rabbitmq_url,
        "REDIS_URL": redis_url,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp),
        "MAIL_FROM": "TicketFlow <tickets@shop.test>",
        "PUBLIC_URL": "https://shop.test",
        "RETRY_DELAYS_S": "0.3,0.6,1.2",
    }
    event_id = f"evt-{secrets.token_hex(6)}"
    async with process("services.mailbox", **mailbox), process("services.notifications", **worker):
        await until(lambda: _answers(f"http://127.0.0.1:{pages}/health", "status", "pass"), 30)
        await until(lambda: _answers(f"http://127.0.0.1:{health}/health", "status", "pass"), 30)
        await world.publish((samples.confirmed(), event_id))
        await until(lambda: _mail_arrived(pages))
        (line,) = (await get_json(f"http://127.0.0.1:{pages}/api/messages"))["messages"]
        assert line["messageId"] == f"<{event_id}@shop.test>"
        mail = await get_json(f"http://127.0.0.1:{pages}/api/messages/{line['id']}")
    assert samples.TICKETS[0].code in mail["text"]
    assert {each["contentType"] for each in mail["attachments"]} == {"image/png", "application/pdf", "text/calendar"}


async def test_replay_says_how_many(world: World, rabbitmq_url: str) -> None:
    await world.broker.publish("", [dead_letter(world, b"one"), dead_letter(world, b"two")])
    env = {"RABBITMQ_URL": rabbitmq_url, "RETRY_DELAYS_S": "0.3,0.6,1.2"}
    async with process("services.notifications", "replay", **env) as replay:
        assert replay.stdout is not None
        lines = (await asyncio.wait_for(replay.stdout.read(), 20)).decode().splitlines()
    assert lines[-1] == "2 dead letters put back."
    assert await world.broker.depth(world.queue.name) == 2


async def test_a_worker_without_settings_says_what_is_missing() -> None:
    with pytest.raises(AssertionError, match=r"MAIL_FROM(.|\n)*RABBITMQ_URL(.|\n)*SMTP_HOST"):
        async with process("services.notifications", "serve"):
            pass


def dead_letter(world: World, body: bytes) -> Message:
    return Message(body=body, routing_key=world.queue.dead_name, message_id=body.decode())


async def _mail_arrived(pages: int) -> bool:
    return len((await get_json(f"http://127.0.0.1:{pages}/api/messages")).get("messages", [])) == 1
