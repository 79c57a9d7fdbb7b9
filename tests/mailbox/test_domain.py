"""Reading mails, broken ones too."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mailbox.domain import framed_html, read_mail, summarize

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PICTURE = b"\x89PNG picture"


def mail() -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Shop <shop@example.com>"
    message["To"] = "Ada Löwe <ada@example.com>"
    message["Subject"] = "Grüße aus Berlin"
    message["Message-ID"] = "<1@example.com>"
    message.set_content("Hello in text\n")
    message.add_alternative(
        '<html><head></head><body><a href="https://x.test/">x</a><img src="cid:pic@x"></body></html>', subtype="html"
    )
    html = message.get_body(("html",))
    assert html is not None
    html.add_related(PICTURE, "image", "png", cid="<pic@x>", filename="pic.png")
    message.add_attachment(b"%PDF-1", "application", "pdf", filename="a.pdf")
    return message


def test_summarizes_headers_as_people_read_them() -> None:
    summary = summarize("7", bytes(mail()), AT)
    assert (summary.id, summary.received_at) == ("7", AT)
    assert summary.to == "Ada Löwe <ada@example.com>"
    assert summary.subject == "Grüße aus Berlin"
    assert summary.message_id == "<1@example.com>"


def test_reads_bodies_and_attachments() -> None:
    found = read_mail(bytes(mail()))
    assert found.text == "Hello in text\n"
    assert "cid:pic@x" in found.html
    assert [(each.filename, each.content) for each in found.attachments] == [
        ("pic.png", PICTURE),
        ("a.pdf", b"%PDF-1"),
    ]
    assert ("To", "Ada Löwe <ada@example.com>") in found.headers


def test_the_framed_html_holds_its_pictures_and_opens_links_outside() -> None:
    html = framed_html(read_mail(bytes(mail())))
    assert 'src="data:image/png;base64,' in html
    assert '<head><base target="_blank">' in html
    assert "cid:" not in html


def test_a_picture_that_is_no_image_stays_out_of_the_frame() -> None:
    message = EmailMessage(policy=SMTP)
    message.set_content('<img src="cid:x">', subtype="html")
    message.add_related(b"<script>", "text", "html", cid="<x>")
    assert "data:" not in framed_html(read_mail(bytes(message)))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", ""),
        (b"no headers at all", "no headers at all"),
        (b"Content-Type: text/plain; charset=nonsense\r\n\r\nh\xffllo", "h\ufffdllo"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe", "\ufffd\ufffd"),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html", ""),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!", ""),
        (b"Message-ID: <<script>@example.com>\r\n\r\nbody", "body"),
        (b"From: \xff\xfe\r\nSubject: =?utf-8?b?!!?=\r\nTo: a, b, c\r\n\r\n", ""),
    ],
)
def test_a_broken_mail_is_shown_as_far_as_it_goes(raw: bytes, shown: str) -> None:
    mail = read_mail(raw)
    assert mail.text == shown
    assert framed_html(mail).startswith("<base")
    assert summarize("1", raw, AT).received_at == AT


@given(raw=st.binary(max_size=400))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    assert summarize("1", raw, AT).received_at == AT
    assert framed_html(read_mail(raw)).startswith("<base")


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60))
@pytest.mark.parametrize("name", ["From", "To", "Subject", "Message-ID", "Content-Type", "Content-Disposition"])
def test_no_header_breaks_the_reader(name: str, value: str) -> None:
    raw = f"{name}: {value}\r\n\r\nthe body".encode()
    json.dumps(asdict(summarize("1", raw, AT)), default=str).encode()
    assert "the body" in read_mail(raw).text or read_mail(raw).attachments or read_mail(raw).html
