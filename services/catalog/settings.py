"""What the catalog is told from outside."""

from __future__ import annotations

from dataclasses import dataclass

from services.defaults.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port of gRPC", default=50051, minimum=0, maximum=65535)
    admin_port: int = setting("Port of health and liveness over HTTP", default=8083, minimum=0, maximum=65535)
    database_url: str = setting("Postgres database of the catalog", secret=True)
    database_pool_size: int = setting("Database connections at most", default=10, minimum=1, maximum=100)
    redis_url: str = setting("Redis that caches reads", secret=True)
    cache_ttl_s: float = setting(
        "Seconds that a cached read lives; what is left of a concert may lag by as much",
        default=30,
        minimum=0.1,
        maximum=3600,
        tunable=True,
    )
    service_token_secret: str = setting("Key that signs the tokens of services (HS256)", signing_key=True)
    jwt_issuer: str = setting("`iss` of tokens", default="https://ticketflow.test")
