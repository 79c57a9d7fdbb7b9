"""What a GraphQL request knows of its surroundings; resolvers get it as `context`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.defaults.auth import Principal
from services.defaults.errors import Unauthorized
from services.gateway.answers import AnswerCache
from services.gateway.clients import Clients
from services.gateway.limits import Limiter
from services.gateway.loader import ConcertLoader, FacetsLoader


class Breather:
    """Lets everybody else have a turn once in a while, where one request makes thousands of small steps."""

    STEPS: Final = 100  # about two milliseconds of work

    def __init__(self) -> None:
        self._taken = 0

    async def take(self) -> None:
        self._taken += 1
        if self._taken % self.STEPS == 0:
            await asyncio.sleep(0)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """One request's. `Deps.context()` makes it.

    `principal` and `token` are either both there, verified, or neither is. `client_address` is the address
    of the browser or API client, not of a proxy in between.
    """

    clients: Clients
    principal: Principal | None
    token: str | None
    client_address: str
    concerts: ConcertLoader
    facets: FacetsLoader
    answers: AnswerCache
    limiter: Limiter
    public_browsing: bool = True
    trace_resolvers: bool = False
    breather: Breather = field(default_factory=Breather)
    now: Callable[[], datetime] = utc_now

    @property
    def access_token(self) -> str:
        """The caller's, for fields that are `@authorized`."""
        if not self.token:
            raise RuntimeError("a field that needs a token is not @authorized")
        return self.token

    def require_login(self) -> None:
        """Raises `Unauthorized` where nobody is logged in."""
        if self.principal is None:
            raise Unauthorized("Log in first.")

    def require_browsing(self) -> None:
        """Raises `Unauthorized` where this shop shows its concerts only to people who are logged in."""
        if not self.public_browsing:
            self.require_login()
