"""The one use case: an event is mailed once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from opentelemetry import metrics

from services.contracts import Envelope, type_of
from services.defaults.telemetry import annotate, observe
from services.notifications.mail import Composer
from services.notifications.mailer import Mailer
from services.notifications.store import Claim, SeenEvents

logger = logging.getLogger(__name__)

_meter = metrics.get_meter("services.notifications")
_mails: Final = _meter.create_counter("notifications.mails", "{mail}", "Mails that the mail server accepted")
_duplicates: Final = _meter.create_counter("notifications.duplicates", "{event}", "Events already mailed")


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """Turns events into mails. `now` is the clock."""

    composer: Composer
    mailer: Mailer
    seen: SeenEvents
    now: Callable[[], datetime]

    async def notify(self, envelope: Envelope) -> None:
        """Mails the event unless that was done before.

        Returns once the mail server has the mail. Raises Undeliverable, Refused, or what Mailer.send raises when
        the server is away.
        """
        order = envelope.data
        annotate(order_id=order.order_id, order_number=order.number, concert_id=order.concert.id)
        token = uuid4().hex
        claim = await self.seen.claim(envelope.id, token)
        if claim is Claim.SENT:
            _duplicates.add(1)
            logger.info("event already mailed", extra={"event": envelope.id, "type": envelope.type})
            return
        try:
            # Drawing the tickets takes long enough to hold up heartbeats and other mails.
            with observe("write mail"):
                mail = await asyncio.to_thread(self.composer.compose, envelope, now=self.now())
            await self.mailer.send(mail)
        except BaseException:
            if claim is Claim.OURS:
                await self.seen.release(envelope.id, token)
            raise
        await self.seen.mark_sent(envelope.id)
        _mails.add(1, {"type": type_of(order)})
        logger.info("mailed", extra={"event": envelope.id, "type": envelope.type})
