"""Reading the broker: how many messages wait where, and which are dead."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPException, ChannelNotFoundEntity

from services.apphost.audit.records import Broker
from services.apphost.checks import check_rabbitmq
from services.contracts import NOTIFICATIONS_DEAD_QUEUE, NOTIFICATIONS_QUEUE, NOTIFICATIONS_RETRY_QUEUE
from services.defaults.work_queue import REASON_HEADER

RETRY_DELAYS_MS: Final = (1_000, 10_000, 60_000, 600_000)  # the usual ones; a queue that is not there is left out
QUEUES: Final = (
    NOTIFICATIONS_QUEUE,
    *(f"{NOTIFICATIONS_RETRY_QUEUE}.{delay}" for delay in RETRY_DELAYS_MS),
    NOTIFICATIONS_DEAD_QUEUE,
)
DEAD_LETTERS: Final = 1_000  # are looked at, at most
TIMEOUT_S: Final = 10.0


async def read_broker(url: str) -> Broker:
    """Raises OSError when the broker is away or breaks off."""
    try:
        await check_rabbitmq(url)
        connection = await aiormq.connect(url)
        try:
            queues = {name: await _depth(connection, name) for name in QUEUES}
            dead = await _read_dead(connection) if queues[NOTIFICATIONS_DEAD_QUEUE] else {}
        finally:
            await connection.close()
    except AMQPException as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    return Broker(queues={name: depth for name, depth in queues.items() if depth is not None}, dead=dead)


async def _depth(connection: AbstractConnection, queue: str) -> int | None:
    """Messages that are ready in a queue; None for one that nobody has declared."""
    try:
        async with _channel(connection) as channel:
            declared = await channel.queue_declare(queue, passive=True, timeout=TIMEOUT_S)
    except ChannelNotFoundEntity:
        return None
    return declared.message_count or 0


async def _read_dead(connection: AbstractConnection) -> dict[str, str]:
    """Message ids and reasons. Nothing is acknowledged: as the channel closes, the broker takes all of them back."""
    found: dict[str, str] = {}
    async with _channel(connection) as channel:
        for _ in range(DEAD_LETTERS):
            message = await channel.basic_get(NOTIFICATIONS_DEAD_QUEUE, timeout=TIMEOUT_S)
            if message.delivery_tag is None:
                break
            properties = message.header.properties
            found[properties.message_id or ""] = _reason(properties.headers or {})
    return found


def _reason(headers: Mapping[str, Any]) -> str:
    """The worker's own, or what the broker noted of a message that killed its worker each time."""
    return str(headers.get(REASON_HEADER) or headers.get("x-first-death-reason") or "no reason is given")


@contextlib.asynccontextmanager
async def _channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    channel = await connection.channel(timeout=TIMEOUT_S)
    try:
        yield channel
    finally:
        if not channel.is_closed:
            await channel.close()
