"""What the worker is told by its environment."""

from dataclasses import dataclass
from email.utils import parseaddr

from services.defaults.settings import CommonSettings, SettingsError, setting


@dataclass(frozen=True, kw_only=True)
class QueueSettings(CommonSettings):
    """Where the work comes from, and how patient to be with it: all that `replay` needs."""

    port: int = setting("Port of health and liveness", default=8084, minimum=0, maximum=65535)
    rabbitmq_url: str = setting("Where the broker is (amqp://…)", secret=True)
    retry_delays_s: tuple[str, ...] = setting(
        "Seconds before each further try, separated by commas", default=("1", "10", "60", "600")
    )

    def __post_init__(self) -> None:
        try:
            delays = self.delays_s
        except ValueError:
            raise SettingsError("RETRY_DELAYS_S: must be numbers separated by commas") from None
        if any(not 0 < delay <= 86_400 for delay in delays):
            raise SettingsError("RETRY_DELAYS_S: each must be above 0 and at most a day")

    @property
    def delays_s(self) -> tuple[float, ...]:
        """The waits before each further try, in seconds."""
        return tuple(float(delay) for delay in self.retry_delays_s)


@dataclass(frozen=True, kw_only=True)
class Settings(QueueSettings):
    """What the worker needs besides: the mail server, and the memory of what was mailed."""

    redis_url: str = setting("Where the events already mailed are remembered (redis://…)", secret=True)
    smtp_host: str = setting("Mail server's host")
    smtp_port: int = setting("Mail server's port", default=25, minimum=1, maximum=65535)
    smtp_username: str = setting("User at the mail server; empty: none", default="")
    smtp_password: str = setting("Password at the mail server", default="", secret=True)
    smtp_tls: str = setting(
        "`none`, `starttls`, or `tls` from the first byte", default="none", choices=("none", "starttls", "tls")
    )
    mail_from: str = setting("Sender of the mails, as in `TicketFlow <tickets@example.com>`")
    public_url: str = setting("Where people open the shop; links in mails begin with it")
    prefetch: int = setting("Mails worked on at once", default=8, minimum=1, maximum=200)
    seen_days: float = setting("Days for which a mailed event is remembered", default=7, minimum=0.01)

    def __post_init__(self) -> None:
        super().__post_init__()
        if "@" not in parseaddr(self.mail_from)[1]:
            raise SettingsError("MAIL_FROM: must be an address, as in `TicketFlow <tickets@example.com>`")
