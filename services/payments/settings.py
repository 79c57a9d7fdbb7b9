"""What the sandbox provider is told from outside. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from services.defaults.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port to listen on", default=8085, minimum=0, maximum=65535)
    payments_api_key: str = setting("What merchants show to be let in; webhooks are signed with it", signing_key=True)
    payments_db: str = setting("SQLite file with the charges", default=".ticketflow/payments.db")
    payments_webhook_url: str = setting("Where webhooks go; empty: none are sent", default="")
    payments_late_s: float = setting(
        "After how long a charge of the card that times out succeeds", default=8, minimum=0, maximum=3600
    )
    payments_stall_s: float = setting(
        "How long that card's first caller waits for an answer", default=20, minimum=0, maximum=300
    )
    charge_limit: int = setting("Requests from one address per minute", default=60000, minimum=1)
