"""The pages and the API."""

import base64
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from services.defaults.health import Health
from services.mailbox.app import create_app
from services.mailbox.store import MailStore


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path / "mails")


@pytest.fixture
def client(store: MailStore) -> Client:
    return create_app(store, Health("mailbox", "test", {})).test_client()


def mail(subject: str, to: str = "ada@example.com", html: str = "") -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "shop@example.com", to, subject
    message["Message-ID"] = "<1@example.com>"
    message.set_content("the text")
    if html:
        message.add_alternative(html, subtype="html")
    message.add_attachment(b"%PDF-1", "application", "pdf", filename="tickets.pdf")
    return bytes(message)


async def test_lists_the_newest_first(client: Client, store: MailStore) -> None:
    store.save(mail("first"))
    store.save(mail("second", to="bob@example.com"))
    body = await (await client.get("/api/messages")).get_json()
    assert [each["subject"] for each in body["messages"]] == ["second", "first"]
    one = await (await client.get("/api/messages?to=ADA@")).get_json()
    assert [each["subject"] for each in one["messages"]] == ["first"]
    assert set(one["messages"][0]) == {"id", "to", "from", "subject", "messageId", "receivedAt"}
    page = await (await client.get("/")).get_data(as_text=True)
    assert page.index("second") < page.index("first")


async def test_pages_through_many(client: Client, store: MailStore) -> None:
    for number in range(51):
        store.save(mail(f"mail {number}"))
    first = await (await client.get("/")).get_data(as_text=True)
    assert "51 mails" in first
    assert 'href="/?page=2"' in first
    second = await (await client.get("/?page=2")).get_data(as_text=True)
    assert second.count("<li>") == 1
    assert (await client.get("/?page=zero")).status_code == 200


async def test_gives_a_mail_in_full(client: Client, store: MailStore) -> None:
    mail_id = store.save(mail("hello", html="<p>the html</p>"))
    body = await (await client.get(f"/api/messages/{mail_id}")).get_json()
    assert body["text"].strip() == "the text"
    assert body["html"].strip() == "<p>the html</p>"
    assert {"name": "Subject", "value": "hello"} in body["headers"]
    (attachment,) = body["attachments"]
    assert base64.b64decode(attachment["content"]) == b"%PDF-1"
    download = await client.get(attachment["url"])
    assert await download.get_data() == b"%PDF-1"
    assert download.headers["Content-Disposition"] == "attachment; filename=tickets.pdf"
    page = await client.get(f"/messages/{mail_id}")
    assert "the text" in await page.get_data(as_text=True)


async def test_a_mail_cannot_act_in_the_reader_s_browser(client: Client, store: MailStore) -> None:
    attack = "<script>alert(1)</script>"
    mail_id = store.save(mail(attack, to=f'"{attack}" <x@example.com>', html=f"<p>{attack}</p>"))
    for path in ("/", f"/messages/{mail_id}"):
        response = await client.get(path)
        assert attack not in await response.get_data(as_text=True)
        assert "script-src" not in response.headers["Content-Security-Policy"]
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    framed = await client.get(f"/messages/{mail_id}/html")
    assert framed.headers["Content-Security-Policy"].startswith("sandbox ")
    assert "allow-scripts" not in framed.headers["Content-Security-Policy"]
    assert framed.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/messages/none", "/messages/none/html", "/api/messages/none", "/api/messages/..%2f..%2fetc%2fpasswd"],
)
async def test_an_unknown_mail_is_not_found(client: Client, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_an_unknown_attachment_is_not_found(client: Client, store: MailStore) -> None:
    mail_id = store.save(mail("hello"))
    assert (await client.get(f"/messages/{mail_id}/attachments/9")).status_code == 404


async def test_says_when_there_is_nothing(client: Client) -> None:
    assert "Nothing here yet" in await (await client.get("/")).get_data(as_text=True)
