"""Mails: what the local SMTP server took, as text, as HTML in a sandbox, and the files."""

from __future__ import annotations

from typing import Final

from quart import Response

from services.dashboard.mails import Mails
from services.dashboard.pages.site import Query, Site, View, attempt
from services.dashboard.upstream import File
from services.defaults.errors import Unavailable

PAGE_SIZE: Final = 50
# A mail is a stranger's page: no script, no request to anywhere, no origin; only its links may be opened.
MAIL_CSP: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
)


async def inbox(site: Site, query: Query) -> View:
    """The list, newest first; `to` keeps those whose recipient holds it."""
    found = await attempt(site.mails.newest_first()) if site.mails else None
    wanted = query.get("to", "")
    lines = [line for line in (found.value or () if found else ()) if wanted.lower() in line.to.lower()]
    context = {
        "lines": lines[:PAGE_SIZE],
        "total": len(lines),
        "wanted": wanted,
        "problem": found.problem if found else "",
        "there": site.mails is not None,
    }
    return View("mails", "Mails", context)


async def one(site: Site, _query: Query, mail_id: str) -> View:
    mail = await _mails(site).mail(mail_id)
    return View("mail", mail.line.subject or "(no subject)", {"mail": mail})


async def html(site: Site, _query: Query, mail_id: str) -> Response:
    """The mail's HTML, for the frame."""
    response = _file(await _mails(site).html(mail_id), "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = MAIL_CSP
    return response


async def attachment(site: Site, _query: Query, mail_id: str, number: int) -> Response:
    """A file of the mail: to be saved, never shown, whatever it calls itself."""
    found = await _mails(site).attachment(mail_id, number)
    response = _file(found, found.content_type)
    response.headers["Content-Disposition"] = found.disposition or "attachment"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _mails(site: Site) -> Mails:
    if site.mails is None:
        raise Unavailable("No mailbox is named to this dashboard (MAILBOX_URL).")
    return site.mails


def _file(found: File, content_type: str) -> Response:
    return Response(found.content, content_type=content_type, headers={"Cache-Control": "no-store"})
