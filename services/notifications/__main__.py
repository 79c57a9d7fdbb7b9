"""Starts the worker, or puts its dead letters back to work.

python -m services.notifications [serve | replay]
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from services.defaults.health import Health
from services.defaults.messaging import open_broker
from services.defaults.run import main, serve_worker
from services.defaults.settings import load
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow
from services.notifications.consumer import handler, work_queue
from services.notifications.gauges import QueueGauge
from services.notifications.mail import Composer
from services.notifications.mailer import Mailer
from services.notifications.service import Notifier
from services.notifications.settings import QueueSettings, Settings
from services.notifications.store import open_seen_events

NAME = "notifications"


async def serve() -> None:
    settings = follow(Settings, os.environ).current
    queue = work_queue(settings.delays_s)
    mailer = Mailer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=settings.smtp_password,
        tls=settings.smtp_tls,
    )
    keep_s = round(timedelta(days=settings.seen_days).total_seconds())
    async with AsyncExitStack() as stack:
        stack.enter_context(setup_telemetry(NAME, settings))
        seen = await stack.enter_async_context(open_seen_events(settings.redis_url, keep_s=keep_s))
        broker = await stack.enter_async_context(open_broker(settings.rabbitmq_url))
        composer = Composer(mail_from=settings.mail_from, public_url=settings.public_url)
        notifier = Notifier(composer=composer, mailer=mailer, seen=seen, now=lambda: datetime.now(UTC))
        health = Health(
            NAME,
            settings.release,
            {"rabbitmq": broker.ping},
            optional={"smtp": mailer.ping, "redis": seen.ping},
        )
        await broker.declare(queue.declare)

        async def work(stop: asyncio.Event) -> None:
            handle = queue.with_retries(broker, handler(notifier))
            await broker.consume(queue.name, handle, prefetch=settings.prefetch, stop=stop)

        await serve_worker(work, settings, health, background=[QueueGauge(broker, queue).run])


async def replay() -> None:
    settings = load(QueueSettings, os.environ)
    queue = work_queue(settings.delays_s)
    with setup_telemetry(NAME, settings):
        async with open_broker(settings.rabbitmq_url) as broker:
            await broker.declare(queue.declare)
            count = await queue.replay(broker)
    sys.stdout.write(f"{count} dead letter{'' if count == 1 else 's'} put back.\n")


if __name__ == "__main__":
    main(NAME, {"serve": serve, "replay": replay})
