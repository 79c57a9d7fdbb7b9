"""The mailbox's pages, and the same as JSON."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
from quart import Blueprint, Quart, Response, current_app, request, url_for
from quart_rate_limiter import rate_exempt
from quart_schema import hide

from services.defaults.errors import NotFound
from services.defaults.health import Health
from services.defaults.http import create_http_app, public
from services.mailbox.domain import Attachment, Mail, Summary, framed_html, read_mail
from services.mailbox.store import MailStore

PAGE_SIZE: Final = 50
PAGE_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# A mail is a stranger's page: no script, no request to anywhere, no origin; only its links may be opened.
MAIL_CSP: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
)
STORE: Final = "MAIL_STORE"

_pages = Blueprint("pages", __name__)
_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Found:
    """A mail with its line in the list."""

    summary: Summary
    mail: Mail


def create_app(store: MailStore, health: Health) -> Quart:
    """The pages and the API over the mails in `store`."""
    app = create_http_app("mailbox", health, api_pages=False)
    app.config[STORE] = store
    app.register_blueprint(_pages)
    return app


@_pages.get("/")
@rate_exempt
@hide
@public
async def list_page() -> Response:
    page = max(1, request.args.get("page", 1, type=int))
    mails = _store().newest_first()
    shown = mails[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    older = page + 1 if len(mails) > page * PAGE_SIZE else None
    return _page("list.html", mails=shown, total=len(mails), page=page, older=older)


@_pages.get("/messages/<mail_id>")
@rate_exempt
@hide
@public
async def mail_page(mail_id: str) -> Response:
    found = await _find(mail_id)
    return _page("mail.html", summary=found.summary, mail=found.mail)


@_pages.get("/messages/<mail_id>/html")
@rate_exempt
@hide
@public
async def mail_html(mail_id: str) -> Response:
    found = await _find(mail_id)
    response = Response(framed_html(found.mail), mimetype="text/html")
    response.headers["Content-Security-Policy"] = MAIL_CSP
    return response


@_pages.get("/messages/<mail_id>/attachments/<int:number>")
@rate_exempt
@hide
@public
async def mail_attachment(mail_id: str, number: int) -> Response:
    attachments = (await _find(mail_id)).mail.attachments
    if number >= len(attachments):
        raise NotFound("This mail has no such attachment.")
    found = attachments[number]
    response = Response(found.content, content_type=found.content_type)
    response.headers.set("Content-Disposition", "attachment", filename=found.filename)
    return response


@_pages.get("/api/messages")
@rate_exempt
@hide
@public
async def api_list() -> dict[str, Any]:
    """All mails, newest first; `?to=` keeps those whose recipient contains it."""
    wanted = request.args.get("to", "").lower()
    mails = [mail for mail in _store().newest_first() if wanted in mail.to.lower()]
    return {"messages": [_summary_json(mail) for mail in mails]}


@_pages.get("/api/messages/<mail_id>")
@rate_exempt
@hide
@public
async def api_mail(mail_id: str) -> dict[str, Any]:
    found = await _find(mail_id)
    return {
        **_summary_json(found.summary),
        "headers": [{"name": name, "value": value} for name, value in found.mail.headers],
        "text": found.mail.text,
        "html": found.mail.html,
        "attachments": [_attachment_json(mail_id, number, each) for number, each in enumerate(found.mail.attachments)],
    }


def _store() -> MailStore:
    store: MailStore = current_app.config[STORE]
    return store


async def _find(mail_id: str) -> Found:
    summary = _store().summary(mail_id)
    if summary is None:
        raise NotFound("There is no such mail.")
    raw = await asyncio.to_thread(_store().read, mail_id)
    return Found(summary, read_mail(raw))


def _page(template: str, **view: Any) -> Response:
    response = Response(_templates.get_template(template).render(view), mimetype="text/html")
    response.headers["Content-Security-Policy"] = PAGE_CSP
    return response


def _summary_json(mail: Summary) -> dict[str, Any]:
    return {
        "id": mail.id,
        "to": mail.to,
        "from": mail.sender,
        "subject": mail.subject,
        "messageId": mail.message_id,
        "receivedAt": mail.received_at.isoformat().replace("+00:00", "Z"),
    }


def _attachment_json(mail_id: str, number: int, attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.filename,
        "contentType": attachment.content_type,
        "contentId": attachment.content_id,
        "size": len(attachment.content),
        "url": url_for("pages.mail_attachment", mail_id=mail_id, number=number),
        "content": base64.b64encode(attachment.content).decode(),
    }
