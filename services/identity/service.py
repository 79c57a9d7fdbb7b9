"""The use cases of identity: register, log in, refresh, log out, who am I."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn
from uuid import UUID, uuid4

from opentelemetry import metrics

from services.defaults.auth import ORDERS_SCOPE, PROFILE_SCOPE, TokenIssuer
from services.defaults.errors import Conflict, RateLimited, Unauthorized
from services.identity import domain
from services.identity.domain import Origin, Refusal, RevokeReason, User
from services.identity.passwords import PasswordHasher
from services.identity.store import Credentials, NewFamily, Pace, Store

REFRESH_TOKEN_BYTES: Final = 32
SCOPES: Final = (ORDERS_SCOPE, PROFILE_SCOPE)
"""What a buyer's access token allows."""

logger = logging.getLogger(__name__)
_meter = metrics.get_meter("services.identity")
_opened = _meter.create_counter("accounts.opened", "{account}", "Accounts opened")
_logins = _meter.create_counter("logins.succeeded", "{login}", "Logins with the right password")
_refused = _meter.create_counter("logins.refused", "{login}", "Logins refused, by reason")
_replayed = _meter.create_counter("refresh_tokens.reused", "{token}", "Spent refresh tokens that turned up again")


@dataclass(frozen=True)
class Session:
    """What a successful login gives. `expires_in_s` is the access token's."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    user: User


@dataclass(frozen=True)
class Policy:
    """The tunable rules: how long a twin of a spent token is forgiven, and the pace of guesses."""

    leeway_s: float
    per_account: Pace
    per_address: Pace


def new_refresh_token() -> str:
    """256 random bits as base64url."""
    return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)


@dataclass(frozen=True)
class IdentityService:
    """Every method raises `Unavailable` while the database is away. `policy` may change from one call to the next."""

    store: Store
    hasher: PasswordHasher
    issuer: TokenIssuer
    policy: Callable[[], Policy]
    new_token: Callable[[], str] = new_refresh_token

    async def register(self, *, email: str, password: str, name: str, origin: Origin) -> Session:
        """Opens an account and logs it in. Raises `Invalid`, or `Conflict` where the address has one."""
        wish = domain.check_registration(email=email, password=password, name=name)
        user = User(uuid4(), wish.email, wish.name)
        password_hash = await self.hasher.hash(wish.password)
        token = self.new_token()
        if not await self.store.insert_user_with_family(user, password_hash, _family(token, origin)):
            raise Conflict(
                "There is an account with this e-mail address already.",
                fields={"email": "This address has an account already. Log in instead."},
            )
        _opened.add(1)
        logger.info("account opened", extra={"user_id": str(user.id)})
        return self._session(user, token)

    async def log_in(self, *, email: str, password: str, origin: Origin) -> Session:
        """Raises `Unauthorized`, the same for a wrong password as for no such account, or `RateLimited`.

        Guesses are looked at before they count, so that only wrong ones do; and whoever is ahead of the pace by then
        is not told whether this one was. So in parallel, too, no more than the limit are answered.
        """
        normal_email, normal_password = domain.normalise_email(email), domain.normalise_password(password)
        paces = _paces(normal_email or email, origin, self.policy())
        for key, pace in paces.items():
            _admit(key, await self.store.select_wait(key, pace))
        found = await self.store.select_credentials(normal_email or "")
        verdict = await self.hasher.verify(found.password_hash if found else None, normal_password)
        for key, pace in paces.items():
            _admit(key, await self.store.take_attempt(key, pace, wrong=not verdict.matches))
        if found is None or not verdict.matches:
            _refused.add(1, {"reason": "credentials"})
            raise Unauthorized("E-mail or password is wrong.")
        if verdict.outdated:
            await self._strengthen(found, normal_password)
        _logins.add(1)
        token = self.new_token()
        await self.store.insert_family(found.user.id, _family(token, origin))
        return self._session(found.user, token)

    async def refresh(self, token: str, origin: Origin) -> Session:
        """Trades a refresh token for a new session. Raises `Unauthorized`; a replay ends the whole login."""
        successor = self.new_token()
        spent = domain.token_digest(token)
        user = await self.store.rotate_token(spent, domain.token_digest(successor))
        if user is None:
            await self._refuse(spent, origin)
        return self._session(user, successor)

    async def log_out(self, token: str, origin: Origin) -> None:
        """Ends the login that a refresh token belongs to; a token that is unknown has nothing to end."""
        user_id = await self.store.revoke_family(domain.token_digest(token), RevokeReason.LOGOUT, origin)
        if user_id:
            logger.info("logged out", extra={"user_id": str(user_id)})

    async def find_user(self, subject: str) -> User:
        """The account that an access token speaks for. Raises `Unauthorized` where there is none any more."""
        try:
            user = await self.store.select_user(UUID(subject))
        except ValueError:
            user = None
        if user is None:
            raise Unauthorized("This account is no longer there. Log in again.")
        return user

    async def _strengthen(self, found: Credentials, password: str) -> None:
        stronger = await self.hasher.hash(password)
        await self.store.update_password_hash(found.user.id, old=found.password_hash, new=stronger)
        logger.info("password hash renewed", extra={"user_id": str(found.user.id)})

    async def _refuse(self, token_hash: str, origin: Origin) -> NoReturn:
        state = await self.store.select_token_state(token_hash)
        why = domain.refusal(state, leeway_s=self.policy().leeway_s)
        if why is Refusal.REPLAYED:
            user_id = await self.store.revoke_family(token_hash, RevokeReason.REPLAY, origin)
            _replayed.add(1)
            logger.warning("refresh token replayed", extra={"user_id": str(user_id), **vars(origin)})
        raise Unauthorized(_SENTENCES.get(why, "This session has ended. Log in again."))

    def _session(self, user: User, refresh_token: str) -> Session:
        claims = {"email": user.email, "name": user.name}
        access_token = self.issuer.issue(str(user.id), scopes=SCOPES, claims=claims)
        return Session(access_token, refresh_token, int(self.issuer.lifetime_s), user)


_SENTENCES: Final = {
    Refusal.SUPERSEDED: "This session was refreshed a moment ago. Use its newest token.",
}


def _family(token: str, origin: Origin) -> NewFamily:
    return NewFamily(uuid4(), domain.token_digest(token), origin)


def _paces(email: str, origin: Origin, policy: Policy) -> dict[str, Pace]:
    """Under which keys an attempt counts. The account's is a digest: people type passwords there, too.

    `email` as it was typed where it is none: whoever mistypes theirs has nothing to do with others who do.
    """
    account = hashlib.sha256(email.encode()).hexdigest()
    return {
        f"address:{domain.address_key(origin.address)}": policy.per_address,
        f"account:{account}": policy.per_account,
    }


def _admit(key: str, wait_s: float) -> None:
    """Raises `RateLimited` where there is a time to wait."""
    if wait_s:
        _refused.add(1, {"reason": "rate_limited"})
        logger.warning("login attempts limited", extra={"throttle": key})
        raise RateLimited("Too many attempts to log in. Try again later.", retry_after_s=wait_s)
