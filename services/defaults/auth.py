"""Tokens: JSON Web Tokens signed with HS256 (RFC 7519, RFC 7515), carried as bearer tokens (RFC 6750).

Two kinds travel between the services: access tokens of people, `typ` "at+jwt" (RFC 9068), and short-lived
tokens of services, `typ` "svc+jwt". The kind is part of what is verified, so neither passes for the other.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2.rfc6749 import MissingAuthorizationError, ResourceProtector, UnsupportedTokenTypeError
from authlib.oauth2.rfc6750 import BearerTokenValidator
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from services.defaults.errors import AppError, Forbidden, Unauthorized

ALGORITHM: Final = "HS256"
ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - the name of a kind of token, not a token
SERVICE_TOKEN_TYPE: Final = "svc+jwt"  # noqa: S105 - likewise
MAX_TOKEN_BYTES: Final = 4096
MAX_SUBJECT_CHARS: Final = 64
DEFAULT_LEEWAY_S: Final = 30
CLOCKS_APART_S: Final = 120  # as far as an issuer's clock may be ahead of ours
REALM: Final = "ticketflow"
ORDERS_SCOPE: Final = "orders"  # to buy, and to see one's own orders
PROFILE_SCOPE: Final = "profile"  # to see who one is


class InsufficientScope(Forbidden):
    """The token is good, and was issued for other things (RFC 6750, 3.1)."""


@dataclass(frozen=True)
class Principal:
    """Whoever a verified token speaks for."""

    subject: str
    scopes: frozenset[str] = frozenset()
    email: str = ""
    name: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def require(self, scope: str) -> None:
        """Raises `InsufficientScope` where the token does not have it."""
        if scope not in self.scopes:
            raise InsufficientScope("This session does not allow that. Log in again.")


class TokenIssuer:
    """Signs tokens of one kind, for one audience."""

    def __init__(
        self, *, secret: str, issuer: str, audience: str, lifetime_s: float, typ: str = ACCESS_TOKEN_TYPE
    ) -> None:
        self._key = OctKey.import_key(secret)
        self._header = {"alg": ALGORITHM, "typ": typ}
        self._issuer = issuer
        self._audience = audience
        self.lifetime_s = lifetime_s

    def issue(
        self,
        subject: str,
        *,
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        now_s: float | None = None,
    ) -> str:
        """A token for `subject`, valid for `lifetime_s` from `now_s` (seconds since the epoch)."""
        issued_at = int(time.time() if now_s is None else now_s)
        payload = {
            **(claims or {}),
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime_s),
            "jti": secrets.token_urlsafe(16),
            "scope": " ".join(sorted(scopes)),  # RFC 8693, 4.2
        }
        return jwt.encode(self._header, payload, self._key, algorithms=[ALGORITHM])


class ServiceToken:
    """A service's own token for another, kept for half its life: what is sent again need not be signed again.

    Nor written out again: on one HTTP/2 connection a header that came before is a byte (RFC 7541).
    """

    def __init__(self, issuer: TokenIssuer, subject: str, *, now_s: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._subject = subject
        self._now_s = now_s
        self._token = ""
        self._issued_at = -math.inf

    def current(self) -> str:
        """The token to send now."""
        now = self._now_s()
        if not 0 <= now - self._issued_at < self._issuer.lifetime_s / 2:  # nor one from a future that was taken back
            self._token, self._issued_at = self._issuer.issue(self._subject, now_s=now), now
        return self._token


class TokenVerifier:
    """Says whom a token speaks for, or raises `Unauthorized`."""

    def __init__(
        self,
        *,
        secret: str,
        issuer: str,
        audience: str,
        typ: str = ACCESS_TOKEN_TYPE,
        leeway_s: int = DEFAULT_LEEWAY_S,
    ) -> None:
        self._key = OctKey.import_key(secret)
        self._typ = typ
        self._registry = jws.JWSRegistry(algorithms=[ALGORITHM])
        # joserfc checks no claim that is not asked for, expiry included: name them all.
        self._claims = _ClaimsRegistry(
            leeway=leeway_s,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            jti={"essential": True},
        )

    def verify(self, token: str) -> Principal:
        """Raises `Unauthorized` for anything but a whole, signed, current token of the right kind."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise _refused()
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM], registry=self._registry)
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _refused() from error
        if decoded.header.get("typ") != self._typ or not _is_name(decoded.claims["sub"]):
            raise _refused()
        return _principal(decoded.claims)


class _ClaimsRegistry(jwt.JWTClaimsRegistry):
    """`iat` tells a token's age, no more (RFC 7519, 4.1.6): to a clock that is behind, a fresh one comes early."""

    def validate_iat(self, value: object) -> None:
        if not (isinstance(value, int) and self.now < value <= self.now + CLOCKS_APART_S):
            super().validate_iat(value)


def bearer_token(authorization: str | None) -> str:
    """The token in an `Authorization` header (RFC 6750, 2.1). Raises `Unauthorized` where there is none."""
    try:
        _, token = _protector.parse_request_authorization(_Request({"Authorization": authorization}))  # type: ignore[no-untyped-call] # Authlib's stubs leave it out
    except MissingAuthorizationError as error:
        raise Unauthorized("Log in first.") from error
    except UnsupportedTokenTypeError as error:
        raise Unauthorized("The Authorization header must hold a bearer token.") from error
    return str(token)


def challenge(error: AppError, authorization: str | None) -> dict[str, str]:
    """The header that goes with a refusal (RFC 6750, 3), and none with any other error.

    Only who has sent a token is told what is wrong with it.
    """
    if not isinstance(error, Unauthorized | InsufficientScope):
        return {}
    reason = "invalid_token" if isinstance(error, Unauthorized) else "insufficient_scope"
    return {"WWW-Authenticate": f'Bearer realm="{REALM}"' + (f', error="{reason}"' if authorization else "")}


@dataclass(frozen=True)
class _Request:
    """As much of a request as Authlib looks at."""

    headers: Mapping[str, str | None]


_protector = ResourceProtector()
_protector.register_token_validator(BearerTokenValidator())


def _principal(claims: Mapping[str, Any]) -> Principal:
    return Principal(
        subject=str(claims["sub"]),
        scopes=frozenset(str(claims.get("scope", "")).split()),
        email=str(claims.get("email", "")),
        name=str(claims.get("name", "")),
        claims=claims,
    )


def _is_name(subject: Any) -> bool:
    """Whether it can be an account's or a service's name: nothing that a database or a log would choke on."""
    return isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT_CHARS and subject.isprintable()


def _refused() -> Unauthorized:
    return Unauthorized("This session has ended or is not valid. Log in again.")
