"""Who may come in: on this machine alone everybody, from afar whoever has the token.

A sender of telemetry shows the token as a bearer token (RFC 6750), a person types it once and keeps a cookie. A
dashboard of this machine alone can still be reached by a page of another site, through somebody's browser: by
giving its own name our address (DNS rebinding), or by posting. So the name is checked, and whose page posts.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

from quart import Quart, Response, request

from services.defaults.errors import Forbidden, Unauthorized
from services.defaults.settings import SettingsError

COOKIE: Final = "dashboard"
COOKIE_LIFETIME_S: Final = 30 * 86_400
SIGN_IN: Final = "/token"
# Probes tell nothing of the telemetry; the form and what it looks like must be there to be let in.
OPEN_PATHS: Final = frozenset({"/health", "/alive", "/metrics", "/favicon.ico", SIGN_IN})
OPEN_PREFIX: Final = "/static/"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Decides who has shown the token; without one, everybody has. `secure`: the cookie travels by HTTPS only."""

    def __init__(self, token: str, *, secure: bool = False, clock_s: Callable[[], float] = time.time) -> None:
        self._token = token
        self._secure = secure
        self._clock_s = clock_s

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._token

    def admits(self, token: str) -> bool:
        """Whether this is the token; it takes as long to say no as to say yes."""
        return self.open or hmac.compare_digest(self._token.encode(), token.encode(errors="replace"))

    def admits_bearer(self, authorization: str) -> bool:
        """Whether an `Authorization` header shows the token."""
        scheme, _, token = authorization.partition(" ")
        return self.open or (scheme.lower() == "bearer" and self.admits(token.strip()))

    def admits_cookie(self, value: str) -> bool:
        """Whether a cookie's value is one of `set_cookie`'s, and still good."""
        expires, _, _ = value.partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 12):
            return self.open
        good = hmac.compare_digest(self._cookie(int(expires)).encode(), value.encode(errors="replace"))
        return self.open or (good and int(expires) > self._clock_s())

    def set_cookie(self, response: Response) -> None:
        """Lets the browser in that gets this response, for 30 days. The cookie does not hold the token."""
        value = self._cookie(int(self._clock_s()) + COOKIE_LIFETIME_S)
        response.set_cookie(
            COOKIE, value, max_age=COOKIE_LIFETIME_S, httponly=True, samesite="Strict", secure=self._secure
        )

    def _cookie(self, expires_s: int) -> str:
        proof = hmac.new(self._token.encode(), f"dashboard cookie {expires_s}".encode(), hashlib.sha256)
        return f"{expires_s}.{proof.hexdigest()}"


def guard(app: Quart, access: Access, *, pages: bool) -> None:
    """Lets nobody into `app` who may not come in. `pages`: people come there, who can be asked for the token."""

    async def check() -> Response | None:
        _check_site(access)
        if access.open or request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIX):
            return None
        if access.admits_bearer(request.headers.get("Authorization", "")):
            return None
        if pages and access.admits_cookie(request.cookies.get(COOKIE, "")):
            return None
        if pages and request.method in SAFE_METHODS and request.accept_mimetypes.accept_html:
            return _to_form()
        raise Unauthorized("The dashboard's token is needed here.")

    app.before_request(check)


def open_access(token: str, *, host: str, secure: bool) -> Access:
    """The access that the settings ask for; raises `SettingsError` where all the world would be let in."""
    if not token and not is_local(host):
        raise SettingsError("DASHBOARD_TOKEN: is needed, as HOST is not an address of this machine alone")
    return Access(token, secure=secure)


def is_local(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_site(access: Access) -> None:
    if access.open and not is_local(_name(f"//{request.host}")):
        raise Forbidden("This dashboard answers to the names of this machine only, such as localhost.")
    if request.method not in SAFE_METHODS and not _from_here():
        raise Forbidden("This request came from another site. Nothing was done.")


def _from_here() -> bool:
    """What the browser says of where a request was sent from; programs and old browsers say nothing."""
    # "none" is the reader's own doing, such as sending a form again after a reload.
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin", "")
    return not origin or origin.partition("://")[2] == request.host


def _name(address: str) -> str:
    """The host's name in an address; empty where it is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _to_form() -> Response:
    target = request.full_path.rstrip("?")
    return Response(status=303, headers={"Location": f"{SIGN_IN}?next={quote(target, safe='')}"})
