"""The sandbox provider's REST edge."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Annotated, Final, ParamSpec, Self, TypeVar
from uuid import UUID

from pydantic import Field, SecretStr
from quart import Blueprint, Quart, current_app, request
from quart_rate_limiter import rate_limit
from quart_schema import security_scheme, tag, validate_request, validate_response

from services.defaults.auth import bearer_token
from services.defaults.errors import NotFound, Unauthorized
from services.defaults.health import Health
from services.defaults.http import Model, create_http_app, documented_problems, run_to_completion
from services.defaults.telemetry import annotate
from services.payments.domain import Card, Charge, ChargeRequest, Status
from services.payments.store import Books

MINUTE: Final = timedelta(minutes=1)
BEARER: Final = security_scheme([{"bearer": []}])

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Deps:
    """`late_s`: when a late charge succeeds; `stall_s`: how long its caller waits for the answer; in seconds."""

    books: Books
    health: Health
    api_key: str
    clock: Callable[[], datetime]
    late_s: float
    stall_s: float
    charge_limit: int
    api_pages: bool = True


class CardBody(Model):
    number: Annotated[SecretStr, Field(max_length=40, examples=["4242424242424242"])]
    expiry: Annotated[SecretStr, Field(max_length=10, examples=["12/30"])]
    cvc: Annotated[SecretStr, Field(max_length=10, examples=["123"])]


class ChargeBody(Model):
    """`paymentId` is the merchant's; the same one is charged once."""

    payment_id: UUID
    amount_minor: Annotated[int, Field(strict=True, ge=0, le=10**12)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])]
    reference: Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    card: CardBody


class ChargeAnswer(Model):
    """`declineCode` says why a declined one was."""

    payment_id: str
    status: Status
    decline_code: str | None
    amount_minor: int
    currency: str
    reference: str

    @classmethod
    def of(cls, charge: Charge) -> Self:
        return cls(
            payment_id=charge.payment_id,
            status=charge.status,
            decline_code=charge.decline_code,
            amount_minor=charge.amount_minor,
            currency=charge.currency,
            reference=charge.reference,
        )


def create_app(deps: Deps) -> Quart:
    app = create_http_app("payments", deps.health, api_pages=deps.api_pages)
    app.config["API_KEY"] = deps.api_key
    app.register_blueprint(_routes(deps))
    return app


def _routes(deps: Deps) -> Blueprint:
    routes = Blueprint("charges", __name__)

    @routes.post("/charges")
    @rate_limit(deps.charge_limit, MINUTE)
    @tag(["charges"])
    @BEARER
    @documented_problems(400, 401, 409, 413, 415, 422, 429)
    @_api_key_needed
    @validate_request(ChargeBody)
    @validate_response(ChargeAnswer)
    async def charge(data: ChargeBody) -> ChargeAnswer:
        """Charge a card once; a payment id that was charged before is answered as it stands."""
        annotate(payment_id=data.payment_id, order_number=data.reference)
        work = deps.books.charge(_charge_request(data), deps.clock(), late_s=deps.late_s)
        made, is_new = await run_to_completion(work)
        if is_new and made.status is Status.PENDING:
            await asyncio.sleep(deps.stall_s)  # the point of this card: its caller gives up before
        return ChargeAnswer.of(made)

    @routes.get("/charges/<uuid:payment_id>")
    @rate_limit(deps.charge_limit, MINUTE)
    @tag(["charges"])
    @BEARER
    @documented_problems(401, 404, 429)
    @_api_key_needed
    @validate_response(ChargeAnswer)
    async def find(payment_id: UUID) -> ChargeAnswer:
        """How a charge stands."""
        annotate(payment_id=payment_id)
        found = await deps.books.find(str(payment_id), deps.clock())
        if found is None:
            raise NotFound("There is no such charge.")
        return ChargeAnswer.of(found)

    @routes.post("/charges/<uuid:payment_id>/void")
    @rate_limit(deps.charge_limit, MINUTE)
    @tag(["charges"])
    @BEARER
    @documented_problems(401, 404, 429)
    @_api_key_needed
    @validate_response(ChargeAnswer)
    async def void(payment_id: UUID) -> ChargeAnswer:
        """Call off a charge that has taken no money, even one not asked for yet; any other is answered as it stands."""
        annotate(payment_id=payment_id)
        return ChargeAnswer.of(await run_to_completion(deps.books.call_off(str(payment_id), deps.clock())))

    @routes.post("/charges/<uuid:payment_id>/refund")
    @rate_limit(deps.charge_limit, MINUTE)
    @tag(["charges"])
    @BEARER
    @documented_problems(401, 404, 429)
    @_api_key_needed
    @validate_response(ChargeAnswer)
    async def refund(payment_id: UUID) -> ChargeAnswer:
        """Give the money back, or call off a charge that has taken none, even one not asked for yet."""
        annotate(payment_id=payment_id)
        return ChargeAnswer.of(await run_to_completion(deps.books.refund(str(payment_id), deps.clock())))

    return routes


def _api_key_needed(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The route needs the merchant's API key as a bearer token."""

    @wraps(handler)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        shown = bearer_token(request.headers.get("Authorization"))
        if not hmac.compare_digest(shown.encode(), current_app.config["API_KEY"].encode()):
            raise Unauthorized("This API key is not known.")
        return await handler(*args, **kwargs)

    wrapper.__authorization__ = "api key"  # type: ignore[attr-defined] # the mark that the route tests look for
    return wrapper


def _charge_request(body: ChargeBody) -> ChargeRequest:
    card = Card(
        number=body.card.number.get_secret_value(),
        expiry=body.card.expiry.get_secret_value(),
        cvc=body.card.cvc.get_secret_value(),
    )
    return ChargeRequest(
        payment_id=str(body.payment_id),
        amount_minor=body.amount_minor,
        currency=body.currency,
        reference=body.reference,
        card=card,
    )
