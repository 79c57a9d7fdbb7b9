"""The worker's edge: messages in, and for each the verdict done, later, or never."""

from __future__ import annotations

from services.contracts import (
    EVENT_TYPES,
    EXCHANGE,
    NOTIFICATIONS_DEAD_QUEUE,
    NOTIFICATIONS_QUEUE,
    NOTIFICATIONS_RETRY_QUEUE,
    MalformedEvent,
    UnknownEvent,
    decode,
)
from services.defaults.messaging import Delivery, Handler
from services.defaults.work_queue import PermanentFailure, WorkQueue
from services.notifications.domain import is_final
from services.notifications.mail import Undeliverable
from services.notifications.mailer import Refused
from services.notifications.service import Notifier


def work_queue(delays_s: tuple[float, ...]) -> WorkQueue:
    """The queue of this worker; `delays_s` are the waits before each further try."""
    return WorkQueue(
        name=NOTIFICATIONS_QUEUE,
        exchange=EXCHANGE,
        routing_keys=tuple(EVENT_TYPES),
        retry_name=NOTIFICATIONS_RETRY_QUEUE,
        dead_name=NOTIFICATIONS_DEAD_QUEUE,
        delays_s=delays_s,
    )


def handler(notifier: Notifier) -> Handler:
    """Mails what a message tells; PermanentFailure where no further try could succeed."""

    async def handle(delivery: Delivery) -> None:
        try:
            await notifier.notify(decode(delivery.body))
        except (MalformedEvent, UnknownEvent, Undeliverable) as error:
            raise PermanentFailure(f"{type(error).__name__}: {error}") from error
        except Refused as error:
            if is_final(error.code):
                raise PermanentFailure(f"the mail server refused: {error}") from error
            raise

    return handle
