"""The way to the mail server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused
from opentelemetry.trace import SpanKind

from services.defaults.telemetry import observe

TIMEOUT_S: Final = 10.0  # for a whole mail; the event's claim outlives it
PING_TIMEOUT_S: Final = 0.8


class Refused(Exception):
    """The mail server will not take this mail, or not for this recipient. `code` is its SMTP reply code."""

    def __init__(self, code: int, reply: str) -> None:
        super().__init__(f"{code} {reply}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Mailer:
    """An SMTP server (RFC 5321). `tls` is `none`, `starttls` or `tls`; an empty user name means no login."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: str = "none"
    local_name: str = "ticketflow.test"  # said in EHLO; looking our name up could take longer than the mail

    async def send(self, mail: EmailMessage) -> None:
        """Hands the mail over; returns when the server has accepted it.

        Raises Refused for an answer about this mail; whatever else goes wrong (no server, no login, no answer
        within TIMEOUT_S) raises aiosmtplib's SMTPException, OSError or TimeoutError, and concerns every mail.
        """
        place = {"server.address": self.host, "server.port": self.port, "network.protocol.name": "smtp"}
        with observe("send mail", SpanKind.CLIENT, place) as span:
            try:
                await self._send(mail)
            except SMTPRecipientsRefused as error:
                first = error.recipients[0]
                span.set_attribute("smtp.reply_code", first.code)
                raise Refused(first.code, first.message) from error
            except (SMTPSenderRefused, SMTPDataError) as error:
                span.set_attribute("smtp.reply_code", error.code)
                raise Refused(error.code, error.message) from error

    async def ping(self) -> None:
        """Raises when the server does not greet; for health."""
        async with asyncio.timeout(PING_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                if self.tls != "tls":
                    await reader.readline()
            finally:
                writer.close()

    async def _send(self, mail: EmailMessage) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await aiosmtplib.send(
                mail,
                hostname=self.host,
                port=self.port,
                username=self.username or None,
                password=self.password or None,
                use_tls=self.tls == "tls",
                start_tls=self.tls == "starttls",
                local_hostname=self.local_name,
                timeout=TIMEOUT_S,
            )
