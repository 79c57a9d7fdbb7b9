"""Coming and going: register, log in, log out."""

import logging
from dataclasses import dataclass
from math import ceil

from quart import Response, request

from services.defaults.addresses import safe_next
from services.defaults.errors import AppError, Unauthorized
from services.gateway.web.csrf import new_nonce
from services.gateway.web.forms import Form, read_credentials, read_registration
from services.gateway.web.site import Site, Visitor, is_answerable, page, see_other
from services.gateway.web.views import Session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """One of the two forms that let somebody in."""

    template: str
    title: str


REGISTER = Kind("register.html", "Create an account")
LOGIN = Kind("login.html", "Log in")


async def register_form(site: Site, visitor: Visitor) -> Response:
    return _show(site, visitor, REGISTER)


async def register(site: Site, visitor: Visitor) -> Response:
    form = Form(values={name: visitor.fields.get(name, "") for name in ("name", "email")})
    try:
        entered = read_registration(visitor.fields)
        session = await site.shop.register(
            visitor.caller, email=entered.email, password=entered.password, name=entered.name
        )
    except AppError as error:
        return _again(site, visitor, REGISTER, form, error)
    return _welcome(site, visitor, session)


async def login_form(site: Site, visitor: Visitor) -> Response:
    return _show(site, visitor, LOGIN)


async def login(site: Site, visitor: Visitor) -> Response:
    form = Form(values={"email": visitor.fields.get("email", "")})
    try:
        entered = read_credentials(visitor.fields)
        session = await site.shop.login(visitor.caller, email=entered.email, password=entered.password)
    except AppError as error:
        return _again(site, visitor, LOGIN, form, error)
    return _welcome(site, visitor, session)


async def logout_form(site: Site, visitor: Visitor) -> Response:
    """For whoever types the address: a page must not log out, only a form may."""
    if not visitor.name:
        return see_other("/")
    return page(site, visitor, "logout.html", title="Log out")


async def logout(site: Site, visitor: Visitor) -> Response:
    """Ends the session in this browser in any case, and at identity where that can be reached."""
    fresh = visitor.recalled.fresh
    refresh = fresh.refresh_token if fresh else request.cookies.get(site.jar.name("refresh"), "")
    if refresh:
        await site.sessions.forget(refresh)
        await _end_at_identity(site, visitor, refresh)
    response = see_other("/")
    site.jar.drop_session(response)
    site.jar.keep(response, "csrf", new_nonce(), max_age_s=None)
    return response


async def _end_at_identity(site: Site, visitor: Visitor, refresh: str) -> None:
    try:
        await site.shop.logout(visitor.caller, refresh)
    except AppError as error:  # a browser without the cookie is logged out all the same, and says so
        logger.warning("a session that was logged out goes on at identity", extra={"code": error.code})


def _show(site: Site, visitor: Visitor, kind: Kind) -> Response:
    target = safe_next(request.args.get("next", "/"))
    if visitor.name:  # another tab has logged in meanwhile
        return see_other(target)
    return page(site, visitor, kind.template, title=kind.title, form=Form(), next=target)


def _again(site: Site, visitor: Visitor, kind: Kind, form: Form, error: AppError) -> Response:
    """The form as it was typed, with what to mend. Raises `error` where mending would not help."""
    if not is_answerable(error) and not isinstance(error, Unauthorized):
        raise error
    response = page(
        site,
        visitor,
        kind.template,
        title=f"Please check: {kind.title}",
        status=error.status,
        form=Form(values=form.values, errors=error.fields, message=error.message),
        next=safe_next(visitor.fields.get("next", "/")),
    )
    if error.retry_after_s:
        response.headers["Retry-After"] = str(ceil(error.retry_after_s))
    return response


def _welcome(site: Site, visitor: Visitor, session: Session) -> Response:
    response = see_other(safe_next(visitor.fields.get("next", "/")))
    site.jar.keep_session(response, session)
    # A token that was minted for a stranger is worth nothing to whoever is logged in.
    site.jar.keep(response, "csrf", new_nonce(), max_age_s=None)
    return response
