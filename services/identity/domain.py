"""What identity decides: who may register with what, and why a refresh token is turned away. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from services.defaults.errors import Invalid
from services.identity.common_passwords import COMMON, RUNS

MAX_EMAIL_CHARS: Final = 254
MAX_NAME_CHARS: Final = 80
MIN_PASSWORD_CHARS: Final = 10
MAX_PASSWORD_CHARS: Final = 128
MAX_PASSWORD_BYTES: Final = 4 * MAX_PASSWORD_CHARS  # of UTF-8, once normalised: what argon2 is given
MAX_USER_AGENT_CHARS: Final = 200
_TELLING_CHARS: Final = 5  # a shorter e-mail name is found in honest passwords by chance
_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class User:
    """An account as others may see it."""

    id: UUID
    email: str
    name: str


@dataclass(frozen=True)
class Origin:
    """Where a request came from, as it is kept with a login and with a revocation."""

    address: str
    user_agent: str


@dataclass(frozen=True)
class Registration:
    """A wish for an account, every field checked and in its normal form."""

    email: str
    password: str
    name: str


class RevokeReason(StrEnum):
    """Why a family of refresh tokens was ended before its time."""

    LOGOUT = "LOGOUT"
    REPLAY = "REPLAY"


class Refusal(StrEnum):
    """Why a refresh token is turned away."""

    UNKNOWN = "UNKNOWN"
    REVOKED = "REVOKED"
    SUPERSEDED = "SUPERSEDED"  # spent a moment ago: most likely another tab, and no harm done
    REPLAYED = "REPLAYED"  # spent a while ago: someone keeps a copy
    EXPIRED = "EXPIRED"


@dataclass(frozen=True)
class TokenState:
    """A stored refresh token by the database's clock. `spent_ago_s` is None while it is unspent.

    `outlived`: its successor is spent too.
    """

    revoked: bool
    spent_ago_s: float | None
    outlived: bool = False


def refusal(state: TokenState | None, *, leeway_s: float) -> Refusal:
    """Why a token that could not be rotated is refused; `leeway_s` is how long a late twin is forgiven.

    A spent token is judged before its expiry: a copy that turns up late is a copy all the same
    (RFC 9700, 4.14.2). A second tab presents the token that was just spent, never the one before that.
    """
    if state is None:
        return Refusal.UNKNOWN
    if state.revoked:
        return Refusal.REVOKED
    if state.spent_ago_s is not None:
        twin = state.spent_ago_s <= leeway_s and not state.outlived
        return Refusal.SUPERSEDED if twin else Refusal.REPLAYED
    return Refusal.EXPIRED


def check_registration(*, email: str, password: str, name: str) -> Registration:
    """The registration in its normal form. Raises `Invalid` with a sentence for each bad field."""
    problems: dict[str, str] = {}
    normal_email = normalise_email(email)
    if normal_email is None:
        problems["email"] = "This is not an e-mail address."
    normal_name = normalise_name(name)
    if problem := name_problem(normal_name):
        problems["name"] = problem
    normal_password = normalise_password(password)
    if problem := password_problem(normal_password, email=normal_email or "", name=normal_name):
        problems["password"] = problem
    if normal_email is None or problems:
        raise Invalid("Some of this cannot be accepted.", fields=problems)
    return Registration(normal_email, normal_password, normal_name)


def normalise_email(raw: str) -> str | None:
    """The one form in which an address is kept and looked up: ASCII, lower case. None if it is no address.

    The name before the @ may by RFC 5321 tell cases apart; no mail system in use does, and people type
    their own address both ways. International domains are kept in their ASCII form (RFC 5890), which also
    shows a look-alike letter for what it is. No DNS is asked: the mail itself is the proof. `.test` is an
    address like any other (RFC 2606), for it is what demo and test accounts use.
    """
    try:
        parsed = validate_email(
            raw.strip(), strict=True, allow_smtputf8=False, check_deliverability=False, test_environment=True
        )
    except EmailNotValidError:
        return None
    if parsed.ascii_email is None or len(parsed.ascii_email) > MAX_EMAIL_CHARS:
        return None
    return parsed.ascii_email.lower()


def normalise_name(raw: str) -> str:
    return unicodedata.normalize("NFC", raw).strip()


def name_problem(name: str) -> str | None:
    """A sentence on what is wrong with a name, or None. It goes into mails, so it is one plain line."""
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        return f"A name has 1 to {MAX_NAME_CHARS} characters."
    if any(_is_control(char) for char in name):
        return "A name has no control characters."
    if not any(unicodedata.category(char)[0] in "LNS" for char in name):
        return "A name has at least one letter."
    return None


def normalise_password(raw: str) -> str:
    """The same password however a keyboard composes it (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", raw)


def password_problem(password: str, *, email: str, name: str) -> str | None:
    """A sentence on why a new password is refused, or None: it must be hard to guess."""
    if len(password) < MIN_PASSWORD_CHARS:
        return f"A password has at least {MIN_PASSWORD_CHARS} characters."
    if len(password) > MAX_PASSWORD_CHARS or len(password.encode()) > MAX_PASSWORD_BYTES:
        return f"A password has at most {MAX_PASSWORD_CHARS} characters."
    folded = password.casefold()
    if _is_common(folded):
        return "Too many people use this password. Choose one that is harder to guess."
    if _is_about(folded, email, name):
        return "A password must not be made of your e-mail address or name."
    return None


def address_key(address: str) -> str:
    """The party behind an address, for counting: an IPv4 address, or the /64 that one IPv6 line is given."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def make_origin(address: str, user_agent: str) -> Origin:
    """Where a request came from, in a form fit to be kept; both values are whatever the sender claims."""
    try:
        plain_address = str(ipaddress.ip_address(address)).partition("%")[0]  # without an IPv6 zone
    except ValueError:
        plain_address = ""
    printable = "".join(char for char in user_agent if char.isprintable())
    return Origin(plain_address, printable[:MAX_USER_AGENT_CHARS])


def token_digest(token: str) -> str:
    """What is stored of a refresh token: SHA-256 in hex. Its 256 random bits need no salt and no slow hash.

    Tokens are looked up by it, so no comparison's timing tells anything about a token.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI_CONTROLS


def _is_common(folded: str) -> bool:
    core = folded.strip("0123456789 !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~")
    if {folded, core, core.replace(" ", "")} & COMMON or len(set(folded)) <= 2:
        return True
    return any(folded in run or folded in run[::-1] for run in RUNS)


def _is_about(folded: str, email: str, name: str) -> bool:
    local_part = email.partition("@")[0]
    if len(local_part) >= _TELLING_CHARS and local_part in folded:
        return True
    return bool(email and email in folded) or folded == name.casefold()
