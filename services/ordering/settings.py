"""What ordering is told from outside. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from services.defaults.settings import CommonSettings, SettingsError, setting
from services.ordering.app import RouteLimits
from services.ordering.service.deps import Policy


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port to listen on", default=8082, minimum=0, maximum=65535)
    database_url: str = setting("Postgres database of ordering", secret=True)
    database_pool_size: int = setting("Database connections at most", default=10, minimum=2, maximum=100)
    rabbitmq_url: str = setting("RabbitMQ, where events go", secret=True)

    jwt_secret: str = setting("Key that signs access tokens (HS256)", signing_key=True)
    jwt_issuer: str = setting("`iss` of access tokens", default="https://ticketflow.test")
    jwt_audience: str = setting("`aud` of access tokens", default="ticketflow")
    service_token_secret: str = setting("Key that signs our tokens for the catalog (HS256)", signing_key=True)
    payments_api_key: str = setting(
        "What the payment provider knows us by; it signs its webhooks with it", signing_key=True
    )
    catalog_addr: str = setting("`host:port` of the catalog, where Consul does not say", default="")
    payments_addr: str = setting("`host:port` of the payment provider, where Consul does not say", default="")

    ordering_hold_ttl_s: float = setting(
        "How long a buyer has to pay for held tickets", default=600, minimum=1, maximum=1800, tunable=True
    )
    expiry_grace_s: float = setting(
        "How long after its hold an unpaid order is cancelled", default=5, minimum=0, maximum=600, tunable=True
    )
    payments_timeout_s: float = setting(
        "How long a buyer waits for the payment provider; after that we ask it by ourselves",
        default=5,
        minimum=0.1,
        maximum=25,
    )
    recovery_interval_s: float = setting(
        "Pause between two looks for work that was left half done", default=1, minimum=0.05, tunable=True
    )
    recheck_s: float = setting(
        "Pause between two questions to the provider about an unclear payment", default=2, minimum=0.1, tunable=True
    )
    work_lease_s: float = setting(
        "How long after a crash somebody else goes on with a payment", default=30, minimum=1, tunable=True
    )
    key_lease_s: float = setting(
        "How long after a crash the same request can be repeated; shorter than WORK_LEASE_S, so that a buyer who"
        " repeats a payment finishes it before it is given up",
        default=15,
        minimum=1,
        tunable=True,
    )

    trusted_proxies: tuple[str, ...] = setting(
        "Networks whose X-Forwarded-For is believed: where the gateway runs",
        default=("127.0.0.0/8", "::1/128"),
    )
    order_limit: int = setting("Orders, payments and cancellations of one buyer per minute", default=60, minimum=1)
    read_limit: int = setting("Reads of one buyer per minute", default=600, minimum=1)
    webhook_limit: int = setting("Webhooks from one address per minute", default=6000, minimum=1)

    crash_at: str = setting(
        "For fault tests: the step of an order at which the process dies (`place.held`, `pay.charged`, …)",
        default="",
    )

    def __post_init__(self) -> None:
        if self.crash_at and self.production:
            raise SettingsError("CRASH_AT: is not for production")

    @property
    def addresses(self) -> dict[str, str]:
        return {"catalog": self.catalog_addr, "payments": self.payments_addr}

    @cached_property
    def policy(self) -> Policy:
        return Policy(
            hold_ttl_s=self.ordering_hold_ttl_s,
            expiry_grace_s=self.expiry_grace_s,
            key_lease_s=self.key_lease_s,
            work_lease_s=self.work_lease_s,
            recheck_s=self.recheck_s,
        )

    @property
    def limits(self) -> RouteLimits:
        return RouteLimits(order=self.order_limit, read=self.read_limit, webhook=self.webhook_limit)
