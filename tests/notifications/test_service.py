"""One event, several tries: of one that comes too late nothing is undone."""

import asyncio
import secrets
from dataclasses import dataclass, field
from email.message import EmailMessage

import pytest
from redis.asyncio import Redis

from services.contracts import decode, encode
from services.notifications import store
from services.notifications.mail import Composer
from services.notifications.mailer import Mailer
from services.notifications.service import Notifier
from services.notifications.store import open_seen_events
from tests.contracts import samples


@dataclass(frozen=True, kw_only=True)
class FrozenOnce(Mailer):
    """Takes mails, but the first one only once it is `thawed`, and then without an answer."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[EmailMessage] = field(default_factory=list)

    async def send(self, mail: EmailMessage) -> None:
        if not self.begun.is_set():
            self.begun.set()
            await self.thawed.wait()
            raise TimeoutError
        self.taken.append(mail)


async def test_a_try_that_fails_too_late_does_not_have_the_event_mailed_again(redis_url: str) -> None:
    mailer = FrozenOnce(host="127.0.0.1", port=0)
    composer = Composer(mail_from="TicketFlow <tickets@shop.test>", public_url="https://shop.test")
    event = decode(encode(samples.created(), event_id=f"evt-{secrets.token_hex(6)}", time=samples.ORDERED_AT))
    async with open_seen_events(redis_url, keep_s=60) as seen, Redis.from_url(redis_url) as redis:
        notifier = Notifier(composer=composer, mailer=mailer, seen=seen, now=lambda: samples.ORDERED_AT)
        frozen = asyncio.create_task(notifier.notify(event))
        await asyncio.wait_for(mailer.begun.wait(), 10)
        await redis.delete(store.KEY + event.id)  # its claim lapsed meanwhile
        await notifier.notify(event)  # the broker has delivered the event again
        mailer.thawed.set()
        with pytest.raises(TimeoutError):
            await frozen
        await notifier.notify(event)  # the copy that waited for its next try
    assert len(mailer.taken) == 1
