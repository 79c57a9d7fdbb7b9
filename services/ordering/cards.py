"""Payment cards as they are typed in: their format is judged here, whether they can pay by the provider."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from services.defaults.errors import Invalid

_EXPIRY = re.compile(r"(0[1-9]|1[0-2])\s?/\s?(?:20)?([0-9]{2})")
_BRANDS = (
    ("visa", re.compile(r"4")),
    ("mastercard", re.compile(r"5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)")),
    ("amex", re.compile(r"3[47]")),
)


@dataclass(frozen=True, slots=True)
class Card:
    """A well-formed card, on its way to the provider. Only `brand` and `last4` may be kept or logged."""

    number: str = field(repr=False)  # 12 to 19 digits (ISO/IEC 7812)
    expiry: str = field(repr=False)  # MM/YY
    cvc: str = field(repr=False)

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def brand(self) -> str:
        return next((name for name, prefix in _BRANDS if prefix.match(self.number)), "card")


def read_card(number: str, expiry: str, cvc: str, now: datetime) -> Card:
    """The card that was typed in. Raises Invalid with a sentence for each field that is wrong."""
    digits = re.sub(r"[ -]", "", number)
    problems = {
        "card.number": _number_problem(digits),
        "card.expiry": _expiry_problem(expiry.strip(), now),
        "card.cvc": "" if re.fullmatch(r"[0-9]{3,4}", cvc) else "The CVC has three or four digits.",
    }
    wrong = {name: sentence for name, sentence in problems.items() if sentence}
    if wrong:
        raise Invalid("Check the card's details.", fields=wrong)
    month, year = _month_and_year(expiry.strip())
    return Card(number=digits, expiry=f"{month:02}/{year % 100:02}", cvc=cvc)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the rest (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _number_problem(digits: str) -> str:
    if not re.fullmatch(r"[0-9]{12,19}", digits):
        return "A card number has 12 to 19 digits."
    return "" if passes_luhn(digits) else "This card number has a typing mistake."


def _month_and_year(expiry: str) -> tuple[int, int]:
    match = _EXPIRY.fullmatch(expiry)
    if not match:
        raise ValueError("not a month and a year")
    return int(match[1]), 2000 + int(match[2])


def _expiry_problem(expiry: str, now: datetime) -> str:
    try:
        month, year = _month_and_year(expiry)
    except ValueError:
        return "Write the expiry as MM/YY."
    return "" if (year, month) >= (now.year, now.month) else "This card has expired."
