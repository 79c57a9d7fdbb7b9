"""What identity is told from outside. Times are in seconds unless the name says otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from services.defaults.settings import CommonSettings, SettingsError, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port to listen on", default=8081, minimum=0, maximum=65535)
    database_url: str = setting("Postgres database of identity", secret=True)
    database_pool_size: int = setting("Database connections at most", default=10, minimum=1, maximum=100)

    jwt_secret: str = setting("Key that signs access tokens (HS256)", signing_key=True)
    jwt_issuer: str = setting("`iss` of access tokens", default="https://ticketflow.test")
    jwt_audience: str = setting("`aud` of access tokens", default="ticketflow")
    access_token_s: int = setting("How long an access token is good", default=15 * 60, minimum=60, maximum=86400)
    refresh_token_s: float = setting("How long an unused refresh token is good", default=30 * 86400, minimum=60)
    refresh_family_s: float = setting(
        "How long a login lasts at most, however often it is refreshed", default=180 * 86400, minimum=60
    )
    refresh_leeway_s: float = setting(
        "How long after its rotation a refresh token may turn up again without ending the login",
        default=10,
        minimum=0,
        maximum=300,
        tunable=True,
    )
    history_s: float = setting("How long expired logins, and why they ended, are kept", default=90 * 86400, minimum=0)
    prune_interval_s: float = setting("Pause between two deletions of what expired", default=3600, minimum=1)

    argon2_memory_kib: int = setting("Memory of one password hash, in KiB", default=19 * 1024, minimum=64)
    argon2_passes: int = setting("Passes of argon2id over that memory", default=2, minimum=1)
    argon2_lanes: int = setting("Lanes of argon2id", default=1, minimum=1)
    hashing_concurrency: int = setting("Passwords hashed at once", default=2, minimum=1, maximum=64)
    hashing_queue: int = setting(
        "Logins that may wait for their turn; more are turned away with 503", default=40, minimum=0
    )

    trusted_proxies: tuple[str, ...] = setting(
        "Networks whose X-Forwarded-For is believed: where the gateway runs",
        default=("127.0.0.0/8", "::1/128"),
    )
    login_window_s: float = setting(
        "Window that the two limits of logins are for", default=900, minimum=1, tunable=True
    )
    login_account_limit: int = setting(
        "Failed logins to one account per window, over all instances", default=10, minimum=1, tunable=True
    )
    login_address_limit: int = setting(
        "Failed logins from one address per window, over all instances", default=50, minimum=1, tunable=True
    )
    register_limit: int = setting("Registrations from one address per minute and instance", default=20, minimum=1)
    login_limit: int = setting("Logins from one address per minute and instance", default=60, minimum=1)
    refresh_limit: int = setting(
        "Refreshes and logouts from one address per minute and instance", default=120, minimum=1
    )
    read_limit: int = setting("Reads by one account per minute and instance", default=600, minimum=1)

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise SettingsError(f"TRUSTED_PROXIES: {error}") from error
