"""Only our own pages may make a visitor's browser act here.

Two guards, either of which would do alone: the browser's own word on where a request comes from
(`Sec-Fetch-Site`, `Origin`), and a token in every form that is bound to a cookie and to who is logged in
(OWASP's signed double submit). Where nobody is logged in, and the browser gives its word, any token of ours will do:
of two first pages that are opened at once only one leaves its cookie, and the form of the other is as good. Log-in
and registration are covered too, so that nobody can be logged in to somebody else's account.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

from services.defaults.errors import Forbidden

NONCE_CHARS = 22  # 128 bits in URL-safe base 64
FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Headers(Protocol):
    """As much of a request's headers as is looked at."""

    def get(self, key: str, default: str) -> str: ...


class CsrfGuard:
    """Mints and checks the tokens. `secret` signs them; `origin` is where the shop is reached."""

    def __init__(self, secret: str, origin: str) -> None:
        self._key = hmac.digest(secret.encode(), b"ticketflow csrf v1", sha256)
        self._origin = origin.rstrip("/")

    def token(self, nonce: str, subject: str) -> str:
        """What a form carries for the browser that holds `nonce`, used by `subject` (empty: nobody yet).

        The nonce, a signature that makes it ours, and one that binds it to the subject.
        """
        return f"{nonce}.{self._sign(nonce, '')}.{self._sign(nonce, subject)}"

    def _sign(self, nonce: str, subject: str) -> str:
        return hmac.new(self._key, f"{nonce}|{subject}".encode(), sha256).hexdigest()

    def check(self, headers: Headers, host: str, *, nonce: str, subject: str, token: str) -> None:
        """Raises `Forbidden` unless a form of ours made the request, shown to this very browser where that matters."""
        if not self._from_here(headers, host):
            raise Forbidden("This request came from another site.", code="FORBIDDEN")
        own, ours, bound = [*token.split("."), "", ""][:3]
        good = is_nonce(own) and _same(ours, self._sign(own, ""))
        if subject or not self._surely_from_here(headers):
            good = good and own == nonce and _same(bound, self._sign(nonce, subject))
        if not good:
            raise Forbidden("The form was too old to be used.", code="FORBIDDEN")

    def _from_here(self, headers: Headers, host: str) -> bool:
        # "none" is the visitor's own doing, such as sending a form again after a reload.
        if headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            return False
        origin = headers.get("Origin", "")
        if origin in {"", "null"}:  # old browsers send none; the token still decides
            return True
        return origin == self._origin or _host_of(origin) == host

    def _surely_from_here(self, headers: Headers) -> bool:
        """Whether the browser says so, of which an old one says nothing; `_from_here` has found nothing against it."""
        site = headers.get("Sec-Fetch-Site", "")
        return site == "same-origin" or (not site and headers.get("Origin", "") == self._origin)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # anything may be sent as one
        return None


def new_nonce() -> str:
    return secrets.token_urlsafe(16)


def is_nonce(value: str) -> bool:
    """Whether the cookie's value can be one of ours."""
    return len(value) == NONCE_CHARS and value.isascii() and value.replace("-", "").replace("_", "").isalnum()
