"""Who is asking: two HttpOnly cookies, renewed silently, once for any number of tabs at any number of gateways."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from quart import Response

from services.defaults.auth import Principal, TokenVerifier
from services.defaults.errors import AppError, RateLimited, Unauthorized
from services.gateway.memory import Memory
from services.gateway.neighbours import Neighbours
from services.gateway.web.views import Session

EARLY_S = 60  # an access token is renewed this long before it ends, so that a refusal costs nobody the session
LEEWAY_S = 10.0  # how long a spent refresh token still gets what it was exchanged for
REFRESH_COOKIE_S = 30 * 24 * 3600  # identity decides when the token ends; the cookie only has to outlive it
MAX_RENEWALS = 10_000

Refresh = Callable[[str, str], Awaitable[Session]]
"""Exchanges a refresh token, for the browser at an address. Raises `Unauthorized`, `Unavailable`."""


@dataclass(frozen=True)
class Recalled:
    """What the cookies amount to.

    `fresh` is a session that the browser has yet to be told of. `doubt` is why nothing certain is known of
    somebody who seems to have a session: the part that knows is away.
    """

    principal: Principal | None = None
    token: str | None = None
    fresh: Session | None = None
    doubt: AppError | None = None


class Sessions:
    """Reads sessions from cookies' values."""

    def __init__(
        self,
        verifier: TokenVerifier,
        refresh: Refresh,
        neighbours: Neighbours,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._refresh = refresh
        self._neighbours = neighbours
        self._now_s = now_s
        # Refusals are kept too: a browser with a dead cookie must not cost a call on every page.
        self._renewals: Memory[Session] = Memory(ttl_s=LEEWAY_S, size=MAX_RENEWALS, keeps_error=_is_refusal)

    async def recall(self, access: str, refresh: str, address: str) -> Recalled:
        """Who holds these two tokens (empty: none). Renews them where the access token is at its end.

        A refresh token that is refused is left in the browser: another tab may just have exchanged it,
        and to delete the cookie now would delete the new one.
        """
        principal = self._verify(access)
        if principal and (not refresh or not self._ageing(principal)):
            return Recalled(principal, access)
        if not refresh:
            return Recalled()
        try:
            session = await self._renew(refresh, address)
        except AppError as error:
            if principal:
                return Recalled(principal, access)
            return Recalled(doubt=None if _is_refusal(error) else error)
        return Recalled(self._verify(session.access_token), session.access_token, fresh=session)

    async def forget(self, refresh: str) -> None:
        """Lets go of a session that was logged out, so that a late tab does not bring it back."""
        self._renewals.forget(lambda session: session.refresh_token == refresh)
        await self._neighbours.end(refresh)

    async def _renew(self, refresh: str, address: str) -> Session:
        async def ask() -> str:
            return (await self._refresh(refresh, address)).model_dump_json()

        async def make() -> Session:
            return Session.model_validate_json(await self._neighbours.once(refresh, ask))

        session = await self._renewals.get(sha256(refresh.encode(errors="replace")).digest(), make)
        if await self._neighbours.has_ended(session.refresh_token):
            raise Unauthorized("This session was ended.")
        return session

    def _verify(self, access: str) -> Principal | None:
        if not access:
            return None
        try:
            return self._verifier.verify(access)
        except Unauthorized:
            return None

    def _ageing(self, principal: Principal) -> bool:
        return float(principal.claims.get("exp", 0)) - self._now_s() < EARLY_S


def _is_refusal(error: BaseException) -> bool:
    """Whether this is identity's last word on a refresh token, not merely its absence or haste."""
    return isinstance(error, AppError) and error.status < 500 and not isinstance(error, RateLimited)


@dataclass(frozen=True)
class Jar:
    """How our cookies are called and set. In production they are Secure, and bound to this very host."""

    production: bool

    def name(self, name: str) -> str:
        return f"__Host-tf_{name}" if self.production else f"tf_{name}"

    def keep(self, response: Response, name: str, value: str, *, max_age_s: int | None) -> None:
        """Sets a cookie that no script can read; without `max_age_s` it ends with the browser's session."""
        response.set_cookie(
            self.name(name),
            value,
            max_age=max_age_s,
            path="/",
            secure=self.production,
            httponly=True,
            samesite="Lax",
        )

    def keep_session(self, response: Response, session: Session) -> None:
        self.keep(response, "access", session.access_token, max_age_s=session.expires_in)
        self.keep(response, "refresh", session.refresh_token, max_age_s=REFRESH_COOKIE_S)

    def drop_session(self, response: Response) -> None:
        for name in ("access", "refresh"):
            self.keep(response, name, "", max_age_s=0)
