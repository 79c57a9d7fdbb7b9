"""What the gateway's edge needs, made once by `__main__` and handed to `create_app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.defaults.auth import Principal, TokenVerifier
from services.defaults.health import Health
from services.gateway.answers import AnswerCache
from services.gateway.clients import Clients
from services.gateway.context import RequestContext
from services.gateway.guard import QueryLimits
from services.gateway.limits import Limiter
from services.gateway.loader import ConcertLoader, FacetsLoader
from services.gateway.neighbours import Neighbours

MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Deps:
    """`cookie_secret` signs what the pages keep in the browser. `trusted_proxies` are the addresses or
    networks whose `X-Forwarded-For` is believed. `requests_per_minute` is what one address may ask of the
    GraphQL endpoint of one instance. `query_limits` is asked for each time, as they may change."""

    clients: Clients
    verifier: TokenVerifier
    health: Health
    limiter: Limiter
    answers: AnswerCache
    neighbours: Neighbours = field(default_factory=Neighbours)
    cookie_secret: str = field(repr=False)
    production: bool = False
    public_browsing: bool = True
    trace_resolvers: bool = False
    public_url: str = "http://localhost:8080"
    trusted_proxies: tuple[str, ...] = ()
    query_limits: Callable[[], QueryLimits] = QueryLimits
    max_body_bytes: int = 64 * 1024
    requests_per_minute: int = 600

    def context(self, *, principal: Principal | None, token: str | None, client_address: str) -> RequestContext:
        """The surroundings of one GraphQL request, made by a page or by an API client."""
        return RequestContext(
            clients=self.clients,
            principal=principal,
            token=token,
            client_address=client_address,
            concerts=ConcertLoader(self.clients.catalog),
            facets=FacetsLoader(self.clients.catalog),
            answers=self.answers,
            limiter=self.limiter,
            public_browsing=self.public_browsing,
            trace_resolvers=self.trace_resolvers,
        )
