"""What the mailbox is told by its environment."""

from dataclasses import dataclass

from services.defaults.settings import CommonSettings, setting


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Where it listens, and where it keeps the mails."""

    port: int = setting("Port of the pages and the API", default=8025, minimum=0, maximum=65535)
    mailbox_smtp_port: int = setting("Port that takes mails by SMTP", default=1025, minimum=0, maximum=65535)
    mailbox_dir: str = setting("Folder of the mails, a Maildir; made if missing")
    mailbox_max_bytes: int = setting("Largest mail that is taken", default=10_485_760, minimum=1024)
