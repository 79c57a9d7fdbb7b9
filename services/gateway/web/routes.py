"""Every page: its address, who may see it, and how often one address may ask."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial, wraps
from typing import Any, Concatenate

from quart import Blueprint, Response, g, request
from quart_rate_limiter import rate_limit

from services.defaults.errors import Forbidden
from services.defaults.http import client_address
from services.defaults.telemetry import observe
from services.gateway.web import pages_account, pages_browse, pages_files, pages_orders
from services.gateway.web.csrf import FIELD, SAFE_METHODS, is_nonce, new_nonce
from services.gateway.web.formatting import reader_for
from services.gateway.web.site import Site, Visitor

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

Page = Callable[Concatenate[Site, Visitor, ...], Awaitable[Response]]


class Pace(Enum):
    """How often one address may ask for one page."""

    FILE = "file"
    BROWSE = "browse"
    WRITE = "write"
    SIGN_IN = "sign_in"


@dataclass(frozen=True)
class Rates:
    """Requests a minute, for each address and page."""

    file: int = 3000
    browse: int = 600
    write: int = 120
    sign_in: int = 60

    def per_minute(self, pace: Pace) -> int:
        return int(getattr(self, pace.value))


@dataclass(frozen=True)
class Route:
    """`member`: only for whoever is logged in. `catalog`: the same, in a shop that is closed to strangers."""

    rule: str
    page: Page
    method: str = "GET"
    pace: Pace = Pace.BROWSE
    member: bool = False
    catalog: bool = False


ROUTES = (
    Route("/", pages_browse.home, catalog=True),
    Route("/concerts", pages_browse.concerts, catalog=True),
    Route("/concerts/<slug>", pages_browse.concert, catalog=True),
    Route("/concerts/<slug>", pages_orders.place_order, "POST", Pace.WRITE),
    Route("/register", pages_account.register_form),
    Route("/register", pages_account.register, "POST", Pace.SIGN_IN),
    Route("/login", pages_account.login_form),
    Route("/login", pages_account.login, "POST", Pace.SIGN_IN),
    Route("/logout", pages_account.logout_form),
    Route("/logout", pages_account.logout, "POST", Pace.WRITE),
    Route("/orders", pages_orders.my_orders, member=True),
    Route("/orders/<order_id>", pages_orders.order, member=True),
    Route("/orders/<order_id>/calendar.ics", pages_orders.order_calendar, member=True),
    Route("/orders/<order_id>/payment", pages_orders.back_to_order),
    Route("/orders/<order_id>/payment", pages_orders.pay_order, "POST", Pace.WRITE, member=True),
    Route("/orders/<order_id>/cancellation", pages_orders.back_to_order),
    Route("/orders/<order_id>/cancellation", pages_orders.cancel_order, "POST", Pace.WRITE, member=True),
    Route("/posters/<concert_id>.svg", pages_files.poster, pace=Pace.FILE, catalog=True),
    Route("/assets/<etag>/<name>", pages_files.asset, pace=Pace.FILE),
    Route("/favicon.ico", pages_files.favicon, pace=Pace.FILE),
    Route("/robots.txt", pages_files.robots, pace=Pace.FILE),
)


def mount(blueprint: Blueprint, site: Site, rates: Rates) -> None:
    """Puts every route on the blueprint."""
    for route in ROUTES:
        blueprint.add_url_rule(
            route.rule,
            f"{route.method} {route.rule}".replace(".", "_"),
            _view(site, route, rates),
            methods=[route.method],
            provide_automatic_options=False,
        )


def _view(site: Site, route: Route, rates: Rates) -> Callable[..., Awaitable[Response]]:
    @rate_limit(rates.per_minute(route.pace), timedelta(minutes=1))
    @wraps(route.page)
    async def view(**arguments: Any) -> Response:
        fields = {} if request.method in SAFE_METHODS else (await request.form).to_dict()
        visitor = await (meet_for_file(site) if route.pace is Pace.FILE else meet(site, fields))
        if route.method not in SAFE_METHODS:
            _check_form(site, visitor)
        if route.member or (route.catalog and not site.public_browsing):
            visitor.require_login()
        with observe(f"page {route.page.__name__}", attributes={"ticketflow.page": route.page.__name__}):
            return await route.page(site, visitor, **arguments)

    view.__authorization__ = "session" if route.member else "public"  # type: ignore[attr-defined] # the mark that the route tests look for
    return view


async def meet(site: Site, fields: Mapping[str, str]) -> Visitor:
    """Who asks, from their cookies and headers, and what they sent; kept in `g` for the end of the request."""
    address = client_address()
    access, refresh = (request.cookies.get(site.jar.name(name), "") for name in ("access", "refresh"))
    g.recalled = await site.sessions.recall(access, refresh, address)
    g.visitor = Visitor(
        recalled=g.recalled,
        reader=reader_for(request.headers.get("Accept-Language", "")),
        address=address,
        mint=partial(_mint, site),
        fields=fields,
    )
    return g.visitor  # type: ignore[no-any-return] # g holds anything


async def meet_for_file(site: Site) -> Visitor:
    """As `meet`, without renewing or setting a cookie: what is kept by caches must carry none."""
    address = client_address()
    access = request.cookies.get(site.jar.name("access"), "")
    recalled = await site.sessions.recall(access, "", address)
    reader = reader_for("")
    return Visitor(recalled=recalled, reader=reader, address=address, mint=no_token, fields={})


def no_token() -> str:
    """For pages without a form."""
    return ""


def _mint(site: Site) -> str:
    """The token of this browser's forms; one without the cookie for it gets that with the answer."""
    nonce = g.get("new_nonce") or _nonce(site)
    if not is_nonce(nonce):
        nonce = g.new_nonce = new_nonce()
    return site.csrf.token(nonce, _subject())


def _check_form(site: Site, visitor: Visitor) -> None:
    """Raises `Forbidden` for a form that is not ours; where nobody can tell, what is the matter."""
    token = visitor.fields.get(FIELD, "")
    try:
        site.csrf.check(request.headers, request.host, nonce=_nonce(site), subject=_subject(), token=token)
    except Forbidden as error:
        raise visitor.recalled.doubt or error from None


def _nonce(site: Site) -> str:
    return request.cookies.get(site.jar.name("csrf"), "")


def _subject() -> str:
    return g.recalled.principal.subject if g.recalled.principal else ""


def finish(site: Site, response: Response) -> Response:
    """Headers that every page has, and the cookies that this request made."""
    if not any(name == "Content-Security-Policy" for name, _ in response.headers):
        response.headers.add("Content-Security-Policy", CONTENT_POLICY)
    if "recalled" not in g:
        return response
    written = {cookie.partition("=")[0] for cookie in response.headers.getlist("Set-Cookie")}
    if g.recalled.fresh and site.jar.name("refresh") not in written:
        site.jar.keep_session(response, g.recalled.fresh)
    if "new_nonce" in g and site.jar.name("csrf") not in written:
        site.jar.keep(response, "csrf", g.new_nonce, max_age_s=None)
    return response
