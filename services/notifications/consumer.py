"""The worker's edge: messages in, and for each the verdict done, later, or never."""

from __future__ import annotations

from opentelemetry import metrics

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

_failures = metrics.get_meter("services.notifications").create_counter(
    "notifications.failures", "{mail}", "Events that could not be mailed this time, by what went wrong"
)


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
        except Exception as error:
            _failures.add(1, {"reason": type(error).__name__})
            if reason := _why_for_good(error):
                raise PermanentFailure(reason) from error
            raise

    return handle


def _why_for_good(error: Exception) -> str:
    """Why no further try can succeed; empty where one may."""
    if isinstance(error, MalformedEvent | UnknownEvent | Undeliverable):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, Refused) and is_final(error.code):
        return f"the mail server refused: {error}"
    return ""
