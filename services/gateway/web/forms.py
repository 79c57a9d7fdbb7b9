"""What people type: read, checked, and given back with a sentence beside each field that needs mending."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from services.defaults.errors import Invalid
from services.gateway.web.shop import Card
from services.gateway.web.views import MAX_TICKETS, Concert

MAX_NAME = 80
MAX_EMAIL = 254  # RFC 5321, 4.5.3.1.3
MIN_PASSWORD = 10
MAX_PASSWORD = 128
QUANTITY_PREFIX = "quantity-"
MEND = "Please look at what is marked below."

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_KEY = re.compile(r"[0-9a-f]{32}")

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Form:
    """A form as it is shown: what was typed, and what is wrong with it.

    `values` never holds a password or anything of a card.
    """

    values: Fields = field(default_factory=dict)
    errors: Fields = field(default_factory=dict)
    message: str = ""
    key: str = ""  # its idempotency key


def new_key() -> str:
    """An idempotency key for one form: sent twice, it acts once."""
    return uuid4().hex


def key_of(fields: Fields) -> str:
    """The form's idempotency key. Raises `Invalid` where there is none of ours."""
    key = fields.get("idempotency_key", "")
    if not _KEY.fullmatch(key):
        raise Invalid("This form is incomplete. Reload the page and try again.")
    return key


@dataclass(frozen=True)
class Registration:
    name: str
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    email: str
    password: str = field(repr=False)


def read_registration(fields: Fields) -> Registration:
    """Raises `Invalid` with every field at fault."""
    name, email = " ".join(fields.get("name", "").split()), fields.get("email", "").strip()
    password = fields.get("password", "")
    problems = _email_problem(email)
    if not name:
        problems["name"] = "Enter your name, as it should stand on your tickets."
    elif len(name) > MAX_NAME or not name.isprintable():
        problems["name"] = f"Use at most {MAX_NAME} letters, numbers and spaces."
    if len(password) < MIN_PASSWORD:
        problems["password"] = f"Use at least {MIN_PASSWORD} characters; a few words in a row are good."
    elif len(password) > MAX_PASSWORD:
        problems["password"] = f"Use at most {MAX_PASSWORD} characters."
    _refuse(problems)
    return Registration(name, email, password)


def read_credentials(fields: Fields) -> Credentials:
    """Raises `Invalid` with every field at fault."""
    email, password = fields.get("email", "").strip(), fields.get("password", "")
    problems = _email_problem(email)
    if not password or len(password) > MAX_PASSWORD:
        problems["password"] = "Enter your password."  # noqa: S105 - a sentence, not a password
    _refuse(problems)
    return Credentials(email, password)


def read_card(fields: Fields) -> Card:
    """Raises `Invalid` with every field at fault. Whether the card is good is for its bank to say."""
    number = re.sub(r"[\s-]", "", fields.get("number", ""))
    expiry = re.sub(r"\s", "", fields.get("expiry", ""))
    cvc = fields.get("cvc", "").strip()
    problems: dict[str, str] = {}
    if not re.fullmatch(r"[0-9]{12,19}", number):
        problems["number"] = "Enter the long number on the front of the card."
    if not re.fullmatch(r"(0?[1-9]|1[0-2])/?([0-9]{2}|20[0-9]{2})", expiry):
        problems["expiry"] = "Enter month and year, such as 08/30."
    if not re.fullmatch(r"[0-9]{3,4}", cvc):
        problems["cvc"] = "Enter the 3 or 4 digits of the security code."
    _refuse(problems)
    month, year = re.fullmatch(r"(\d{1,2}?)/?(\d{2}|\d{4})", expiry).groups()  # type: ignore[union-attr] # checked above
    return Card(number, f"{month.zfill(2)}/{year[-2:]}", cvc)


MAX_TYPED = 12  # characters of a quantity that are shown again


def read_quantities(fields: Fields, concert: Concert) -> dict[str, int]:
    """How many tickets of which tier. Raises `Invalid` with every field at fault."""
    problems: dict[str, str] = {}
    chosen: dict[str, int] = {}
    for tier in concert.tiers:
        name = QUANTITY_PREFIX + tier.id
        raw = fields.get(name, "").strip() or "0"
        if not re.fullmatch(r"[0-9]{1,3}", raw):
            problems[name] = f"Enter a whole number from 0 to {MAX_TICKETS}."
        elif int(raw):
            chosen[tier.id] = int(raw)
    _refuse(problems)
    total = sum(chosen.values())
    if not total:
        raise Invalid("Choose how many tickets you would like, then hold them.")
    if total > MAX_TICKETS:
        sentence = f"One order holds at most {MAX_TICKETS} tickets; you chose {total}."
        raise Invalid(sentence, fields={QUANTITY_PREFIX + tier: "Choose fewer." for tier in chosen})
    return chosen


def typed_quantities(fields: Fields, concert: Concert) -> dict[str, str]:
    """The fields of the choice as they were typed, to show them again beside what is wrong with them."""
    names = [QUANTITY_PREFIX + tier.id for tier in concert.tiers]
    return {name: fields[name].strip()[:MAX_TYPED] for name in names if name in fields}


def kept_quantities(fields: Fields, concert: Concert) -> dict[str, int]:
    """The choice as far as it makes sense, to show it again."""
    kept: dict[str, int] = {}
    for tier in concert.tiers:
        raw = fields.get(QUANTITY_PREFIX + tier.id, "")
        if raw.isascii() and raw.isdigit() and len(raw) <= 3:
            kept[tier.id] = min(int(raw), tier.most)
    return kept


def _email_problem(email: str) -> dict[str, str]:
    if not email:
        return {"email": "Enter your e-mail address."}
    if len(email) > MAX_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        return {"email": "Enter an e-mail address such as ada@example.org."}
    return {}


def _refuse(problems: dict[str, str]) -> None:
    if problems:
        raise Invalid(MEND, fields=problems)
