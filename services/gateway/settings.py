"""What the gateway is told from outside. Limits of rate are for one address, account or person, and a minute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from services.defaults.settings import CommonSettings, setting
from services.gateway.guard import QueryLimits
from services.gateway.limits import Act, Rate
from services.gateway.web.routes import Rates


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port to listen on", default=8080, minimum=0, maximum=65535)
    public_url: str = setting("Where people reach the shop", default="http://localhost:8080")
    trusted_proxies: tuple[str, ...] = setting(
        "Networks whose `X-Forwarded-For` is believed, separated by commas", default=()
    )
    redis_url: str = setting(
        "Redis that counts guesses and renews sessions for all instances together; empty: each for itself",
        default="",
        secret=True,
    )

    catalog_addr: str = setting("`host:port` of the catalog, where Consul does not say", default="")
    identity_addr: str = setting("`host:port` of identity, where Consul does not say", default="")
    ordering_addr: str = setting("`host:port` of ordering, where Consul does not say", default="")

    jwt_secret: str = setting("Key that access tokens are signed with (HS256)", signing_key=True)
    jwt_issuer: str = setting("`iss` of access tokens", default="https://ticketflow.test")
    jwt_audience: str = setting("`aud` of access tokens", default="ticketflow")
    csrf_secret: str = setting("Key that signs the forms of the pages", signing_key=True)
    gateway_public_browsing: bool = setting("Show concerts to people who are not logged in", default=True)

    max_body_bytes: int = setting("Size of a request's body at most", default=64 * 1024, minimum=1024)
    graphql_max_query_bytes: int = setting("Length of a GraphQL query", default=8 * 1024, minimum=256, tunable=True)
    graphql_max_depth: int = setting(
        "Levels of fields in a query, of lists and objects in its input",
        default=10,
        minimum=3,
        maximum=30,
        tunable=True,
    )
    graphql_max_aliases: int = setting("Aliases in a query", default=15, minimum=0, tunable=True)
    graphql_max_tokens: int = setting("Tokens in a query", default=500, minimum=50, maximum=5000, tunable=True)
    graphql_max_cost: int = setting(
        "Fields that a query resolves, those of lists as often as they are long",
        default=8000,
        minimum=100,
        tunable=True,
    )
    graphql_trace_resolvers: bool = setting("A span for each resolver of a GraphQL operation", default=False)
    public_answer_s: float = setting(
        "Seconds that a public answer is kept and shared", default=1.0, minimum=0, maximum=30
    )

    request_limit: int = setting("GraphQL requests, per instance", default=600, minimum=1)
    register_limit: int = setting("Registrations from one address", default=10, minimum=1, tunable=True)
    login_address_limit: int = setting("Logins from one address", default=30, minimum=1, tunable=True)
    login_account_limit: int = setting("Logins to one account", default=10, minimum=1, tunable=True)
    refresh_limit: int = setting("Renewed sessions from one address", default=120, minimum=1, tunable=True)
    order_limit: int = setting("Orders placed, paid or cancelled by one person", default=30, minimum=1, tunable=True)

    file_limit: int = setting("Posters and other files for pages", default=3000, minimum=1)
    page_limit: int = setting("Pages that only show something, each", default=600, minimum=1)
    form_limit: int = setting("Forms sent, each", default=120, minimum=1)
    sign_in_limit: int = setting("Forms sent to log in or register, each", default=60, minimum=1)

    @property
    def addresses(self) -> dict[str, str]:
        return {"catalog": self.catalog_addr, "identity": self.identity_addr, "ordering": self.ordering_addr}

    @cached_property
    def query_limits(self) -> QueryLimits:
        return QueryLimits(
            max_query_bytes=self.graphql_max_query_bytes,
            max_depth=self.graphql_max_depth,
            max_aliases=self.graphql_max_aliases,
            max_tokens=self.graphql_max_tokens,
            max_cost=self.graphql_max_cost,
            introspection=not self.production,
        )

    def page_rates(self) -> Rates:
        return Rates(file=self.file_limit, browse=self.page_limit, write=self.form_limit, sign_in=self.sign_in_limit)

    @cached_property
    def rates(self) -> dict[Act, Rate]:
        per_minute = {
            Act.REGISTER_ADDRESS: self.register_limit,
            Act.LOGIN_ADDRESS: self.login_address_limit,
            Act.LOGIN_ACCOUNT: self.login_account_limit,
            Act.REFRESH_ADDRESS: self.refresh_limit,
            Act.ORDER_PERSON: self.order_limit,
        }
        return {act: Rate(count, 60) for act, count in per_minute.items()}
