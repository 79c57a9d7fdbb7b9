"""The client of the mailbox, against the mailbox itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from services.dashboard.mails import Mails, open_mails
from services.defaults.errors import NotFound, Unavailable
from services.defaults.health import Health
from services.mailbox.app import create_app
from services.mailbox.store import MailStore
from tests.dashboard.desk import serving


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path / "mails")


@pytest.fixture
async def mails(store: MailStore) -> AsyncIterator[Mails]:
    async with serving(create_app(store, Health("mailbox", "test", {}))) as address, open_mails(address) as mails:
        assert mails
        yield mails


def raw_mail(subject: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "shop@example.com", "ada@example.com", subject
    message.set_content("the text")
    message.add_alternative("<p>the HTML</p>", subtype="html")
    message.add_attachment(b"%PDF-1", "application", "pdf", filename="tickets.pdf")
    return bytes(message)


async def test_lists_and_reads(mails: Mails, store: MailStore) -> None:
    mail_id = store.save(raw_mail("Your tickets"))
    (line,) = await mails.newest_first()
    assert (line.id, line.to, line.subject) == (mail_id, "ada@example.com", "Your tickets")
    mail = await mails.mail(mail_id)
    assert (mail.text.strip(), mail.has_html) == ("the text", True)
    (file,) = mail.attachments
    assert (file.filename, file.size_bytes) == ("tickets.pdf", 6)
    assert b"the HTML" in (await mails.html(mail_id)).content
    found = await mails.attachment(mail_id, file.number)
    assert found.content == b"%PDF-1"
    assert "tickets.pdf" in found.disposition


async def test_a_mail_that_is_not_there(mails: Mails) -> None:
    with pytest.raises(NotFound):
        await mails.mail("../../etc/passwd")


async def test_a_mailbox_that_is_away() -> None:
    async with open_mails("http://127.0.0.1:9") as mails:
        assert mails
        with pytest.raises(Unavailable, match="The mailbox does not answer"):
            await mails.newest_first()


async def test_without_an_address_there_are_no_mails() -> None:
    async with open_mails("") as mails:
        assert mails is None
