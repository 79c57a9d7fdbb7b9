"""What every page has at hand, and who is looking at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup
from quart import Response, request

from services.defaults.assets import Assets
from services.defaults.errors import AppError, Unauthorized
from services.gateway.memory import Memory
from services.gateway.web.csrf import CsrfGuard
from services.gateway.web.formatting import Reader
from services.gateway.web.rendering import Renderer, SharedPage
from services.gateway.web.session import Jar, Recalled, Sessions
from services.gateway.web.shop import Caller, Shop

LookAgain = tuple[int, str]
"""After how many seconds a browser should look again, and at which address."""


@dataclass(frozen=True)
class Site:
    """`now` is the clock, aware. `shared` keeps pages that are the same for everyone."""

    shop: Shop
    sessions: Sessions
    jar: Jar
    csrf: CsrfGuard
    renderer: Renderer
    assets: Assets
    shared: Memory[SharedPage]
    posters: Memory[tuple[str, str]]  # version and drawing
    now: Callable[[], datetime]
    public_url: str
    public_browsing: bool
    sandbox: bool  # whether the payment provider takes test cards, which people must be told


@dataclass(frozen=True)
class Visitor:
    """One request's: who it is from, in what format they read, and what they sent.

    `mint` makes the token for the forms of this browser, and gives it the cookie that the token is bound to.
    """

    recalled: Recalled
    reader: Reader
    address: str
    mint: Callable[[], str]
    fields: Mapping[str, str]  # of the form that was sent; empty for a mere look

    @property
    def caller(self) -> Caller:
        return Caller(self.recalled.principal, self.recalled.token, self.address)

    @property
    def name(self) -> str:
        """What to call whoever is logged in; empty for a stranger."""
        principal = self.recalled.principal
        return (principal.name or principal.email) if principal else ""

    @property
    def csrf_token(self) -> str:
        """For a form on the page; a page without one needs no cookie."""
        return self.mint()

    @property
    def stranger(self) -> bool:
        """Whether it is certain that nobody is logged in."""
        return self.recalled.principal is None and self.recalled.doubt is None

    def require_login(self) -> None:
        """Raises `Unauthorized` for a stranger, and what is the matter where nobody can tell."""
        if self.recalled.principal:
            return
        raise self.recalled.doubt or Unauthorized("Log in first.")


def page(
    site: Site,
    visitor: Visitor,
    template: str,
    *,
    title: str,
    status: int = 200,
    look_again: LookAgain | None = None,
    **context: Any,
) -> Response:
    """A page for one visitor, never kept by anything but their own browser."""
    body = site.renderer.body(template, visitor=visitor, reader=visitor.reader, now=site.now(), **context)
    return framed(site, visitor, body, title=title, status=status, look_again=look_again)


def framed(
    site: Site,
    visitor: Visitor,
    body: Markup,
    *,
    title: str,
    status: int = 200,
    look_again: LookAgain | None = None,
) -> Response:
    """A body in its frame. With `look_again` (seconds, address) the browser goes there by itself."""
    html = site.renderer.frame(body, title=title, member=visitor if visitor.name else None)
    response = Response(html, status=status, mimetype="text/html")
    if look_again:
        response.headers["Refresh"] = "{}; url={}".format(*look_again)
    return _for_this_browser(response, visitor)


def shared_page(site: Site, visitor: Visitor, kept: SharedPage) -> Response:
    """A page that is the same for everyone: to strangers as it was made, to members in a frame of their own."""
    if visitor.name:
        return framed(site, visitor, kept.body, title=kept.title)
    seen = "If-None-Match" in request.headers and kept.etag in request.if_none_match
    response = Response(status=304) if seen else Response(kept.html, mimetype="text/html")
    response.set_etag(kept.etag)
    return _for_this_browser(response, visitor)


def _for_this_browser(response: Response, visitor: Visitor) -> Response:
    # no-cache, not no-store: the browser may go back to it at once, but asks before it shows it anew.
    response.headers["Cache-Control"] = "private, no-cache" if not visitor.name else "private, no-store"
    response.headers["Vary"] = "Cookie, Accept-Language"
    return response


def see_other(path: str) -> Response:
    """On to a page of ours, after a form (RFC 9110, 15.4.4)."""
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def is_answerable(error: AppError) -> bool:
    """Whether a form can come back with this error: it is about what was typed, not about us."""
    return 400 <= error.status < 500 and not isinstance(error, Unauthorized)
