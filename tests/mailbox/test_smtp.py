"""Mails over SMTP, to disk."""

import asyncio
import os
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import aiosmtplib
import pytest

from services.mailbox.smtp import smtp_server
from services.mailbox.store import MailStore

MAX_BYTES = 200_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mails"


@pytest.fixture
async def port(folder: Path) -> AsyncIterator[int]:
    async with smtp_server(MailStore(folder), "127.0.0.1", 0, max_bytes=MAX_BYTES) as port:
        yield port


def mail(text: str = "Hello") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "shop@example.com", "ada@example.com", "Grüße"
    message.set_content(text)
    return message


async def send(port: int, message: EmailMessage, recipients: str | None = None) -> None:
    await aiosmtplib.send(message, recipients=recipients, hostname="127.0.0.1", port=port, start_tls=False, timeout=5)


async def test_a_confirmed_mail_is_on_disk(folder: Path, port: int) -> None:
    await send(port, mail(), recipients="hidden@example.com")
    reopened = MailStore(folder)  # as after a crash: nothing but the files
    (summary,) = reopened.newest_first()
    assert (summary.to, summary.subject) == ("ada@example.com", "Grüße")
    raw = reopened.read(summary.id)
    assert b"Delivered-To: hidden@example.com" in raw
    assert b"Return-Path: <shop@example.com>" in raw


async def test_takes_many_at_once(folder: Path, port: int) -> None:
    await asyncio.gather(*(send(port, mail(str(number))) for number in range(20)))
    assert len(MailStore(folder).newest_first()) == 20


async def test_refuses_a_mail_that_is_too_large(folder: Path, port: int) -> None:
    with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
        await send(port, mail("x" * 70 + "\n" * MAX_BYTES))
    assert caught.value.code == 552
    await send(port, mail())
    assert len(MailStore(folder).newest_first()) == 1


async def test_asks_to_try_later_when_it_cannot_keep_a_mail(folder: Path, port: int) -> None:
    os.rename(folder / "tmp", folder / "gone")
    with pytest.raises(aiosmtplib.SMTPDataError) as caught:
        await send(port, mail())
    assert caught.value.code == 451
    os.rename(folder / "gone", folder / "tmp")
    await send(port, mail())
    assert len(MailStore(folder).newest_first()) == 1
