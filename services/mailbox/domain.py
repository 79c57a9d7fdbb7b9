"""Reading a mail: what is in it, and how much of that may be shown."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from email.parser import BytesHeaderParser, BytesParser
from email.policy import default

# Links of a mail open beside the mailbox, not inside the frame that shows the mail.
_LINKS_OUTSIDE = '<base target="_blank">'
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_CID = re.compile(r"cid:([^\"'\s)>]+)")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A mail in the list; `received_at` is when the mailbox took it."""

    id: str
    sender: str
    to: str
    subject: str
    message_id: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A part of a mail that is a file; `content_id` is set where the HTML shows it."""

    filename: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A whole mail. `html` is as it came: it must not be shown outside a sandbox."""

    headers: Sequence[tuple[str, str]]
    text: str
    html: str
    attachments: Sequence[Attachment]


def summarize(mail_id: str, raw: bytes, received_at: datetime) -> Summary:
    """The list's line about a mail, from its headers alone."""
    headers = _headers(BytesHeaderParser(policy=default).parsebytes(raw))
    lowered = {name.lower(): value for name, value in reversed(headers)}  # of several, the first counts
    return Summary(
        id=mail_id,
        sender=lowered.get("from", ""),
        to=lowered.get("to", ""),
        subject=lowered.get("subject", ""),
        message_id=lowered.get("message-id", ""),
        received_at=received_at,
    )


def read_mail(raw: bytes) -> Mail:
    """The mail in full. A broken one is shown as far as it can be read."""
    message = BytesParser(policy=default).parsebytes(raw)
    try:
        return _read_parts(message)
    except Exception:  # Python's parser stumbles over some malformed headers, in many ways
        text = raw.decode("utf-8", "replace")
        return Mail(headers=_headers(message), text=text, html="", attachments=[])


def _read_parts(message: EmailMessage) -> Mail:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    bodies = [part for part in (text, html) if part is not None]
    return Mail(
        headers=_headers(message),
        text=_text(text) if text is not None else "",
        html=_text(html) if html is not None else "",
        attachments=[
            _attachment(part, number)
            for number, part in enumerate(message.walk())
            if not part.is_multipart() and not any(part is body for body in bodies)
        ],
    )


def framed_html(mail: Mail) -> str:
    """The mail's HTML for a sandboxed frame: its own pictures inside it, its links opening outside."""
    pictures = {each.content_id: each for each in mail.attachments if each.content_id}
    html = _CID.sub(lambda match: _data_uri(match, pictures), mail.html)
    if _HEAD.search(html):
        return _HEAD.sub(lambda match: match.group() + _LINKS_OUTSIDE, html, count=1)
    return _LINKS_OUTSIDE + html


def _data_uri(match: re.Match[str], pictures: Mapping[str, Attachment]) -> str:
    picture = pictures.get(match.group(1))
    if picture is None or not picture.content_type.startswith("image/"):
        return match.group()
    return f"data:{picture.content_type};base64,{base64.b64encode(picture.content).decode()}"


def _attachment(part: EmailMessage, number: int) -> Attachment:
    payload = part.get_payload(decode=True)
    return Attachment(
        filename=part.get_filename() or f"part-{number}",
        content_type=part.get_content_type(),
        content_id=str(part["Content-ID"] or "").strip("<> "),
        content=payload if isinstance(payload, bytes) else b"",
    )


def _text(part: MIMEPart) -> str:
    try:
        text = str(part.get_content())
    except (LookupError, ValueError):  # an unknown charset, or bytes that are not in it
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return _printable(text.replace("\r\n", "\n"))


def _headers(message: EmailMessage) -> list[tuple[str, str]]:
    return [(name, _header(name, raw)) for name, raw in message.raw_items()]


def _header(name: str, raw: str) -> str:
    try:
        value = str(default.header_fetch_parse(name, raw))
    except Exception:  # as above; the header is shown as it came
        value = str(raw)
    return " ".join(_printable(value).split())


def _printable(text: str) -> str:
    """Without the lone surrogates by which Python keeps bytes that are no text; JSON and UTF-8 know none."""
    return text.encode("utf-8", "replace").decode()
