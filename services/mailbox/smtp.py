"""The mailbox's SMTP side: whatever arrives is kept before it is confirmed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope

from services.mailbox.store import MailStore

logger = logging.getLogger(__name__)

NAME: Final = "mailbox.ticketflow.test"


class Keeper:
    """aiosmtpd's handler; its method names are aiosmtpd's."""

    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """The reply to a mail: 250 once it is safe on disk, 451 (try later) where it is not."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else str(content or "").encode()
        try:
            mail_id = await asyncio.to_thread(self._store.save, _trace_headers(envelope) + raw)
        except OSError:
            logger.exception("mail not kept")
            return "451 4.3.0 The mail could not be stored"
        logger.info("mail kept", extra={"mail": mail_id, "recipients": len(envelope.rcpt_tos)})
        return "250 2.0.0 Kept"


@asynccontextmanager
async def smtp_server(store: MailStore, host: str, port: int, *, max_bytes: int) -> AsyncIterator[int]:
    """Takes mails while inside; yields the port. In this loop: aiosmtpd's own controller would add a thread."""

    def session() -> SMTP:
        return SMTP(Keeper(store), data_size_limit=max_bytes, enable_SMTPUTF8=True, hostname=NAME)

    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, a line for each command
    server = await asyncio.get_running_loop().create_server(session, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def _trace_headers(envelope: Envelope) -> bytes:
    """Who it was really from and to, which a mail's own headers need not tell (RFC 5321, 4.4)."""
    lines = [f"Return-Path: <{envelope.mail_from or ''}>"]
    lines += [f"Delivered-To: {recipient}" for recipient in envelope.rcpt_tos]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
