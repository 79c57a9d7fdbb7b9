"""Errors as pages: what happened, what it means for tickets and money, what to do next."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from quart import Blueprint, Response, g, request
from quart_rate_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException

from services.defaults.addresses import safe_next
from services.defaults.errors import AppError, NotFound, RateLimited, Unauthorized, error_class
from services.defaults.http import problem_response
from services.defaults.telemetry import current_trace_id, note_error
from services.gateway.web.addresses import login_address, own_path
from services.gateway.web.csrf import SAFE_METHODS
from services.gateway.web.formatting import reader_for
from services.gateway.web.routes import finish, meet, no_token
from services.gateway.web.session import Recalled
from services.gateway.web.site import Site, Visitor, page, see_other

logger = logging.getLogger(__name__)

RETRY_S = 10  # after which a page looks again, where the error does not say


@dataclass(frozen=True)
class Words:
    """`meaning` is for where the error itself says nothing that people should read."""

    title: str
    meaning: str


_WORDS: Mapping[int, Words] = {
    403: Words(
        "This form is out of date",
        "It was opened before you logged in or out, or a very long time ago. Nothing was ordered and nothing "
        "was charged. Go back, reload the page, and send it again.",
    ),
    404: Words(
        "There is nothing at this address",
        "The concert may be over, or the address may have a typing mistake. Tickets you have bought are in My orders.",
    ),
    413: Words("That was too much to send", "Send the form again with shorter texts."),
    422: Words("This address cannot be used as it is", "Go back, and choose again from the page."),
    429: Words(
        "One moment, please",
        "Many requests came from your connection within a short time. Tickets you are holding stay held. "
        "Wait a little, then reload.",
    ),
    500: Words(
        "Something went wrong on our side",
        "We have been told. Tickets you are holding stay held, and nothing is charged twice. Try again in a moment.",
    ),
    503: Words(
        "Back in a moment",
        "A part of the shop is restarting. Tickets you are holding stay yours until the time shown on your "
        "order, and nothing is charged twice. This page looks again by itself.",
    ),
}


def install(blueprint: Blueprint, site: Site) -> None:
    """Makes every error of a page a page, and unknown addresses too where a browser asks for them."""

    async def on_app_error(error: AppError) -> Response:
        return _sign_in_first() if isinstance(error, Unauthorized) else _error_page(site, error)

    async def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        response = _error_page(site, error_class(status)("", status=status))
        for name, value in error.get_headers():
            if name in {"Allow", "Retry-After"}:
                response.headers[name] = value
        return response

    async def on_rate_limit(error: RateLimitExceeded) -> Response:
        wait_s = error.retry_after if isinstance(error.retry_after, int) else None
        return _error_page(site, RateLimited("", retry_after_s=wait_s))

    async def on_unexpected(error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error, extra={"path": request.path})
        return _error_page(site, AppError(""))

    async def on_unknown_address(_error: HTTPException) -> Response:
        if not request.accept_mimetypes.accept_html:
            return problem_response(NotFound("There is nothing at this address."))
        await meet(site, {})  # what was sent here is for nobody
        return finish(site, _error_page(site, NotFound("")))

    blueprint.register_error_handler(AppError, on_app_error)
    blueprint.register_error_handler(HTTPException, on_http_error)
    blueprint.register_error_handler(RateLimitExceeded, on_rate_limit)
    blueprint.register_error_handler(Exception, on_unexpected)
    blueprint.app_errorhandler(404)(on_unknown_address)


def _this_page() -> str:
    return safe_next(request.full_path.rstrip("?"))


def _sign_in_first() -> Response:
    """To the log-in page, which leads back here: to the page itself, or to the one whose form was sent."""
    if request.method in SAFE_METHODS:
        return see_other(login_address(_this_page()))
    return see_other(login_address(own_path(request.headers.get("Referer", ""), request.host)))


def _error_page(site: Site, error: AppError) -> Response:
    note_error(error.code, is_fault=error.status >= 500)
    status = error.status if error.status in _WORDS else 500 if error.status >= 500 else 422
    words = _WORDS[status]
    retry_s = max(1, ceil(error.retry_after_s or RETRY_S)) if status in {429, 503} else None
    response = page(
        site,
        _visitor(),
        "error.html",
        title=words.title,
        status=error.status,
        # A form is never sent again by itself: only a look at a page is.
        look_again=(retry_s, _this_page()) if status == 503 and retry_s and request.method in SAFE_METHODS else None,
        words=words,
        message=error.message if status not in {403, 404} else "",
        trace_id=current_trace_id() if status >= 500 else "",
        back=own_path(request.headers.get("Referer", ""), request.host),
    )
    response.headers["Cache-Control"] = "no-store"
    if retry_s:
        response.headers["Retry-After"] = str(retry_s)
    return response


def _visitor() -> Visitor:
    """Whoever was met before things went wrong, or somebody unknown."""
    if "visitor" in g:
        return g.visitor  # type: ignore[no-any-return] # g holds anything
    reader = reader_for(request.headers.get("Accept-Language", ""))
    return Visitor(recalled=Recalled(), reader=reader, address="", mint=no_token, fields={})
