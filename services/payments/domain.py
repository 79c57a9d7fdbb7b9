"""What a charge is, and what each test card does to it. No I/O, no clock: the time comes in as an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.defaults.errors import Conflict


class Status(StrEnum):
    PENDING = "pending"  # will succeed by itself when it is due
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REFUNDED = "refunded"
    VOIDED = "voided"  # called off before any money moved; it can never succeed


@dataclass(frozen=True, slots=True)
class Card:
    """As the buyer typed it in; it goes no further than the verdict."""

    number: str = field(repr=False)
    expiry: str = field(repr=False)
    cvc: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a test card does. `late`: no answer in time, then success. `notices`: how often each webhook comes."""

    decline_code: str | None = None
    late: bool = False
    notices: int = 1


TEST_CARDS: Final[Mapping[str, Behaviour]] = {
    "4242424242424242": Behaviour(),
    "4000000000000002": Behaviour(decline_code="card_declined"),
    "4000000000009995": Behaviour(decline_code="insufficient_funds"),
    "4000000000000341": Behaviour(late=True),
    "4000000000000259": Behaviour(notices=2),
}


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge, known by the id its merchant gave it. Amounts are minor units of an ISO 4217 currency."""

    payment_id: str
    amount_minor: int
    currency: str
    reference: str
    last4: str
    status: Status
    decline_code: str | None
    notices: int
    created_at: datetime
    due_at: datetime  # when a pending one succeeds


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    payment_id: str
    amount_minor: int
    currency: str
    reference: str
    card: Card


def decide(request: ChargeRequest, now: datetime, *, late_s: float) -> Charge:
    """The charge that a request makes. `late_s`: how long a late one takes, in seconds."""
    card = request.card
    behaviour = _behaviour(card, now)
    status = Status.PENDING if behaviour.late else Status.SUCCEEDED
    if behaviour.decline_code:
        status = Status.DECLINED
    return Charge(
        payment_id=request.payment_id,
        amount_minor=request.amount_minor,
        currency=request.currency,
        reference=request.reference,
        last4=re.sub(r"[^0-9]", "", card.number)[-4:],
        status=status,
        decline_code=behaviour.decline_code,
        notices=behaviour.notices,
        created_at=now,
        due_at=now + timedelta(seconds=late_s if behaviour.late else 0),
    )


def as_of(charge: Charge, now: datetime) -> Charge:
    """The charge at the time `now`: what was pending has succeeded once it is due."""
    if charge.status is Status.PENDING and now >= charge.due_at:
        return replace(charge, status=Status.SUCCEEDED)
    return charge


def voided(charge: Charge) -> Charge:
    """The charge called off, where it has taken no money yet; one with an outcome stays as it is."""
    if charge.status is Status.PENDING:
        return replace(charge, status=Status.VOIDED)
    return charge


def refunded(charge: Charge) -> Charge:
    """The charge with its money given back, or called off before it took any; a declined one stays so."""
    if charge.status is Status.SUCCEEDED:
        return replace(charge, status=Status.REFUNDED)
    return voided(charge)


def called_off(payment_id: str, now: datetime) -> Charge:
    """Stands for a charge that has not been asked for yet: should the request arrive, it finds itself void."""
    return Charge(
        payment_id=payment_id,
        amount_minor=0,
        currency="",
        reference="",
        last4="",
        status=Status.VOIDED,
        decline_code=None,
        notices=0,
        created_at=now,
        due_at=now,
    )


def check_same(charge: Charge, request: ChargeRequest) -> None:
    """Raises Conflict where a payment id that is taken is used for another amount."""
    if charge.status is Status.VOIDED:
        return
    if (charge.amount_minor, charge.currency) != (request.amount_minor, request.currency):
        raise Conflict("This payment id belongs to another charge.")


def _behaviour(card: Card, now: datetime) -> Behaviour:
    number = re.sub(r"[ -]", "", card.number)
    if number not in TEST_CARDS:
        return Behaviour(decline_code="unknown_test_card")
    if not re.fullmatch(r"[0-9]{3,4}", card.cvc):
        return Behaviour(decline_code="incorrect_cvc")
    expiry = re.fullmatch(r"(0[1-9]|1[0-2])/(?:20)?([0-9]{2})", card.expiry)
    if not expiry or (2000 + int(expiry[2]), int(expiry[1])) < (now.year, now.month):
        return Behaviour(decline_code="expired_card")
    return TEST_CARDS[number]
