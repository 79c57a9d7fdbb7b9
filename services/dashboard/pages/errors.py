"""Errors as pages: what happened, and what to do next."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Final

from quart import Blueprint, Response, request
from quart_rate_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException

from services.dashboard.pages.site import View
from services.defaults.auth import challenge
from services.defaults.errors import AppError, RateLimited, error_class

logger = logging.getLogger(__name__)

_TITLES: Final[Mapping[int, str]] = {
    401: "The token is needed here",
    403: "This was refused",
    404: "There is nothing here",
    405: "This address only takes forms",
    409: "This cannot be done now",
    422: "This cannot be asked so",
    429: "One moment, please",
    500: "Something went wrong in the dashboard",
    503: "Something needed is away",
}
# For where the error itself says nothing that people should read.
_MEANINGS: Final[Mapping[int, str]] = {
    404: "The address may have a typing mistake, or what it showed has been forgotten since.",
    405: "Go back to the page you came from, and use its button.",
    422: "What was sent cannot be read, or is too long. Go back, and do it again from the page.",
    429: "Many buttons were pressed within a short time. Wait a little, then do it again.",
    500: "It is in its log. The rest of the pages go on working.",
}

Render = Callable[[View], Response]


def error_view(error: AppError) -> View:
    """The page that says what is the matter; the menu around it goes on working."""
    known = error.status if error.status in _TITLES else 500 if error.status >= 500 else 422
    title, message = _TITLES[known], error.message or _MEANINGS.get(known, "")
    return View("error", title, {"title": title, "message": message}, error.status)


def install(blueprint: Blueprint, render: Render) -> None:
    """Makes every error of a page a page, and unknown addresses too."""

    async def on_app_error(error: AppError) -> Response:
        response = render(error_view(error))
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        response.headers.update(challenge(error, request.headers.get("Authorization")))
        return response

    async def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        response = await on_app_error(error_class(status)("", status=status))
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    async def on_rate_limit(error: RateLimitExceeded) -> Response:
        wait_s = error.retry_after if isinstance(error.retry_after, int) else None
        return await on_app_error(RateLimited("", retry_after_s=wait_s))

    async def on_unexpected(error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error, extra={"path": request.path})
        return await on_app_error(AppError(""))

    blueprint.register_error_handler(AppError, on_app_error)
    blueprint.register_error_handler(HTTPException, on_http_error)
    blueprint.register_error_handler(RateLimitExceeded, on_rate_limit)
    blueprint.register_error_handler(Exception, on_unexpected)
    # Where no page's route fits, only the application's own handlers are asked.
    for status in (404, 405):
        blueprint.app_errorhandler(status)(on_http_error)
