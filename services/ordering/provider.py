"""The payment provider: what ordering needs of one, and the adapter for the sandbox."""

from __future__ import annotations

from typing import Any, Final, Protocol
from uuid import UUID

from services.defaults.errors import AppError, NotFound, Unavailable
from services.defaults.resilience import HttpClient
from services.ordering.cards import Card
from services.ordering.domain import Charge, ChargeAnswer, Payment

PING_TIMEOUT_S: Final = 0.9  # within the second that a health check has
AWAY: Final = "The payment provider cannot be reached right now."


class PaymentProvider(Protocol):
    """Takes and returns money. Every call is idempotent by payment id, and raises only Unavailable."""

    async def charge(self, payment: Payment, card: Card, reference: str) -> ChargeAnswer:
        """Charges the payment's amount. After Unavailable the money may have been taken, or may yet be."""

    async def look_up(self, payment_id: UUID) -> ChargeAnswer:
        """Where the charge stands; UNKNOWN where the provider has not heard of it."""

    async def call_off(self, payment_id: UUID) -> ChargeAnswer:
        """Sees to it that a charge that has taken no money never does, also against a request still under way: VOIDED.

        A charge that has an outcome keeps it, and that is the answer.
        """

    async def refund(self, payment_id: UUID) -> ChargeAnswer:
        """Gives the buyer's money back: REFUNDED, or VOIDED where none was taken."""


class HttpPaymentProvider:
    """The sandbox's API over HTTP; `timeout_s` bounds the call that charges a card."""

    def __init__(self, client: HttpClient, api_key: str, *, timeout_s: float) -> None:
        self._client = client
        self._api_key = api_key
        self._timeout_s = timeout_s

    async def charge(self, payment: Payment, card: Card, reference: str) -> ChargeAnswer:
        body = {
            "paymentId": str(payment.id),
            "amountMinor": payment.amount_minor,
            "currency": payment.currency,
            "card": {"number": card.number, "expiry": card.expiry, "cvc": card.cvc},
            "reference": reference,
        }
        # How long it takes depends on the card: a few slow ones must not cut off every other.
        return await self._post("/charges", key=str(payment.id), json=body, may_be_slow=True)

    async def look_up(self, payment_id: UUID) -> ChargeAnswer:
        try:
            return await self._ask("GET", f"/charges/{payment_id}")
        except NotFound:
            return ChargeAnswer(Charge.UNKNOWN)

    async def call_off(self, payment_id: UUID) -> ChargeAnswer:
        return await self._post(f"/charges/{payment_id}/void", key=f"void-{payment_id}")

    async def refund(self, payment_id: UUID) -> ChargeAnswer:
        return await self._post(f"/charges/{payment_id}/refund", key=f"refund-{payment_id}")

    async def ping(self) -> None:
        """Raises Unavailable unless the provider is alive."""
        await self._client.request("GET", "/alive", timeout_s=PING_TIMEOUT_S)

    async def _post(self, path: str, *, key: str, **options: Any) -> ChargeAnswer:
        try:
            return await self._ask("POST", path, idempotency_key=key, **options)
        except NotFound as error:  # no such address: that says nothing of the charge
            raise Unavailable(AWAY) from error

    async def _ask(self, method: str, path: str, **options: Any) -> ChargeAnswer:
        try:
            answer = await self._client.request(method, path, token=self._api_key, timeout_s=self._timeout_s, **options)
        except (NotFound, Unavailable):
            raise
        except AppError as error:
            # Whatever it refuses, it is not the buyer's fault: to them the provider is away.
            raise Unavailable(AWAY) from error
        return _read(answer.body)


def _read(body: Any) -> ChargeAnswer:
    """Raises Unavailable for an answer that makes no sense: then nothing is known about the charge."""
    try:
        code = body.get("declineCode")
        return ChargeAnswer(Charge(body["status"]), str(code)[:64] if code else None)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Unavailable("The payment provider gave an answer that cannot be read.") from error
