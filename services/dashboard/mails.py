"""The mails that the local mailbox took, by its JSON API (services/mailbox)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from services.dashboard.upstream import File, Upstream, part
from services.defaults.errors import Unavailable


@dataclass(frozen=True, kw_only=True)
class MailLine:
    """A mail in the list; `received_at` is when the mailbox took it."""

    id: str
    sender: str
    to: str
    subject: str
    received_at: datetime


@dataclass(frozen=True)
class Attachment:
    """A file of a mail, the `number`th of its parts."""

    number: int
    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class Mail:
    """A whole mail; its HTML is fetched apart, for a frame of its own."""

    line: MailLine
    headers: Sequence[tuple[str, str]]
    text: str
    has_html: bool
    attachments: Sequence[Attachment]


class Mails:
    """Every call raises `Unavailable` while the mailbox is away, and `NotFound` for a mail that is not there."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def newest_first(self) -> Sequence[MailLine]:
        body = await self._upstream.json("GET", "/api/messages")
        with _readable():
            return [_line(each) for each in body["messages"]]

    async def mail(self, mail_id: str) -> Mail:
        body = await self._upstream.json("GET", f"/api/messages/{part(mail_id)}")
        with _readable():
            return _mail(body)

    async def html(self, mail_id: str) -> File:
        """The HTML as the mailbox frames it: its own pictures inside it."""
        return await self._upstream.file(f"/messages/{part(mail_id)}/html")

    async def attachment(self, mail_id: str, number: int) -> File:
        return await self._upstream.file(f"/messages/{part(mail_id)}/attachments/{number}")


@asynccontextmanager
async def open_mails(address: str) -> AsyncIterator[Mails | None]:
    """The mailbox at that address (http://…); None where there is no address."""
    if not address:
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield Mails(Upstream("The mailbox", session, address))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("The mailbox answered something that cannot be read.") from error


def _line(body: Mapping[str, Any]) -> MailLine:
    return MailLine(
        id=str(body["id"]),
        sender=str(body["from"]),
        to=str(body["to"]),
        subject=str(body["subject"]),
        received_at=datetime.fromisoformat(body["receivedAt"]),
    )


def _mail(body: Mapping[str, Any]) -> Mail:
    return Mail(
        line=_line(body),
        headers=[(str(each["name"]), str(each["value"])) for each in body["headers"]],
        text=str(body["text"]),
        has_html=bool(body["html"]),
        # What has a content id is a picture inside the HTML.
        attachments=[
            Attachment(number, str(each["filename"]), str(each["contentType"]), int(each["size"]))
            for number, each in enumerate(body["attachments"])
            if not each["contentId"]
        ],
    )
