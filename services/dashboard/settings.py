"""What the dashboard is told by its environment."""

from __future__ import annotations

from dataclasses import dataclass

from services.defaults.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Where it takes telemetry, how much of it it keeps, and what else it looks at."""

    port: int = setting("Port of the pages", default=18888, minimum=0, maximum=65535)
    otlp_port: int = setting("Port that takes OTLP over HTTP", default=4318, minimum=0, maximum=65535)
    otlp_grpc_port: int = setting("Port that takes OTLP over gRPC", default=4317, minimum=0, maximum=65535)
    otlp_max_body_bytes: int = setting(
        "Largest request that is taken, as it arrives", default=4_194_304, minimum=1024, maximum=67_108_864
    )
    otlp_max_inflated_bytes: int = setting(
        "Largest request that is taken, once it is inflated", default=16_777_216, minimum=1024, maximum=268_435_456
    )
    dashboard_token: str = setting(
        "What pages and senders must show. Needed where HOST is not a loopback address; "
        "empty: whoever is on this machine is let in",
        default="",
        signing_key=True,
    )
    dashboard_db: str = setting("SQLite file of the telemetry; made if missing", default=".ticketflow/telemetry.db")
    dashboard_max_bytes: int = setting(
        "Size that the file keeps to, by forgetting what is oldest", default=200_000_000, minimum=4_000_000
    )
    dashboard_max_age_h: float = setting("Hours after which telemetry is forgotten", default=48, minimum=0.01)
    apphost_socket: str = setting("Unix socket at which the app host takes orders; empty: there is none", default="")
    rabbitmq_url: str = setting(
        "Broker whose queues and dead letters are shown; empty: none are", default="", secret=True
    )
    retry_delays_s: tuple[str, ...] = setting(
        "Seconds before each further try, as notifications is told them: they name the retry queues",
        default=("1", "10", "60", "600"),
    )
    mailbox_url: str = setting("Mailbox whose mails are shown; empty: none are", default="")
    shop_url: str = setting("The shop, for a link to it; empty: there is none", default="")
